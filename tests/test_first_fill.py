"""The first fill: a place by its texture, a person by their own colours, and nothing of anybody else's."""

from __future__ import annotations

import numpy as np
import pytest

from mild.fill.canvas import cut_layers
from mild.fill.first import diffused_fill, first_fill
from mild.fill.prior import exemplar_fill
from mild.people.scene import Person, Scene
from mild.photo import Photo
from mild.plan.planning import plan_layers
from mild.request import Region


def body(seed: int = 0, size: int = 64) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A green person, a hole at their side, and red everywhere else."""
    rgb = np.zeros((size, size, 3), np.uint8)
    rgb[...] = (255, 0, 0)
    own, hole = np.zeros((2, size, size), bool)
    own[8:56, 20:34], hole[12:50, 34:44] = True, True
    rgb[own] = 0
    rgb[own, 1] = np.random.default_rng(seed).integers(90, 150, own.sum())
    return rgb, own, hole


def test_a_persons_fill_is_their_own_colours() -> None:
    rgb, own, hole = body()
    filled = first_fill("person", rgb, own, hole)
    assert np.array_equal(filled[~hole], rgb[~hole])
    assert filled[hole][:, 0].max() == 0, "red is not theirs"
    assert rgb[own][:, 1].min() <= filled[hole][:, 1].min() and filled[hole][:, 1].max() <= rgb[own][:, 1].max()


@pytest.mark.parametrize("changed", ["hole", "foreign"])
def test_what_a_person_may_not_see_does_not_matter(changed: str) -> None:
    rgb, own, hole = body()
    other = rgb.copy()
    other[hole if changed == "hole" else ~(own | hole)] = (0, 0, 255)
    assert np.array_equal(diffused_fill(rgb, own, hole)[hole], diffused_fill(other, own, hole)[hole])


def test_nothing_to_carry_on_is_grey_and_no_hole_is_the_photo() -> None:
    rgb, own, hole = body()
    assert (diffused_fill(rgb, np.zeros_like(own), hole)[hole] == 127).all()
    assert np.array_equal(diffused_fill(rgb, own, np.zeros_like(hole)), rgb)


def test_a_place_is_filled_by_the_exemplar_search() -> None:
    rgb, _, hole = body()
    args = (rgb, ~hole, hole)
    assert np.array_equal(first_fill("background", *args, seed=3), exemplar_fill(*args, seed=3))


def test_the_road_gives_each_domain_its_fill() -> None:
    """The row of hidden people is not to change by accident: its fill is the diffusion of the person's own pixels."""
    rng = np.random.default_rng(0)
    photo = Photo.from_array(rng.integers(0, 256, (96, 96, 3), dtype=np.uint8))
    behind, front = np.zeros((2, 96, 96), bool)
    front[20:90, 44:70], behind[15:88, 24:50] = True, True
    scene = Scene(photo, (Person.from_mask(1, behind & ~front), Person.from_mask(2, front)), (1, 2))
    plan = plan_layers(scene, (2,), Region(), resolution=96, budget=None)
    crops = {crop.plan.domain: crop for crop in cut_layers(scene, plan, 5)}
    for domain, crop in crops.items():
        assert crop.fill is not None
        view = (np.where(crop.plan.own[..., None], crop.photo, 0).astype(np.uint8), crop.plan.own, crop.plan.hole)
        wanted = diffused_fill(*view) if domain == "person" else exemplar_fill(*view, seed=5)
        assert np.array_equal(crop.fill[crop.plan.hole], wanted[crop.plan.hole])
    assert set(crops) == {"background", "person"}
    assert all(crop.fill is None for crop in cut_layers(scene, plan, None))
