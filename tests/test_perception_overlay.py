"""The numbered picture."""

from __future__ import annotations

import numpy as np
import pytest

from mild.people.find import draw_overlay
from mild.people.overlay import colour_of
from mild.people.scene import Scene
from mild.photo import Photo
from perception_scenes import person, two_people


@pytest.mark.parametrize("size", [(1, 1), (40, 7), (300, 400), (1500, 2000)])
def test_any_size(size: tuple[int, int]) -> None:
    photo = Photo.from_array(np.full((*size, 3), 100, np.uint8))
    height, width = size
    box = (0, 0, max(1, width // 3), max(1, height // 2))
    scene = Scene(photo, (person(1, *box), person(12, width - 1, height - 1, width, height, sure=False)))
    before = photo.pixels.copy()
    out = draw_overlay(scene, chosen=(1,))
    assert out.shape == (*size, 3) and out.dtype == np.uint8
    np.testing.assert_array_equal(photo.pixels, before)


def test_neighbouring_numbers_differ_in_colour() -> None:
    for i in range(1, 20):
        assert np.abs(np.subtract(colour_of(i), colour_of(i + 1))).sum() > 200


def test_empty_scene_is_the_photo() -> None:
    scene = Scene(two_people().photo)
    np.testing.assert_array_equal(draw_overlay(scene), scene.photo.pixels)


def test_chosen_and_uncertain_look_different() -> None:
    photo = Photo.from_array(np.full((300, 400, 3), 100, np.uint8))
    sure, maybe = Scene(photo, (person(1, 50, 50, 250, 250),)), Scene(photo, (person(1, 50, 50, 250, 250, sure=False),))
    assert (draw_overlay(sure) != draw_overlay(sure, (1,))).any()
    assert (draw_overlay(sure) != draw_overlay(maybe)).any()
