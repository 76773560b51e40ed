"""Rows from samples: what the pipeline would be shown of each layer, with its truth.

The planner itself says what a layer's own, hole and foreign pixels are and which crop it is made from, so that training
sees what sampling will see. A sample can also become one whole row: the picture as a single path sees it, all erased
people as one mask and everybody else as evidence. The hole is the same pixels in both.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from mild.diffusion.bodies import MOST_OTHERS, BodyRow, Other
from mild.diffusion.inputs import marked
from mild.diffusion.pipeline import EXACT
from mild.fill.first import first_fill
from mild.fill.prior import PATCH_RADIUS
from mild.lab.data.rows import FOREIGN, HOLE, OWN
from mild.lab.data.sample import Sample, composed, whole_person
from mild.lab.train.rowfiles import BACKGROUND, OTHER_NUMBERS, PERSON, WHOLE
from mild.people.scene import Scene
from mild.plan.planning import LayerPlan, Plan, plan_layers
from mild.request import Region


@dataclass(frozen=True)
class PackedRow:
    """One row as a cache holds it.

    Attributes:
        pixels: uint8 ``[S, S, 10]``: the layer's RGBA (own pixels as in the photo, the truth in the hole), the region,
            the kind, the fill's RGB, the visible body regions.
        keypoints: float32 ``[17, 3]`` in pixels of the row, zeros where unknown.
        others: float32 ``[MOST_OTHERS, OTHER_NUMBERS]``, other people in pixels of the row, the nearest first; a
            confidence of 0 says that there is nobody.
    """

    pixels: NDArray[np.uint8]
    keypoints: NDArray[np.float32]
    others: NDArray[np.float32]


def layer_plan(scene: Scene, erased: tuple[int, ...], region: Region, size: int) -> Plan:
    """The layers that MILD makes, for a canvas of ``size`` pixels."""
    return plan_layers(scene, erased, region, resolution=size, budget=None)


def whole_plan(scene: Scene, plan: Plan, region: Region, size: int) -> tuple[Scene, Plan]:
    """The same holes for a single path: a scene whose one "person" is all that goes, and its plan."""
    mask = np.zeros(scene.size, bool)
    for box, matte in plan.mattes.values():
        mask[box.slices] |= matte > 0
    single = marked(scene.photo, mask)
    return single, plan_layers(single, (1,), EXACT.model_copy(update={"context": region.context}), resolution=size)


def packed_rows(
    sample: Sample,
    size: int,
    rng: Generator,
    *,
    layers: bool = True,
    backgrounds: bool = True,
    whole: bool = False,
    fill_radius: int = PATCH_RADIUS,
) -> list[PackedRow]:
    """All rows of a sample that has its truth; none when nothing is to be erased.

    Args:
        size: side of a row, pixels; a multiple of 64.
        rng: draws how far masks are dilated, and the fill's seeds.
        layers, backgrounds, whole: which rows: of layers, of backgrounds among them, of whole pictures.
    """
    if not sample.erased or sample.truth != "layers":
        return []
    scene = sample.scene()
    region = Region(dilate=float(rng.uniform(0.005, 0.03)), feather=0.0)
    erased = tuple(i for i in sample.erased if any(p.id == i for p in scene.people))
    if not erased:
        return []
    plan = layer_plan(scene, erased, region, size)
    out = []
    if layers:
        for row in plan.layers:
            if row.owner is None and not backgrounds:
                continue
            truth = _background_truth(sample) if row.owner is None else whole_person(sample, row.owner)
            kind = BACKGROUND if row.owner is None else PERSON
            out.append(_packed(scene, row, truth, kind, size, int(rng.integers(2**31)), fill_radius))
    if whole:
        single, plan = whole_plan(scene, plan, region, size)
        truth = _opaque(sample.erased_truth())
        for row in plan.layers:
            out.append(_packed(single, row, truth, WHOLE, size, int(rng.integers(2**31)), fill_radius))
    return [row for row in out if (row.pixels[..., 4] == HOLE).sum() >= 16]


def _background_truth(sample: Sample) -> NDArray[np.uint8]:
    """The place as if nobody had stood there; shadows of those who stay stay, for they are in no mask."""
    assert sample.background is not None
    kept = tuple(layer for layer in sample.layers if layer.kind == "shadow" and layer.owner in sample.kept)
    return _opaque(composed(sample.background, kept))


def _opaque(rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.dstack([rgb, np.full(rgb.shape[:2], 255, np.uint8)])


def _packed(
    scene: Scene, row: LayerPlan, truth: NDArray[np.uint8], kind: int, size: int, seed: int, radius: int
) -> PackedRow:
    """One planned layer on a square canvas; what the crop does not fill is foreign."""
    h, w = row.sizes.content

    def averaged(image: NDArray[np.generic]) -> NDArray[np.float32]:
        return np.asarray(cv2.resize(image.astype(np.float32), (w, h), interpolation=cv2.INTER_AREA), np.float32)

    def coloured(rgb: NDArray[np.uint8], share: NDArray[np.float32]) -> NDArray[np.uint8]:
        mean = averaged(rgb * share[..., None]) / np.maximum(averaged(share), 1e-3)[..., None]
        return np.clip(np.rint(mean), 0, 255).astype(np.uint8)

    hole = averaged(row.hole) > 1e-4
    own = (averaged(row.own) > 0.999) & ~hole
    made = truth[row.crop.slices]
    cover = np.asarray(made[..., 3] / 255, np.float32)
    seen = coloured(scene.photo.pixels[row.crop.slices], row.own.astype(np.float32))
    out = np.zeros((size, size, 10), np.uint8)
    out[..., :3], out[..., 6:9] = 127, 127
    here = out[:h, :w]
    here[..., :3] = np.where(hole[..., None], coloured(made[..., :3], cover), np.where(own[..., None], seen, 127))
    here[..., 3] = np.where(hole, np.rint(255 * averaged(cover)), 255 * own)
    here[..., 4] = np.where(hole, HOLE, np.where(own, OWN, FOREIGN))
    here[..., 6:9] = first_fill(row.domain, seen, own, hole, seed=seed, patch_radius=radius)
    out[..., 5] = kind
    body = BodyRow.of(scene, row)
    if body.parts is not None:
        here[..., 9] = body.parts[:h, :w]
    points = np.zeros((17, 3), np.float32) if body.keypoints is None else body.keypoints
    return PackedRow(out, points, numbered(body.others))


def numbered(others: Sequence[Other]) -> NDArray[np.float32]:
    """Other people as a cache holds them (see :attr:`PackedRow.others`)."""
    out = np.zeros((MOST_OTHERS, OTHER_NUMBERS), np.float32)
    for line, other in zip(out, others, strict=False):
        line[:4], line[4], line[5] = other.box, other.score, other.front
    return out
