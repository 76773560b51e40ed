"""What reaches into a drawn mask from outside: somebody's arm, a bag, a shadow, a fringe of whoever goes (ours).

Where nobody is searched for, nobody who stays is known, and the fill would copy who touches the mask's edge into the
hole. A thing of that sort is told by its colour: it lies wholly beside the hole, meets the edge on a short stretch,
and has a colour that the rest of the neighbourhood has not. Grounds and walls go on to all sides, and what repeats
has its colour elsewhere, too; those are what a fill is made of.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from mild.people.scene import Box
from mild.photo.grid import fitted

BoolMask = NDArray[np.bool_]

#: The neighbourhood: so much of the hole's longer side around it, at least so many pixels.
AROUND, LEAST_AROUND = 0.75, 64
#: Longest side, pixels, of what is looked at, and how many colours are told apart there.
LOOKED_AT, COLOURS = 256, 12
#: A thing has at least this part of its colour's pixels,
OWN_COLOUR = 0.5
#: meets at most this part of the hole's edge, is at least so large a part of the neighbourhood, and at most so large a
#: part of the hole: a wall or a curtain that ends nearby is larger, and is what the hole is to be filled from.
EDGE, SMALLEST, LARGEST = 0.1, 0.0015, 0.2
#: Steps of lightness count less than those of colour: a thing is lit from one side.
LIGHTNESS = 0.6


def crossing(photo: NDArray[np.uint8], hole: BoolMask, box: Box) -> tuple[Box, BoolMask]:
    """What crosses the edge of the hole in ``box`` and is no place to fill it from.

    Args:
        photo: uint8 ``[H, W, 3]``.
        hole: bool ``[H, W]``, what is to be filled.
        box: around one hole, or several close together.

    Returns:
        A window of the photo, and bool ``[h, w]`` in it, outside the hole.
    """
    height, width = hole.shape
    window = box.grow(max(LEAST_AROUND, round(AROUND * max(box.width, box.height))), (height, width))
    size, _ = fitted(window.width, window.height, LOOKED_AT)
    small = np.asarray(cv2.resize(photo[window.slices], size, interpolation=cv2.INTER_AREA), np.uint8)
    filled = cv2.resize(hole[window.slices].view(np.uint8) * np.uint8(255), size, interpolation=cv2.INTER_AREA) > 0
    known = ~filled
    if not known.any() or not filled.any():
        return window, np.zeros((window.height, window.width), bool)
    things = _things(_colours(small, known), known)
    # Half a pixel of what is looked at, and the soft edge of the thing.
    wider = cv2.dilate(things.view(np.uint8), np.ones((3, 3), np.uint8))
    back = cv2.resize(wider, (window.width, window.height), interpolation=cv2.INTER_NEAREST) > 0
    return window, np.asarray(back & ~hole[window.slices])


def _things(colours: NDArray[np.intp], known: BoolMask) -> BoolMask:
    """Which pieces of one colour cross the edge; ``colours [h, w]`` counts only where ``known``."""
    rim = cv2.dilate((~known).view(np.uint8), np.ones((3, 3), np.uint8)).astype(bool) & known
    border = np.zeros_like(known)
    border[[0, -1]] = border[:, [0, -1]] = True
    total, whole_rim = int(known.sum()), int(rim.sum())
    found = np.zeros_like(known)
    for colour in np.unique(colours[rim]):
        here = (colours == colour) & known
        count, labels = cv2.connectedComponents(here.view(np.uint8), connectivity=8)
        area, edge, outer = (np.bincount(labels[mask], minlength=count) for mask in (here, rim & here, border & here))
        thing = (edge > 0) & (edge <= EDGE * whole_rim) & (outer == 0) & (area >= OWN_COLOUR * here.sum())
        thing &= (area >= max(12, SMALLEST * total)) & (area <= LARGEST * (known.size - total))
        thing[0] = False
        found |= thing[labels]
    return found


def _colours(image: NDArray[np.uint8], known: BoolMask) -> NDArray[np.intp]:
    """Each pixel's colour, one of :data:`COLOURS`: k-means over a coarse histogram, begun at colours far apart."""
    calm = cv2.bilateralFilter(image, 5, 40, 5)
    lab = np.asarray(cv2.cvtColor(calm, cv2.COLOR_RGB2LAB), np.intp)
    bins = (lab[..., 0] >> 4) * 4096 + (lab[..., 1] >> 2) * 64 + (lab[..., 2] >> 2)
    used, where = np.unique(bins, return_inverse=True)
    where = where.reshape(bins.shape)
    weight = np.bincount(where[known], minlength=len(used)).astype(np.float32)
    points = np.stack([(used >> 12) * 16 * LIGHTNESS, (used >> 6 & 63) * 4, (used & 63) * 4], -1).astype(np.float32)
    centres = points[[int(weight.argmax())]]
    away = np.where(weight > 0, np.inf, 0).astype(np.float32)
    while len(centres) < min(COLOURS, int((weight > 0).sum())):
        away = np.minimum(away, ((points - centres[-1]) ** 2).sum(-1))
        # Far from all others and not a single pixel.
        centres = np.concatenate([centres, points[[int((away * np.minimum(weight, 20)).argmax())]]])
    for _ in range(8):
        nearest = ((points[:, None] - centres) ** 2).sum(-1).argmin(-1)
        mass = np.bincount(nearest, weight, len(centres))
        sums = np.stack([np.bincount(nearest, weight * axis, len(centres)) for axis in points.T], -1)
        centres = np.where(mass[:, None] > 0, sums / np.maximum(mass, 1)[:, None], centres).astype(np.float32)
    nearest = ((points[:, None] - centres) ** 2).sum(-1).argmin(-1)
    return np.asarray(nearest[where])
