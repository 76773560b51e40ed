"""A region, refined by points on it and points that are not, without a click model: its colours and a minimum cut.

The first point finds a region (a person, or what has its colours). The other points teach colours and are certain
where they are; a cut through a window around all of it draws the outline anew (Boykov & Jolly 2001). What is far from
every point that says that the region was wrong stays as it is.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from mild.people.finders.cut import log_histogram, minimum_cut
from mild.people.scene import BoolMask, Box
from mild.photo import Photo
from mild.photo.grid import fitted

#: The long side of the grid of the cut; the window reaches this far beyond the region and the points.
_GRID, _AROUND = 112, 0.35
#: What belonging to the first region says for a cell near a correction, and how much more it says far from all.
_BEFORE, _FAR = 0.7, 4.0
#: What a cell's colour says at most, what a click says of its spot.
_MOST, _CERTAIN = 4.0, 50.0
#: Radius of a spot, and of what is near it, as parts of the grid.
_SPOT, _NEAR = 0.03, 0.15
#: How far a correction reaches, the same.
_REACH = 0.3
#: What it says of a change that nobody asked for: more where only less was, or less where only more was.
_UNSAID = 2.0
#: What nearness to a click says at most, and that a cell is somebody else's.
_PULL, _THEIRS = 4.0, 5.0


def refined(
    photo: Photo,
    start: BoolMask,
    on: Sequence[tuple[int, int]],
    off: Sequence[tuple[int, int]] = (),
    others: BoolMask | None = None,
) -> BoolMask:
    """The region ``[H, W]`` that holds every point of ``on`` and none of ``off``: the one before if it does.

    Args:
        photo: the photo.
        start: what was there so far ``[H, W]``, with at least one pixel.
        on, off: pixels (x, y) inside the photo.
        others: pixels ``[H, W]`` that are taken for other people's: won only where a point says so.
    """
    missed, taken = [p for p in on if not start[p[1], p[0]]], [p for p in off if start[p[1], p[0]]]
    if not missed and not taken:
        return start
    box = Box.around(start)
    for x, y in (*on, *off):
        box = box.union(Box(x, y, x + 1, y + 1))
    window = box.grow(max(4, round(_AROUND * max(box.width, box.height))), photo.size)
    grid, _ = fitted(window.width, window.height, _GRID, least=2)
    small = np.asarray(cv2.resize(photo.pixels[window.slices], grid, interpolation=cv2.INTER_AREA), np.uint8)
    lab = np.asarray(cv2.cvtColor(small, cv2.COLOR_RGB2LAB), np.uint8)
    before = cv2.resize(start[window.slices].astype(np.uint8) * 255, grid, interpolation=cv2.INTER_AREA) > 127
    spots, near = zip(*(_spots(points, window, grid) for points in (on, off)), strict=True)
    mine = (before & ~(near[1] > 0.3)) | spots[0]
    other = (~before & ~(near[0] > 0.3)) | spots[1]
    # The few cells of the clicks weigh as much as the whole region: they are where it was wrong.
    votes = [
        _colours(lab, cells, spot & ~known)
        for cells, spot, known in ((mine, spots[0], before), (other, spots[1], ~before))
    ]
    local = np.exp(-((_away(_spots([*missed, *taken], window, grid)[0]) / _REACH) ** 2))
    towards = local * np.clip(votes[0] - votes[1], -_MOST, _MOST)
    towards += np.where(before, 1, -1) * (_BEFORE + _FAR * (1 - local))
    towards += _PULL * (near[0] - near[1])
    if others is not None:
        theirs = cv2.resize(others[window.slices].astype(np.uint8) * 255, grid, interpolation=cv2.INTER_AREA) > 127
        towards -= np.where(theirs & ~before, _THEIRS, 0) * (1 - near[0])
    # Who says only what is missing means to take nothing away, and the other way round.
    if not missed:
        towards = np.where(before, towards, towards - _UNSAID)
    if not taken:
        towards = np.where(before, towards + _UNSAID, towards)
    towards = np.where(spots[1], -_CERTAIN, np.where(spots[0], _CERTAIN, towards)).astype(np.float32)
    everywhere, nowhere = np.ones(before.shape, bool), np.zeros(before.shape, bool)
    won = _held(minimum_cut(lab, towards, everywhere, nowhere, nowhere), spots[0])
    # The photo's own outline stays where the coarse one is as before.
    changed = cv2.dilate((won != before).astype(np.uint8), np.ones((3, 3), np.uint8))
    full = (window.width, window.height)
    soft = cv2.resize(won.astype(np.float32), full, interpolation=cv2.INTER_LINEAR)
    new = cv2.resize(changed, full, interpolation=cv2.INTER_NEAREST) > 0
    out = start.copy()
    out[window.slices] = np.where(new, soft > 0.5, start[window.slices])
    for points, value in ((on, True), (off, False)):
        for x, y in points:
            out[y, x] = value
    return out


def _spots(
    points: Sequence[tuple[int, int]], window: Box, grid: tuple[int, int]
) -> tuple[BoolMask, NDArray[np.float32]]:
    """The cells of the points, and 0..1 how near each cell is to one, both ``[h, w]``."""
    cells = np.zeros((grid[1], grid[0]), np.uint8)
    if not points:
        return cells > 0, cells.astype(np.float32)
    for x, y in points:
        column = min(grid[0] - 1, int((x - window.x0 + 0.5) * grid[0] / window.width))
        row = min(grid[1] - 1, int((y - window.y0 + 0.5) * grid[1] / window.height))
        cv2.circle(cells, (column, row), max(1, round(_SPOT * max(grid))), 1, -1)
    return cells > 0, np.exp(-((_away(cells > 0) / _NEAR) ** 2)).astype(np.float32)


def _away(cells: BoolMask) -> NDArray[np.float32]:
    """How far each cell is from some cells, in long sides of the grid."""
    away = cv2.distanceTransform((~cells).astype(np.uint8), cv2.DIST_L2, 3)
    return np.asarray(away / max(cells.shape), np.float32)


def _colours(lab: NDArray[np.uint8], cells: BoolMask, clicked: BoolMask) -> NDArray[np.float32]:
    weights = np.ones(cells.shape, np.float32)
    if clicked.any():
        weights[clicked] = max(1.0, float(cells.sum()) / float(clicked.sum()))
    return log_histogram(lab, cells | clicked, weights)


def _held(mask: BoolMask, spots: BoolMask) -> BoolMask:
    """The pieces of a mask that hold a spot."""
    _, pieces = cv2.connectedComponents(mask.astype(np.uint8), connectivity=8)
    return np.asarray(np.isin(pieces, np.unique(pieces[spots & mask])) & mask)
