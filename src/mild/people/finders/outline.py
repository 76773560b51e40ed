"""Whose a pixel is, told by a net that sees the whole window of a person through the detectors' eyes.

The landmark net draws a mask of one body and was made for pictures of one. The detectors were trained on crowds, and
what their own layers know of a pixel (a body, whose middle is there, this or that joint) is a good ground to tell one
person from the next. So each find gets a window in which both detectors look once more; a small U-Net takes what their
last layers say, with what the landmark net said of this person and of those beside them, and draws the mask anew.
``bench/outline.py`` fitted it to the outlines of the train scenes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

import mild
from mild.models import onnx
from mild.people.finders.blaze_masks import body_length, compose, field
from mild.people.finders.blaze_nets import Picture, Window, sigmoid
from mild.people.finders.boxes import Corners, Detector, Layers, iou
from mild.people.finders.looks import Find, mask_corners
from mild.people.scene import Box

Floats = NDArray[np.float32]

#: The net: ``cells [n, 13, 128, 128]``, ``bodies [n, 45, 64, 64]`` and ``things [n, 128, 52, 52]`` to logits
#: ``[n, 128, 128]``.
NET = Path(mild.__file__).parent / "weights" / "outline.onnx"
#: Cells along a side of the window, and of what MoveNet's layers are given in.
CELLS, COARSE = 128, 64
#: The window's side in longer sides of the box around the detector's box and the mask.
_ROOM = 1.3
_LEAST_SIDE = 8
#: So many others are told of, the nearest; and farther than this, in body lengths, is far away.
_OTHERS, _FAR = 8, np.float32(2)
#: What a joint's heat is divided by, and bounded to before.
_HEAT, _HOTTEST = np.float32(4), 12
#: A little more than even.
_EVEN = np.float32(0.52)
#: BlazePose's and COCO's numbers of shoulders and hips.
_TRUNK, _COCO_TRUNK = (11, 12, 23, 24), (5, 6, 11, 12)


class Seen(NamedTuple):
    """What the net takes of one window, without the axis of windows, and where the window is."""

    cells: Floats
    bodies: Floats
    things: Floats
    window: Window


def outlined(detector: Detector, picture: Picture, finds: Sequence[Find]) -> list[Find]:
    """The finds with masks drawn anew; as they are where the detector has no layers to look at."""
    said = list[tuple[Window, Floats]]()
    for index in range(len(finds)):
        seen = fed(detector, picture, finds, index)
        if seen is None:
            return list(finds)
        said.append((seen.window, says(seen)))
    out = []
    for index, find in enumerate(finds):
        window, _ = said[index]
        mask = _framed(find, window, _settled(said, index))
        out.append(replace(find, candidate=replace(find.candidate, mask=mask, outlined=True)))
    return out


def _settled(said: Sequence[tuple[Window, Floats]], index: int) -> Floats:
    """What is said of one, ``[128, 128]``, and at least even where it is somebody's and likelier this one's than any
    other's: beside a border all are unsure, and it would be nobody's."""
    window, own = said[index]
    best, all_of_them = np.zeros_like(own), own.copy()
    for other, (place, theirs) in enumerate(said):
        if other == index or iou(_corners(window), _corners(place)) == 0:
            continue
        ratio = window.side / place.side
        shift = [(a - b) * CELLS / place.side + (ratio - 1) / 2 for a, b in zip(window[:2], place[:2], strict=True)]
        affine = np.array([[ratio, 0, shift[0]], [0, ratio, shift[1]]])
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        there = np.asarray(cv2.warpAffine(theirs, affine, (CELLS, CELLS), flags=flags), np.float32)
        best, all_of_them = np.maximum(best, there), all_of_them + there
    mine = (all_of_them > 0.5) & (own > best)
    return np.where(mine, np.maximum(own, _EVEN), own).astype(np.float32)


def _corners(window: Window) -> Corners:
    return window.x, window.y, window.x + window.side, window.y + window.side


def says(seen: Seen) -> Floats:
    """The net's word on each cell ``[128, 128]``: the probability that it is this person's."""
    feeds = {"cells": seen.cells[None], "bodies": seen.bodies[None], "things": seen.things[None]}
    return sigmoid(_net().run(None, feeds)[0][0])


def window_of(find: Find) -> Window:
    """The square in which a find is looked at."""
    boxes = np.array([find.place.box, mask_corners(find.candidate.landmarks, find.candidate.mask)])
    (x0, y0), (x1, y1) = boxes[:, :2].min(0), boxes[:, 2:].max(0)
    side = max(_LEAST_SIDE, round(_ROOM * max(x1 - x0, y1 - y0)))
    return Window(round((x0 + x1 - side) / 2), round((y0 + y1 - side) / 2), side)


def fed(
    detector: Detector, picture: Picture, finds: Sequence[Find], index: int, window: Window | None = None
) -> Seen | None:
    """What the net takes of the find at ``index``; None where the detector has no layers to look at.

    Args:
        window: another one than :func:`window_of`.
    """
    find = finds[index]
    window = window_of(find) if window is None else window
    layers = detector.layers(picture, window)
    if layers is None:
        return None
    others = _nearest(finds, index)
    return Seen(
        _cells(picture, find, others, window),
        _bodies(layers, find, others, window),
        np.ascontiguousarray(layers.things.transpose(2, 0, 1)),
        window,
    )


def _cells(picture: Picture, find: Find, others: Sequence[Find], window: Window) -> Floats:
    """``[13, 128, 128]``: colours; the masks of this one and of others, whatever and by how sure they are; how far the
    skeletons are, and how surely it is the head, of this one and of others; the detector's box, the picture, and how
    sure this find is."""
    grid, box = (CELLS, CELLS), Box(*(round(edge) for edge in _corners(window)))
    soft, bones, head = field(find.candidate, box, grid, 1.0)
    # Somebody who is nowhere stands for nobody else.
    nobody = np.zeros(grid, np.float32), np.full(grid, _FAR), np.zeros(grid, np.float32)
    fields = [nobody, *(field(other.candidate, box, grid, 1.0) for other in others)]
    scores = np.array([0.0, *(other.score for other in others)], np.float32)
    softs, distances, heads = (np.stack(maps) for maps in zip(*fields, strict=True))
    colours = picture.window(window, CELLS).astype(np.float32) / 127.5 - 1
    maps = [
        soft,
        softs.max(0),
        (scores[:, None, None] * softs).max(0),
        np.minimum(bones, _FAR),
        distances.min(0),
        head,
        heads.max(0),
        _rectangle(find.place.box, window),
        _rectangle((0, 0, picture.width, picture.height), window),
        np.full(grid, np.float32(find.score)),
    ]
    return np.concatenate([colours.transpose(2, 0, 1), np.stack(maps)]).astype(np.float32)


def _bodies(layers: Layers, find: Find, others: Sequence[Find], window: Window) -> Floats:
    """``[45, 64, 64]``: MoveNet's layers, and how far the trunk that each cell expects is from this one's, across and
    down, and from the nearest other's, in body lengths."""
    cell = window.side / COARSE
    body = max(1e-3, body_length(find.candidate) / cell)
    trunk = layers.points.reshape(COARSE, COARSE, -1, 2)[:, :, list(_COCO_TRUNK), ::-1].mean(2)
    trunk = trunk + np.stack(np.meshgrid(np.arange(COARSE), np.arange(COARSE)), -1)
    away = [trunk - _in_cells(other, window, cell) for other in (find, *others)]
    theirs = [np.linalg.norm(one, axis=-1) / body for one in away[1:]]
    nearest = np.min([np.full((COARSE, COARSE), _FAR), *theirs], 0)
    parts = [
        layers.shared,
        np.clip(layers.heat, -_HOTTEST, _HOTTEST) / _HEAT,
        layers.centre,
        np.clip(away[0] / body, -_FAR, _FAR)[:, :, ::-1],
        nearest[:, :, None],
    ]
    return np.ascontiguousarray(np.concatenate(parts, -1).transpose(2, 0, 1), np.float32)


def _in_cells(find: Find, window: Window, cell: float) -> NDArray[np.float64]:
    """The middle of shoulders and hips, x, y in cells of the window."""
    middle = find.candidate.landmarks.points[list(_TRUNK)].astype(np.float64).mean(0)
    return (middle - (window.x, window.y) + 0.5) / cell - 0.5


def _framed(find: Find, window: Window, likely: Floats) -> Floats:
    """A map ``[128, 128]`` of the window in the frame of the find's look ``[256, 256]``; nobody beyond the window."""
    to_net, cell = find.candidate.landmarks.to_net, window.side / CELLS
    affine = compose(to_net, cell)
    affine[:, 2] += to_net[:, :2] @ (window.x, window.y)
    size = find.candidate.mask.shape[::-1]
    return np.asarray(cv2.warpAffine(likely, affine, size, flags=cv2.INTER_LINEAR), np.float32)


def _nearest(finds: Sequence[Find], index: int) -> list[Find]:
    x0, y0, x1, y1 = finds[index].place.box

    def gap(other: Find) -> float:
        a0, b0, a1, b1 = other.place.box
        return float(np.hypot(max(a0 - x1, x0 - a1, 0.0), max(b0 - y1, y0 - b1, 0.0)))

    return sorted((other for k, other in enumerate(finds) if k != index), key=gap)[:_OTHERS]


def _rectangle(box: Sequence[float], window: Window) -> Floats:
    """A box of the picture on the window's cells."""
    out = np.zeros((CELLS, CELLS), np.float32)
    x0, y0, x1, y1 = (
        max(0, round((edge - start) * CELLS / window.side))
        for edge, start in zip(box, (window.x, window.y) * 2, strict=True)
    )
    out[y0:y1, x0:x1] = 1
    return out


@lru_cache(maxsize=1)
def _net() -> Any:
    return onnx.open_session(NET)
