"""How far around an outline the photo changes."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from mild.people.scene import Box, Person, Scene
from mild.photo import Photo
from mild.plan.beside import moved
from mild.plan.blur import edge_spread
from mild.plan.margin import Margin, guided, things, widened
from mild.plan.planning import plan_layers
from mild.plan.wide import slack
from mild.request import Region

SIZE = (160, 200)
BODY = Box(80, 30, 120, 140)


def photo_with_body(body: Box = BODY) -> np.ndarray:
    """A red body on green grass."""
    rng = np.random.default_rng(0)
    photo = np.full((*SIZE, 3), (60, 140, 60), np.int16) + rng.integers(-15, 16, (*SIZE, 3))
    photo[body.slices] = np.asarray((170, 40, 40)) + rng.integers(-15, 16, (body.height, body.width, 3))
    return np.clip(photo, 0, 255).astype(np.uint8)


def outlined(box: Box, source: str = "mask") -> Person:
    mask = np.zeros(SIZE, bool)
    mask[box.slices] = True
    return Person.from_mask(1, mask, source=source)


def hole_of(photo: np.ndarray, person: Person, region: Region | None = None) -> np.ndarray:
    plan = plan_layers(Scene(Photo.from_array(photo), (person,)), (1,), region or Region())
    box, matte = plan.mattes[1]
    out = np.zeros(SIZE, bool)
    out[box.slices] = matte > 0
    return out


def test_an_exact_outline_by_hand_is_hardly_widened() -> None:
    hole = hole_of(photo_with_body(), outlined(BODY))
    assert not (hole & ~outlined(BODY.grow(4, SIZE)).full_mask(SIZE)).any()


def test_a_fringe_that_an_outline_left_is_taken_and_the_other_side_is_not() -> None:
    # Two pixels short at the left, exact at the right.
    short = Box(BODY.x0 + 2, *BODY[1:])
    hole = hole_of(photo_with_body(), outlined(short))
    assert hole[60:110, BODY.x0].all(), "nothing of the body is left"
    assert not hole[60:110, BODY.x1 + 4 :].any()


@pytest.mark.parametrize("source", ["mask", "nanodet"])
@pytest.mark.parametrize("scale", [1, 8])
def test_a_blurred_border_is_as_wide_as_the_blur(source: str, scale: int) -> None:
    """A catcher in motion left his shape as a thin line: the outline ran through what motion had smeared."""
    size = (SIZE[1] * scale, SIZE[0] * scale)
    sharp = cv2.resize(photo_with_body(), size, interpolation=cv2.INTER_NEAREST)
    mask = cv2.resize(outlined(BODY).full_mask(SIZE).view(np.uint8), size, interpolation=cv2.INTER_NEAREST) > 0
    body = Person.from_mask(1, mask, source=source)
    reach = 6 * scale
    assert edge_spread(sharp, body, reach) == 0
    for deviation in (2.0 * scale, 3.0 * scale):
        blurred = cv2.GaussianBlur(sharp, (0, 0), deviation)
        spread = edge_spread(blurred, body, reach)
        assert 0.6 * deviation < spread < 1.4 * deviation
        margin, wider = Margin.of(body, Region()), Margin.of(body, Region()).blurred(spread)
        # Outside of this less than a tenth of a pixel is the body's.
        assert wider.sure >= 1.3 * deviation and wider.reach > wider.sure and wider.sure >= margin.sure
    told = Region(dilate=0.0)
    scene = Scene(Photo.from_array(blurred), (body,))
    box, matte = plan_layers(scene, (1,), told).mattes[1]
    assert np.array_equal(matte == 255, mask[box.slices]), "who says how far is obeyed"


def test_where_nothing_tells_how_sharp_a_border_is_nothing_is_added() -> None:
    plain = np.full((*SIZE, 3), 90, np.uint8)
    assert edge_spread(plain, outlined(BODY), 6) == 0
    assert edge_spread(plain, outlined(Box(0, 0, SIZE[1], SIZE[0])), 6) == 0


def test_a_hurried_outline_that_is_wide_enough_was_widened_once_more() -> None:
    wide = outlined(BODY.grow(3, SIZE))
    assert np.array_equal(hole_of(photo_with_body(), wide), wide.full_mask(SIZE))


def test_of_an_outline_that_is_wide_on_one_side_only_the_other_is_widened() -> None:
    shifted = Box(BODY.x0 + 3, BODY.y0, BODY.x1 + 3, BODY.y1)
    hole = hole_of(photo_with_body(), outlined(shifted))
    assert hole[60:110, BODY.x0].all() and not hole[60:110, shifted.x1 :].any()


def test_a_nets_outline_is_trusted_less_than_a_hands() -> None:
    photo = photo_with_body()
    assert hole_of(photo, outlined(BODY, "blazepose")).sum() > hole_of(photo, outlined(BODY)).sum()


def test_what_a_request_says_is_done_to_the_pixel() -> None:
    region = Region(dilate=0.05, feather=0)
    margin = Margin.of(outlined(BODY), region)
    assert margin == Margin(5, 5, 0)
    away = cv2.distanceTransform((~outlined(BODY).full_mask(SIZE)).view(np.uint8), cv2.DIST_L2, 5)
    assert np.array_equal(hole_of(photo_with_body(), outlined(BODY), region), away < 6)
    assert np.array_equal(
        hole_of(photo_with_body(), outlined(BODY), Region(dilate=0, feather=0)), outlined(BODY).full_mask(SIZE)
    )


def test_nobody_who_stays_is_a_fringe() -> None:
    short = outlined(Box(BODY.x0 + 3, *BODY[1:]))
    kept = np.zeros(SIZE, bool)
    kept[:, : BODY.x0 + 3] = True
    box, mask, _ = widened(photo_with_body(), short, Margin.of(short, Region()), kept)
    assert not (mask & kept[box.slices]).any()


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_the_guided_filter_leaves_an_even_mask(value: float) -> None:
    photo = photo_with_body().astype(np.float32) / 255
    assert np.allclose(guided(np.full(SIZE, value, np.float32), photo, 6), value, atol=1e-3)


@pytest.mark.parametrize("other", [(40, 20), (1, 1)])
def test_two_things_far_apart_in_one_mask_were_widened_by_the_height_of_both(other: tuple[int, int]) -> None:
    photo = Photo(np.random.default_rng(0).integers(90, 110, (1200, 900, 3)).astype(np.uint8))
    alone = np.zeros((1200, 900), bool)
    alone[60:100, 200:220] = True
    both = alone.copy()
    both[1130 : 1130 + other[0], 700 : 700 + other[1]] = True
    changed = []
    for mask in (alone, both):
        scene = Scene(photo, (Person.from_mask(1, mask),))
        box, matte = plan_layers(scene, (1,), Region()).mattes[1]
        whole = np.zeros(mask.shape, bool)
        whole[box.slices] = matte > 0
        assert whole[mask].all()
        changed.append(whole[:600])
    assert (changed[0] == changed[1]).all()


def test_a_sprayed_mask_falls_apart_and_a_found_person_not_at_all() -> None:
    mask = np.zeros((1500, 1500), bool)
    mask[::125, ::125] = True
    sprayed = Person.from_mask(1, mask)
    parts = things(sprayed, Region())
    assert len(parts) == 144 and sum(part.area for part in parts) == sprayed.area
    assert things(Person.from_mask(1, mask, source="nanodet"), Region())[0].area == sprayed.area


@pytest.mark.parametrize("ground", ["steel", "grass"])
def test_a_wide_hurried_outline_took_the_door_behind_for_the_person(ground: str) -> None:
    """A steel door around a dark dress: the strip of it that lay inside the outline spoke for the person."""
    photo = photo_with_body()
    if ground == "steel":
        rng = np.random.default_rng(0)
        door = 150 + 40 * np.sin(np.arange(SIZE[1]) / 9)[None, :, None] + rng.normal(0, 3, (*SIZE, 1))
        photo = np.repeat(np.clip(door, 0, 255).astype(np.uint8), 3, axis=2)
        dress = np.asarray((30, 25, 40)) + rng.normal(0, 6, (BODY.height, BODY.width, 3))
        photo[BODY.slices] = np.clip(dress, 0, 255).astype(np.uint8)
    wide = outlined(BODY.grow(6, SIZE))
    assert np.array_equal(hole_of(photo, wide), wide.full_mask(SIZE))


def test_an_outline_is_hurried_where_both_its_sides_are_the_surroundings() -> None:
    photo = photo_with_body()
    wide = BODY.grow(6, SIZE)
    loose = slack(photo, outlined(wide), 2)
    assert loose is not None and loose[:3].all() and loose[:, :3].all() and loose[:, -3:].all()
    assert slack(photo, outlined(BODY), 2) is None
    # Six pixels off: at the left both sides are the body.
    shifted = slack(photo, outlined(Box(BODY.x0 + 6, BODY.y0, BODY.x1 + 6, BODY.y1)), 2)
    assert shifted is None or (shifted[20:80, -3:].all() and not shifted[20:80, :3].any())


@pytest.mark.parametrize("off", [(5, 0), (-4, 3), (0, -5)])
def test_an_outline_that_lay_beside_the_person_left_a_strip_of_them(off: tuple[int, int]) -> None:
    photo, drawn = (
        photo_with_body(),
        outlined(Box(BODY.x0 + off[0], BODY.y0 + off[1], BODY.x1 + off[0], BODY.y1 + off[1])),
    )
    hole = hole_of(photo, drawn)
    assert hole[BODY.slices].all(), "nothing of the body is left"
    assert hole[drawn.box.slices].all(), "what is drawn goes"
    assert not (hole & ~outlined(BODY.grow(5, SIZE)).full_mask(SIZE) & ~drawn.full_mask(SIZE)).any()


def test_only_an_outline_that_is_wrong_all_around_is_moved() -> None:
    photo, exact, wide = photo_with_body(), outlined(BODY), outlined(BODY.grow(4, SIZE))
    assert moved(photo, exact, 6) is None and moved(photo, wide, 6) is None
    dent = exact.full_mask(SIZE)
    dent[60:80, BODY.x0 : BODY.x0 + 6] = False
    assert moved(photo, Person.from_mask(1, dent), 6) is None
    told = Region(dilate=0.0, feather=0.0)
    off = outlined(Box(BODY.x0 + 5, BODY.y0, BODY.x1 + 5, BODY.y1))
    assert np.array_equal(hole_of(photo, off, told), off.full_mask(SIZE)), "who says how far is obeyed"


def test_a_shifted_outline_is_moved_by_as_much_in_a_large_photo_and_at_its_edge() -> None:
    size, scale = (SIZE[1] * 6, SIZE[0] * 6), 6
    at_edge = Box(0, 40, 50, 160)
    for body in (BODY, at_edge):
        photo = cv2.resize(photo_with_body(body), size, interpolation=cv2.INTER_NEAREST)
        mask = np.zeros(photo.shape[:2], bool)
        mask[(body.y0 + 3) * scale :, max(0, body.x0 - 4) * scale : (body.x1 - 4) * scale] = True
        mask[min(body.y1 + 3, SIZE[0]) * scale :] = False
        there = moved(photo, Person.from_mask(1, mask), 8 * scale)
        assert (
            there is not None
            and abs(there.box.y0 - body.y0 * scale) < 2 * scale
            and abs(there.box.x1 - body.x1 * scale) < 2 * scale
        )


def test_a_mask_of_noise_had_an_outline_longer_than_what_is_sampled_at_once() -> None:
    rng = np.random.default_rng(2)
    photo = rng.integers(0, 256, (520, 520, 3)).astype(np.uint8)
    sponge = np.zeros((520, 520), bool)
    sponge[::2] = True
    sponge[:, 0] = True
    assert moved(photo, Person.from_mask(1, sponge), 6) is None
