"""What a click means, told by a net that sees its whole window: it corrects the net that sees one cell at a time.

A small U-Net sees means of four by four cells, so that it knows what a body looks like from a head to a foot; what it
makes of them is laid beside what there is to see of each cell, and both together say whether the cell is theirs. It was
fitted to simulated clicks by ``bench/clicks_window.py``.
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
from mild.people.scene import BoolMask
from mild.people.view import GRID, View

Floats = NDArray[np.float32]

#: The net, ``[n, 31, 112, 112]`` to logits ``[n, 112, 112]``.
NET = Path(mild.__file__).parent / "weights" / "clicks-window.onnx"
#: How far a point reaches, straight, in roots of the region's cells; and how much the net counts beside that of cells,
#: which errs elsewhere.
_REACH, _PART = 0.3, 0.5


def says(view: View, said: Floats) -> Floats:
    """The word of both nets on each cell ``[h, w]``, a logit, given what the net of cells ``said``."""
    return joined(said, np.asarray(_net().run(None, {"cells": fed(view, said)})[0]))


def fed(view: View, said: Floats) -> Floats:
    """What the net takes ``[1, 31, 112, 112]``."""
    return np.ascontiguousarray(framed(channels(view, said)).transpose(2, 0, 1)[None])


def joined(said: Floats, whole: Floats) -> Floats:
    """What the net of cells ``said`` ``[h, w]`` and what this one says ``[1, 112, 112]``, together ``[h, w]``."""
    height, width = said.shape
    return np.asarray(said + _PART * (whole[0, :height, :width] - said), np.float32)


def channels(view: View, said: Floats) -> Floats:
    """What the net is told ``[h, w, 31]``: the cues of each cell, its colour (Lab), the best look and the mean of all
    that agree with the points, whatever their values, how strong edges are, how near points on and off are, what the
    net of cells said; and 1, since 0 is beyond the window."""
    lab = view.lab.astype(np.float32)
    steps = [cv2.Sobel(lab, cv2.CV_32F, *along) for along in ((1, 0), (0, 1))]
    edges = np.sqrt(sum((step**2).sum(-1) for step in steps)) / 200
    size = float(np.sqrt(max(20, view.before.sum())))
    more = [
        *np.moveaxis((lab - 128) / 60, -1, 0),
        *np.moveaxis(2 * view.looks - 1, -1, 0),
        np.minimum(edges, 2),
        _near(view.on, _REACH * size),
        _near(view.off, _REACH * size),
        np.clip(said, -8, 8) / 2,
        np.ones(said.shape),
    ]
    return np.concatenate([view.cues, np.stack(more, -1).astype(np.float32)], -1)


def framed(cells: Floats, top: int = 0, left: int = 0) -> Floats:
    """A window ``[h, w, c]`` in the net's frame ``[112, 112, c]``."""
    out = np.zeros((GRID, GRID, cells.shape[-1]), np.float32)
    out[top : top + cells.shape[0], left : left + cells.shape[1]] = cells
    return out


def _near(cells: BoolMask, reach: float) -> Floats:
    if not cells.any():
        return np.zeros(cells.shape, np.float32)
    away = cv2.distanceTransform((~cells).astype(np.uint8), cv2.DIST_L2, 3)
    return np.asarray(np.exp(-away / reach), np.float32)


@lru_cache(maxsize=1)
def _net() -> Any:
    return onnx.open_session(NET)
