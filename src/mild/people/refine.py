"""A region, refined by points on it and points that are not, without a click model: its colours and a minimum cut.

The first point finds a region (a person, or what has its colours). The other points teach colours and are certain
where they are; a cut through a window around all of it draws the outline anew (Boykov & Jolly 2001).
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
#: What belonging to the first region says for a cell, what its colour says at most, what a click says of its spot.
_BEFORE, _MOST, _CERTAIN = 1.5, 4.0, 50.0
#: Radius of a spot, and of what is near it, as parts of the grid.
_SPOT, _NEAR = 0.03, 0.15
#: What nearness to a click says at most, and that a cell is somebody else's.
_PULL, _THEIRS = 4.0, 5.0


def refined(
    photo: Photo,
    start: BoolMask,
    on: Sequence[tuple[int, int]],
    off: Sequence[tuple[int, int]] = (),
    others: BoolMask | None = None,
) -> BoolMask:
    """The region ``[H, W]`` that holds every point of ``on`` and none of ``off``.

    Args:
        photo: the photo.
        start: what was there so far ``[H, W]``, with at least one pixel.
        on, off: pixels (x, y) inside the photo.
        others: pixels ``[H, W]`` that are taken for other people's: won only where a point says so.
    """
    height, width = photo.size
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
    towards = np.clip(votes[0] - votes[1], -_MOST, _MOST) + np.where(before, _BEFORE, -_BEFORE)
    towards += _PULL * (near[0] - near[1])
    if others is not None:
        theirs = cv2.resize(others[window.slices].astype(np.uint8) * 255, grid, interpolation=cv2.INTER_AREA) > 127
        towards -= np.where(theirs & ~before, _THEIRS, 0) * (1 - near[0])
    towards = np.where(spots[1], -_CERTAIN, np.where(spots[0], _CERTAIN, towards)).astype(np.float32)
    everywhere, nowhere = np.ones(before.shape, bool), np.zeros(before.shape, bool)
    won = minimum_cut(lab, towards, everywhere, nowhere, nowhere)
    soft = cv2.resize(
        _held(won, spots[0]).astype(np.float32), (window.width, window.height), interpolation=cv2.INTER_LINEAR
    )
    out = np.zeros((height, width), bool)
    out[window.slices] = soft > 0.5
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
    away = cv2.distanceTransform(1 - cells, cv2.DIST_L2, 3)
    return cells > 0, np.exp(-((away / (_NEAR * max(grid))) ** 2)).astype(np.float32)


def _colours(lab: NDArray[np.uint8], cells: BoolMask, clicked: BoolMask) -> NDArray[np.float32]:
    weights = np.ones(cells.shape, np.float32)
    if clicked.any():
        weights[clicked] = max(1.0, float(cells.sum()) / float(clicked.sum()))
    return log_histogram(lab, cells | clicked, weights)


def _held(mask: BoolMask, spots: BoolMask) -> BoolMask:
    """The pieces of a mask that hold a spot."""
    _, pieces = cv2.connectedComponents(mask.astype(np.uint8), connectivity=8)
    return np.asarray(np.isin(pieces, np.unique(pieces[spots & mask])) & mask)
