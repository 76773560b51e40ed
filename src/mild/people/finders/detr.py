"""RF-DETR-seg (arXiv:2511.09554) by hand: through onnxruntime without torch, and what transformers' own processor would
do, without torchvision.

Contract: the photo is shrunk (or enlarged) to a square, bilinear, half pixels, no smoothing, no letterbox; 0..1 minus
mean over deviation. Answers: class logits ``[1, Q, C]``, each class by its own sigmoid, and mask logits
``[1, Q, m, m]`` of the square; there is no background column.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from mild.errors import MildError, UsageError
from mild.models.contracts import FinderContract
from mild.models.nets import Net
from mild.people.scene import BoolMask

Found = list[tuple[BoolMask, float]]

INPUT, OUTPUTS = {"input"}, {"dets", "labels", "masks"}


def instance_masks(pixels: NDArray[np.uint8], path: str, contract: FinderContract, least: float) -> Found:
    """Masks ``[H, W]`` and scores of the people in ``pixels [H, W, 3]``, by an ONNX export of RF-DETR-seg.

    Args:
        path: of the file.
        least: score, 0..1, below which nobody is a find.

    Raises:
        MildError: the file is damaged, or another net.
    """
    net = _opened(path, Path(path).stat().st_mtime_ns)
    side = net.inputs["input"].shape[2]
    if side is None:
        raise UsageError(f"{net.path.name} does not say at which size it looks; export it with a fixed one.")
    out = net.run({"input": prepared(pixels, side, contract.mean, contract.std)})
    labels, masks = out["labels"], out["masks"]
    if labels.ndim != 3 or masks.ndim != 4 or labels.shape[1] != masks.shape[1] or contract.person >= labels.shape[2]:
        raise MildError(f"{net.path.name} gave arrays of shapes {labels.shape} and {masks.shape}; another net?")
    # Some exports have the sigmoid inside, whatever their card says: then no value is negative.
    inside = contract.masks == "probabilities" or float(masks.min()) >= 0
    return people_in(labels[0], masks[0] - (0.5 if inside else 0.0), contract.person, _size(pixels), least)


def prepared(pixels: NDArray[np.uint8], side: int, mean: Any, std: Any) -> NDArray[np.float32]:
    """A photo as the net sees it, float32 ``[1, 3, side, side]``."""
    square = cv2.resize(pixels.astype(np.float32) / np.float32(255), (side, side), interpolation=cv2.INTER_LINEAR)
    normal = (square - np.asarray(mean, np.float32)) / np.asarray(std, np.float32)
    return np.ascontiguousarray(normal.transpose(2, 0, 1)[None], np.float32)


def people_in(logits: NDArray[Any], masks: NDArray[Any], person: int, size: tuple[int, int], least: float) -> Found:
    """From class logits ``[Q, C]`` and masks ``[Q, m, m]`` (above 0: inside), surest first, at a photo's size."""
    scores = 1 / (1 + np.exp(-logits[:, person].astype(np.float64)))
    found: Found = []
    for query in np.argsort(-scores, kind="stable"):
        if scores[query] < least:
            break
        mask = enlarged(masks[query], size)
        if mask.any():
            found.append((mask, float(scores[query])))
    return found


def enlarged(mask: NDArray[Any], size: tuple[int, int]) -> BoolMask:
    """Where a small mask is above 0 at ``size = (height, width)``: bilinear, half pixels, in its own window only."""
    out = np.zeros(size, bool)
    ys, xs = np.nonzero(mask > 0)
    if not len(ys):
        return out
    fy, fx = size[0] / mask.shape[0], size[1] / mask.shape[1]
    y0, y1 = int(max(0, (ys.min() - 1) * fy)), int(min(size[0], np.ceil((ys.max() + 2) * fy)))
    x0, x1 = int(max(0, (xs.min() - 1) * fx)), int(min(size[1], np.ceil((xs.max() + 2) * fx)))
    place = np.array([[1 / fx, 0, (x0 + 0.5) / fx - 0.5], [0, 1 / fy, (y0 + 0.5) / fy - 0.5]])
    window = cv2.warpAffine(
        mask.astype(np.float32), place, (x1 - x0, y1 - y0), flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_REPLICATE,
    )  # fmt: skip
    out[y0:y1, x0:x1] = window > 0
    return out


def _size(pixels: NDArray[np.uint8]) -> tuple[int, int]:
    return pixels.shape[0], pixels.shape[1]


@lru_cache(maxsize=1)
def _opened(path: str, _seen: int) -> Net:
    net = Net(Path(path))
    net.expect(INPUT, OUTPUTS)
    return net
