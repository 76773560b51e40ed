"""What morphology guidance may know of training rows: joints as they are found when erasing, or annotated ones.

The joints of the cut-outs are annotated, hidden ones too. What a finder will say of them is less: noise, doubt about
hidden joints and missing ones are drawn at random for every step. A cache may hold what the landmark net really says of
its rows, too (:mod:`mild.people.behind`), of those, too, who have no annotation.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.random import Generator
from numpy.typing import NDArray

from mild.diffusion.bodies import BodyRow, Other, coarse
from mild.diffusion.morphology_rows import MorphologyRows
from mild.diffusion.rows import LayerRows
from mild.lab.train.rowfiles import PERSON, Rows
from mild.people.body import mirrored_keypoints

#: Found joints vary so much more from step to step, in extents of the body.
JITTER = 0.01


@dataclass(frozen=True)
class Placement:
    """How stored rows became views: ``view(x) = stored(x * factor + offset)``, after the flip.

    Attributes:
        flip: bool ``[B]``. y, x: int ``[B]``, upper left corner of the crop. factor: int ``[B]``, 1 or the shrinking.
    """

    flip: torch.Tensor
    y: torch.Tensor
    x: torch.Tensor
    factor: torch.Tensor


def body_rows(
    files: Rows,
    index: NDArray[np.int64],
    rows: LayerRows,
    place: Placement,
    parts: torch.Tensor | None,
    rng: Generator,
    found: float = 0.0,
) -> MorphologyRows:
    """The bodies of stored rows ``index [B]``, seen in the views ``rows`` that ``place`` made of them.

    Args:
        parts: labels of the visible body regions ``[B, 1, h, w]``; None: drawn from the joints, and worth less.
        found: share 0..1 of the people who have found joints that are told these instead of the annotated ones.
    """
    own, hole = (m[:, 0].cpu().numpy() > 0 for m in (rows.own, rows.hole))
    flip, y, x, factor = (a.cpu().numpy() for a in (place.flip, place.y, place.x, place.factor))
    size = (own.shape[1], own.shape[2])
    labels = None if parts is None else parts[:, 0].cpu().numpy().astype(np.uint8)
    bodies = []
    for b, i in enumerate(index):
        people = files.people[i][files.people[i][:, 4] > 0]
        if files.kinds[i] != PERSON or not len(people):
            bodies.append(BodyRow.nobody(size))
            continue
        looked = files.found is not None and rng.random() < found and bool((files.found[i, :, 2] > 0).any())
        points = (files.found if looked and files.found is not None else files.keypoints)[i].copy()
        boxes = people[:, :4].copy()
        if flip[b]:
            boxes[:, [0, 2]] = files.size - boxes[:, [2, 0]]
            points = mirrored_keypoints(points, files.size)
        corner = np.asarray([x[b], y[b]], np.float32)
        points[:, :2] = (points[:, :2] + 0.5 - corner) / factor[b] - 0.5
        boxes = (boxes - np.tile(corner, 2)) / factor[b] + rng.normal(0, 0.02, boxes.shape) * size[0]
        others = tuple(
            Other((float(box[0]), float(box[1]), float(box[2]), float(box[3])), float(rng.uniform(0.7, 1)), bool(front))
            for box, front in zip(boxes, people[:, 5] > 0, strict=True)
        )
        # A joint beyond the view is as good as unknown there.
        inside = ((points[:, :2] >= 0) & (points[:, :2] < [size[1], size[0]])).all(1)
        points[:, 2] *= inside
        # The cache's regions may be drawn from the annotated joints.
        seen = None if looked or labels is None or not labels[b].any() else labels[b] * own[b]
        if not (points[:, 2] > 0).any() or not own[b].any():
            bodies.append(BodyRow(size, own[b], hole[b], None, seen, 1.0 if seen is not None else 0.0, others))
            continue
        points = varied(rng, points) if looked else doubted(rng, points, own[b])
        drawn, worth = coarse(own[b], points) if seen is None else (seen, 1.0)
        bodies.append(BodyRow(size, own[b], hole[b], points, drawn, worth, others))
    return MorphologyRows.build(bodies).to(rows.own.device, rows.own.dtype)


def varied(rng: Generator, points: NDArray[np.float32]) -> NDArray[np.float32]:
    """Found joints ``[17, 3]``, a little moved."""
    out = points.copy()
    extent = float(np.ptp(points[points[:, 2] > 0, :2], axis=0).max())
    out[:, :2] += rng.normal(0, JITTER * extent, (17, 2))
    return out.astype(np.float32)


def doubted(rng: Generator, points: NDArray[np.float32], own: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Annotated joints ``[17, 3]`` as an estimator might give them: hidden ones farther off, unsure, or not at all."""
    side = own.shape[0]
    column, row = (np.clip(np.rint(points[:, i]).astype(int), 0, side - 1) for i in (0, 1))
    hidden = ~own[row, column]
    extent = float(np.ptp(points[points[:, 2] > 0, :2], axis=0).max())
    out = points.copy()
    out[:, :2] += rng.normal(0, 1, (17, 2)) * extent * np.where(hidden, 0.03, 0.01)[:, None]
    doubt = np.where(hidden, rng.uniform(0.1, 0.9, 17), rng.uniform(0.7, 1, 17))
    lost = rng.random(17) < np.where(hidden, 0.3, 0.05)
    out[:, 2] *= np.where(lost, 0, doubt)
    return out.astype(np.float32)
