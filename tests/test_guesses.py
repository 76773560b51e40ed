"""Outlines of which none is sure: their mean, and what a point tells of them."""

from __future__ import annotations

import numpy as np

from mild.people.guesses import Guesses
from mild.people.scene import Box

SIZE = (100, 200)


def guesses(*boxes: tuple[int, int, int, int], values: tuple[float, ...] | None = None) -> Guesses:
    """Boxes of a photo as guesses, all alike good."""
    masks = np.zeros((len(boxes), 256, 256), np.uint8)
    for mask, (x0, y0, x1, y1) in zip(masks, boxes, strict=True):
        mask[y0:y1, x0:x1] = 255
    affine = np.repeat(np.eye(2, 3)[None], len(boxes), 0)
    return Guesses(masks, affine, np.array(boxes, float), np.array(values or (0.5,) * len(boxes)))


def test_the_mean_is_what_most_of_them_hold() -> None:
    seen = guesses((20, 20, 60, 80), (22, 20, 60, 80), (20, 20, 160, 80))
    mask = seen.outline(SIZE)
    assert mask is not None and mask[50, 40] and not mask[50, 120]


def test_a_better_one_outweighs_more_of_the_others() -> None:
    seen = guesses((20, 20, 60, 80), (20, 20, 60, 80), (20, 20, 160, 80), values=(0.2, 0.2, 0.7))
    mask = seen.outline(SIZE)
    assert mask is not None and mask[50, 120]


def test_pixels_of_others_are_not_theirs() -> None:
    others = np.zeros(SIZE, bool)
    others[:, 40:] = True
    seen = guesses((20, 20, 60, 80))
    mask = seen.outline(SIZE, others)
    assert mask is not None and not (mask & others).any() and mask[50, 30]
    assert seen.outline(SIZE, np.ones(SIZE, bool)) is None
    assert Guesses.none().outline(SIZE) is None


def test_each_point_tells_for_some_and_against_others() -> None:
    small, large = (20, 20, 60, 80), (20, 20, 160, 80)
    seen = guesses(small, large)
    assert seen.weights().tolist() == [0.5, 0.5]
    on, off = seen.weights(on=[(120, 50)]), seen.weights(off=[(120, 50)])
    assert on[1] > 0.9 and off[0] > 0.9
    assert seen.weights(on=[(199, 99)]).sum() == 1, "a point that contradicts all leaves what was before"


def test_a_mask_counts_in_its_box_alone() -> None:
    seen = guesses((20, 20, 160, 80))
    narrow = Guesses(seen.masks, seen.to_net, np.array([[20.0, 20.0, 60.0, 80.0]]), seen.values)
    soft = narrow.inside(Box(0, 0, 200, 100), (100, 50))
    assert soft[0, 25, 20] == 1 and soft[0, 25, 60] == 0
    assert narrow.weights(on=[(120, 50)]).tolist() == [1.0]
