"""How far around an outline the photo may change: as far as the outline is unsure (ours).

A margin costs more than it brings where an outline is right, and a fringe that it left of whoever goes is copied into
the hole, where it brings their shape back. So a little is always taken, and up to a bound whatever looks more like the
person than like what is beside them. What looks like whom is asked of a guided filter (He, Sun, Tang, "Guided Image
Filtering", ECCV 2010): the mask as the best linear function of the colours nearby.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from mild.people.scene import Box, Person
from mild.photo.grid import fitted
from mild.plan.wide import slack
from mild.request import Region

BoolMask = NDArray[np.bool_]
Float = NDArray[np.float32]

#: By who drew an outline: always taken, and looked at, as parts of the person's height; and from which value of the
#: filter a pixel looks like the person.
BY_HAND, BY_NET, BY_GUESS = (0.005, 0.022, 0.28), (0.012, 0.035, 0.35), (0.01, 0.03, 0.35)
SURENESS = {"mask": BY_HAND, "coco": BY_HAND, "box": BY_GUESS, "click": BY_GUESS}
#: Soft edge outside that.
FEATHER = 0.004
#: And so before the second look.
SURELY = 0.5
#: The filter looks this many times the reach around.
SEEN = 3.0
#: So wide a strip inside a hurried outline, in reaches, may be the surroundings'.
STRIP = 1.5
#: Variance of colours (in 0..1) below which the filter sees no difference.
PLAIN = 2e-4
#: Longest side, pixels, of what is looked at.
LOOKED_AT = 512
#: A drawn mask in more parts is noise, and is widened as one.
MOST_THINGS = 1000


@dataclass(frozen=True)
class Margin:
    """Pixels around one outline.

    Attributes:
        sure: always replaced.
        reach: replaced up to here where it looks like the person.
        feather: soft edge outside that.
    """

    sure: int
    reach: int
    feather: int

    @classmethod
    def of(cls, person: Person, region: Region) -> Margin:
        """What a request says, or else what the outline needs."""
        # Wide, low regions count by their shape's mean size.
        extent = min(person.box.height, 2.5 * person.box.width)
        feather = math.ceil((FEATHER if region.feather is None else region.feather) * extent)
        if region.dilate is not None:
            pixels = math.ceil(region.dilate * extent)
            return cls(pixels, pixels, feather)
        sure, reach = (math.ceil(part * extent) for part in _sureness(person)[:2])
        return cls(sure, max(sure, reach), feather)

    def blurred(self, spread: float) -> Margin:
        """As wide as a border is that a blur of ``spread`` pixels (standard deviation) has smeared."""
        sure = max(self.sure, math.ceil(2.5 * spread))
        return replace(self, sure=sure, reach=max(self.reach, sure + math.ceil(2 * spread)))

    @property
    def whole(self) -> int:
        """No further than this can the photo change."""
        return self.reach + self.feather + (self.sure if self.reach > self.sure else 0)


def things(person: Person, region: Region) -> list[Person]:
    """What a drawn mask holds: parts so far apart that their margins do not meet are things of their own.

    Each is widened by its own size: not by the height of two things together, or of one and a stray pixel. Whoever was
    found is one, however much stands in front of them.
    """
    if person.source != "mask":
        return [person]
    gap = Margin.of(person, region).whole
    mask = np.ascontiguousarray(person.mask)
    if cv2.connectedComponents(mask.view(np.uint8), connectivity=8)[0] <= 2:
        return [person]
    # Half-way between two parts their margins meet.
    away = cv2.distanceTransform((~mask).view(np.uint8), cv2.DIST_L2, 5)
    count, groups = cv2.connectedComponents((away <= gap).view(np.uint8), connectivity=8)
    if not 2 < count <= MOST_THINGS + 1:
        return [person]
    groups[~mask] = 0
    # Boxes by one pass over all parts.
    rows, columns = np.nonzero(groups)
    labels = np.asarray(groups[rows, columns], np.int64)
    low, high = np.full((count, 2), np.iinfo(np.int64).max), np.zeros((count, 2), np.int64)
    for i, at in enumerate((rows, columns)):
        np.minimum.at(low[:, i], labels, at)
        np.maximum.at(high[:, i], labels, at + 1)
    found: list[Person] = []
    for label in range(1, count):
        inner = Box(int(low[label, 1]), int(low[label, 0]), int(high[label, 1]), int(high[label, 0]))
        part = groups[inner.slices] == label
        # Smaller things have smaller margins, and may fall apart again.
        found += things(replace(person, box=inner.offset(person.box), mask=part, parts=None), region)
    return found


def widened(photo: NDArray[np.uint8], person: Person, margin: Margin, kept: BoolMask) -> tuple[Box, BoolMask, BoolMask]:
    """A person's mask and its fringe, in a window of the photo that holds all of its margin; and the part of it around
    which more is always taken: of an outline by hand, what looks like the person. Elsewhere it is wide enough as it is.

    Args:
        photo: uint8 ``[H, W, 3]``.
        kept: bool ``[H, W]``, who stays; none of them is a fringe.
    """
    box = person.box.grow(margin.whole + 1, (photo.shape[0], photo.shape[1]))
    mask = np.zeros((box.height, box.width), bool)
    mask[person.box.inside(box).slices] = person.mask
    if margin.reach <= margin.sure:
        return box, mask, mask
    around = box.grow(math.ceil((SEEN + 1) * margin.reach), (photo.shape[0], photo.shape[1]))
    size, scale = fitted(around.width, around.height, LOOKED_AT)

    def shrunk(image: NDArray[np.uint8]) -> Float:
        return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.float32) / np.float32(255)

    whole = np.zeros((around.height, around.width), np.uint8)
    whole[person.box.inside(around).slices] = person.mask * np.uint8(255)
    drawn, seen, radius = shrunk(whole), shrunk(photo[around.slices]), max(2, round(SEEN * margin.reach * scale))
    # Twice: of a hurried outline, what looks like the surroundings is counted to them before the rest is judged.
    theirs = guided(drawn, seen, radius, _heard(photo, person, margin, drawn, scale, around)) > SURELY
    values = guided(drawn * theirs, seen, radius)
    values = np.asarray(cv2.resize(values, (around.width, around.height), interpolation=cv2.INTER_LINEAR))
    away = cv2.distanceTransform((~mask).view(np.uint8), cv2.DIST_L2, 5)
    alike = values[box.inside(around).slices] > _sureness(person)[2]
    fringe = alike & (away <= margin.reach) & ~kept[box.slices]
    # What is like the person but not of a piece with them is something else.
    _, labels = cv2.connectedComponents((alike & (fringe | mask)).view(np.uint8), connectivity=4)
    touching = np.zeros(labels.max() + 1, bool)
    touching[labels[alike & mask]] = True
    fringe &= touching[labels]
    return box, fringe | mask, fringe | (mask & alike if by_hand(person) else mask)


def _heard(
    photo: NDArray[np.uint8], person: Person, margin: Margin, drawn: Float, scale: float, around: Box
) -> Float | None:
    """Which pixels say what a person looks like, 0 or 1: not the surroundings inside a hurried outline. None: all do.

    ``drawn [h, w]`` is the outline, filled, at ``scale`` of the window ``around``.
    """
    loose = slack(photo, person, margin.sure + 1) if by_hand(person) else None
    if loose is None:
        return None
    whole = np.zeros((around.height, around.width), np.uint8)
    whole[person.box.inside(around).slices] = loose * np.uint8(255)
    strip = cv2.resize(whole, drawn.shape[::-1], interpolation=cv2.INTER_AREA) > 127
    depth = cv2.distanceTransform((drawn > 0.5).view(np.uint8), cv2.DIST_L2, 5)
    return np.asarray(~strip | (depth > STRIP * margin.reach * scale), np.float32)


def by_hand(person: Person) -> bool:
    """Is the outline one that somebody drew, or gave as if?"""
    return _sureness(person) is BY_HAND


def _sureness(person: Person) -> tuple[float, float, float]:
    return SURENESS.get(person.source, BY_NET)


def guided(mask: Float, photo: Float, radius: int, weight: Float | None = None) -> Float:
    """The guided filter: ``mask [h, w]`` as a linear function of the colours of ``photo [h, w, 3]`` (0..1) nearby.

    ``weight`` ``[h, w]``: how much each pixel says of that function; None: all the same.
    """

    def mean(image: Float) -> Float:
        side = 2 * radius + 1
        return np.asarray(cv2.blur(image, (side, side), borderType=cv2.BORDER_REFLECT_101), np.float32)

    heard = None if weight is None else np.maximum(mean(weight), 1e-3)

    def known(image: Float) -> Float:
        if weight is None or heard is None:
            return mean(image)
        planes = (..., None) if image.ndim == 3 else ...
        return np.asarray(mean(image * weight[planes]) / heard[planes], np.float32)

    centre, share = known(photo), known(mask)
    with_mask = known(photo * mask[..., None]) - centre * share[..., None]
    spread = np.empty((*mask.shape, 3, 3), np.float32)
    for i in range(3):
        for j in range(i, 3):
            spread[..., i, j] = known(photo[..., i] * photo[..., j]) - centre[..., i] * centre[..., j]
            spread[..., j, i] = spread[..., i, j]
        spread[..., i, i] += PLAIN
    slope = np.linalg.solve(spread, with_mask[..., None])[..., 0].astype(np.float32)
    offset = share - (slope * centre).sum(2)
    return np.asarray((mean(slope) * photo).sum(2) + mean(offset), np.float32)
