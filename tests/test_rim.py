"""A hole without a soft edge joins the photo, and nothing else changes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

import mild
from mild.lab.bench.metrics.fidelity import seam
from mild.paint import assemble
from mild.paint.rim import WIDTH, join_rim

BoolMask = NDArray[np.bool_]
#: Larger than the exemplars are searched at.
SIZE = 440


def disc(size: int, radius: float) -> BoolMask:
    y, x = np.mgrid[:size, :size] - (size - 1) / 2
    return np.asarray(np.hypot(y, x) <= radius)


def seam_of(picture: NDArray[Any], hole: BoolMask) -> float:
    ratio = seam(np.clip(np.rint(picture), 0, 255).astype(np.uint8), hole, np.zeros_like(hole))
    assert ratio is not None
    return ratio


def soft_light(size: int) -> NDArray[np.uint8]:
    """A smooth photo, on which every step shows."""
    y, x = np.mgrid[:size, :size] / size
    colour = 120 + 50 * np.sin(5 * x + 2 * y) + 30 * np.cos(17 * y) * np.cos(13 * x)
    return np.stack([colour, colour * 0.9, 255 - colour], -1).round().astype(np.uint8)


def test_a_step_along_a_hard_border_is_gone_and_the_middle_stays() -> None:
    hole = disc(96, 30)
    photo = np.full((96, 96, 3), 100, np.float32)
    made = photo + 20 * hole[..., None]
    joined = join_rim(made, photo, hole, ~hole, hole)
    border = hole & ~disc(96, 29)
    assert np.abs(joined[border] - 100).mean() < 0.25 * 20
    assert np.array_equal(joined[~hole], made[~hole])
    inner = disc(96, 30 - 1.5 * WIDTH)
    assert np.array_equal(joined[inner], made[inner])
    # It falls all the way: no new step further inside, and nothing overshoots.
    assert np.abs(np.diff(joined[48, :48, 0])).max() < 0.25 * 20
    assert joined.min() >= 99.9 and joined.max() <= 120.1


def test_texture_is_shifted_not_blurred() -> None:
    rng = np.random.default_rng(0)
    hole = disc(128, 45)
    photo = rng.normal(100, 5, (128, 128, 3)).astype(np.float32)
    made = photo + 12 * hole[..., None]
    joined = join_rim(made, photo, hole, ~hole, hole)
    rim = hole & ~disc(128, 41)
    before, after = (np.abs(np.diff(image, axis=1))[rim[:, 1:] & rim[:, :-1]].mean() for image in (made, joined))
    assert 0.85 < after / before < 1.1
    assert abs(joined[rim].mean() - 100) < 0.6 * 12


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1), st.floats(0.05, 0.9))
def test_whatever_the_masks_only_the_hard_rim_of_the_hole_changes(seed: int, share: float) -> None:
    rng = np.random.default_rng(seed)
    hole, own, hard = (rng.random((23, 31)) < p for p in (share, 0.7, 0.5))
    photo = rng.integers(0, 256, (23, 31, 3), dtype=np.uint8)
    made = rng.uniform(0, 255, (23, 31, 3)).astype(np.float32)
    kept = made.copy()
    joined = join_rim(made, photo, hole, own, hard)
    assert np.array_equal(made, kept) and np.isfinite(joined).all()
    assert np.array_equal(joined[~hole], made[~hole])
    unread = photo.copy()
    unread[~own | hole] = 255 - unread[~own | hole]
    assert np.array_equal(join_rim(made, unread, hole, own, hard), joined)
    assert join_rim(made, photo, hole, own, np.zeros_like(hard)) is made
    assert join_rim(made, photo, hole, np.zeros_like(own), hard) is made


def test_a_fringe_of_the_erased_is_not_drawn_into_the_fill() -> None:
    hole = disc(96, 30)
    made = np.full((96, 96, 3), 150, np.float32)
    photo = made.copy()
    photo[disc(96, 32) & ~hole] = (200, 20, 30)
    assert np.array_equal(join_rim(made, photo, hole, ~hole, hole), made)


def test_a_painting_that_fits_is_left_alone() -> None:
    photo = np.full((40, 40, 3), 90, np.float32)
    hole = disc(40, 12)
    assert np.array_equal(join_rim(photo, photo, hole, ~hole, hole), photo)


def test_a_mask_without_margin_and_soft_edge_left_a_line_along_its_border(monkeypatch: pytest.MonkeyPatch) -> None:
    photo, hole = soft_light(SIZE), disc(SIZE, 110)
    hole[SIZE // 2 :, 200:240] |= True  # to the photo's edge
    marked = photo.copy()
    marked[hole] = 127
    # Where the search runs at the photo's own size and nothing is corrected, there is no line to begin with.
    monkeypatch.setattr("mild.plan.sizes.FINEST", 384)
    exact = {"mask": hole, "dilate": 0.0, "feather": 0.0, "correct": True}
    joined = mild.erase(marked, **exact).photo.pixels
    assert np.array_equal(joined[~hole], photo[~hole])
    monkeypatch.setattr(assemble, "join_rim", lambda made, *_: made)
    before = mild.erase(marked, **exact).photo.pixels
    assert seam_of(before, hole) > 1.4
    assert seam_of(joined, hole) < 1.05
    assert (
        np.abs(joined[hole] - photo[hole].astype(float)).mean()
        <= np.abs(before[hole] - photo[hole].astype(float)).mean()
    )


def test_a_soft_edge_is_left_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    photo, hole = soft_light(160), disc(160, 38)
    photo[hole] = 127
    given: list[bool] = []

    def watched(made: NDArray[np.float32], *masks: Any) -> NDArray[np.float32]:
        given.append(join_rim(made, *masks) is made)
        return made

    monkeypatch.setattr(assemble, "join_rim", watched)
    mild.erase(photo, mask=hole)
    assert given == [True]
