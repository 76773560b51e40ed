"""What there is to see for whoever refines a region by a point: cues of each cell of a window.

How near the newest point is, along ways on which colours hardly change and straight; how deep it is, since people click
into the middle of what is wrong; whose colours a cell has; what the guesses say that agree with all points.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from mild.people.finders.cheapest import DIRECTIONS, pairs
from mild.people.finders.cut import log_histogram
from mild.people.guesses import Guesses, Points, shrunk
from mild.people.scene import BoolMask, Box
from mild.photo import Photo
from mild.photo.grid import fitted

Floats = NDArray[np.float32]

#: The long side of the grid of a window, which reaches this far beyond the region and the points.
GRID, _AROUND = 112, 0.35
#: A step between two cells is longer by this part for each unit that their colours (Lab, 8 bits) differ.
_STEEP, _SWEEPS = 0.12, 160
#: How far what is near the newest point reaches, along ways and straight, in its own depths.
_REACHES = (2.0, 5.0), (1.5, 3.0)
#: The most that colours say, and what a region is believed where there are no guesses.
_MOST, _BLIND = 4.0, (0.6, 0.3)


@dataclass(frozen=True)
class View:
    """What is known of a window of a photo, cell by cell.

    Attributes:
        window: in the photo.
        lab: colours uint8 ``[h, w, 3]`` of the grid.
        before: the region so far ``[h, w]``.
        on, off: cells of the points ``[h, w]``.
        cues: float32 ``[h, w, 21]``, see :func:`viewed`.
        looks: what the guess says that counts most, given the points, and the mean of all that agree with these,
            whatever they are worth otherwise: 0..1 ``[h, w, 2]``.
    """

    window: Box
    lab: NDArray[np.uint8]
    before: BoolMask
    on: BoolMask
    off: BoolMask
    cues: Floats
    looks: Floats


def viewed(
    photo: Photo,
    before: BoolMask,
    on: Points,
    off: Points,
    newest: tuple[int, int],
    others: BoolMask | None,
    guesses: Guesses,
) -> View:
    """What there is to see around a region ``before`` ``[H, W]`` and points, of which the last is ``newest``."""
    box = Box.around(before)
    for x, y in (*on, *off):
        box = box.union(Box(x, y, x + 1, y + 1))
    window = box.grow(max(4, round(_AROUND * max(box.width, box.height))), photo.size)
    grid, _ = fitted(window.width, window.height, GRID, least=2)
    small = np.asarray(cv2.resize(photo.pixels[window.slices], grid, interpolation=cv2.INTER_AREA), np.uint8)
    lab = np.asarray(cv2.cvtColor(small, cv2.COLOR_RGB2LAB), np.uint8)
    region = shrunk(before[window.slices], grid)
    theirs = np.zeros(region.shape, np.float32)
    if others is not None:
        part = cv2.resize(others[window.slices].astype(np.uint8) * 255, grid, interpolation=cv2.INTER_AREA)
        theirs = np.asarray(part / np.float32(255), np.float32)
    believed = looks = [np.where(region, *_BLIND).astype(np.float32)] * 2
    if len(guesses):
        soft, alike = guesses.inside(window, grid), replace(guesses, values=np.zeros(len(guesses)))
        agree, first, plain = guesses.weights(on, off), guesses.weights(), alike.weights(on, off)
        believed = [np.tensordot(w.astype(np.float32), soft, 1) for w in (agree, first)]
        looks = [soft[int(agree.argmax())], np.tensordot(plain.astype(np.float32), soft, 1)]
    inside, outside = (_cells(points, window, grid) for points in (on, off))
    view = View(window, lab, region, inside, outside, theirs[..., None], np.stack(looks, -1))
    cues = _cues(view, _cells((newest,), window, grid), newest in on, len(on) + len(off), theirs, believed)
    return replace(view, cues=cues)


def _cues(view: View, newest: BoolMask, adds: bool, count: int, theirs: Floats, believed: list[Floats]) -> Floats:
    """What the net is told of each cell: what the guesses that agree say, and all; region, and how deep in it or far
    from it; colours of region and surroundings; colours of the points on, off; ways to these; six of nearness to the
    newest point and its colour; others; and of all cells alike: does it add, how many points, its own depth."""
    lab, region, on, off = view.lab, view.before, view.on, view.off
    size = float(np.sqrt(max(20, region.sum())))
    inward, outward = (cv2.distanceTransform(m.astype(np.uint8), cv2.DIST_L2, 3) for m in (region, ~region))
    depth = np.asarray(inward, np.float32) - np.asarray(outward, np.float32)
    own = float(np.abs(depth[newest]).max()) + 1
    sign = 1.0 if adds else -1.0
    ways = [_ways(lab, cells) if cells.any() else np.full(region.shape, 4 * size) for cells in (on, off, newest)]
    straight = cv2.distanceTransform((~newest).astype(np.uint8), cv2.DIST_L2, 3)
    colours = [_unlike(lab, cells) for cells in (on, off, newest)]
    # Near the newest point it is not known whose colours these are.
    near = np.exp(-((ways[2] / (3 * own)) ** 2)) > 0.3
    mine = _usual(lab, (region | on) & ~(near & (not adds)), on)
    other = _usual(lab, (~region | off) & ~(near & adds), off)
    alike = np.ones(region.shape)
    cues = [
        *(np.log((b + 0.02) / (1.02 - b)) for b in believed),
        np.where(region, 1, -1),
        np.clip(depth / size, -1.5, 1.5),
        np.clip(mine - other, -_MOST, _MOST) / 2,
        np.clip(colours[0], 0, 3),
        np.clip(colours[1], 0, 3),
        np.clip(ways[0] / size, 0, 3),
        np.clip(ways[1] / size, 0, 3),
        *(np.exp(-((ways[2] / (reach * own)) ** 2)) * sign for reach in _REACHES[0]),
        *(np.exp(-((straight / (reach * own)) ** 2)) * sign for reach in _REACHES[1]),
        np.exp(-((straight / size) ** 2)) * sign,
        np.exp(-(colours[2] ** 2)) * sign,
        theirs,
        alike * sign,
        alike * (count > 2),
        alike * (count == 1),
        alike * min(own / size, 1.0),
        np.clip(np.log(own / (ways[2] + 1)), -3, 2) * sign,
    ]
    return np.stack(cues, -1).astype(np.float32)


def _cells(points: Points, window: Box, grid: tuple[int, int]) -> BoolMask:
    """The cells of the points ``[h, w]``."""
    cells = np.zeros((grid[1], grid[0]), bool)
    for x, y in points:
        column = min(grid[0] - 1, int((x - window.x0 + 0.5) * grid[0] / window.width))
        row = min(grid[1] - 1, int((y - window.y0 + 0.5) * grid[1] / window.height))
        cells[row, column] = True
    return cells


def _ways(lab: NDArray[np.uint8], cells: BoolMask) -> Floats:
    """How long the shortest way from some cells is ``[h, w]``, in cells; it is longer across edges."""
    smooth = cv2.GaussianBlur(lab.astype(np.float32), (0, 0), 0.8)
    away = np.where(cells, 0, 1e4).astype(np.float32)
    steps = []
    for dy, dx in DIRECTIONS:
        a, b = pairs(cells.shape, (dy, dx))
        steep = np.sqrt(((smooth[a] - smooth[b]) ** 2).sum(-1))
        steps.append((a, b, (np.hypot(dy, dx) * (1 + _STEEP * steep)).astype(np.float32)))
    for sweep in range(_SWEEPS):
        known = away.copy() if sweep % 8 == 7 else None
        for a, b, cost in steps:
            np.minimum(away[b], away[a] + cost, out=away[b])
            np.minimum(away[a], away[b] + cost, out=away[a])
        if known is not None and np.array_equal(known, away):
            break
    return away


def _unlike(lab: NDArray[np.uint8], cells: BoolMask) -> Floats:
    """How unlike each cell's colour is the nearest of some cells' ``[h, w]``; 3 where there are none."""
    smooth = cv2.GaussianBlur(lab.astype(np.float32), (0, 0), 1.0)
    out = np.full(cells.shape, 3.0, np.float32)
    for number, colour in enumerate(smooth[cells]):
        apart = np.sqrt(((smooth - colour) ** 2 * np.array([0.5, 1.5, 1.5])).sum(-1)) / 15
        out = np.minimum(out, apart) if number else apart
    return np.asarray(out, np.float32)


def _usual(lab: NDArray[np.uint8], cells: BoolMask, clicked: BoolMask) -> Floats:
    """How usual each colour is among some cells, of which those around the points weigh half as much as all."""
    weights = np.ones(cells.shape, np.float32)
    spots = cv2.dilate(clicked.astype(np.uint8), np.ones((5, 5), np.uint8)) > 0
    if spots.any():
        weights[spots] = max(1.0, 0.5 * float(cells.sum()) / float(spots.sum()))
    return log_histogram(lab, cells | spots, weights)
