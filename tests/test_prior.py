"""The exemplar prior copies the layer's own pixels and nothing else."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mild.fill.prior import exemplar_fill


def scene(seed: int = 0, size: int = 48) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A green texture with a hole, and a bright red foreign region that touches it."""
    rng = np.random.default_rng(seed)
    rgb = np.zeros((size, size, 3), np.uint8)
    rgb[..., 1] = rng.integers(80, 160, (size, size))
    hole = np.zeros((size, size), bool)
    hole[14:34, 14:28] = True
    foreign = np.zeros_like(hole)
    foreign[10:40, 28:40] = True
    rgb[foreign] = (255, 0, 0)
    return rgb, hole, foreign


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 1000))
def test_no_foreign_pixel_leaks_into_the_hole(seed: int) -> None:
    rgb, hole, foreign = scene(seed)
    filled = exemplar_fill(rgb, ~(hole | foreign), hole)
    assert filled[hole][:, 0].max() == 0, "red came from the foreign region"
    assert np.array_equal(filled[~hole], rgb[~hole])


def test_what_lies_in_the_hole_does_not_matter() -> None:
    rgb, hole, foreign = scene()
    other = rgb.copy()
    other[hole] = 255
    own = ~(hole | foreign)
    assert np.array_equal(exemplar_fill(rgb, own, hole)[hole], exemplar_fill(other, own, hole)[hole])


def test_what_is_foreign_does_not_matter() -> None:
    rgb, hole, foreign = scene()
    other = rgb.copy()
    other[foreign] = (0, 0, 255)
    own = ~(hole | foreign)
    assert np.array_equal(exemplar_fill(rgb, own, hole)[hole], exemplar_fill(other, own, hole)[hole])


def test_the_same_seed_gives_the_same_pixels() -> None:
    rgb, hole, foreign = scene()
    own = ~(hole | foreign)
    assert np.array_equal(exemplar_fill(rgb, own, hole, seed=3), exemplar_fill(rgb, own, hole, seed=3))


def test_too_few_own_pixels_give_their_mean_colour() -> None:
    rgb, hole, _ = scene()
    own = np.zeros_like(hole)
    own[0, :8] = True
    assert np.array_equal(
        np.unique(exemplar_fill(rgb, own, hole)[hole], axis=0), rgb[own].mean(0, keepdims=True).astype(np.uint8)
    )


@pytest.mark.parametrize("size", [(1, 1), (3, 40), (40, 3), (9, 9)])
def test_tiny_photos(size: tuple[int, int]) -> None:
    rgb = np.full((*size, 3), 90, np.uint8)
    hole = np.zeros(size, bool)
    hole[0, 0] = True
    assert exemplar_fill(rgb, ~hole, hole).shape == rgb.shape


def test_no_hole_changes_nothing() -> None:
    rgb, hole, _ = scene()
    assert np.array_equal(exemplar_fill(rgb, ~hole, np.zeros_like(hole)), rgb)
