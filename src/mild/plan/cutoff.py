"""What a coarse mask by hand cut off of whom it means: a hand, a foot, that a finder saw (ours).

A mask that was drawn with a wide brush, or at a small size, has no detail: a softening hardly moves its outline. Where
a finder saw the same person, what it saw just outside such a mask is erased as well, if it is as thin as a limb, of
some length, and looks like them. An outline with detail is somebody's work and is believed: what a finder drew beyond
it was mostly wrong.
"""

from __future__ import annotations

import math

import cv2
import numpy as np
from numpy.typing import NDArray

from mild.people.scene import BoolMask, Box, Person
from mild.photo.grid import fitted
from mild.plan.margin import guided

Float = NDArray[np.float32]

#: Mask and find share so much of both together: they are the same person.
SAME = 0.8
#: A softening by this part of the mask's size moves the outline by less than this part of the softening, on average,
#: if there is no detail. Of 60 exact masks of train composites 21 are so, made coarse 55; of 60 real outlines, many of
#: them hurried, 13 and 48.
SOFTENED, DETAIL = 0.02, 0.06
#: A part ends at most so far outside the mask, and reaches at least so far, in parts of the person's height.
FAR, LEAST = 0.1, 0.02
#: Half of its thickness is at most this, in heights: a hand, a foot, no strip of ground or half a neighbour.
THIN = 0.04
#: Mean of the guided filter from which a part looks like the person; the filter looks so far around, in heights.
ALIKE, SEEN = 0.15, 0.066
#: Longest side, pixels, of what is looked at.
LOOKED_AT = 512


def cut_off(photo: NDArray[np.uint8], person: Person) -> Person | None:
    """What the mask of ``person`` cut off, as a find; None: nothing.

    Args:
        photo: uint8 ``[H, W, 3]``.
    """
    if person.found is None:
        return None
    box, find = person.found
    extent = min(person.box.height, 2.5 * person.box.width)
    size = (photo.shape[0], photo.shape[1])
    window = person.box.grow(math.ceil((FAR + SEEN) * extent) + 1, size)
    mask, seen = np.zeros((2, window.height, window.width), bool)
    mask[person.box.inside(window).slices] = person.mask
    common = box.intersect(window)
    if not common.area:
        return None
    seen[common.inside(window).slices] = find[common.inside(box).slices]
    both = int((mask & seen).sum())
    if both < SAME * (int(mask.sum()) + int(find.sum()) - both):
        return None
    shape, scale = fitted(window.width, window.height, LOOKED_AT)

    def shrunk(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        return np.asarray(cv2.resize(image, shape, interpolation=cv2.INTER_AREA), np.uint8)

    drawn, saw = (shrunk(m * np.uint8(255)) > 127 for m in (mask, seen))
    if not drawn.any() or detail(drawn) > DETAIL:
        return None
    colours = shrunk(np.ascontiguousarray(photo[window.slices])).astype(np.float32) / np.float32(255)
    looks = guided(drawn.astype(np.float32), colours, max(2, round(SEEN * extent * scale)))
    away = cv2.distanceTransform((~drawn).view(np.uint8), cv2.DIST_L2, 5) / (extent * scale)
    beyond = saw & ~drawn & (away <= FAR)
    count, labels = cv2.connectedComponents(beyond.view(np.uint8), connectivity=8)
    deep = cv2.distanceTransform((saw | drawn).view(np.uint8), cv2.DIST_L2, 5) / (extent * scale)
    of = np.asarray(labels[beyond], np.intp)
    reach, thick = np.zeros((2, count), np.float32)
    np.maximum.at(reach, of, away[beyond])
    np.maximum.at(thick, of, deep[beyond])
    alike = np.bincount(of, looks[beyond], count) / np.maximum(np.bincount(of, minlength=count), 1)
    theirs = (reach >= LEAST) & (thick <= THIN) & (alike >= ALIKE)
    parts = cv2.resize(theirs[labels].view(np.uint8), mask.shape[::-1], interpolation=cv2.INTER_NEAREST) > 0
    parts &= seen & ~mask
    if not parts.any():
        return None
    tight = Box.around(parts)
    return Person(person.id, tight.offset(window), np.ascontiguousarray(parts[tight.slices]), source="found")


def detail(mask: BoolMask) -> float:
    """How far a softening moves an outline, mean over the outline, in parts of the softening."""
    box = Box.around(mask)
    spread = SOFTENED * math.sqrt(box.area)
    soft = cv2.GaussianBlur(mask.astype(np.float32), (0, 0), spread) > 0.5
    outlines, _ = cv2.findContours(mask.view(np.uint8), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
    return float((soft ^ mask).sum()) / (sum(map(len, outlines)) * spread)
