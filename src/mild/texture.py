"""Texture at the photo's resolution for a hole that was filled at a smaller one (ours).

The guide, a small picture of the filled hole, says what goes where; the layer's own pixels say how it looks up close.
At the guide's size every pixel of the hole gets the place of the evidence that looks most like its surroundings. These
places are carried up a pyramid, refined on the way, and at the top the hole is painted with the photo's own pixels.

The search follows PatchMatch (Barnes et al., SIGGRAPH 2009) in using neighbours' answers as candidates, and Ashikhmin's
coherent search ("Synthesizing natural textures", I3D 2001) in preferring them; the start is exhaustive instead of
random, since the guide is small. Nothing but own pixels is ever copied, and nothing here is random.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from mild.detail import smooth
from mild.scene import Box

Rgb = NDArray[np.uint8]
Float = NDArray[np.float32]
BoolMask = NDArray[np.bool_]
Index = NDArray[np.int64]
Size = tuple[int, ...]

#: Radius of compared patches at the guide's size, pixels, and on the levels above it.
START_RADIUS, RADIUS = 3, 2
#: Places of evidence that a pixel is compared with at the start; more are thinned out evenly.
MOST_SOURCES = 6_000
#: Numbers that a patch is reduced to for the exhaustive search.
FEATURES = 20
#: How much worse (squared levels per value) a place may be to continue a neighbour's.
COHERENCE = 60.0
#: A level with more hole pixels than this only carries the places up; refining finds little there.
MOST_REFINED = 400_000
#: Hole pixels handled at once; bounds the memory.
CHUNK = 1 << 14
#: Gaussian width, pixels of the guide, above which colours are the guide's.
SMOOTH = 2.0


def synthesize(photo: Rgb, own: BoolMask, hole: BoolMask, guide: Float, window: Box | None = None) -> Float:
    """Paint ``hole`` with own pixels as the guide says.

    Args:
        photo: uint8 ``[H, W, 3]``.
        own: bool ``[H, W]``: the evidence; nothing else of ``photo`` is read.
        hole: bool ``[H, W]``, to be painted.
        guide: float32 ``[h, w, 3]`` 0..255, the same view at most as large: the filled hole among the evidence.
        window: the part to return; None: everything.

    Returns:
        float32, 0..255, of the window's size: the painted hole in the guide's colours; elsewhere of no meaning. Where
        there is no evidence to paint with: the guide, enlarged.
    """
    window = window or Box(0, 0, hole.shape[1], hole.shape[0])
    enlarged = _view(guide, guide.shape[:2], None, hole.shape, window)
    if guide.shape[:2] == hole.shape:
        return enlarged
    levels = _pyramid(photo, own, hole, (guide.shape[0], guide.shape[1]))
    # One level: the photo is larger than the guide by next to nothing, and there is nothing finer to paint.
    if len(levels) == 1 or not levels[0].sources.any():
        return enlarged
    places = _first_places(levels[0], guide[levels[0].window.slices])
    painted = guide[levels[0].window.slices]
    for below, level in pairwise(levels):
        places = _carried_up(below, level, places)
        seen = _view(guide, guide.shape[:2], None, level.shape, level.window)
        if len(level.holes) <= MOST_REFINED:
            picture = _view(painted, below.shape, below.window, level.shape, level.window)
            places = _refined(level, places, picture)
        painted = _painted(level, places, seen)
        painted = _recoloured(painted, level, seen, level.shape[0] / guide.shape[0])
    common = window.intersect(levels[-1].window)
    enlarged[common.inside(window).slices] = painted[common.inside(levels[-1].window).slices]
    return enlarged


@dataclass(frozen=True)
class _Level:
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
    def build(cls, photo: Rgb, own: BoolMask, hole: BoolMask, radius: int) -> _Level:
        holes = np.flatnonzero(hole)
        window = Box.around(hole).grow(START_RADIUS + 1, (hole.shape[0], hole.shape[1]))
        number = np.full((window.height + 2, window.width + 2), -1, np.int32)
        at = np.flatnonzero(np.pad(hole[window.slices], 1))
        number.ravel()[at] = np.arange(len(holes), dtype=np.int32)
        return cls(photo, own & ~hole, hole, radius, holes, window, number, at)


def _pyramid(photo: Rgb, own: BoolMask, hole: BoolMask, start: tuple[int, int]) -> list[_Level]:
    """From the guide's size to the photo's, each level at most twice as large as the one below."""
    height, width = hole.shape
    count = max(0, math.ceil(math.log2(max(height / start[0], width / start[1])) - 0.05))
    levels = [_Level.build(photo, own & ~hole, hole, RADIUS if count else START_RADIUS)]
    for step in range(count - 1, -1, -1):
        scale = 2 ** (count - step)
        size = start if step == 0 else (max(1, round(height / scale)), max(1, round(width / scale)))
        levels.append(_smaller(levels[-1], size, RADIUS if step else START_RADIUS))
    return levels[::-1]


def _smaller(level: _Level, size: tuple[int, int], radius: int) -> _Level:
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
    return _Level.build(photo, share == 255, hole, radius)


def _view(image: Float, size: Size, held: Box | None, new_size: Size, window: Box) -> Float:
    """The ``window`` of a view of ``new_size``, from ``image``: the same view at ``size``, of which it is ``held``."""
    down, right = (small / large for small, large in zip(size, new_size, strict=True))
    x, y = (0, 0) if held is None else (held.x0, held.y0)
    matrix = np.asarray(
        [[right, 0, (window.x0 + 0.5) * right - 0.5 - x], [0, down, (window.y0 + 0.5) * down - 0.5 - y]]
    )
    shape = (window.width, window.height)
    flags = cv2.WARP_INVERSE_MAP | (cv2.INTER_NEAREST if size == new_size else cv2.INTER_CUBIC)
    return np.asarray(cv2.warpAffine(image, matrix, shape, flags=flags, borderMode=cv2.BORDER_REPLICATE), np.float32)


def _target(level: _Level, picture: Float) -> Float:
    """What a patch in the hole is to look like: evidence where there is some, the picture (of the window) elsewhere."""
    return np.where(
        level.own[level.window.slices][..., None], level.photo[level.window.slices].astype(np.float32), picture
    )


def _first_places(level: _Level, guide: Float) -> Index:
    """For each hole pixel the flat index of the source whose patch looks most like the guide's, exhaustively."""
    sources = level.sources
    stride = math.isqrt(int(sources.sum()) // MOST_SOURCES) + 1
    grid = np.zeros_like(sources)
    grid[::stride, ::stride] = True
    candidates = np.flatnonzero(sources & grid if (sources & grid).any() else sources)
    compare = _Comparison(level, guide, START_RADIUS)
    known = compare.shown_around(candidates)
    mean = known.mean(0)
    known -= mean
    # Principal components of the evidence: distances in them are nearly those between the whole patches.
    _, axes = np.linalg.eigh(known.T @ known)
    axes = np.ascontiguousarray(axes[:, ::-1][:, :FEATURES])
    known = known @ axes
    lengths = (known**2).sum(1)
    out = np.empty(len(level.holes), np.int64)
    for begin in range(0, len(out), 4096):
        part = slice(begin, begin + 4096)
        wanted = (compare.wanted_around(level.holes[part]) - mean) @ axes
        # Squared distances but for a constant, in place: the table is as large as a photo.
        unlike = (-2 * wanted) @ known.T
        unlike += lengths
        out[part] = candidates[unlike.argmin(1)]
    return _refined(level, out, guide, START_RADIUS, rounds=3)


def _carried_up(below: _Level, level: _Level, places: Index) -> Index:
    """The places of the level below, at this level's scale: the pixel keeps its position within its place."""
    (h, w), (height, width) = below.shape, level.shape
    rows, columns = np.arange(height), np.arange(width)
    down_rows = np.minimum(((rows + 0.5) * h / height).astype(np.int64), h - 1)
    down_columns = np.minimum(((columns + 0.5) * w / width).astype(np.int64), w - 1)
    stride = below.number.shape[1]
    # Where a row and a column of this level are in the numbers of the one below.
    at_rows = (np.clip(down_rows - below.window.y0, -1, below.window.height) + 1) * stride
    at_columns = np.clip(down_columns - below.window.x0, -1, below.window.width) + 1
    from_y, from_x = np.divmod(places, w)
    out = np.empty(len(level.holes), np.int64)
    for part in _chunks(len(out)):
        y = level.holes[part] // width
        x = level.holes[part] - y * width
        parent = np.maximum(below.number.ravel()[at_rows[y] + at_columns[x]], 0)
        up_y = np.rint(y + (from_y[parent] - down_rows[y]) * (height / h)).astype(np.int64)
        up_x = np.rint(x + (from_x[parent] - down_columns[x]) * (width / w)).astype(np.int64)
        out[part] = np.clip(up_y, 0, height - 1) * width + np.clip(up_x, 0, width - 1)
    return out


def _chunks(length: int) -> list[slice]:
    """Parts of a list that are handled one after the other: they stay in the processor's cache."""
    return [slice(begin, min(begin + CHUNK, length)) for begin in range(0, length, CHUNK)]


class _Comparison:
    """How unlike the picture around a hole pixel a place's surroundings are: mean squared difference, levels²."""

    def __init__(self, level: _Level, picture: Float, radius: int) -> None:
        border = (radius,) * 4
        self.level, self.radius = level, radius
        self.wanted = cv2.copyMakeBorder(_target(level, picture), *border, cv2.BORDER_REFLECT_101)
        self.shown = cv2.copyMakeBorder(level.photo, *border, cv2.BORDER_REFLECT_101)

    def __call__(self, pixels: Index, places: Index) -> Float:
        """Of each of ``pixels`` with its place; infinite where the place is not evidence."""
        out = np.empty(len(pixels), np.float32)
        for part in _chunks(len(out)):
            difference = self.wanted_around(pixels[part])
            difference -= self.shown_around(places[part])
            out[part] = np.einsum("nk,nk->n", difference, difference) / difference.shape[1]
        out[~self.level.sources.ravel()[places]] = np.inf
        return out

    def wanted_around(self, pixels: Index) -> Float:
        """Patches of the picture around hole pixels, ``[n, patch * patch * 3]``."""
        y, x = np.divmod(pixels, self.level.shape[1])
        return self._patches(self.wanted, y - self.level.window.y0, x - self.level.window.x0)

    def shown_around(self, places: Index) -> Float:
        """Patches of the photo around places."""
        return self._patches(self.shown, *np.divmod(places, self.level.shape[1]))

    def _patches(self, image: NDArray[Any], y: Index, x: Index) -> Float:
        side = 2 * self.radius + 1
        # Rows of a patch are copied whole, which is ten times as fast as an index per pixel.
        patches = np.lib.stride_tricks.sliding_window_view(image, (side, side, 3))[:, :, 0]
        return np.asarray(patches[y, x].reshape(len(y), -1), np.float32)


def _refined(level: _Level, places: Index, picture: Float, radius: int = RADIUS, rounds: int = 1) -> Index:
    """Let every pixel continue a neighbour's place where that looks as much like the picture, or nearly."""
    height, width = level.shape
    compare = _Comparison(level, picture, radius)
    neighbours = [(dy, dx, _neighbour(level, dy, dx)) for dy, dx in ((0, -1), (0, 1), (-1, 0), (1, 0))]
    cost = compare(level.holes, places)
    for _ in range(rounds):
        for dy, dx, number in neighbours:
            y, x = np.divmod(places[number], width)
            fits = (y - dy >= 0) & (y - dy < height) & (x - dx >= 0) & (x - dx < width)
            candidate = np.where(fits, places[number] - dy * width - dx, places)
            changed = np.flatnonzero(candidate != places)
            new = compare(level.holes[changed], candidate[changed])
            shifts = places - level.holes
            alone = sum((shifts[n[changed]] != shifts[changed]).astype(np.float32) for _, _, n in neighbours)
            joined = sum(
                (shifts[n[changed]] != (candidate - level.holes)[changed]).astype(np.float32) for _, _, n in neighbours
            )
            better = new + COHERENCE / 4 * joined < cost[changed] + COHERENCE / 4 * alone
            places = places.copy()
            places[changed[better]], cost[changed[better]] = candidate[changed[better]], new[better]
    return places


def _neighbour(level: _Level, dy: int, dx: int, of: Index | None = None) -> Index:
    """Number of the hole pixel at ``(dy, dx)`` from each (of the numbers ``of``); its own where there is none."""
    mine, at = (np.arange(len(level.holes)), level.at) if of is None else (of, level.at[of])
    number = level.number.ravel()[at + dy * level.number.shape[1] + dx]
    return np.where(number >= 0, number, mine)


def _painted(level: _Level, places: Index, otherwise: Float) -> Float:
    """The window, each hole pixel as its place shows it.

    Where the places of neighbours do not continue one another, the mean of what they show there. ``otherwise`` is the
    window's picture where no place shows anything.
    """
    colours, own = level.photo.reshape(-1, 3), level.own.ravel()
    out = otherwise.copy()
    flat = out.reshape(-1, 3)
    pixels = np.flatnonzero(level.hole[level.window.slices])
    for part in _chunks(len(places)):
        shown, known = colours.take(places[part], axis=0), own.take(places[part])
        if known.all():
            flat[pixels[part]] = shown
        else:
            flat[pixels[part][known]] = shown[known]
    seams = np.flatnonzero(_seams(level, places))
    for part in _chunks(len(seams)):
        mean, known = _mixed(level, places, seams[part])
        flat[pixels[seams[part][known]]] = mean[known]
    return out


def _mixed(level: _Level, places: Index, numbers: Index) -> tuple[Float, BoolMask]:
    """Of some hole pixels the mean ``[n, 3]`` of what their neighbours' places show there; and whether any does."""
    colours, own = level.photo.reshape(-1, 3), level.own.ravel()
    total, weight = np.zeros((len(numbers), 3), np.float32), np.zeros(len(numbers), np.float32)
    height, width = level.shape
    for dy in (-1, 0, 1):
        for dx in (-1, 0, 1):
            number = _neighbour(level, dy, dx, numbers)
            y, x = np.divmod(places[number], width)
            at = np.clip(y - dy, 0, height - 1) * width + np.clip(x - dx, 0, width - 1)
            at = np.where(number == numbers, places[numbers], at)
            known = own.take(at)
            shown = colours.take(at, axis=0)
            shown[~known] = 0
            total += shown
            weight += known
    total /= np.maximum(weight, 1)[:, None]
    return total, weight > 0


def _seams(level: _Level, places: Index) -> BoolMask:
    """Hole pixels beside which (left, right, above or below) another hole pixel's place does not continue theirs."""
    hole = level.hole[level.window.slices]
    # 32 bits: a photo has at most 300 million pixels.
    shift = np.zeros(hole.shape, np.int32)
    shift[hole] = places - level.holes
    seam = np.zeros(hole.shape, bool)
    across = (shift[:, 1:] != shift[:, :-1]) & hole[:, 1:] & hole[:, :-1]
    down = (shift[1:] != shift[:-1]) & hole[1:] & hole[:-1]
    seam[:, 1:] |= across
    seam[:, :-1] |= across
    seam[1:] |= down
    seam[:-1] |= down
    return seam[hole]


def _recoloured(painted: Float, level: _Level, guide: Float, scale: float) -> Float:
    """The painted texture in the guide's colours: what is coarser than the guide's pixels is the guide's."""
    hole = np.ascontiguousarray(level.hole[level.window.slices]).view(np.uint8)
    shift = smooth(np.asarray(cv2.copyTo(guide - painted, hole), np.float32), SMOOTH * scale)
    share = np.maximum(smooth(hole.astype(np.float32), SMOOTH * scale), 1e-3)
    shift /= cv2.merge([share] * 3)
    shift = np.asarray(cv2.copyTo(shift, hole), np.float32)
    shift += painted
    return shift
