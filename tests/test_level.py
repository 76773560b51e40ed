"""The light of a copied place, drawn towards its surroundings' no further than its texture hides."""

from __future__ import annotations

import numpy as np
import pytest

from mild.paint.level import MOST, UNSEEN, levelled


def scene(grain: float, off: float) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """A fill that is ``off`` levels brighter than its even surroundings: fill, photo, own, hole."""
    rng = np.random.default_rng(0)
    photo = 120 + grain * rng.standard_normal((80, 100, 1)).repeat(3, 2)
    hole = np.zeros((80, 100), bool)
    hole[20:60, 25:75] = True
    fill = photo + off * hole[..., None]
    return fill.astype(np.float32), np.clip(photo, 0, 255).astype(np.uint8), ~hole, hole


@pytest.mark.parametrize("off", [9.0, -9.0])
def test_light_of_another_place_is_drawn_a_third_towards_the_surroundings(off: float) -> None:
    fill, photo, own, hole = scene(16, off)
    change = (levelled(fill, photo, own, hole) - fill)[30:50, 35:65].mean()
    assert change == pytest.approx(-off / 3, abs=1)


def test_no_further_than_the_texture_hides_and_not_at_all_where_there_is_none() -> None:
    """A haze where light and shade met in a hole, and on every plain wall."""
    for grain in (0.0, 4.0, 40.0):
        fill, photo, own, hole = scene(grain, 90)
        inner = np.abs(levelled(fill, photo, own, hole) - fill)[35:45, 40:60]
        assert inner.max() <= min(MOST, UNSEEN * 1.5 * grain) + 0.05
        assert grain == 0 or inner.mean() > 0.3 * min(MOST, UNSEEN * grain)


def test_only_the_hole_changes_and_only_own_pixels_are_read() -> None:
    fill, photo, own, hole = scene(10, 20)
    own[:, 90:] = False
    made = levelled(fill, photo, own, hole)
    assert np.array_equal(made[~hole], fill[~hole])
    other = photo.copy()
    other[~own] = 255 - other[~own]
    assert np.array_equal(levelled(fill, other, own, hole), made)
    assert levelled(fill, photo, np.zeros_like(own), hole) is fill
