"""Where is an outline by hand wider than whom it is drawn around? (ours)

A hurried hand leaves a strip of the surroundings inside its outline: nearly everywhere both sides of it look alike. A
careful outline, a tool's, or a polygon that is some pixels off here and there, runs along the border of two things.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from mild.people.scene import Person
from mild.photo.grid import fitted

BoolMask = NDArray[np.bool_]
Float = NDArray[np.float32]

#: From this share of an outline with both sides alike on, it was drawn by a hurried hand.
MOST = 0.75
#: Alike are two sides whose mean colours (CIELAB, 8 bits) differ by less than their own deviation and this much.
FAINT = 3.0
#: The outside is not the person's if it is so many times further from their inmost colours than from the inside's.
OTHER = 1.5
#: Width of a side, pixels, at least.
LEAST = 3
#: Longest side, pixels, of what is looked at.
LOOKED_AT = 768


def slack(photo: NDArray[np.uint8], person: Person, beside: int) -> BoolMask | None:
    """Where a hurried outline has a strip of the surroundings inside it; None: the outline was not drawn in a hurry.

    Args:
        photo: uint8 ``[H, W, 3]``.
        beside: pixels, how wide a strip on either side of the outline is compared.

    Returns:
        bool ``[h, w]``, as ``person.mask``: what is nearest to those parts of the outline.
    """
    size = (photo.shape[0], photo.shape[1])
    box = person.box.grow(4 * max(LEAST, beside), size)
    shape, scale = fitted(box.width, box.height, LOOKED_AT)
    whole = np.zeros((box.height, box.width), np.uint8)
    whole[person.box.inside(box).slices] = person.mask * np.uint8(255)
    seen = photo[box.slices]
    if scale < 1:
        whole, seen = (np.asarray(cv2.resize(i, shape, interpolation=cv2.INTER_AREA), np.uint8) for i in (whole, seen))
    mask = whole > 127
    width = max(LEAST, round(beside * scale))
    colours = cv2.cvtColor(np.ascontiguousarray(seen), cv2.COLOR_RGB2LAB).astype(np.float32)
    # The photo's edge is no border: what goes on there is cut off.
    depth = cv2.distanceTransform(np.pad(mask, 1, mode="edge").view(np.uint8), cv2.DIST_L2, 5)[1:-1, 1:-1]
    away = cv2.distanceTransform((~mask).view(np.uint8), cv2.DIST_L2, 5)
    inner, inner_spread = _beside(colours, mask & (depth <= width), width)
    outer, outer_spread = _beside(colours, ~mask & (away <= width), width)
    rim = mask & (depth <= 1.5)
    if not rim.any():
        return None
    apart = _distance(inner, outer)
    alike = rim & (apart < np.sqrt((inner_spread + outer_spread) / 2) + FAINT)
    if alike.sum() < MOST * rim.sum():
        return None
    # Both sides may be the person's: an outline that is some pixels off has that on one side.
    deepest = float(depth.max())
    core, _ = _beside(colours, mask & (depth > min(4 * width, deepest / 2)), min(12 * width, int(deepest) + width))
    theirs = alike & (_distance(outer, core) > OTHER * apart + FAINT)
    _, nearest = cv2.distanceTransformWithLabels(
        (~rim).view(np.uint8), cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL
    )  # fmt: skip
    counted = np.zeros(nearest.max() + 1, bool)
    counted[nearest[theirs]] = True
    full = (box.width, box.height)
    near = cv2.resize(counted[nearest].view(np.uint8), full, interpolation=cv2.INTER_NEAREST) > 0
    return np.asarray(near[person.box.inside(box).slices] & person.mask)


def _distance(one: Float, other: Float) -> Float:
    return np.asarray(np.sqrt(np.square(one - other).sum(2)), np.float32)


def _beside(colours: Float, where: BoolMask, width: int) -> tuple[Float, Float]:
    """Mean colour ``[h, w, 3]`` and variance ``[h, w]``, of all channels together, of what is near in ``where``."""
    side, weight = (2 * width + 1, 2 * width + 1), where.astype(np.float32)
    share = np.maximum(cv2.blur(weight, side), 1e-4)[..., None]
    mean = np.asarray(cv2.blur(colours * weight[..., None], side) / share, np.float32)
    squares = cv2.blur(np.square(colours) * weight[..., None], side) / share
    return mean, np.asarray(np.maximum(squares - mean**2, 0).sum(2), np.float32)
