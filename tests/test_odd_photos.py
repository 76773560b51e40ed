"""Photos that nobody foresaw: the finder answers, and takes no longer than for others."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from mild.models import assets
from mild.people.finders import byboxes
from mild.photo import Photo

BAR = Path(__file__).parent.parent / "examples" / "bar55.jpg"

pytestmark = pytest.mark.skipif(
    any(assets.locate(name) is None for name in ("blazepose", "nanodet")),
    reason="the person finder's nets are not here; `python -m mild.models.assets` fetches them",
)


def _grey(pixels: np.ndarray) -> np.ndarray:
    return np.repeat(pixels.mean(-1, keepdims=True), 3, -1).astype(np.uint8)


@pytest.mark.parametrize(
    ("odd", "least"),
    [
        (lambda pixels: pixels[::-1, ::-1], 0),
        (_grey, 3),
        (lambda pixels: pixels // 16, 0),
        (lambda pixels: np.tile(cv2.resize(pixels, (200, 150)), (4, 4, 1)), 3),
        (lambda pixels: cv2.resize(pixels, (5657, 4243)), 3),
    ],
    ids=["upside down", "grey", "very dark", "crowd", "24 MP"],
)
def test_odd_photos_are_searched(odd: Callable[[np.ndarray], np.ndarray], least: int) -> None:
    pixels = np.ascontiguousarray(odd(Photo.open(BAR).pixels))
    begun = time.process_time()
    scene = byboxes.find(Photo.from_array(pixels), "nanodet")
    assert time.process_time() - begun < 30
    assert len(scene.sure) >= least
    covered = sum(person.area for person in scene.people)
    assert covered == int((scene.label_map() > 0).sum()), "nobody's pixels are somebody else's too"
