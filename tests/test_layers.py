"""Composition: what is not hidden is the photo, bit for bit."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mild.errors import UsageError
from mild.layers import Layer, LayerStack
from mild.people.scene import Box


def stack(seed: int, size: tuple[int, int] = (24, 30)) -> LayerStack:
    """A random photo, background and two overlapping people with random mattes."""
    rng = np.random.default_rng(seed)
    height, width = size

    def rgba(box: Box) -> np.ndarray:
        return rng.integers(0, 256, (box.height, box.width, 4), dtype=np.uint8)

    whole = Box(0, 0, width, height)
    layers = [Layer("background", None, "background", whole, rgba(whole), np.ones(size, bool))]
    for owner, box in ((1, Box(2, 3, 14, 20)), (2, Box(8, 5, 28, 24))):
        matte = rng.choice(np.array([0, 80, 255], np.uint8), (box.height, box.width))
        layers.append(Layer("person", owner, f"person {owner}", box, rgba(box), np.zeros(matte.shape, bool), matte))
    return LayerStack(rng.integers(0, 256, (*size, 3), dtype=np.uint8), tuple(layers), frozenset({1}))


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6), st.sets(st.sampled_from([1, 2])))
def test_pixels_that_no_matte_reaches_are_the_photo(seed: int, hide: set[int]) -> None:
    one = stack(seed)
    untouched = one.change_matte(hide) == 0
    assert np.array_equal(one.compose(hide)[untouched], one.photo[untouched])


def test_nobody_hidden_is_the_photo() -> None:
    one = stack(0)
    assert np.array_equal(one.compose(()), one.photo)


def test_the_default_hides_whom_the_job_erased() -> None:
    one = stack(1)
    assert np.array_equal(one.compose(), one.compose({1}))
    assert not np.array_equal(one.compose(), one.photo)


def test_inside_the_matte_background_then_people_in_order() -> None:
    one = stack(2)
    picture = one.compose({1})
    one_matte = one.change_matte({1})
    ys, xs = np.nonzero(one_matte == 255)
    person = one.layer_of(2)
    for y, x in list(zip(ys, xs, strict=True))[:40]:
        expected = one.background.rgba[y, x]
        value = one.photo[y, x] + (expected[:3].astype(float) - one.photo[y, x]) * (expected[3] / 255)
        if person.box.y0 <= y < person.box.y1 and person.box.x0 <= x < person.box.x1:
            over = person.rgba[y - person.box.y0, x - person.box.x0].astype(float)
            value = value + (over[:3] - value) * over[3] / 255
        assert np.abs(picture[y, x] - value).max() <= 0.51


def test_compose_leaves_the_stack_alone() -> None:
    one = stack(3)
    before = one.photo.copy()
    one.compose({1, 2})
    assert np.array_equal(one.photo, before)


def test_to_front_moves_one_layer() -> None:
    owners = [layer.owner for layer in stack(4).to_front(1).layers]
    assert owners == [None, 2, 1]


def test_an_unknown_person_is_one_sentence() -> None:
    with pytest.raises(UsageError, match="no layer of person 7"):
        stack(5).compose({7})
