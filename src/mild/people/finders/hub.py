"""People through larger instance-segmentation models, when their weights are on this machine.

RF-DETR-seg runs through onnxruntime, without torch; any model that transformers loads as universal or instance
segmentation with people among its labels will do as well: RF-DETR-seg, EoMT (arXiv:2503.19108), Mask2Former
(arXiv:2112.01527) and their kin, without torchvision. Keypoints come from ViTPose or RTMPose if one is there.
Nothing is downloaded unless ``allow_download`` is set, and then neither when ``HF_HUB_OFFLINE`` or ``MILD_OFFLINE`` is.

This code was exercised on stand-ins and on tiny models with random weights only: it was not run on real weights.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mild.errors import MildError, UsageError
from mild.extras import needs
from mild.models import assets
from mild.models import registry as asset_registry
from mild.models.contracts import FinderContract, PoseContract
from mild.models.spec import ModelSpec
from mild.people.finders import detr, pose_nets
from mild.people.order import estimate_order
from mild.people.scene import BoolMask, Box, Person, Scene
from mild.photo import Photo

#: Fetched when none is here, and fetching was allowed.
FIRST = "rf-detr-seg"
#: People among labels that nobody named: by the number of labels, COCO's 80 in a row, or its own numbers with gaps.
_UNNAMED = {80: 0, 81: 0, 90: 1, 91: 1}
_log = logging.getLogger("mild")
SURE, MAYBE = 0.70, 0.50
_SMALLEST_AREA = 12


def here() -> list[str]:
    """The models of this kind that are on this machine and used unasked, in order of choice (licence, then quality)."""
    kinds = ("transformers", "onnx")
    wanted = [s for s in asset_registry.of_task("finder") if s.default and s.runtime in kinds and _is_ours(s)]
    return [spec.name for spec in wanted if assets.locate(spec.name) is not None]


def find(photo: Photo, model: str | None = None, allow_download: bool = False) -> Scene:
    """Everybody whom the model sees, numbered from left to right.

    Args:
        model: a name of the registry, a hub id, a folder or an ``.onnx`` file; None: the first default on this machine
            that works; one that does not is named in the log and passed over.
        allow_download: may weights be fetched?

    Raises:
        MildError: the weights are not on this machine (and may not be fetched), or cannot be loaded.
        UsageError: the model knows no people.
    """
    names = [model] if model is not None else here() or [FIRST]
    failure: MildError | None = None
    for name in names:
        try:
            masks = _masks(photo.pixels, name, allow_download)
        except MildError as error:
            failure = error
            if name != names[-1]:
                _log.warning("%s Trying the next one.", error)
            continue
        return people_of(photo, masks, pose_models())
    assert failure is not None
    raise failure


def pose_models() -> tuple[str, ...]:
    """The keypoint models on this machine, in order of choice."""
    return tuple(assets.installed("pose", default=True))


def _is_ours(spec: ModelSpec) -> bool:
    return spec.runtime == "transformers" or isinstance(spec.contract, FinderContract)


def _masks(pixels: NDArray[np.uint8], name: str, allow_download: bool) -> list[tuple[BoolMask, float]]:
    """By a model of any kind; errors as of :func:`find`."""
    spec = asset_registry.REGISTRY.get(name)
    if spec is not None and isinstance(spec.contract, FinderContract):
        folder = assets.locate(name)
        if folder is None:
            if not allow_download or assets.offline():
                raise MildError(f"The weights '{name}' are not on this machine; run `mild models --fetch {name}` once.")
            folder = assets.fetch(name)
        return detr.instance_masks(pixels, str(folder / spec.files[0].name), spec.contract, MAYBE)
    if Path(name).suffix.lower() == ".onnx":
        if not Path(name).is_file():
            raise UsageError(f"There is no file {name}.")
        return detr.instance_masks(pixels, name, FinderContract(), MAYBE)
    return instance_masks(pixels, _folder(name, allow_download))


def people_of(photo: Photo, masks: list[tuple[BoolMask, float]], pose: Sequence[str] = ()) -> Scene:
    """Instance masks ``[H, W]`` with scores to a scene; pixels of two go to the surer one.

    Args:
        pose: keypoint models, names of the registry or folders; the first that works is used.
    """
    free = np.ones(photo.size, bool)
    found: list[Person] = []
    for mask, score in sorted(masks, key=lambda m: -m[1]):
        own = mask & free
        if own.sum() < max(_SMALLEST_AREA, 0.2 * mask.sum()):
            continue  # the same person over again
        free &= ~own
        found.append(Person.from_mask(len(found) + 1, own, score=float(score), sure=score >= SURE, source="hub"))
    found.sort(key=lambda p: (p.box.x0 + p.box.x1, p.box.y0))
    points = _keypoints(photo.pixels, [p.box for p in found], pose) if found else []
    people = tuple(replace(p, id=i, keypoints=k) for i, (p, k) in enumerate(zip(found, points, strict=True), 1))
    return Scene(photo, people, estimate_order(people, photo.size))


def instance_masks(pixels: NDArray[np.uint8], folder: str) -> list[tuple[BoolMask, float]]:
    """Masks ``[H, W]`` and scores 0..1 of the people in ``pixels`` uint8 ``[H, W, 3]``, by the model in a folder."""
    processor, model = _loaded(folder)
    import torch

    people = person_labels(model.config.id2label)
    if not people:
        raise UsageError(f"The model '{folder}' has no label 'person', so it cannot find people.")
    size = (pixels.shape[0], pixels.shape[1])
    with torch.inference_mode():
        if isinstance(processor, _Square):
            seen = torch.from_numpy(detr.prepared(pixels, processor.side, processor.mean, processor.std))
            out = model(pixel_values=seen)
            return [
                pair
                for person in sorted(people)
                for pair in detr.people_in(
                    out.logits[0].float().numpy(), out.pred_masks[0].float().numpy(), person, size, MAYBE
                )
            ]
        inputs = processor(images=pixels, return_tensors="pt", input_data_format="channels_last")
        result = processor.post_process_instance_segmentation(model(**inputs), threshold=MAYBE, target_sizes=[size])[0]
    return read_segmentation(result, people, size)


def person_labels(labels: Mapping[Any, str]) -> set[int]:
    """Which of a model's labels mean people; names that say nothing (``LABEL_7``) are taken for COCO's classes."""
    named = {int(i) for i, label in labels.items() if str(label).strip().lower() == "person"}
    if not named and all(re.fullmatch(r"LABEL_\d+", str(label)) for label in labels.values()):
        person = _UNNAMED.get(len(labels))
        return set() if person is None else {person}
    return named


def read_segmentation(result: dict[str, Any], people: set[int], size: tuple[int, int]) -> list[tuple[BoolMask, float]]:
    """The persons of one processed result.

    Either ``segmentation`` is a map ``[H, W]`` of segment ids (or masks ``[n, H, W]``) and ``segments_info`` says label
    and score of each, or there are ``masks``, ``labels`` and ``scores``, as detectors give them.
    """
    out: list[tuple[BoolMask, float]] = []
    if "masks" in result:
        for mask, label, score in zip(result["masks"], result["labels"], result["scores"], strict=True):
            if int(label) in people:
                out.append((np.asarray(mask).reshape(size) > 0.5, float(score)))
        return out
    segmentation = np.asarray(result["segmentation"])
    for index, segment in enumerate(result["segments_info"]):
        if int(segment["label_id"]) in people:
            mask = segmentation == segment["id"] if segmentation.ndim == 2 else segmentation[index] > 0.5
            out.append((mask, float(segment["score"])))
    return out


def _keypoints(
    pixels: NDArray[np.uint8], boxes: list[Box], models: Sequence[str]
) -> Sequence[NDArray[np.float32] | None]:
    """Keypoints by the first of these models that works; without one, none."""
    for name in models:
        spec = asset_registry.REGISTRY.get(name)
        try:
            folder = assets.ensure(name) if spec is not None else Path(name)
            if spec is not None and isinstance(spec.contract, PoseContract):
                return pose_nets.keypoints(pixels, boxes, str(folder / spec.files[0].name), spec.contract)
            return keypoints(pixels, boxes, str(folder))
        except MildError as error:
            _log.warning("%s Keypoints are left out, or come from another.", error)
    return [None] * len(boxes)


def keypoints(pixels: NDArray[np.uint8], boxes: list[Any], folder: str) -> list[NDArray[np.float32] | None]:
    """COCO keypoints ``[17, 3]`` for each box, by the ViTPose model in a folder."""
    processor, model = _loaded_pose(folder)
    import torch

    coco = np.array([[b.x0, b.y0, b.width, b.height] for b in boxes], np.float32)
    with torch.inference_mode():
        inputs = processor(pixels, boxes=[coco], return_tensors="pt", input_data_format="channels_last")
        results = processor.post_process_pose_estimation(model(**inputs), boxes=[coco])[0]
    out: list[NDArray[np.float32] | None] = []
    for result in results:
        points = np.concatenate([np.asarray(result["keypoints"]), np.asarray(result["scores"])[:, None]], 1)
        out.append(points.astype(np.float32) if len(points) == 17 else None)
    return out


def _folder(model: str, allow_download: bool) -> str:
    spec = asset_registry.REGISTRY.get(model)
    wanted = model if spec is None else spec.source
    folder = assets.locate_model(model)
    if folder is None:
        if not allow_download:
            raise MildError(
                f"The weights of '{wanted}' are not on this machine; allow the download, run "
                f"`mild models --fetch {FIRST}` once, or use the finder 'blazepose'."
            )
        if assets.offline():
            raise MildError(f"The weights of '{wanted}' are not on this machine and downloads are switched off.")
        folder = assets.fetch(model) if spec is not None else assets.fetch_hub(wanted)
    return str(folder)


@lru_cache(maxsize=1)
def _loaded(folder: str) -> tuple[Any, Any]:
    transformers = _transformers()
    auto = import_module("transformers.models.auto.modeling_auto")
    try:
        kind = transformers.AutoConfig.from_pretrained(folder, local_files_only=True).model_type
        universal = kind in auto.MODEL_FOR_UNIVERSAL_SEGMENTATION_MAPPING_NAMES
        loader = auto.AutoModelForUniversalSegmentation if universal else auto.AutoModelForInstanceSegmentation
        # Its processor exists for torchvision only.
        read = _Square.read if kind == "rf_detr" else transformers.AutoImageProcessor.from_pretrained
        processor = read(folder, local_files_only=True)
        # Pickles are programs, not data.
        return processor, loader.from_pretrained(folder, local_files_only=True, use_safetensors=True).eval()
    except (OSError, ValueError, KeyError, ImportError) as error:
        raise MildError(f"The model '{Path(folder).name}' cannot be used to find people ({_brief(error)}).") from error


@lru_cache(maxsize=1)
def _loaded_pose(folder: str) -> tuple[Any, Any]:
    transformers = _transformers()
    try:
        processor = transformers.AutoImageProcessor.from_pretrained(folder, local_files_only=True)
        return processor, transformers.VitPoseForPoseEstimation.from_pretrained(folder, local_files_only=True).eval()
    except (OSError, ValueError, KeyError, ImportError) as error:
        raise MildError(f"The keypoint model '{Path(folder).name}' cannot be used ({_brief(error)}).") from error


@dataclass(frozen=True)
class _Square:
    """What RF-DETR's processor would do: side, mean and deviation of its ``preprocessor_config.json``."""

    side: int
    mean: tuple[float, ...]
    std: tuple[float, ...]

    @classmethod
    def read(cls, folder: str, **_: Any) -> _Square:
        """Raises ValueError or OSError for a file that is no such configuration."""
        fields = json.loads((Path(folder) / "preprocessor_config.json").read_text("utf-8"))
        size = fields.get("size") or {}
        side = size.get("height") or size.get("longest_edge") or size.get("shortest_edge")
        if not isinstance(side, int):
            raise ValueError("its preprocessor_config.json names no size")
        usual = FinderContract()
        return cls(side, tuple(fields.get("image_mean") or usual.mean), tuple(fields.get("image_std") or usual.std))


def _transformers() -> Any:
    # Seconds to import, and only half typed: imported where needed, as an untyped module.
    with needs("The finder 'hub'", "torch"):
        return import_module("transformers")


def _brief(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return lines[0].rstrip(".") if lines else type(error).__name__
