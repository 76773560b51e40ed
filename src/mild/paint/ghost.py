"""Is the outline of whoever went still to be seen in a result? Told without knowing the truth (ours).

Of five figures that were tried, the one that agrees with eyes (`docs/decisions/0012-figures-and-eyes.md`).
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from mild.people.scene import Box
from mild.photo.grid import fitted

Rgb = NDArray[np.uint8]
BoolMask = NDArray[np.bool_]
Float = NDArray[np.float32]

#: Longest side, pixels, of what is looked at.
SIDE = 768
#: Fewest pixels, of those, inside and outside.
INSIDE, OUTSIDE = 256, 1024
#: Levels of an edge that hardly shows, added to both sides of the ratio.
FAINT = 4.0


def ghost(result: Rgb, person: BoolMask) -> float | None:
    """Edges along the outline of who went, over edges along outlines some pixels further in and out.

    Args:
        result: uint8 ``[H, W, 3]``, after.
        person: bool ``[H, W]``, who went, as they were seen; not the wider mask that was replaced.

    Returns:
        1 where the outline is a place like others, above where the shape is still there; None where there is too
        little of it, or of anything else.
    """
    if not person.any():
        return None
    box = Box.around(person)
    crop = box.grow(max(48, max(box.width, box.height) // 2), (person.shape[0], person.shape[1]))
    size, _ = fitted(crop.width, crop.height, SIDE)

    def seen(image: NDArray[np.uint8]) -> Float:
        return np.asarray(cv2.resize(image[crop.slices], size, interpolation=cv2.INTER_AREA), np.float32)

    inside = seen(person.view(np.uint8) * np.uint8(255)) > 127
    if inside.sum() < INSIDE or (~inside).sum() < OUTSIDE:
        return None
    luma = np.asarray(seen(result) @ np.asarray([0.299, 0.587, 0.114], np.float32))
    depth = cv2.distanceTransform(inside.view(np.uint8), cv2.DIST_L2, 5)
    depth = depth - cv2.distanceTransform((~inside).view(np.uint8), cv2.DIST_L2, 5)
    smooth = cv2.GaussianBlur(luma, (0, 0), 1.0)
    # Across the outline: along it a wall's foot may run as it likes.
    out = cv2.GaussianBlur(depth, (0, 0), 2.0)
    nx, ny = cv2.Sobel(out, cv2.CV_32F, 1, 0), cv2.Sobel(out, cv2.CV_32F, 0, 1)
    length = np.maximum(np.hypot(nx, ny), 1e-3)
    across = np.abs(cv2.Sobel(smooth, cv2.CV_32F, 1, 0) * nx + cv2.Sobel(smooth, cv2.CV_32F, 0, 1) * ny) / length

    def strength(low: float, high: float) -> float:
        where = (depth >= low) & (depth < high)
        return float(across[where].mean()) if where.any() else 0.0

    beside = [value for value in (strength(low, low + 7) for low in (-18, -11, 4, 11)) if value > 0]
    return (strength(-4, 3) + FAINT) / (float(np.mean(beside)) + FAINT) if beside else 1.0
