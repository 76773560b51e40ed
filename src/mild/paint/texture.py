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
from itertools import pairwise
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from mild.paint.blas import one_thread
from mild.paint.painting import paint
from mild.paint.pyramid import (
    RADIUS,
    START_RADIUS,
    BoolMask,
    Float,
    Index,
    Level,
    Rgb,
    chunks,
    neighbour,
    pyramid,
    view,
)
from mild.people.scene import Box

#: Places of evidence that a pixel is compared with at the start; more are thinned out evenly.
MOST_SOURCES = 6_000
#: Numbers that a patch is reduced to for the exhaustive search.
FEATURES = 20
#: Pixels of the hole whose distances to all places are made at once.
AT_ONCE = 128
#: How much worse (squared levels per value) a place may be to continue a neighbour's.
COHERENCE = 60.0
#: A level with more hole pixels than this only carries the places up; refining finds little there.
MOST_REFINED = 400_000


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
    levels = [] if guide.shape[:2] == hole.shape else pyramid(photo, own, hole, (guide.shape[0], guide.shape[1]))
    # One level: the photo is larger than the guide by next to nothing, and there is nothing finer to paint.
    if len(levels) < 2 or not levels[0].sources.any():
        return view(guide, guide.shape[:2], None, hole.shape, window)
    with one_thread():
        places = _first_places(levels[0], guide[levels[0].window.slices])
    painted = guide[levels[0].window.slices]
    for number, (below, level) in enumerate(pairwise(levels), 1):
        places = _carried_up(below, level, places)
        if _is_refined(level):
            picture = view(painted, below.shape, below.window, level.shape, level.window)
            places = _refined(level, places, picture)
        # Where nothing is refined, nobody looks at the picture of the level below.
        if level is not levels[-1] and _is_refined(levels[number + 1]):
            painted = paint(level, places, guide, level.window)
    return paint(levels[-1], places, guide, window)


def _is_refined(level: Level) -> bool:
    return len(level.holes) <= MOST_REFINED


def _target(level: Level, picture: Float) -> Float:
    """What a patch in the hole is to look like: evidence where there is some, the picture (of the window) elsewhere."""
    return np.where(
        level.own[level.window.slices][..., None], level.photo[level.window.slices].astype(np.float32), picture
    )


def _first_places(level: Level, guide: Float) -> Index:
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
    products = np.ascontiguousarray(-2 * known.T)
    out = np.empty(len(level.holes), np.int64)
    # Squared distances but for a constant, so many at once that the table stays in the cache: an eighth of the time.
    table = np.empty((AT_ONCE, len(candidates)), np.float32)
    for begin in range(0, len(out), AT_ONCE):
        part = slice(begin, begin + AT_ONCE)
        wanted = (compare.wanted_around(level.holes[part]) - mean) @ axes
        unlike = np.matmul(wanted, products, out=table[: len(wanted)])
        unlike += lengths
        out[part] = candidates[unlike.argmin(1)]
    return _refined(level, out, guide, START_RADIUS, rounds=3)


def _carried_up(below: Level, level: Level, places: Index) -> Index:
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
    for part in chunks(len(out)):
        y = level.holes[part] // width
        x = level.holes[part] - y * width
        parent = np.maximum(below.number.ravel()[at_rows[y] + at_columns[x]], 0)
        up_y = np.rint(y + (from_y[parent] - down_rows[y]) * (height / h)).astype(np.int64)
        up_x = np.rint(x + (from_x[parent] - down_columns[x]) * (width / w)).astype(np.int64)
        out[part] = np.clip(up_y, 0, height - 1) * width + np.clip(up_x, 0, width - 1)
    return out


class _Comparison:
    """How unlike the picture around a hole pixel a place's surroundings are: mean squared difference, levels²."""

    def __init__(self, level: Level, picture: Float, radius: int) -> None:
        border = (radius,) * 4
        self.level, self.radius = level, radius
        self.wanted = cv2.copyMakeBorder(_target(level, picture), *border, cv2.BORDER_REFLECT_101)
        self.shown = cv2.copyMakeBorder(level.photo, *border, cv2.BORDER_REFLECT_101)

    def __call__(self, pixels: Index, places: Index) -> Float:
        """Of each of ``pixels`` with its place; infinite where the place is not evidence."""
        out = np.empty(len(pixels), np.float32)
        for part in chunks(len(out)):
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


def _refined(level: Level, places: Index, picture: Float, radius: int = RADIUS, rounds: int = 1) -> Index:
    """Let every pixel continue a neighbour's place where that looks as much like the picture, or nearly."""
    height, width = level.shape
    compare = _Comparison(level, picture, radius)
    neighbours = [(dy, dx, neighbour(level, dy, dx)) for dy, dx in ((0, -1), (0, 1), (-1, 0), (1, 0))]
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
