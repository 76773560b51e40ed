"""A region, refined by points on it and points that are not, without a click model: a small net and a minimum cut.

Every point that says that the region is wrong changes it, one after the other. A net of 841 numbers weighs what
there is to see of each cell around it (:mod:`mild.people.view`), fitted to simulated clicks by ``bench/clicks_fit.py``;
another, which sees the window whole, corrects it (:mod:`mild.people.window`). A cut along the edges of the photo draws
the outline.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

import mild
from mild.models import onnx
from mild.people import window
from mild.people.finders.cut import minimum_cut
from mild.people.guesses import Guesses, Points, shrunk
from mild.people.scene import BoolMask
from mild.people.view import GRID, View, viewed
from mild.photo import Photo
from mild.photo.grid import fitted

Floats = NDArray[np.float32]

#: The net, ``[cells, cues]`` to logits ``[cells, 1]``.
NET = Path(mild.__file__).parent / "weights" / "clicks.onnx"
#: What a click says of its spot, and how much what the net says counts beside edges.
_CERTAIN, _GAIN = 50.0, 2.0
#: The probabilities between which the net's word on cells is cut.
_HEIGHTS = (0.2, 0.8)
#: More points are not taken one after the other, but at once.
_MOST_STEPS = 8


def refined(
    photo: Photo,
    start: BoolMask,
    on: Points,
    off: Points = (),
    others: BoolMask | None = None,
    guesses: Guesses | None = None,
) -> BoolMask:
    """The region ``[H, W]`` that holds every point of ``on`` and none of ``off``: the one before if it does.

    Args:
        photo: the photo.
        start: what was there so far ``[H, W]``, with at least one pixel.
        on, off: pixels (x, y) inside the photo.
        others: pixels ``[H, W]`` that are taken for other people's.
        guesses: what else the first point may mean.
    """
    guesses = Guesses.none() if guesses is None else guesses
    out = start
    for step in range(_MOST_STEPS):
        wrong = [p for p in on if not out[p[1], p[0]]] + [p for p in off if out[p[1], p[0]]]
        if not wrong:
            return out
        # The order of the points is not known: who clicks takes the largest mistake first.
        newest = max(wrong, key=lambda p: _depth(out, p)) if len(wrong) > 1 else wrong[0]
        later = set() if step == _MOST_STEPS - 1 else set(wrong) - {newest}
        mine, not_mine = ([p for p in points if p not in later] for points in (on, off))
        out = outlined(viewed(photo, out, mine, not_mine, newest, others, guesses), out, mine, not_mine)
    return out


def outlined(view: View, before: BoolMask, on: Points, off: Points) -> BoolMask:
    """The region ``[H, W]`` anew, where the net and the edges say that it differs from the one before."""
    region = view.before
    three = np.ones((3, 3), np.uint8)
    spots = [cv2.dilate(cells.astype(np.uint8), three) > 0 for cells in (view.on, view.off)]
    said = whole(view, says(view.cues))
    towards = _GAIN * (said - best_height(said))
    towards = np.where(spots[1], -_CERTAIN, np.where(spots[0], _CERTAIN, towards)).astype(np.float32)
    everywhere, nowhere = np.ones(region.shape, bool), np.zeros(region.shape, bool)
    won = _held(minimum_cut(view.lab, towards, everywhere, nowhere, nowhere), view.on)
    # The photo's own outline stays where the coarse one is as before.
    changed = cv2.dilate((won != region).astype(np.uint8), three)
    full = (view.window.width, view.window.height)
    soft = cv2.resize(won.astype(np.float32), full, interpolation=cv2.INTER_LINEAR)
    new = cv2.resize(changed, full, interpolation=cv2.INTER_NEAREST) > 0
    out = before.copy()
    out[view.window.slices] = np.where(new, soft > 0.5, before[view.window.slices])
    for points, value in ((on, True), (off, False)):
        for x, y in points:
            out[y, x] = value
    return out


def says(cues: Floats) -> Floats:
    """The net's word on each cell ``[h, w]``: the logit of its being of the region."""
    (logits,) = _net().run(None, {"cues": np.ascontiguousarray(cues.reshape(-1, cues.shape[-1]), np.float32)})
    return np.asarray(logits, np.float32).reshape(cues.shape[:-1])


def whole(view: View, said: Floats) -> Floats:
    """The word of both nets ``[h, w]``, given what the net of cells ``said``."""
    return window.says(view, said)


def best_height(logits: Floats) -> float:
    """The logit above which cells must be taken for the best IoU to be expected of them; of .2 to .8.

    Where much is doubtful less than one half must do, or all of it is lost.
    """
    likely = np.sort(1 / (1 + np.exp(-logits.astype(np.float64).ravel())))[::-1]
    taken = np.cumsum(likely)
    expected = taken / (np.arange(1, len(likely) + 1) + taken[-1] - taken)
    height = np.clip(likely[expected.argmax()], *_HEIGHTS)
    return float(np.log(height / (1 - height)))


@lru_cache(maxsize=1)
def _net() -> Any:
    return onnx.open_session(NET)


def _depth(region: BoolMask, point: tuple[int, int]) -> float:
    """How far a pixel is from the region's border, as far as a coarse grid tells."""
    grid, shrink = fitted(region.shape[1], region.shape[0], 2 * GRID)
    cells = shrunk(region, grid)
    column, row = (min(n - 1, int((v + 0.5) * shrink)) for v, n in zip(point, grid, strict=True))
    cells = cells if cells[row, column] else ~cells
    return float(cv2.distanceTransform(cells.astype(np.uint8), cv2.DIST_L2, 3)[row, column])


def _held(mask: BoolMask, spots: BoolMask) -> BoolMask:
    """The pieces of a mask that hold a spot."""
    _, pieces = cv2.connectedComponents(mask.astype(np.uint8), connectivity=8)
    return np.asarray(np.isin(pieces, np.unique(pieces[spots & mask])) & mask)
