"""Cut-out people made fit for composing: no halo, colours that go on past the outline, a tight window."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from mild.people.body import mirrored_keypoints


def clean_cutout(rgba: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Shave the halo off a cut-out and extend its colours past the outline (`[H, W, 4]` uint8)."""
    alpha = rgba[..., 3]
    shave = 1 if min(alpha.shape) < 200 else 2
    inner = cv2.erode(alpha, np.ones((2 * shave + 1, 2 * shave + 1), np.uint8))
    inner = cv2.GaussianBlur(inner, (0, 0), 0.8)
    solid = inner > 200
    if not solid.any():
        return rgba
    # Each pixel outside takes the colour of the nearest pixel inside.
    _, labels = cv2.distanceTransformWithLabels(
        (~solid).astype(np.uint8), cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL
    )
    table = np.zeros((labels.max() + 1, 3), np.uint8)
    table[labels[solid]] = rgba[..., :3][solid]
    rgb = np.where(solid[..., None], rgba[..., :3], table[labels])
    return np.dstack([rgb, inner])


def without_crumbs(rgba: NDArray[np.uint8], least: float = 0.02) -> NDArray[np.uint8]:
    """Loose bits of a coarse mask removed: parts of the outline smaller than this share of the largest part."""
    count, labels, stats, _ = cv2.connectedComponentsWithStats((rgba[..., 3] > 60).astype(np.uint8))
    if count <= 2:
        return rgba
    areas = stats[:, cv2.CC_STAT_AREA]
    small = np.flatnonzero(areas < least * areas[1:].max())
    small = small[small > 0]
    if not len(small):
        return rgba
    out = rgba.copy()
    out[np.isin(labels, small), 3] = 0
    return out


def tight(
    rgba: NDArray[np.uint8], points: NDArray[np.float32] | None = None
) -> tuple[NDArray[np.uint8], NDArray[np.float32] | None]:
    """The window in which alpha is one half and more, one pixel wider, and the keypoints in it."""
    solid = rgba[..., 3] > 127
    ys, xs = np.flatnonzero(solid.any(1)), np.flatnonzero(solid.any(0))
    if not len(ys):
        return rgba, points
    y0, x0 = max(0, int(ys[0]) - 1), max(0, int(xs[0]) - 1)
    window = np.ascontiguousarray(rgba[y0 : int(ys[-1]) + 2, x0 : int(xs[-1]) + 2])
    if points is not None:
        points = points - np.asarray([x0, y0, 0], np.float32)
    return window, points


def read_keypoints(annotated: list[list[float]] | None) -> NDArray[np.float32] | None:
    """Annotated joints (x, y, COCO's visibility) as ``[17, 3]`` with confidence: 0 unknown, 0.3 hidden, 1 in sight."""
    if not annotated:
        return None
    points = np.asarray(annotated, np.float32)
    points[:, 2] = np.asarray([0.0, 0.3, 1.0], np.float32)[points[:, 2].astype(int)]
    return points


def placed_keypoints(
    points: NDArray[np.float32] | None, width: int, flip: bool, place: tuple[float, float, float]
) -> NDArray[np.float32] | None:
    """Keypoints of a cut-out ``width`` wide, where ``place = (scale, x, y)`` puts it in a picture."""
    if points is None:
        return None
    points = mirrored_keypoints(points, width) if flip else points.copy()
    scale, x, y = place
    points[:, :2] = (points[:, :2] + 0.5) * scale - 0.5 + np.asarray([x, y], np.float32)
    return points


def scaled(image: NDArray[np.uint8], factor: float) -> NDArray[np.uint8]:
    """Resized by this factor; at least two pixels each way."""
    h, w = image.shape[:2]
    new = (max(2, round(w * factor)), max(2, round(h * factor)))
    return np.asarray(cv2.resize(image, new, interpolation=cv2.INTER_AREA if factor < 1 else cv2.INTER_LINEAR))
