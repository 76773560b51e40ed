"""Colours of hidden limbs from the limbs that are seen: a body and its clothes are alike on both sides (ours).

A step's answer is a likely mean, and where a sleeve meets a patterned shirt that mean is neither. What of the same body
lies at the same place along the same bone, or along its fellow on the other side, is the better guess where it is of
one colour; where it is not, the answer stays. Part of the guidance by pose (``method.md``, HMG).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mild.diffusion.bodies import BodyRow
from mild.fill.canvas import View

Float = NDArray[np.float32]

#: Pairs of bones that are alike, as COCO keypoints, and how thick they are in trunk lengths.
_PAIRS = (
    ((5, 7), (6, 8), 0.14), ((7, 9), (8, 10), 0.10), ((11, 13), (12, 14), 0.18), ((13, 15), (14, 16), 0.12),
)  # fmt: skip
_HEAD, _TRUNK = 0.30, 0.35
#: A place along a bone goes from before its beginning to beyond its end (hands, feet), in bone lengths; and it lies as
#: far from the bone as this, in thicknesses.
_FROM, _TO, _FAR = -0.2, 1.4, 2.0
#: Cells of a bone's table, along and away, and how far a cell looks for its like (standard deviations, same units).
_CELLS, _NEAR = (10, 5), (0.12, 0.40)
#: Colours are believed by half from so many per mille of the visible body, and at this standard deviation (levels).
_ENOUGH, _SPREAD = 10.0, 30.0
#: Trunks of fewer pixels than this tell nothing.
_LEAST = 6.0


@dataclass(frozen=True)
class _Bone:
    """From ``begin`` to ``end`` ``[2]`` (x, y), ``thick`` pixels; ``kind`` is shared by both sides."""

    kind: int
    begin: Float
    end: Float
    thick: float
    beyond: float


def from_both_sides(clean: Float, canvas: View, body: BodyRow) -> Float:
    """A person's clean layer, its colours drawn to those of the same place of the visible body.

    Args:
        clean: float32 ``[h, w, 4]`` in [-1, 1], the canvas's part that the crop fills.
        canvas: what is visible of them there, ``[h, w]``.
        body: the row's; without a pose the layer stays as it is.

    Returns:
        As ``clean``; alpha and what is not hole are the same.
    """
    bones = _bones(body.keypoints)
    own, hole = canvas.own & ~canvas.hole, canvas.hole
    if not bones or not own.any() or not hole.any():
        return clean
    bone, cell = _places(bones, own.shape)
    seen = canvas.rgb.astype(np.float32)
    enough = _ENOUGH * float(own.sum()) / 1000
    out = clean.copy()
    for kind in sorted({bone.kind for bone in bones}):
        here = np.isin(bone, [i for i, b in enumerate(bones) if b.kind == kind])
        asked = here & hole
        if not asked.any():
            continue
        colour, trust = _table(seen[here & own], cell[here & own], enough)
        wanted, share = colour[cell[asked]] / np.float32(127.5) - 1, trust[cell[asked], None]
        out[asked, :3] += share * (wanted - out[asked, :3])
    return out


def _bones(points: Float | None) -> list[_Bone]:
    """The bones of a pose; none without both shoulders and both hips."""
    if points is None or points[[5, 6, 11, 12], 2].min() <= 0:
        return []
    xy = points[:, :2]
    neck, pelvis = (xy[5] + xy[6]) / 2, (xy[11] + xy[12]) / 2
    trunk = float(np.hypot(*(neck - pelvis)))
    if trunk < _LEAST:
        return []
    out = [_Bone(0, neck, pelvis, _TRUNK * trunk, 1.0)]
    face = points[:5, 2] > 0
    if face.any():
        out.append(_Bone(1, xy[:5][face].mean(0), neck, _HEAD * trunk, 1.0))
    for kind, (*sides, thick) in enumerate(_PAIRS, 2):
        beyond = _TO - 0.1 if kind in (3, 5) else 1.0  # hands and feet
        for a, b in sides:
            if points[a, 2] > 0 and points[b, 2] > 0:
                out.append(_Bone(kind, xy[a], xy[b], thick * trunk, beyond))
    return out


def _places(bones: list[_Bone], size: tuple[int, int]) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """The nearest bone of every pixel, and its cell in that bone's table, int32 ``[h, w]`` each."""
    ys, xs = np.mgrid[: size[0], : size[1]].astype(np.float32)
    nearest = np.full(size, np.inf, np.float32)
    which, along = np.zeros(size, np.int32), np.zeros(size, np.float32)
    for number, bone in enumerate(bones):
        step = bone.end - bone.begin
        length = max(float(step @ step), 1e-6)
        t = ((xs - bone.begin[0]) * step[0] + (ys - bone.begin[1]) * step[1]) / length
        on = np.clip(t, 0, bone.beyond)
        away = np.hypot(xs - bone.begin[0] - on * step[0], ys - bone.begin[1] - on * step[1]) / bone.thick
        closer = away < nearest
        nearest[closer], which[closer], along[closer] = away[closer], number, t[closer]
    rows = np.clip((along - _FROM) / (_TO - _FROM) * _CELLS[0], 0, _CELLS[0] - 1).astype(np.int32)
    columns = np.clip(nearest / _FAR * _CELLS[1], 0, _CELLS[1] - 1).astype(np.int32)
    return which, rows * _CELLS[1] + columns


def _table(colours: Float, cells: NDArray[np.int32], enough: float) -> tuple[Float, Float]:
    """Mean colour of every cell and its like ``[cells, 3]``, and how far it is to be believed ``[cells]`` in [0, 1]."""
    squares, ones = np.square(colours).sum(1, keepdims=True), np.ones((len(colours), 1), np.float32)
    numbers = np.concatenate([colours, squares, ones], 1)
    found = np.stack([np.bincount(cells, column, _CELLS[0] * _CELLS[1]) for column in numbers.T], 1)
    alike = np.kron(*(_kernel(n, span, near) for n, span, near in zip(_CELLS, (_TO - _FROM, _FAR), _NEAR, strict=True)))
    sums = alike @ found
    count = np.maximum(sums[:, 4:], 1e-6)
    mean = sums[:, :3] / count
    variance = np.maximum(sums[:, 3] / count[:, 0] - np.square(mean).sum(1), 0) / 3
    trust = sums[:, 4] / (sums[:, 4] + enough) / (1 + variance / _SPREAD**2)
    return mean.astype(np.float32), trust.astype(np.float32)


def _kernel(cells: int, span: float, near: float) -> NDArray[np.float64]:
    middle = (np.arange(cells) + 0.5) * span / cells
    return np.asarray(np.exp(-np.square(middle[:, None] - middle[None]) / (2 * near**2)))
