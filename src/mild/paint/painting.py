"""Painting a hole with own pixels, place by place, in the guide's colours (ours).

What :mod:`mild.paint.texture` found is shown: each hole pixel as its place shows it, seams between places mixed, and
what is coarser than the guide's pixels as the guide has it.
"""

from __future__ import annotations

import cv2
import numpy as np

from mild.paint.detail import smooth
from mild.paint.pyramid import BoolMask, Float, Index, Level, neighbour, view
from mild.people.scene import Box

#: Gaussian width, pixels of the guide, above which colours are the guide's.
SMOOTH = 2.0
#: Rows that are handled at once; what they need stays in the processor's cache.
ROWS = 64


def paint(level: Level, places: Index, guide: Float, window: Box) -> Float:
    """Paint the level's hole with the photo's pixels at ``places``, in the colours of the guide.

    Args:
        level: the size that is painted.
        places: of each of its hole pixels, a flat index of its photo.
        guide: float32 ``[h, w, 3]`` 0..255, the whole view.
        window: the part to return.

    Returns:
        float32, 0..255, of the window's size: the painted hole; elsewhere of no meaning.
    """
    seen = view(guide, guide.shape[:2], None, level.shape, level.window)
    frame = window.union(level.window)
    out = np.zeros((frame.height, frame.width, 3), np.float32)
    painted = out[level.window.inside(frame).slices]
    painted[...] = seen
    _paint_places(level, places, painted)
    hole = np.ascontiguousarray(level.hole[level.window.slices])
    _recolour(painted, seen, hole, SMOOTH * level.shape[0] / guide.shape[0])
    return out[window.inside(frame).slices]


def _paint_places(level: Level, places: Index, painted: Float) -> None:
    """Each hole pixel as its place shows it, in place, in a picture of the level's window.

    Where the places of neighbours do not continue one another, the mean of what they show there. Where no place shows
    anything, what was there before.
    """
    colours, own = level.photo.reshape(-1, 3), level.own.ravel()
    hole = level.hole[level.window.slices]
    first = np.concatenate([[0], np.cumsum(np.count_nonzero(hole, axis=1))])
    for top in range(0, len(hole), ROWS):
        bottom = min(top + ROWS, len(hole))
        part, pixels = places[first[top] : first[bottom]], np.nonzero(hole[top:bottom])
        rows = painted[top:bottom]
        known = own.take(part)
        if known.all():
            rows[pixels] = colours.take(part, axis=0)
        else:
            rows[pixels[0][known], pixels[1][known]] = colours.take(part[known], axis=0)
        # Seams are found with a row above and one below.
        above, below = max(0, top - 1), min(bottom + 1, len(hole))
        around = slice(first[above], first[below])
        seam = _seams(hole[above:below], places[around] - level.holes[around])
        seams = np.flatnonzero(seam[top - above :][: bottom - top][hole[top:bottom]])
        mean, known = _mixed(level, places, first[top] + seams)
        rows[pixels[0][seams][known], pixels[1][seams][known]] = mean[known]


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


def _seams(hole: BoolMask, shifts: Index) -> BoolMask:
    """Hole pixels ``[h, w]`` beside which (left, right, above or below) another's place does not continue theirs."""
    # 32 bits: a photo has at most 300 million pixels.
    shift = np.zeros(hole.shape, np.int32)
    shift[hole] = shifts
    seam = np.zeros(hole.shape, bool)
    across = (shift[:, 1:] != shift[:, :-1]) & hole[:, 1:] & hole[:, :-1]
    down = (shift[1:] != shift[:-1]) & hole[1:] & hole[:-1]
    seam[:, 1:] |= across
    seam[:, :-1] |= across
    seam[1:] |= down
    seam[:-1] |= down
    return seam


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
