"""The sizes at which a hole is looked at on its way from the guide to the photo (ours).

At every size only own pixels are in the averages, so that no foreign colour comes near the hole. Pictures of the hole
live in its window; the evidence is the whole view.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np
from numpy.typing import NDArray

from mild.people.scene import Box

Rgb = NDArray[np.uint8]
Float = NDArray[np.float32]
BoolMask = NDArray[np.bool_]
Index = NDArray[np.int64]
Size = tuple[int, ...]

#: Radius of compared patches at the guide's size, pixels, and on the levels above it.
START_RADIUS, RADIUS = 3, 2
#: Pixels of the window around the hole: what the largest patch reaches, and one.
MARGIN = START_RADIUS + 1
#: Hole pixels handled at once; bounds the memory.
CHUNK = 1 << 14


@dataclass(frozen=True)
class Level:
    """One size of the pyramid.

    Attributes:
        photo: uint8 ``[h, w, 3]``; own pixels alone enter its averages.
        own, hole: bool ``[h, w]``.
        radius: of the patches that are compared at this size.
        holes: flat indices of the hole's pixels.
        window: the hole and what a patch around it can reach; pictures of the hole are no larger.
        number: int32 ``[window.height + 2, window.width + 2]``, the window with a rim of one pixel: the position of a
            pixel in ``holes``, or -1.
        at: flat indices of the hole's pixels in ``number``.
    """

    photo: Rgb
    own: BoolMask
    hole: BoolMask
    radius: int
    holes: Index
    window: Box
    number: NDArray[np.int32]
    at: Index

    @property
    def shape(self) -> tuple[int, int]:
        return self.hole.shape[0], self.hole.shape[1]

    @cached_property
    def sources(self) -> BoolMask:
        """bool ``[h, w]``: own, with own neighbours, so that a patch around it shows nothing else."""
        patch = np.ones((2 * self.radius + 1, 2 * self.radius + 1), np.uint8)
        return cv2.erode(self.own.view(np.uint8), patch, borderType=cv2.BORDER_CONSTANT, borderValue=0) > 0

    @classmethod
    def build(cls, photo: Rgb, own: BoolMask, hole: BoolMask, radius: int) -> Level:
        holes = np.flatnonzero(hole)
        window = Box.around(hole).grow(MARGIN, (hole.shape[0], hole.shape[1]))
        number = np.full((window.height + 2, window.width + 2), -1, np.int32)
        at = np.flatnonzero(np.pad(hole[window.slices], 1))
        number.ravel()[at] = np.arange(len(holes), dtype=np.int32)
        return cls(photo, own & ~hole, hole, radius, holes, window, number, at)


def pyramid(photo: Rgb, own: BoolMask, hole: BoolMask, start: tuple[int, int]) -> list[Level]:
    """From the guide's size to the photo's, each level at most twice as large as the one below."""
    height, width = hole.shape
    count = max(0, math.ceil(math.log2(max(height / start[0], width / start[1])) - 0.05))
    levels = [Level.build(photo, own & ~hole, hole, RADIUS if count else START_RADIUS)]
    for step in range(count - 1, -1, -1):
        scale = 2 ** (count - step)
        size = start if step == 0 else (max(1, round(height / scale)), max(1, round(width / scale)))
        levels.append(smaller(levels[-1], size, RADIUS if step else START_RADIUS))
    return levels[::-1]


def smaller(level: Level, size: tuple[int, int], radius: int) -> Level:
    """A level at a smaller size: own where all of it is, hole where any of it is; own pixels alone are averaged."""

    def shrunk(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        return np.asarray(cv2.resize(image, size[::-1], interpolation=cv2.INTER_AREA), np.uint8)

    share = shrunk(level.own.view(np.uint8) * np.uint8(255))
    photo = shrunk(np.asarray(cv2.copyTo(level.photo, level.own.view(np.uint8)), np.uint8))
    partly = np.flatnonzero((share > 0) & (share < 255))
    flat = photo.reshape(-1, 3)
    mean = flat[partly] * (np.float32(255) / share.ravel()[partly].astype(np.float32))[:, None]
    flat[partly] = np.minimum(mean + np.float32(0.5), 255).astype(np.uint8)
    # As floats: in bytes the last trace of a hole would be rounded away.
    hole = cv2.resize(level.hole.astype(np.float32), size[::-1], interpolation=cv2.INTER_AREA) > 1e-4
    return Level.build(photo, share == 255, hole, radius)


def view(image: Float, size: Size, held: Box | None, new_size: Size, window: Box) -> Float:
    """The ``window`` of a view of ``new_size``, from ``image``: the same view at ``size``, of which it is ``held``."""
    down, right = (small / large for small, large in zip(size, new_size, strict=True))
    x, y = (0, 0) if held is None else (held.x0, held.y0)
    matrix = np.asarray(
        [[right, 0, (window.x0 + 0.5) * right - 0.5 - x], [0, down, (window.y0 + 0.5) * down - 0.5 - y]]
    )
    shape = (window.width, window.height)
    flags = cv2.WARP_INVERSE_MAP | (cv2.INTER_NEAREST if size == new_size else cv2.INTER_CUBIC)
    return np.asarray(cv2.warpAffine(image, matrix, shape, flags=flags, borderMode=cv2.BORDER_REPLICATE), np.float32)


def neighbour(level: Level, dy: int, dx: int, of: Index | None = None) -> Index:
    """Number of the hole pixel at ``(dy, dx)`` from each (of the numbers ``of``); its own where there is none."""
    mine, at = (np.arange(len(level.holes)), level.at) if of is None else (of, level.at[of])
    number = level.number.ravel()[at + dy * level.number.shape[1] + dx]
    return np.where(number >= 0, number, mine)


def chunks(length: int) -> list[slice]:
    """Parts of a list that are handled one after the other: they stay in the processor's cache."""
    return [slice(begin, min(begin + CHUNK, length)) for begin in range(0, length, CHUNK)]
