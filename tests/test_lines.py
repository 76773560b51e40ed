"""A line that enters a hole leaves it at the same height."""

from __future__ import annotations

import math
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from mild.fill import prior
from mild.fill.lines import Line, line_guide, lines_through
from mild.fill.prior import exemplar_fill

SIZE = 160
BoolMask = NDArray[np.bool_]


def two_fields(angle: float, offset: float = 0.0) -> tuple[NDArray[np.uint8], NDArray[np.float64]]:
    """Dark and light, a line through the middle; and each pixel's distance to it."""
    y, x = np.mgrid[:SIZE, :SIZE] - (SIZE - 1) / 2
    distance = y * math.cos(angle) - x * math.sin(angle) - offset
    noise = np.random.default_rng(0).normal(0, 2, (SIZE, SIZE, 1))
    grey = np.where(distance[..., None] > 0, (60.0, 80.0, 90.0), (190.0, 200.0, 210.0)) + noise
    return np.clip(grey, 0, 255).astype(np.uint8), distance


def disc(radius: float = 35) -> BoolMask:
    y, x = np.mgrid[:SIZE, :SIZE] - SIZE / 2
    return np.asarray(np.hypot(x, y) < radius)


@pytest.mark.parametrize("angle", [0.0, 0.3, math.pi / 2, 2.5])
def test_a_line_is_found_where_it_is(angle: float) -> None:
    photo, distance = two_fields(angle, 8)
    (line,) = lines_through(photo, ~disc(), disc())
    y, x = np.mgrid[:SIZE, :SIZE].astype(np.float32)
    found = line.distance(x, y)
    assert min(np.abs(found - distance).max(), np.abs(found + distance).max()) < 2.5
    assert line.continued(photo, disc()) == 1
    moved, _ = two_fields(angle, 16)
    assert line.continued(moved, disc()) < 0.2


@pytest.mark.parametrize("noise", [30, 40, 50])
def test_a_line_that_the_photos_own_size_shows_in_pieces_was_not_continued(noise: int) -> None:
    rng = np.random.default_rng(0)
    photo = np.full((400, 640, 3), (190, 200, 205), np.float64) + rng.normal(0, noise, (400, 640, 3))
    photo[200:] -= 45
    hole = np.zeros((400, 640), bool)
    hole[100:380, 260:380] = True
    (line,) = lines_through(np.clip(photo, 0, 255).astype(np.uint8), ~hole, hole)
    assert abs(line.offset - 199.5) < 2 and abs(line.normal[1]) > 0.99
    assert line.gap[:, 0].min() < 300 < 340 < line.gap[:, 0].max() and len(line.gap) > 80


def test_what_is_no_line() -> None:
    hole = disc()
    rng = np.random.default_rng(1)
    noise = cv2.GaussianBlur(rng.integers(0, 255, (SIZE, SIZE, 3)).astype(np.uint8), (0, 0), 2)
    assert lines_through(noise, ~hole, hole) == []
    flat = np.full((SIZE, SIZE, 3), 90, np.uint8)
    flat[hole] = 255
    flat[:, 100:] = 10
    own = ~hole
    own[:, 98:] = False
    assert lines_through(flat, own, hole) == [], "the border of a mask is no line"
    # A line that ends at the hole may end anywhere behind it.
    photo, _ = two_fields(0)
    photo[:, SIZE // 2 :] = 128
    assert lines_through(photo, ~hole, hole) == []
    # Seen on both sides, but of other things.
    photo, _ = two_fields(0)
    photo[:, SIZE // 2 :] = 255 - photo[:, SIZE // 2 :]
    assert lines_through(photo, ~hole, hole) == []


def test_the_guide_is_bent_only_near_the_line() -> None:
    photo, distance = two_fields(0)
    guide = line_guide(lines_through(photo, ~disc(), disc()), (SIZE, SIZE))
    assert guide.shape == (SIZE, SIZE, 3) and not guide[..., 1:].any()
    assert len(np.unique(guide[distance > 20, 0])) == len(np.unique(guide[distance < -20, 0])) == 1
    assert np.abs(np.diff(guide[70:90, 10, 0])).min() > 0


def test_a_broken_line_is_searched_again_and_only_then(monkeypatch: pytest.MonkeyPatch) -> None:
    photo, _ = two_fields(0)
    hole, guides = disc(), []
    broken, _ = two_fields(0, 20)

    def inpainted(*given: object) -> NDArray[np.uint8]:
        guides.append(given[3])
        return broken if given[3] is None else photo

    monkeypatch.setattr(prior, "_inpaint", inpainted)
    assert np.array_equal(exemplar_fill(photo, ~hole, hole), photo) and len(guides) == 2
    # A second try that is no better is not taken.
    monkeypatch.setattr(prior, "_inpaint", lambda *given: broken if given[3] is None else 255 - photo)
    assert np.array_equal(exemplar_fill(photo, ~hole, hole)[hole], broken[hole])
    guides.clear()
    monkeypatch.setattr(prior, "_inpaint", lambda *given: guides.append(given[3]) or photo)
    exemplar_fill(photo, ~hole, hole)
    assert guides == [None]
    monkeypatch.setattr(prior, "_inpaint", inpainted)
    assert np.array_equal(exemplar_fill(photo, ~hole, hole, follow=False)[hole], broken[hole])


def test_the_horizon_of_cold_water_dropped_behind_the_erased_man() -> None:
    folder = Path(__file__).resolve().parents[1] / "examples"
    photo = cv2.cvtColor(cv2.imread(str(folder / "cold_water.jpg")), cv2.COLOR_BGR2RGB)
    small = cv2.resize(photo, (384, 256), interpolation=cv2.INTER_AREA)
    man = np.zeros(small.shape[:2], np.uint8)
    outline = [[205, 105], [205, 76], [238, 76], [238, 105], [258, 114], [316, 160], [310, 172], [256, 150], [256, 255],
               [186, 255], [188, 150], [140, 170], [130, 160], [186, 114]]  # fmt: skip
    cv2.fillPoly(man, [np.asarray(outline, np.int32)], 1)
    hole = cv2.dilate(man, np.ones((5, 5), np.uint8)) > 0
    blue = np.zeros_like(hole)
    blue[118:, 48:132] = True  # the two who stay
    (line, *_) = lines_through(small, ~hole & ~blue, hole)
    assert isinstance(line, Line) and abs(line.normal[1]) > 0.99
    for seed in range(3):
        assert line.continued(exemplar_fill(small, ~hole & ~blue, hole & ~blue, seed=seed), hole) > 0.8
