"""Painting a hole with own pixels, place by place, in the guide's colours (ours).

What :mod:`mild.texture` found is shown: each hole pixel as its place shows it, seams between places mixed, and what is
coarser than the guide's pixels as the guide has it.
"""

from __future__ import annotations

import cv2
import numpy as np

from mild.detail import smooth
from mild.pyramid import BoolMask, Float, Index, Level, chunks, neighbour, view

#: Gaussian width, pixels of the guide, above which colours are the guide's.
SMOOTH = 2.0
#: Rows that are handled at once; what they need stays in the processor's cache.
ROWS = 64


def paint(level: Level, places: Index, guide: Float) -> Float:
    """Paint the level's hole with the photo's pixels at ``places``, in the colours of the guide.

    Args:
        level: the size that is painted.
        places: of each of its hole pixels, a flat index of its photo.
        guide: float32 ``[h, w, 3]`` 0..255, the whole view.

    Returns:
        float32, 0..255, the level's window: the painted hole; elsewhere the guide.
    """
    seen = view(guide, guide.shape[:2], None, level.shape, level.window)
    painted = _painted(level, places, seen)
    hole = np.ascontiguousarray(level.hole[level.window.slices])
    _recolour(painted, seen, hole, SMOOTH * level.shape[0] / guide.shape[0])
    return painted


def _painted(level: Level, places: Index, otherwise: Float) -> Float:
    """The window, each hole pixel as its place shows it.

    Where the places of neighbours do not continue one another, the mean of what they show there. ``otherwise`` is the
    window's picture where no place shows anything.
    """
    colours, own = level.photo.reshape(-1, 3), level.own.ravel()
    out = otherwise.copy()
    flat = out.reshape(-1, 3)
    pixels = np.flatnonzero(level.hole[level.window.slices])
    for part in chunks(len(places)):
        shown, known = colours.take(places[part], axis=0), own.take(places[part])
        if known.all():
            flat[pixels[part]] = shown
        else:
            flat[pixels[part][known]] = shown[known]
    seams = _seams(level, places)
    for part in chunks(len(seams)):
        mean, known = _mixed(level, places, seams[part])
        flat[pixels[seams[part][known]]] = mean[known]
    return out


def _mixed(level: Level, places: Index, numbers: Index) -> tuple[Float, BoolMask]:
    """Of some hole pixels the mean ``[n, 3]`` of what their neighbours' places show there; and whether any does."""
    colours, own = level.photo.reshape(-1, 3), level.own.ravel()
    total, weight = np.zeros((len(numbers), 3), np.float32), np.zeros(len(numbers), np.float32)
    height, width = level.shape
    for dy in (-1, 0, 1):
        for dx in (-1, 0, 1):
            number = neighbour(level, dy, dx, numbers)
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


def _seams(level: Level, places: Index) -> Index:
    """Numbers of hole pixels beside which (left, right, above or below) another's place does not continue theirs."""
    hole = level.hole[level.window.slices]
    first = np.concatenate([[0], np.cumsum(np.count_nonzero(hole, axis=1))])
    found = []
    for top in range(0, len(hole), ROWS):
        # With a row above and one below.
        above, below = max(0, top - 1), min(len(hole), top + ROWS + 1)
        inside, part = hole[above:below], slice(first[above], first[below])
        # 32 bits: a photo has at most 300 million pixels.
        shift = np.zeros(inside.shape, np.int32)
        shift[inside] = places[part] - level.holes[part]
        seam = np.zeros(inside.shape, bool)
        across = (shift[:, 1:] != shift[:, :-1]) & inside[:, 1:] & inside[:, :-1]
        down = (shift[1:] != shift[:-1]) & inside[1:] & inside[:-1]
        seam[:, 1:] |= across
        seam[:, :-1] |= across
        seam[1:] |= down
        seam[:-1] |= down
        rows = slice(top - above, top - above + ROWS)
        found.append(first[top] + np.flatnonzero(seam[rows][inside[rows]]))
    return np.concatenate(found)


def _recolour(painted: Float, seen: Float, hole: BoolMask, sigma: float) -> None:
    """Give the texture painted in the hole the colours seen there, in place: what is coarser than ``sigma`` is theirs.

    ``seen`` is spent: at 24 megapixels a picture of the hole has a hundred megabytes, and new memory is slow.
    """
    seen -= painted
    shift = smooth(seen, sigma, into=seen)
    share = smooth(hole.astype(np.float32), sigma)
    for top in range(0, len(hole), ROWS):
        rows = slice(top, top + ROWS)
        part = shift[rows]
        part /= cv2.merge([np.maximum(share[rows], 1e-3)] * 3)
        cv2.add(painted[rows], part, dst=painted[rows], mask=hole[rows].view(np.uint8))
