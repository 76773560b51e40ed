"""The fine detail of a painted region is as strong as around it, and nothing outside the hole changes."""

from __future__ import annotations

import numpy as np
import pytest

from mild.paint.grain import LEAST, MOST, in_mixture, match_grain

Case = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]


def case(strength: float, size: int = 160) -> Case:
    """Grain of 8 levels, a hole whose grain is ``strength`` times as strong, a foreign strip beside it."""
    rng = np.random.default_rng(5)
    photo = (120 + rng.normal(0, 8, (size, size, 3))).astype(np.float32)
    hole, foreign = np.zeros((size, size), bool), np.zeros((size, size), bool)
    hole[50:110, 50:110] = True
    foreign[40:120, 110:125] = True
    made = photo.copy()
    made[hole] = 120 + strength * rng.normal(0, 8, (int(hole.sum()), 3))
    return made, photo, hole, ~(hole | foreign)


@pytest.mark.parametrize("strength", [0.5, 0.7, 1.0, 1.2])
def test_the_grain_becomes_that_of_the_surroundings(strength: float) -> None:
    made, photo, hole, own = case(strength)
    out = match_grain(made, photo, hole, own, reach=1.2)
    assert out[hole].std() == pytest.approx(8, rel=0.1)
    assert out[hole].mean() == pytest.approx(120, abs=0.3)


def test_detail_is_not_changed_beyond_the_bounds() -> None:
    for strength, factor in ((0.1, MOST), (3.0, LEAST)):
        made, photo, hole, own = case(strength)
        out = match_grain(made, photo, hole, own, reach=1.2)
        assert out[hole].std() == pytest.approx(factor * made[hole].std(), rel=0.05)


def test_outside_the_hole_nothing_changes() -> None:
    made, photo, hole, own = case(0.5)
    before = made.copy()
    out = match_grain(made, photo, hole, own, reach=1.2)
    assert np.array_equal(out[~hole], before[~hole]) and np.array_equal(made, before)


def test_what_is_foreign_does_not_matter() -> None:
    made, photo, hole, own = case(0.6)
    other, elsewhere = photo.copy(), made.copy()
    other[~own], elsewhere[~hole] = 255, 0
    assert np.array_equal(
        match_grain(made, photo, hole, own, 1.2)[hole], match_grain(elsewhere, other, hole, own, 1.2)[hole]
    )


def test_a_tall_region_is_handled_in_strips(monkeypatch: pytest.MonkeyPatch) -> None:
    made, photo, hole, own = case(0.6)
    whole = match_grain(made, photo, hole, own, 1.2)
    monkeypatch.setattr("mild.paint.grain.ROWS", 32)
    assert np.allclose(match_grain(made, photo, hole, own, 1.2), whole, atol=1e-3)


def test_without_surroundings_nothing_is_matched() -> None:
    made, photo, hole, own = case(0.6)
    assert match_grain(made, photo, hole, np.zeros_like(own), 1.2) is made


def test_a_share_of_the_difference_can_be_left() -> None:
    made, photo, hole, own = case(0.5)
    none, half, all_ = (match_grain(made, photo, hole, own, 1.2, share=share)[hole].std() for share in (0.0, 0.5, 1.0))
    assert none == pytest.approx(made[hole].std(), rel=1e-3)
    assert half == pytest.approx((none * all_) ** 0.5, rel=0.03)


@pytest.mark.parametrize("share", [0.3, 0.5, 0.8])
def test_in_a_soft_edge_fill_and_photo_together_have_the_photos_grain(share: float) -> None:
    """Two grains that know nothing of each other cancel: without the correction .71 of the strength is left at 0.5."""
    made, photo, hole, own = case(1.0)
    soft = np.where(hole, share, 1).astype(np.float32)
    mixed, plain = (
        (photo + (match_grain(made, photo, hole, own, 1.2, soft=edge) - photo) * share)[hole] for edge in (soft, None)
    )
    # Behind the hole the photo's own grain goes on, as it does around a person.
    assert mixed.std() == pytest.approx(8, rel=0.08)
    assert plain.std() == pytest.approx(8 * np.hypot(share, 1 - share), rel=0.08)
    assert np.all(in_mixture(np.asarray([1.0], np.float32)) == 1)
