"""Texture at the photo's resolution for a hole that was filled at a smaller one (ours).

The guide, a small picture of the filled hole, says what goes where; the layer's own pixels say how it looks up close.
At the guide's size every pixel of the hole gets the place of the evidence that looks most like its surroundings. These
places are carried up a pyramid, refined on the way, and at the top the hole is painted with the photo's own pixels.

The search follows PatchMatch (Barnes et al., SIGGRAPH 2009) in using neighbours' answers as candidates, and Ashikhmin's
coherent search ("Synthesizing natural textures", I3D 2001) in preferring them; the start is exhaustive instead of
random, since the guide is small. Nothing but own pixels is ever copied, and nothing here is random.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import cv2
import numpy as np
from numpy.typing import NDArray

Rgb = NDArray[np.uint8]
Float = NDArray[np.float32]
BoolMask = NDArray[np.bool_]
Index = NDArray[np.int64]

#: Radius of compared patches at the guide's size, pixels, and on the levels above it.
START_RADIUS, RADIUS = 3, 2
#: Places of evidence that a pixel is compared with at the start; more are thinned out evenly.
MOST_SOURCES = 12_000
#: Numbers that a patch is reduced to for the exhaustive search.
FEATURES = 20
#: How much worse (squared levels per value) a place may be to continue a neighbour's.
COHERENCE = 60.0
#: A level with more hole pixels than this only carries the places up; refining finds little there.
MOST_REFINED = 400_000
#: Hole pixels handled at once; bounds the memory.
CHUNK = 1 << 16
#: Gaussian width, pixels of the guide, above which colours are the guide's.
SMOOTH = 2.0


def synthesize(photo: Rgb, own: BoolMask, hole: BoolMask, guide: Float) -> Float:
    """Paint ``hole`` with own pixels as the guide says.

    Args:
        photo: uint8 ``[H, W, 3]``.
        own: bool ``[H, W]``: the evidence; nothing else of ``photo`` is read.
        hole: bool ``[H, W]``, to be painted.
        guide: float32 ``[h, w, 3]`` 0..255, the same view at most as large: the filled hole among the evidence.

    Returns:
        float32 ``[H, W, 3]``, 0..255: the painted hole in the guide's colours; elsewhere of no meaning. Where there
        is no evidence to paint with: the guide, enlarged.
    """
    enlarged = _resized(guide, hole.shape)
    levels = list(_pyramid(photo, own, hole, (guide.shape[0], guide.shape[1])))
    if len(levels) < 2 or not levels[0].sources.any():
        return enlarged
    places = _first_places(levels[0], guide)
    painted = guide
    for below, level in pairwise(levels):
        places = _carried_up(below, level, places)
        if len(level.holes) <= MOST_REFINED:
            places = _refined(level, places, _resized(painted, level.shape))
        painted = _painted(level, places, enlarged)
        painted = _recoloured(painted, level, _resized(guide, level.shape), level.shape[0] / guide.shape[0])
    return painted


@dataclass(frozen=True)
class _Level:
    """One size of the pyramid.

    Attributes:
        photo: uint8 ``[h, w, 3]``; own pixels alone enter its averages.
        own, hole: bool ``[h, w]``.
        sources: bool ``[h, w]``: own, with own neighbours, so that a patch around it shows nothing else.
        holes: flat indices of the hole's pixels.
        number: ``[h * w]``, the position of a pixel in ``holes``, or -1.
    """

    photo: Rgb
    own: BoolMask
    hole: BoolMask
    sources: BoolMask
    holes: Index
    number: NDArray[np.int32]

    @property
    def shape(self) -> tuple[int, int]:
        return self.hole.shape[0], self.hole.shape[1]

    @classmethod
    def build(cls, photo: Rgb, own: BoolMask, hole: BoolMask, radius: int) -> _Level:
        own = own & ~hole
        patch = np.ones((2 * radius + 1, 2 * radius + 1), np.uint8)
        sources = cv2.erode(own.astype(np.uint8), patch, borderType=cv2.BORDER_CONSTANT, borderValue=0) > 0
        holes = np.flatnonzero(hole)
        number = np.full(hole.size, -1, np.int32)
        number[holes] = np.arange(len(holes), dtype=np.int32)
        return cls(photo, own, hole, sources, holes, number)


def _pyramid(photo: Rgb, own: BoolMask, hole: BoolMask, start: tuple[int, int]) -> Iterator[_Level]:
    """From the guide's size to the photo's, each level at most twice as large as the one below."""
    height, width = hole.shape
    count = max(0, int(np.ceil(np.log2(max(height / start[0], width / start[1])) - 0.05)))
    weight = own.astype(np.float32)
    for step in range(count + 1):
        size = (max(1, round(height / 2 ** (count - step))), max(1, round(width / 2 ** (count - step))))
        size = start if step == 0 else size
        radius = START_RADIUS if step == 0 else RADIUS
        if size == (height, width):
            yield _Level.build(photo, own, hole, radius)
            continue
        share = cv2.resize(weight, size[::-1], interpolation=cv2.INTER_AREA)
        total = cv2.resize(photo * own[..., None].astype(np.uint8), size[::-1], interpolation=cv2.INTER_AREA)
        small = np.clip(total / np.maximum(share, 1e-3)[..., None] + 0.5, 0, 255).astype(np.uint8)
        part = cv2.resize(hole.astype(np.float32), size[::-1], interpolation=cv2.INTER_AREA)
        yield _Level.build(small, share > 0.999, part > 1e-4, radius)


def _resized(image: Float, size: tuple[int, ...]) -> Float:
    if image.shape[:2] == size[:2]:
        return image
    return np.asarray(cv2.resize(image, (size[1], size[0]), interpolation=cv2.INTER_CUBIC), np.float32)


def _target(level: _Level, picture: Float) -> Float:
    """What a patch in the hole is to look like: evidence where there is some, the picture everywhere else."""
    return np.where(level.own[..., None], level.photo.astype(np.float32), picture)


def _offsets(radius: int, width: int) -> Index:
    reach = np.arange(-radius, radius + 1)
    return np.asarray((reach[:, None] * width + reach[None]).ravel(), np.int64)


def _first_places(level: _Level, guide: Float) -> Index:
    """For each hole pixel the flat index of the source whose patch looks most like the guide's, exhaustively."""
    r, width = START_RADIUS, level.shape[1]
    target = cv2.copyMakeBorder(_target(level, guide), r, r, r, r, cv2.BORDER_REFLECT_101)
    stride, sources = 1, level.sources
    while sources.sum() > MOST_SOURCES:
        stride += 1
        grid = np.zeros_like(level.sources)
        grid[::stride, ::stride] = True
        sources = level.sources & grid
    if not sources.any():
        sources = level.sources
    candidates = np.flatnonzero(sources)

    def patches(flat: Index) -> Float:
        y, x = np.divmod(flat, width)
        index = ((y + r) * (width + 2 * r) + x + r)[:, None] + _offsets(r, width + 2 * r)
        return np.asarray(target.reshape(-1, 3)[index].reshape(len(flat), -1), np.float32)

    known = patches(candidates)
    mean = known.mean(0)
    known -= mean
    # Principal components of the evidence: distances in them are nearly those between the whole patches.
    _, axes = np.linalg.eigh(known.T @ known)
    axes = np.ascontiguousarray(axes[:, ::-1][:, :FEATURES])
    known = known @ axes
    lengths = (known**2).sum(1)
    out = np.empty(len(level.holes), np.int64)
    for begin in range(0, len(out), 4096):
        wanted = (patches(level.holes[begin : begin + 4096]) - mean) @ axes
        out[begin : begin + 4096] = candidates[(lengths - 2 * (wanted @ known.T)).argmin(1)]
    return _refined(level, out, guide, START_RADIUS, rounds=3)


def _carried_up(below: _Level, level: _Level, places: Index) -> Index:
    """The places of the level below, at this level's scale: the pixel keeps its position within its place."""
    (h, w), (height, width) = below.shape, level.shape
    y, x = np.divmod(level.holes, width)
    down_y = np.minimum(((y + 0.5) * h / height).astype(np.int64), h - 1)
    down_x = np.minimum(((x + 0.5) * w / width).astype(np.int64), w - 1)
    parent = below.number[down_y * w + down_x]
    from_y, from_x = np.divmod(places[np.maximum(parent, 0)], w)
    up_y = np.rint(y + (from_y - down_y) * (height / h)).astype(np.int64)
    up_x = np.rint(x + (from_x - down_x) * (width / w)).astype(np.int64)
    return np.clip(up_y, 0, height - 1) * width + np.clip(up_x, 0, width - 1)


class _Comparison:
    """How unlike the picture around a hole pixel a place's surroundings are: mean squared difference, levels²."""

    def __init__(self, level: _Level, picture: Float, radius: int) -> None:
        border = (radius,) * 4
        self.level, self.radius = level, radius
        self.stride = level.shape[1] + 2 * radius
        self.wanted = cv2.copyMakeBorder(_target(level, picture), *border, cv2.BORDER_REFLECT_101).reshape(-1, 3)
        self.shown = cv2.copyMakeBorder(level.photo, *border, cv2.BORDER_REFLECT_101).reshape(-1, 3)
        self.offsets = _offsets(radius, self.stride)

    def __call__(self, pixels: Index, places: Index) -> Float:
        """Of each of ``pixels`` with its place; infinite where the place is not evidence."""
        out = np.empty(len(pixels), np.float32)
        here, there = self._padded(pixels), self._padded(places)
        for begin in range(0, len(out), CHUNK):
            part = slice(begin, begin + CHUNK)
            difference = self.wanted[here[part, None] + self.offsets]
            difference -= self.shown[there[part, None] + self.offsets]
            out[part] = np.einsum("nkc,nkc->n", difference, difference)
        out /= 3 * len(self.offsets)
        out[~self.level.sources.ravel()[places]] = np.inf
        return out

    def _padded(self, flat: Index) -> Index:
        y, x = np.divmod(flat, self.level.shape[1])
        return np.asarray((y + self.radius) * self.stride + x + self.radius, np.int64)


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


def _neighbour(level: _Level, dy: int, dx: int) -> NDArray[np.int64]:
    """Number of the hole pixel at ``(dy, dx)`` from each; its own where there is none."""
    height, width = level.shape
    y, x = np.divmod(level.holes, width)
    inside = (y + dy >= 0) & (y + dy < height) & (x + dx >= 0) & (x + dx < width)
    number = level.number[np.where(inside, level.holes + dy * width + dx, level.holes)]
    return np.where(number >= 0, number, np.arange(len(number)))


def _painted(level: _Level, places: Index, otherwise: Float) -> Float:
    """Each pixel gets the mean of what its neighbours' places (and its own) show at its position."""
    height, width = level.shape
    out = level.photo.astype(np.float32)
    total, weight = np.zeros((len(places), 3), np.float32), np.zeros(len(places), np.float32)
    colours, own = level.photo.reshape(-1, 3), level.own.ravel()
    for dy in (-1, 0, 1):
        for dx in (-1, 0, 1):
            number = _neighbour(level, dy, dx)
            y, x = np.divmod(places[number], width)
            at = np.clip(y - dy, 0, height - 1) * width + np.clip(x - dx, 0, width - 1)
            at = np.where(number == np.arange(len(number)), places, at)
            share = own[at].astype(np.float32)
            total += share[:, None] * colours[at]
            weight += share
    known = weight > 0
    plain = _resized(otherwise, level.shape).reshape(-1, 3)[level.holes]
    out.reshape(-1, 3)[level.holes] = np.where(known[:, None], total / np.maximum(weight, 1)[:, None], plain)
    return out


def _recoloured(painted: Float, level: _Level, guide: Float, scale: float) -> Float:
    """The painted texture in the guide's colours: what is coarser than the guide's pixels is the guide's."""
    sigma = SMOOTH * scale
    weight = level.hole.astype(np.float32)
    difference = (guide - painted) * weight[..., None]
    blurred = cv2.GaussianBlur(difference, (0, 0), sigma)
    share = cv2.GaussianBlur(weight, (0, 0), sigma)
    return np.asarray(painted + blurred / np.maximum(share, 1e-3)[..., None] * weight[..., None], np.float32)
