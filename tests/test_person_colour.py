"""The colour of a person's hidden part: theirs, and no rougher than they are."""

from __future__ import annotations

from typing import Literal

import numpy as np
import pytest

from mild.fill.canvas import LayerCrop
from mild.paint.assemble import _colour
from mild.people.scene import Box
from mild.plan.planning import LayerPlan

SIZE = 128


def roughness(domain: Literal["background", "person"]) -> tuple[float, float]:
    """Mean step between neighbours in the made part and in the visible part, for a shirt with a bold print."""
    rng = np.random.default_rng(0)
    photo = np.full((SIZE, SIZE, 3), (60, 90, 160), np.uint8)
    print_ = rng.random((SIZE // 8, SIZE // 8)) < 0.3
    photo[np.kron(print_, np.ones((8, 8), bool))] = (230, 230, 220)
    own, hole = np.zeros((2, SIZE, SIZE), bool)
    own[8:120, 8:64], hole[8:120, 64:110] = True, True
    box = Box(0, 0, SIZE, SIZE)
    plan = LayerPlan(domain, None if domain == "background" else 1, box, box, own, hole, (SIZE, SIZE), 1.0)
    crop = LayerCrop.cut(photo, plan, seed=0)
    flat = np.empty((SIZE, SIZE, 4), np.float32)
    flat[:] = (*(np.asarray([90, 115, 170]) / 127.5 - 1), 1.0)
    colour = _colour(crop, flat, {}, True, True)
    made, visible = (np.abs(np.diff(image.astype(np.float32), axis=1)).mean(2) for image in (colour, photo))
    return float(made[20:108, 70:104].mean()), float(visible[20:108, 14:58].mean())


def test_a_completed_person_was_covered_with_the_noise_of_their_exemplars() -> None:
    made, visible = roughness("person")
    assert made < 0.5 * visible


@pytest.mark.parametrize(("canvas", "copied"), [(64, False), (48, True)])
def test_a_persons_own_pixels_are_copied_over_a_long_way_only(canvas: int, copied: bool) -> None:
    """Up to twice the canvas the network's colours are enlarged: what was copied there was speckles."""
    rng = np.random.default_rng(0)
    photo = rng.integers(60, 200, (SIZE, SIZE, 3), dtype=np.uint8)
    own, hole = np.zeros((2, SIZE, SIZE), bool)
    own[8:120, 8:64], hole[8:120, 64:110] = True, True
    box = Box(0, 0, SIZE, SIZE)
    plan = LayerPlan("person", 1, box, box, own, hole, (64, 64), canvas / SIZE)
    flat = np.zeros((*plan.sizes.content, 4), np.float32)
    colour = _colour(LayerCrop.cut(photo, plan, seed=0), flat, {}, True, True)
    assert bool(colour[20:108, 76:104].std() > 10) is copied


def test_a_place_keeps_the_texture_of_its_exemplars() -> None:
    made, visible = roughness("background")
    assert made > 0.5 * visible
