"""What a coarse mask by hand cut off, and a finder saw."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest

from mild.people.finders.coco import encode_rle
from mild.people.scene import Box, Person, Scene
from mild.people.selection import select
from mild.photo import Photo
from mild.plan.cutoff import DETAIL, cut_off, detail
from mild.plan.planning import Plan, plan_layers
from mild.request import Region, Selection

SIZE = (160, 200)
BODY, HAND = Box(80, 30, 120, 140), Box(120, 60, 132, 68)


def block(*boxes: Box) -> np.ndarray:
    out = np.zeros(SIZE, bool)
    for box in boxes:
        out[box.slices] = True
    return out


def photo_of(mask: np.ndarray, scale: int = 1) -> Photo:
    """Somebody red on green grass."""
    rng = np.random.default_rng(0)
    pixels = np.where(mask[..., None], (170, 40, 40), (60, 140, 60)) + rng.integers(-15, 16, (*SIZE, 3))
    pixels = np.clip(pixels, 0, 255).astype(np.uint8)
    return Photo.from_array(cv2.resize(pixels, None, fx=scale, fy=scale, interpolation=cv2.INTER_NEAREST))


def large(mask: np.ndarray, scale: int) -> np.ndarray:
    return np.kron(mask, np.ones((scale, scale), bool))


def coarse(mask: np.ndarray) -> np.ndarray:
    return np.asarray(cv2.GaussianBlur(mask.astype(np.float32), (0, 0), 6) > 0.5)


def with_find(find: np.ndarray, *others: np.ndarray, scale: int = 1) -> Scene:
    seen = [Person.from_mask(i, large(m, scale), source="nanodet") for i, m in enumerate((find, *others), 1)]
    return Scene(photo_of(block(BODY, HAND), scale), tuple(seen))


def plan_of(scene: Scene, mask: np.ndarray, region: Region | None = None, **fields: object) -> tuple[Plan, np.ndarray]:
    """The plan, and what it replaces ``[H, W]``."""
    chosen, going = select(scene, Selection(mask_rle=encode_rle(mask), things=False, **fields))
    plan = plan_layers(chosen, going, region or Region())
    out = np.zeros(scene.size, bool)
    for box, matte in plan.mattes.values():
        out[box.slices] |= matte > 0
    return plan, out


@pytest.mark.parametrize("scale", [1, 6])
def test_a_hand_that_a_coarse_mask_cut_off_was_left(scale: int) -> None:
    whole = block(BODY, HAND)
    mask = large(coarse(whole), scale)
    tip = large(block(Box(128, 61, 132, 67)), scale)
    assert not mask[tip].any()
    assert plan_of(with_find(whole, scale=scale), mask)[1][tip].all()
    assert not plan_of(Scene(with_find(whole, scale=scale).photo), mask)[1][tip].all(), "nobody saw it"


def test_without_a_find_every_mask_is_as_it_was() -> None:
    for mask in (block(BODY), block(BODY, HAND), coarse(block(BODY, HAND))):
        person = Person.from_mask(1, mask)
        assert cut_off(photo_of(block(BODY, HAND)).pixels, person) is None


@pytest.mark.parametrize("seed", range(5))
def test_a_mask_with_detail_is_believed_whatever_was_found(seed: int) -> None:
    noise = cv2.resize(np.random.default_rng(seed).random((40, 50), np.float32), SIZE[::-1])
    mask = block(BODY) & ((noise > 0.3) | block(Box(90, 40, 110, 130)))
    assert detail(mask) > DETAIL
    alone, _ = plan_of(Scene(photo_of(block(BODY, HAND))), mask)
    found, _ = plan_of(with_find(mask | block(HAND)), mask)
    (box, matte), (other_box, other) = *alone.mattes.values(), *found.mattes.values()
    assert box == other_box
    np.testing.assert_array_equal(matte, other)


def test_nobody_who_stays_loses_a_pixel_to_what_was_cut_off() -> None:
    whole, neighbour = block(BODY, HAND), block(Box(128, 40, 150, 140))
    plan, hole = plan_of(with_find(whole & ~neighbour, neighbour), coarse(whole) & ~neighbour)
    assert len(plan.mattes) == 1
    assert not (hole & neighbour).any()


def test_what_is_spared_of_a_hand_stays() -> None:
    whole, tip = block(BODY, HAND), block(Box(126, 58, 136, 70))
    assert not (plan_of(with_find(whole), coarse(whole), spare_rle=encode_rle(tip))[1] & tip).any()


def test_a_margin_that_is_asked_for_is_kept_to() -> None:
    whole = block(BODY, HAND)
    mask = coarse(whole)
    np.testing.assert_array_equal(plan_of(with_find(whole), mask, Region(dilate=0, feather=0))[1], mask)


def test_somebody_elses_outline_cuts_nothing_off() -> None:
    """A find of half the mask, the hand with it, is not surely the same person."""
    person = Person.from_mask(1, coarse(block(BODY, HAND)))
    frame = Box(80, 30, 140, 90)
    find = frame, block(Box(80, 30, 120, 90), HAND)[frame.slices]
    assert cut_off(photo_of(block(BODY, HAND)).pixels, replace(person, found=find)) is None


@pytest.mark.parametrize("more", [Box(119, 60, 131, 90), Box(119, 40, 121, 130)], ids=["thick", "a seam"])
def test_what_is_no_limb_is_not_cut_off(more: Box) -> None:
    """Half a neighbour, and a pixel's difference along the body, in their colour both."""
    mask = coarse(block(BODY))
    whole = mask | block(more)
    person = replace(Person.from_mask(1, mask), found=(Box(0, 0, *SIZE[::-1]), whole))
    assert cut_off(photo_of(whole).pixels, person) is None


def test_what_looks_like_the_grass_is_not_theirs() -> None:
    """A finder's outline reached over the grass beside them."""
    mask = coarse(block(BODY))
    find = block(BODY, Box(120, 100, 131, 106))
    assert not plan_of(with_find(find), mask)[1][101:105, 126:131].any()


def test_what_further_clicks_took_away_does_not_come_back() -> None:
    scene = with_find(block(BODY, HAND))
    chosen, going = select(scene, Selection.model_validate({"clicks": [{"on": [(100, 80)], "off": [(128, 64)]}]}))
    assert all(chosen.person(number).found is None for number in going)
