"""Things and shadows that go with a person: found by their colours from one click."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from mild.errors import UsageError
from mild.people.belongings import attached
from mild.people.scene import Box, Person, Scene
from mild.people.selection import select
from mild.photo import Photo
from mild.request import Selection

SIZE = (240, 320)
BAG, SHADOW = Box(150, 120, 190, 170), Box(120, 200, 260, 225)


def scene() -> Scene:
    """Somebody on sand with a red bag beside them and a shadow to the right; a second person at the edge."""
    rng = np.random.default_rng(0)
    pixels = np.full((*SIZE, 3), (205, 190, 160), np.uint8)
    pixels[SHADOW.slices] = (118, 108, 92)
    pixels[BAG.slices] = (170, 30, 40)
    pixels = cv2.GaussianBlur(pixels, (3, 3), 0)
    pixels = np.clip(pixels + rng.normal(0, 4, pixels.shape), 0, 255).astype(np.uint8)
    pixels[40:210, 110:150] = (40, 60, 120)
    box, other = Box(110, 40, 150, 210), Box(290, 60, 320, 200)
    people = (
        Person(1, box, np.ones((box.height, box.width), bool), source="nanodet"),
        Person(2, other, np.ones((other.height, other.width), bool), source="nanodet"),
    )
    return Scene(Photo.from_array(pixels), people)


def iou(a: np.ndarray, b: np.ndarray) -> float:
    return float((a & b).sum() / (a | b).sum())


@pytest.mark.parametrize(("box", "at"), [(BAG, (175, 150)), (SHADOW, (220, 214))], ids=["bag", "shadow"])
def test_one_click_takes_the_thing_or_the_shadow(box: Box, at: tuple[int, int]) -> None:
    before = scene()
    taken = before.mask_of((1, 2))
    wanted = np.zeros(SIZE, bool)
    wanted[box.slices] = True
    assert iou(attached(before.photo, *at, taken), wanted & ~taken) > 0.85


def test_a_click_in_the_rim_of_a_shadow_takes_its_dark_core_too() -> None:
    before = scene()
    pixels = before.photo.pixels.copy()
    core = Box(165, 207, 250, 218)
    pixels[core.slices] = (52, 48, 42)
    wanted = np.zeros(SIZE, bool)
    wanted[SHADOW.slices] = True
    found = attached(Photo.from_array(pixels), 255, 203, before.mask_of((1, 2)))
    assert found[core.slices].mean() > 0.95 and iou(found, wanted & ~before.mask_of((1, 2))) > 0.7


def test_it_goes_with_the_nearest_who_is_erased() -> None:
    before = scene()
    after, ids = select(before, Selection(people=(1,), also=((175, 150), (220, 214))))
    assert ids == (1,)
    gone = after.mask_of((1,))
    assert gone[BAG.slices].mean() > 0.9 and gone[205:220, 160:250].mean() > 0.9
    assert gone.sum() < before.person(1).area + 1.15 * (BAG.area + SHADOW.area)
    np.testing.assert_array_equal(after.person(2).mask, before.person(2).mask)
    both, _ = select(before, Selection(people=(1, 2), also=((175, 150),)))
    assert both.person(2).area == before.person(2).area


def test_wrong_points_are_one_sentence() -> None:
    with pytest.raises(UsageError, match="outside the photo"):
        select(scene(), Selection(people=(1,), also=((400, 10),)))
    same, _ = select(scene(), Selection(people=(1,), also=((130, 100),)))
    assert same.person(1).area == scene().person(1).area, "already theirs"
