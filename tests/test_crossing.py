"""A drawn mask and nobody searched: who touches the mask's edge is not copied into the hole."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

import mild
from mild.people.scene import Box
from mild.plan.crossing import crossing

HEIGHT, WIDTH = 160, 240
HOLE = np.zeros((HEIGHT, WIDTH), bool)
HOLE[26:141, 66:199] = True


def ground() -> NDArray[np.uint8]:
    """Sky and sand with some grain."""
    y = np.linspace(0, 1, HEIGHT)[:, None, None]
    colour = np.where(y < 0.42, (150 + 40 * y) * np.array([0.8, 0.95, 1.2]), np.array([150, 140, 110]) - 20 * y)
    grain = np.random.default_rng(3).normal(0, 4, (HEIGHT, WIDTH, 1))
    return np.clip(colour + grain, 0, 255).astype(np.uint8)


def with_coat(colour: tuple[int, int, int]) -> NDArray[np.uint8]:
    """Somebody at the left whose sleeve reaches over the mask's edge."""
    out = ground()
    cv2.fillPoly(out, [np.array([(36, 72), (54, 72), (70, 88), (67, 93), (55, 84), (55, 102), (36, 102)])], colour)
    cv2.circle(out, (45, 66), 6, (222, 170, 140), -1)
    return out


def with_umbrella(colour: tuple[int, int, int]) -> NDArray[np.uint8]:
    """A round thing that comes in from above."""
    out = ground()
    cv2.ellipse(out, (130, 15), (14, 14), 0, 0, 360, colour, -1)
    return out


THINGS = {
    "case finder-none-copies-bystanders": (with_coat, (40, 80, 170)),
    "a green coat": (with_coat, (30, 140, 60)),
    "a yellow umbrella": (with_umbrella, (235, 200, 40)),
}


@pytest.mark.parametrize("name", THINGS)
def test_who_touches_a_drawn_mask_is_not_copied_into_the_hole(name: str) -> None:
    draw, colour = THINGS[name]
    photo = draw(colour)

    def coloured(image: NDArray[np.uint8]) -> NDArray[np.bool_]:
        return np.abs(image.astype(int) - colour).max(2) < 40

    result = mild.erase(photo, mask=HOLE, finder="none", denoise=False)
    assert coloured(photo)[~HOLE].sum() > 300
    # Copies had hundreds of pixels; what is left is the soft edge of the thing itself.
    assert (coloured(result.photo.pixels) & HOLE).sum() < 40
    assert (result.photo.pixels == photo)[~result.mask].all()


def test_a_ground_on_all_sides_is_a_source() -> None:
    for photo in (ground(), np.full((HEIGHT, WIDTH, 3), 90, np.uint8)):
        window, found = crossing(photo, HOLE, Box.around(HOLE))
        assert found.shape == (window.height, window.width) and not found.any()


def test_what_repeats_is_a_source() -> None:
    tiles = ground()
    for y in range(4, HEIGHT, 24):
        for x in range(4, WIDTH, 24):
            tiles[y : y + 12, x : x + 12] = 170, 60, 50
    assert not crossing(tiles, HOLE, Box.around(HOLE))[1].any()


def test_a_wall_that_ends_nearby_is_a_source() -> None:
    """Behind one man of the examples a stone wall was taken for a thing, and the hole got planks instead."""
    photo = ground()
    photo[20:150, 22:64] = np.random.default_rng(2).normal((90, 70, 130), 9, (130, 42, 3)).clip(0, 255)
    hole = np.zeros_like(HOLE)
    hole[40:130, 60:150] = True
    assert not crossing(photo, hole, Box.around(hole))[1].any()


def test_a_crossing_thing_is_found_whole_and_again_alike() -> None:
    photo = with_coat((40, 80, 170))
    window, found = crossing(photo, HOLE, Box.around(HOLE))
    coat = (np.abs(photo.astype(int) - (40, 80, 170)).max(2) < 9) & ~HOLE
    assert found[coat[window.slices]].mean() > 0.98 and found.sum() < 1.6 * coat.sum()
    assert (crossing(photo, HOLE, Box.around(HOLE))[1] == found).all()
    tiny = np.zeros((1, 3, 3), np.uint8)
    assert not crossing(tiny, np.array([[True, True, True]]), Box(0, 0, 3, 1))[1].any()
