"""Figures of a result that need no truth: each fault raises its own."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from mild.paint.looks import looks

SIZE = (160, 200)


@pytest.fixture
def scene() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Grass, the same with somebody on it, and where."""
    rng = np.random.default_rng(1)
    fine, coarse = (cv2.GaussianBlur(rng.standard_normal((*SIZE, 3)).astype(np.float32), (0, 0), s) for s in (1.0, 8.0))
    grass = np.clip(120 + 40 * fine / fine.std() * 0.4 + 30 * coarse / coarse.std() * 0.4, 0, 255).astype(np.uint8)
    hole = np.zeros(SIZE, bool)
    hole[40:130, 70:120] = True
    photo = grass.copy()
    photo[hole] = (200, 40, 40)
    photo[60:80, 80:110] = (20, 20, 90)
    return photo, grass, hole


def test_the_truth_has_no_fault(scene: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
    photo, grass, hole = scene
    told = looks(photo, grass, hole)
    assert told["relief"] < 2 and told["fog"] > 0.6 and told["repeats"] == 0
    assert 0.8 < told["ghost"] < 1.2 and abs(told["colours"]) < 0.3


def spoilt(kind: str, photo: np.ndarray, grass: np.ndarray, hole: np.ndarray) -> np.ndarray:
    out = grass.astype(np.float32)
    if kind == "relief":
        changed = out + 2.5 * (out - cv2.GaussianBlur(out, (0, 0), 2))
    elif kind == "fog":
        changed = cv2.GaussianBlur(out, (0, 0), 14) + (out - cv2.GaussianBlur(out, (0, 0), 1.5))
    elif kind == "colours":
        changed = 0.75 * out + 0.25 * photo
    elif kind == "ghost":
        edge = cv2.morphologyEx(hole.astype(np.uint8), cv2.MORPH_GRADIENT, np.ones((3, 3), np.uint8)) > 0
        changed = np.where(edge[..., None], 20, out)
        return np.clip(np.where((hole | edge)[..., None], changed, out), 0, 255).astype(np.uint8)
    else:
        changed = out.copy()
        changed[70:100, 75:115], changed[100:130, 75:115] = out[40:70, 75:115], out[40:70, 75:115]
    return np.clip(np.where(hole[..., None], changed, out), 0, 255).astype(np.uint8)


@pytest.mark.parametrize("kind", ["relief", "fog", "ghost", "colours", "repeats"])
def test_each_fault_raises_its_figure(kind: str, scene: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
    photo, grass, hole = scene
    right, wrong = looks(photo, grass, hole)[kind], looks(photo, spoilt(kind, photo, grass, hole), hole)[kind]
    assert (wrong < 0.85 * right) if kind == "fog" else (wrong > 1.15 * right + 0.02)


def test_a_hole_that_is_too_small_says_nothing() -> None:
    photo = np.zeros((40, 40, 3), np.uint8)
    hole = np.zeros((40, 40), bool)
    hole[3:6, 3:6] = True
    assert looks(photo, photo, hole) == {}
