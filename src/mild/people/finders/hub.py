"""People through instance-segmentation models of the Hugging Face hub, when their weights are on this machine.

Any model that transformers loads as universal or instance segmentation with a label "person" will do: Mask2Former
(arXiv:2112.01527), RF-DETR-seg, and their kin. Keypoints come from ViTPose (arXiv:2204.12484) if it is there as well.
Nothing is downloaded unless ``allow_download`` is set, and then neither when ``HF_HUB_OFFLINE`` or ``MILD_OFFLINE`` is.

This code was exercised on tiny models with random weights only: it was not run on real weights.
"""

from __future__ import annotations

from dataclasses import replace
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
from mild.people.order import estimate_order
from mild.people.scene import BoolMask, Person, Scene
from mild.photo import Photo

#: Tried in this order when no model is named: the one with a permissive licence first.
DEFAULTS = ("rf-detr-seg", "mask2former")
KEYPOINTS = "vitpose"
SURE, MAYBE = 0.70, 0.50
_SMALLEST_AREA = 12


def default_model() -> str | None:
    """The folder of the first default model that is on this machine, or None."""
    for name in DEFAULTS:
        folder = assets.locate(name)
        if folder is not None:
            return str(folder)
    return None


def find(photo: Photo, model: str | None = None, allow_download: bool = False) -> Scene:
    """Everybody whom the model sees, numbered from left to right.

    Args:
        model: hub id or folder; None: the first default on this machine, else the first default.
        allow_download: may weights be fetched?

    Raises:
        MildError: the weights are not on this machine (and may not be fetched), or cannot be loaded.
        UsageError: the model knows no people.
    """
    folder = _folder(model, allow_download)
    masks = instance_masks(photo.pixels, folder)
    pose = assets.locate(KEYPOINTS)
    return people_of(photo, masks, None if pose is None else str(pose))


def people_of(photo: Photo, masks: list[tuple[BoolMask, float]], pose: str | None = None) -> Scene:
    """Instance masks ``[H, W]`` with scores to a scene; pixels of two go to the surer one."""
    free = np.ones(photo.size, bool)
    found: list[Person] = []
    for mask, score in sorted(masks, key=lambda m: -m[1]):
        own = mask & free
        if own.sum() < max(_SMALLEST_AREA, 0.2 * mask.sum()):
            continue  # the same person over again
        free &= ~own
        found.append(Person.from_mask(len(found) + 1, own, score=float(score), sure=score >= SURE, source="hub"))
    found.sort(key=lambda p: (p.box.x0 + p.box.x1, p.box.y0))
    points = keypoints(photo.pixels, [p.box for p in found], pose) if pose and found else [None] * len(found)
    people = tuple(replace(p, id=i, keypoints=k) for i, (p, k) in enumerate(zip(found, points, strict=True), 1))
    return Scene(photo, people, estimate_order(people, photo.size))


def instance_masks(pixels: NDArray[np.uint8], folder: str) -> list[tuple[BoolMask, float]]:
    """Masks ``[H, W]`` and scores 0..1 of the people in ``pixels`` uint8 ``[H, W, 3]``, by the model in a folder."""
    processor, model = _loaded(folder)
    import torch

    people = {int(i) for i, label in model.config.id2label.items() if str(label).strip().lower() == "person"}
    if not people:
        raise UsageError(f"The model '{folder}' has no label 'person', so it cannot find people.")
    size = (pixels.shape[0], pixels.shape[1])
    with torch.inference_mode():
        inputs = processor(images=pixels, return_tensors="pt", input_data_format="channels_last")
        result = processor.post_process_instance_segmentation(model(**inputs), threshold=MAYBE, target_sizes=[size])[0]
    return read_segmentation(result, people, size)


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


def _folder(model: str | None, allow_download: bool) -> str:
    wanted = model or default_model() or asset_registry.spec(DEFAULTS[0]).source
    folder = assets.locate_hub(wanted)
    if folder is None:
        if not allow_download:
            raise MildError(
                f"The weights of '{wanted}' are not on this machine; allow the download, run "
                f"`mild models --fetch {DEFAULTS[0]}` once, or use the finder 'blazepose'."
            )
        if assets.offline():
            raise MildError(f"The weights of '{wanted}' are not on this machine and downloads are switched off.")
        folder = assets.fetch_hub(wanted)
    return str(folder)


@lru_cache(maxsize=1)
def _loaded(folder: str) -> tuple[Any, Any]:
    transformers = _transformers()
    auto = import_module("transformers.models.auto.modeling_auto")
    try:
        kind = transformers.AutoConfig.from_pretrained(folder, local_files_only=True).model_type
        universal = kind in auto.MODEL_FOR_UNIVERSAL_SEGMENTATION_MAPPING_NAMES
        loader = auto.AutoModelForUniversalSegmentation if universal else auto.AutoModelForInstanceSegmentation
        processor = transformers.AutoImageProcessor.from_pretrained(folder, local_files_only=True)
        return processor, loader.from_pretrained(folder, local_files_only=True).eval()
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


def _transformers() -> Any:
    # Seconds to import, and only half typed: imported where needed, as an untyped module.
    with needs("The finder 'hub'", "torch"):
        return import_module("transformers")


def _brief(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return lines[0].rstrip(".") if lines else type(error).__name__
