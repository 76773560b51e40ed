"""Training rows: one layer with its ground truth, at a square size.

A row is what the denoiser sees of one layer. A background row is a person-free photo with the outlines of erased
people as its hole and the outlines of kept people as foreign; a person row is a complete cut-out whose part behind
somebody else's outline is the hole. Foreign pixels are blanked before the network in any case, so nobody need be
painted into them: outlines are enough, and the truth is exact.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from mild.lab.data.cutouts import clean_cutout, placed_keypoints, read_keypoints, scaled
from mild.lab.data.ingredients import Ingredients
from mild.people.scene import Box
from mild.plan.planning import dilate, person_hole, reach_box

Domain = Literal["background", "person"]
FOREIGN, OWN, HOLE = 0, 1, 2


@dataclass(frozen=True)
class Row:
    """One layer with its truth.

    Attributes:
        domain: which adapter it trains.
        rgba: uint8 ``[S, S, 4]``, the complete layer; alpha 255 everywhere for a background. A person's colour is
            extended past the outline, so that resampling never mixes in another colour.
        regions: uint8 ``[S, S]``: ``FOREIGN``, ``OWN`` or ``HOLE``.
        keypoints: float32 ``[17, 3]`` of a person whose joints are annotated, hidden ones too: x, y in pixels of the
            row, confidence 0 (unknown), 0.3 (hidden in the original photo) or 1; or None.
        front: box of whoever stands in front of a person; None for a background.
    """

    domain: Domain
    rgba: NDArray[np.uint8]
    regions: NDArray[np.uint8]
    keypoints: NDArray[np.float32] | None = None
    front: Box | None = None


def background_row(rng: Generator, photos: Ingredients, size: int) -> Row:
    """A random crop of a person-free photo, one to four people erased from it, up to two kept."""
    while True:
        entry = photos.backgrounds[rng.integers(len(photos.backgrounds))]
        if entry.get("scene_kind") != "closeup" or rng.random() < 0.3:
            break
    rgb = _random_crop(rng, photos.rgb(entry), size)
    erased, kept = np.zeros((size, size), bool), np.zeros((size, size), bool)
    anchor = rng.uniform(0.2, 0.8) * size
    for i in range(int(rng.choice([1, 2, 3, 4], p=[0.5, 0.25, 0.15, 0.1]))):
        erased |= _placed_outline(rng, photos, size, anchor if i else None, rng.uniform(0.25, 0.9))
    for _ in range(int(rng.choice([0, 1, 2], p=[0.5, 0.3, 0.2]))):
        kept |= _placed_outline(rng, photos, size, anchor, rng.uniform(0.25, 0.9))
    hole = dilate(erased, max(1, round(size * rng.uniform(0.004, 0.016)))) & ~kept
    kept = dilate(kept, 2) & ~hole
    regions = np.full((size, size), OWN, np.uint8)
    regions[kept], regions[hole] = FOREIGN, HOLE
    if not 0.015 < hole.mean() < 0.5 or (regions == OWN).mean() < 0.25:
        return background_row(rng, photos, size)
    return Row("background", np.dstack([rgb, np.full((size, size), 255, np.uint8)]), regions)


def person_row(rng: Generator, photos: Ingredients, size: int) -> Row:
    """A complete cut-out, partly behind somebody else's outline."""
    entry = photos.people[rng.integers(len(photos.people))]
    original = clean_cutout(photos.rgba(entry))
    height = size * rng.uniform(0.55, 0.92)
    flip = rng.random() < 0.5
    rgba = np.ascontiguousarray(original[:, ::-1]) if flip else original
    rgba = scaled(rgba, min(height / rgba.shape[0], 0.92 * size / rgba.shape[1]))
    canvas = np.zeros((size, size, 4), np.uint8)
    h, w = rgba.shape[:2]
    y, x = int(rng.integers(0, size - h + 1)), int(rng.integers(0, size - w + 1))
    canvas[y : y + h, x : x + w] = rgba
    whole = canvas[..., 3] > 127
    centre = x + w / 2 + rng.normal(0, 0.45) * w
    scale = h / size * rng.uniform(0.75, 1.35)
    front = _placed_outline(rng, photos, size, centre, scale, spread=0.0, feet=(y + h) / size + rng.normal(0.02, 0.12))
    hidden = (whole & front).sum() / max(1, whole.sum())
    visible = whole & ~front
    if not 0.04 < hidden < 0.6 or visible.sum() < 200:
        return person_row(rng, photos, size)
    # What the planner will see: a guess of where the person ends, from the visible part and uncertain keypoints.
    reach = reach_box(Box.around(visible), _jittered(rng, Box.around(whole), 0.06), (size, size))
    erased = dilate(front, max(1, round(size * rng.uniform(0.004, 0.016)))) & ~visible
    hole = person_hole(visible, erased, reach)
    regions = np.full((size, size), FOREIGN, np.uint8)
    regions[visible], regions[hole] = OWN, HOLE
    points = placed_keypoints(
        read_keypoints(entry.get("keypoints")), original.shape[1], flip, (w / original.shape[1], x, y)
    )
    return Row("person", canvas, regions, points, Box.around(front))


def _random_crop(rng: Generator, rgb: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    h, w = rgb.shape[:2]
    side = int(min(h, w) * rng.uniform(0.6, 1.0))
    y, x = int(rng.integers(0, h - side + 1)), int(rng.integers(0, w - side + 1))
    crop = cv2.resize(rgb[y : y + side, x : x + side], (size, size), interpolation=cv2.INTER_AREA)
    return _flipped(rng, np.asarray(crop, np.uint8))


def _flipped(rng: Generator, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.ascontiguousarray(image[:, ::-1]) if rng.random() < 0.5 else image


def _placed_outline(
    rng: Generator,
    photos: Ingredients,
    size: int,
    anchor: float | None,
    scale: float,
    spread: float = 0.18,
    feet: float | None = None,
) -> NDArray[np.bool_]:
    """The outline ``[size, size]`` of a random person, ``scale * size`` tall, standing near column ``anchor``."""
    alpha = _flipped(rng, photos.rgba(photos.occluders[rng.integers(len(photos.occluders))]))[..., 3]
    mask = scaled(alpha, scale * size / alpha.shape[0]) > 127
    h, w = mask.shape
    centre = rng.uniform(0, size) if anchor is None else anchor + rng.normal(0, spread) * size
    # Feet of tall people stand lower in the frame; half of the tallest are cut off by it.
    bottom = size * (feet if feet is not None else rng.uniform(0.55, 0.8) + 0.35 * scale)
    out = np.zeros((size, size), bool)
    x0, y0 = int(centre - w / 2), int(bottom - h)
    box = Box(x0, y0, x0 + w, y0 + h).intersect(Box(0, 0, size, size))
    if box.area and box.width > 0 and box.height > 0:
        out[box.slices] = mask[box.y0 - y0 : box.y1 - y0, box.x0 - x0 : box.x1 - x0]
    return out


def _jittered(rng: Generator, box: Box, amount: float) -> Box:
    dx, dy = amount * box.width, amount * box.height
    noise = rng.normal(0, 1, 4) * [dx, dy, dx, dy]
    return Box(*(round(v) for v in np.asarray(box) + noise))
