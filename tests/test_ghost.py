"""A figure of a result that needs no truth: is the old outline still there?"""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from mild.paint.ghost import ghost

SIZE = (160, 200)


@pytest.fixture
def scene() -> tuple[np.ndarray, np.ndarray]:
    """Grass, and where somebody stood."""
    rng = np.random.default_rng(1)
    fine, coarse = (cv2.GaussianBlur(rng.standard_normal((*SIZE, 3)).astype(np.float32), (0, 0), s) for s in (1.0, 8.0))
    grass = np.clip(120 + 16 * fine / fine.std() + 12 * coarse / coarse.std(), 0, 255).astype(np.uint8)
    person = np.zeros(SIZE, bool)
    person[40:130, 70:120] = True
    return grass, person


def test_the_truth_has_no_ghost(scene: tuple[np.ndarray, np.ndarray]) -> None:
    grass, person = scene
    told = ghost(grass, person)
    assert told is not None and 0.8 < told < 1.2


def test_an_outline_that_stayed_is_told(scene: tuple[np.ndarray, np.ndarray]) -> None:
    grass, person = scene
    edge = cv2.morphologyEx(person.astype(np.uint8), cv2.MORPH_GRADIENT, np.ones((3, 3), np.uint8)) > 0
    right, wrong = ghost(grass, person), ghost(np.where(edge[..., None], np.uint8(20), grass), person)
    assert right is not None and wrong is not None and wrong > 1.15 * right


def test_who_is_too_small_or_nobody_says_nothing() -> None:
    photo = np.zeros((40, 40, 3), np.uint8)
    person = np.zeros((40, 40), bool)
    assert ghost(photo, person) is None
    person[3:6, 3:6] = True
    assert ghost(photo, person) is None
