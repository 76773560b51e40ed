"""Hub models, on tiny random ones written to a folder; nothing is downloaded."""

from __future__ import annotations

import importlib.util
import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import standins
from mild.errors import MildError, UsageError
from mild.models import assets
from mild.models.contracts import PoseContract
from mild.people.find import BACKENDS, find_people, resolve
from mild.people.finders import hub, pose_nets
from mild.people.scene import Box, Scene
from mild.photo import Photo
from mild.request import Finder

SIZE = (50, 70)


@pytest.fixture(scope="module")
def photo() -> Photo:
    return Photo.from_array(np.random.default_rng(0).integers(0, 256, (*SIZE, 3), np.uint8))


def write_mask2former(folder: Path, labels: dict[int, str]) -> str:
    from transformers import (
        Mask2FormerConfig,
        Mask2FormerForUniversalSegmentation,
        Mask2FormerImageProcessor,
        SwinConfig,
    )

    torch.manual_seed(0)
    backbone = SwinConfig(
        image_size=64,
        embed_dim=8,
        depths=[1, 1, 1, 1],
        num_heads=[1, 1, 2, 2],
        window_size=4,
        out_features=["stage1", "stage2", "stage3", "stage4"],
    )
    config = Mask2FormerConfig(
        backbone_config=backbone,
        hidden_size=32,
        feature_size=32,
        mask_feature_size=32,
        num_queries=5,
        encoder_layers=1,
        decoder_layers=2,
        num_attention_heads=2,
        dim_feedforward=32,
        encoder_feedforward_dim=32,
        id2label=labels,
        label2id={v: k for k, v in labels.items()},
    )
    Mask2FormerForUniversalSegmentation(config).save_pretrained(folder)
    Mask2FormerImageProcessor(size={"height": 64, "width": 64}, num_labels=len(labels)).save_pretrained(folder)
    return str(folder)


@pytest.fixture(scope="module")
def mask2former(tmp_path_factory: pytest.TempPathFactory) -> str:
    return write_mask2former(tmp_path_factory.mktemp("mask2former"), {0: "person", 1: "dog"})


def test_tiny_model_runs(mask2former: str, photo: Photo, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub, "MAYBE", 0.0)
    scene = find_people(photo, Finder.model_validate({"model": mask2former}))
    assert scene.size == SIZE
    total = np.zeros(SIZE, int)
    for person in scene.people:
        assert person.source == "hub" and 0 <= person.score <= 1
        total += person.full_mask(SIZE)
    assert total.max(initial=0) <= 1
    assert "torchvision" not in sys.modules


def test_naming_a_model_means_hub(mask2former: str) -> None:
    assert resolve(Finder.model_validate({"model": mask2former})).name == "hub"


def test_model_without_people(tmp_path: Path, photo: Photo) -> None:
    folder = write_mask2former(tmp_path, {0: "cat", 1: "dog"})
    with pytest.raises(UsageError, match="no label 'person'"):
        hub.find(photo, folder)


def test_folder_without_a_model(tmp_path: Path, photo: Photo) -> None:
    with pytest.raises(MildError, match="cannot be used to find people"):
        hub.find(photo, str(tmp_path))


def test_never_a_silent_download(photo: Photo, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(assets, "fetch_hub", lambda model, revision="": pytest.fail("a download was tried"))
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    with pytest.raises(MildError, match="not on this machine; allow the download"):
        hub.find(photo, "nobody/no-such-model")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(MildError, match="switched off"):
        hub.find(photo, "nobody/no-such-model", allow_download=True)


def test_auto_prefers_cached_hub_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(assets, "locate", lambda name: None)
    assert resolve(Finder.model_validate({})).name == "blazepose"
    # Whether its licence allows commercial use is unclear: only by name.
    monkeypatch.setattr(assets, "locate", lambda name: tmp_path if name == "mask2former" else None)
    assert resolve(Finder.model_validate({})).name == "blazepose"
    assert resolve(Finder.model_validate({"model": "mask2former"})).name == "hub"
    monkeypatch.setattr(assets, "locate", lambda name: tmp_path if name in ("eomt", "rf-detr-seg-onnx") else None)
    assert resolve(Finder.model_validate({})).name == "hub"
    assert hub.here() == ["rf-detr-seg-onnx", "eomt"]


def test_surer_mask_wins_and_duplicates_go(photo: Photo) -> None:
    def mask(x0: int, x1: int) -> np.ndarray:
        out = np.zeros(SIZE, bool)
        out[5:45, x0:x1] = True
        return out

    scene = hub.people_of(photo, [(mask(20, 50), 0.6), (mask(5, 30), 0.9), (mask(6, 29), 0.8)])
    assert [(p.box.x0, p.box.x1, p.sure) for p in scene.people] == [(5, 30, True), (30, 50, False)]


def test_both_kinds_of_results_are_read() -> None:
    segmentation = torch.full(SIZE, -1)
    segmentation[5:20, 5:20] = 3
    info = [{"id": 3, "label_id": 0, "score": 0.9}, {"id": 4, "label_id": 1, "score": 0.9}]
    ((mask, score),) = hub.read_segmentation({"segmentation": segmentation, "segments_info": info}, {0}, SIZE)
    assert mask.sum() == 225 and score == 0.9
    masks = {"masks": (segmentation == 3)[None], "labels": [0], "scores": [0.8]}
    ((mask, score),) = hub.read_segmentation(masks, {0}, SIZE)
    assert mask.sum() == 225 and score == 0.8


def test_tiny_vitpose_gives_keypoints(tmp_path: Path, photo: Photo) -> None:
    from transformers import VitPoseBackboneConfig, VitPoseConfig, VitPoseForPoseEstimation, VitPoseImageProcessor

    torch.manual_seed(0)
    backbone = VitPoseBackboneConfig(
        image_size=[64, 48], hidden_size=16, num_hidden_layers=1, num_attention_heads=2, out_indices=[1]
    )
    names = {i: str(i) for i in range(17)}
    config = VitPoseConfig(backbone_config=backbone, use_simple_decoder=True, id2label=names)
    VitPoseForPoseEstimation(config).save_pretrained(tmp_path)
    VitPoseImageProcessor(size={"height": 64, "width": 48}).save_pretrained(tmp_path)
    mask = np.zeros(SIZE, bool)
    mask[5:45, 20:40] = True
    scene = hub.people_of(photo, [(mask, 0.9)], [str(tmp_path)])
    points = scene.person(1).keypoints
    assert points is not None and points.shape == (17, 3) and np.isfinite(points).all()


def write_rf_detr(folder: Path, labels: dict[int, str]) -> str:
    """Tiny, random; the processor's file is as the real ones have it, which torchvision would be needed to read."""
    from transformers import RfDetrConfig, RfDetrDinov2Config, RfDetrForInstanceSegmentation

    torch.manual_seed(0)
    backbone = RfDetrDinov2Config(
        image_size=56, patch_size=14, hidden_size=32, num_hidden_layers=2, num_attention_heads=2, num_windows=2,
        out_indices=[1, 2],
    )  # fmt: skip
    config = RfDetrConfig(
        backbone_config=backbone, d_model=32, num_queries=6, group_detr=1, decoder_layers=2, decoder_ffn_dim=32,
        decoder_self_attention_heads=2, decoder_cross_attention_heads=2, decoder_n_points=2, hidden_expansion=1.0,
        id2label=labels, label2id={v: k for k, v in labels.items()},
    )  # fmt: skip
    RfDetrForInstanceSegmentation(config).save_pretrained(folder)
    told = {"image_processor_type": "RfDetrImageProcessor", "size": {"height": 56, "width": 56}}
    (folder / "preprocessor_config.json").write_text(json.dumps(told))
    return str(folder)


def test_rf_detr_runs_without_torchvision(tmp_path: Path, photo: Photo, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its processor needs torchvision, which is not installed: the default hub finder could not load."""
    assert importlib.util.find_spec("torchvision") is None
    monkeypatch.setattr(hub, "MAYBE", 0.0)
    folder = write_rf_detr(tmp_path, {0: "background", 1: "person", 2: "dog"})
    scene = find_people(photo, Finder.model_validate({"model": folder}))
    assert scene.people and all(person.source == "hub" for person in scene.people)
    masks = hub.instance_masks(photo.pixels, folder)
    assert len(masks) <= 6 and all(mask.shape == SIZE and 0 <= score <= 1 for mask, score in masks)
    assert "torchvision" not in sys.modules


def test_eomt_runs_and_labels_without_names_are_coco_s(
    tmp_path: Path, photo: Photo, monkeypatch: pytest.MonkeyPatch
) -> None:
    from transformers import EomtConfig, EomtForUniversalSegmentation
    from transformers.models.eomt.image_processing_pil_eomt import EomtImageProcessorPil

    torch.manual_seed(0)
    config = EomtConfig(
        hidden_size=32, num_hidden_layers=3, num_attention_heads=2, image_size=64, patch_size=16, num_blocks=1,
        num_queries=5, num_upscale_blocks=1, num_labels=80, num_register_tokens=0,
    )  # fmt: skip
    assert set(config.id2label.values()) == {f"LABEL_{i}" for i in range(80)}
    EomtForUniversalSegmentation(config).save_pretrained(tmp_path)
    EomtImageProcessorPil(size={"shortest_edge": 64, "longest_edge": 64}, do_pad=True).save_pretrained(tmp_path)
    monkeypatch.setattr(hub, "MAYBE", 0.0)
    scene = find_people(photo, Finder.model_validate({"model": str(tmp_path)}))
    assert scene.size == SIZE
    assert hub.person_labels(config.id2label) == {0}
    assert hub.person_labels({i: f"LABEL_{i}" for i in range(91)}) == {1}
    assert hub.person_labels({i: f"LABEL_{i}" for i in range(7)}) == set()
    assert hub.person_labels({0: "LABEL_0", 1: "cat"}) == set()


# --- without torch, on stand-ins


def red(size: tuple[int, int] = SIZE) -> Photo:
    pixels = np.zeros((*size, 3), np.uint8)
    pixels[..., 0] = 220
    return Photo.from_array(pixels)


@pytest.mark.parametrize("probabilities", [False, True])
@pytest.mark.parametrize("size", [SIZE, (97, 41), (20, 300)])
def test_rf_detr_as_onnx(tmp_path: Path, probabilities: bool, size: tuple[int, int]) -> None:
    path = standins.rf_detr(tmp_path / "model.onnx", probabilities=probabilities)
    scene = find_people(red(size), Finder.model_validate({"model": str(path)}))
    # Not the dog; the doubtful one is listed, and unsure.
    assert [p.sure for p in scene.people] == [True, False]
    left, doubtful = (p.full_mask(size) for p in scene.people)
    wanted = np.zeros(size, bool)
    wanted[:, : size[1] // 2] = True
    assert (left ^ wanted).mean() < 0.03
    upper = np.zeros(size, bool)
    upper[: size[0] // 2, size[1] // 2 :] = True
    assert (doubtful ^ upper).mean() < 0.03
    assert scene.people[0].score > 0.95


def test_colours_go_in_as_red_green_blue(tmp_path: Path) -> None:
    path = standins.rf_detr(tmp_path / "model.onnx")
    blue = Photo.from_array(np.ascontiguousarray(red().pixels[..., ::-1]))
    scores = [hub.find(photo, str(path)).people[0].score for photo in (red(), blue)]
    assert scores[0] > scores[1] + 0.02


def test_a_model_that_cannot_load_is_named_and_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A cached model that could not load blocked the next one in the list."""
    (tmp_path / "broken").mkdir()
    standins.rf_detr(tmp_path / "model.onnx")
    places = {"rf-detr-seg-onnx": tmp_path, "eomt": tmp_path / "broken", "rf-detr-seg": tmp_path / "broken"}
    monkeypatch.setattr(assets, "locate", places.get)
    monkeypatch.setattr(hub, "here", lambda: ["rf-detr-seg", "rf-detr-seg-onnx"])
    scene = hub.find(red())
    assert len(scene.people) == 2
    assert "The model 'broken' cannot be used to find people" in caplog.text
    # If none can, the offline finder does it, and that is said; a model that was named is an error.
    monkeypatch.setattr(hub, "here", lambda: ["rf-detr-seg"])
    monkeypatch.setitem(BACKENDS, "blazepose", replace(BACKENDS["blazepose"], find=lambda photo, finder: Scene(photo)))
    monkeypatch.setattr(assets, "finder_boxes", lambda: None)
    assert find_people(red((40, 41)), Finder.model_validate({})).people == ()
    assert "The finder 'blazepose' is used." in caplog.text
    with pytest.raises(MildError, match="cannot be used"):
        find_people(red(), Finder.model_validate({"model": "rf-detr-seg"}))


def test_damaged_and_other_files_are_a_sentence(tmp_path: Path) -> None:
    path = standins.rf_detr(tmp_path / "model.onnx")
    path.write_bytes(path.read_bytes()[:500])
    with pytest.raises(MildError, match="no ONNX file that can be run here"):
        hub.find(red(), str(path))
    with pytest.raises(MildError, match="is another net than expected"):
        hub.find(red(), str(standins.image_and_mask(tmp_path / "lama.onnx")))
    with pytest.raises(UsageError, match="There is no file"):
        hub.find(red(), str(tmp_path / "nowhere.onnx"))
    with pytest.raises(MildError, match="mild models --fetch rf-detr-seg-onnx"):
        hub.find(red(), "rf-detr-seg-onnx")


@pytest.mark.parametrize(("kind", "contract"), [("rtmpose", "simcc"), ("vitpose", "heatmaps")])
def test_keypoints_without_torch(tmp_path: Path, kind: str, contract: str) -> None:
    path = getattr(standins, kind)(tmp_path / "pose.onnx")
    boxes = [Box(10, 5, 30, 45), Box(40, 10, 60, 20)]
    found = pose_nets.keypoints(red().pixels, boxes, str(path), PoseContract(contract))  # type: ignore[arg-type]
    for points, box in zip(found, boxes, strict=True):
        assert points is not None and points.shape == (17, 3)
        # The stand-in says: in the crop's middle.
        side = max(box.width / 192, box.height / 256) * 1.25
        assert np.abs(points[:, 0] + 0.5 - (box.x0 + box.x1) / 2).max() <= side
        assert np.abs(points[:, 1] + 0.5 - (box.y0 + box.y1) / 2).max() <= side
        assert np.allclose(points[:, 2], 0.9)
    with pytest.raises(MildError, match="takes no crop of 256 x 192"):
        pose_nets.keypoints(red().pixels, boxes, str(standins.rf_detr(tmp_path / "f.onnx")), PoseContract("simcc"))
