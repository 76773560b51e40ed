"""Hub models, on tiny random ones written to a folder; nothing is downloaded."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from mild.errors import MildError, UsageError
from mild.models import assets
from mild.people.find import find_people, resolve
from mild.people.finders import hub
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
    monkeypatch.setattr(assets, "fetch_hub", lambda model: pytest.fail("a download was tried"))
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    with pytest.raises(MildError, match="not on this machine; allow the download"):
        hub.find(photo, "nobody/no-such-model")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(MildError, match="switched off"):
        hub.find(photo, "nobody/no-such-model", allow_download=True)


def test_auto_prefers_cached_hub_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(assets, "locate", lambda name: None)
    assert resolve(Finder.model_validate({})).name == "blazepose"
    monkeypatch.setattr(assets, "locate", lambda name: tmp_path if name == "mask2former" else None)
    assert resolve(Finder.model_validate({})).name == "hub"


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
    scene = hub.people_of(photo, [(mask, 0.9)], str(tmp_path))
    points = scene.person(1).keypoints
    assert points is not None and points.shape == (17, 3) and np.isfinite(points).all()
