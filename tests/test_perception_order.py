"""Who stands in front of whom, on drawn people."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from mild.people.order import estimate_order, pair_votes, ranked
from perception_scenes import person

SIZE = (100, 200)


def standing(id: int, x: int, feet: int, tall: int, hidden: tuple[float, float] | None = None):  # type: ignore[no-untyped-def]
    points = np.zeros((17, 3), np.float32)
    points[15:, :] = (x + 5, feet - 1, 0.9)
    if hidden is not None:
        points[9] = (*hidden, 0.3)
    return person(id, x, feet - tall, x + 10, feet, keypoints=points)


def test_lower_feet_and_larger_body_are_nearer() -> None:
    people = [standing(1, 10, 90, 60), standing(2, 50, 60, 30), standing(3, 90, 75, 45)]
    assert estimate_order(people, SIZE) == (2, 3, 1)


def test_a_joint_under_a_mask_beats_feet() -> None:
    near, far = standing(1, 10, 80, 40), standing(2, 22, 82, 40, hidden=(15, 60))
    assert pair_votes(near, far, SIZE)["covering"] > 0
    assert estimate_order([near, far], SIZE) == (2, 1)


def test_contested_pixels_count_either_way_round() -> None:
    a, b = standing(1, 10, 80, 40), standing(2, 30, 80, 40)
    assert estimate_order([a, b], SIZE, {(1, 2): (90, 10)}) == (2, 1)
    assert estimate_order([a, b], SIZE, {(1, 2): (10, 90)}) == (1, 2)
    assert estimate_order([a, b], SIZE, {(2, 1): (10, 90)}) == (2, 1)


def test_a_body_cut_by_the_lower_edge_is_nearer_than_feet_above_it() -> None:
    cut = person(1, 10, 40, 30, 100)
    assert estimate_order([cut, standing(2, 50, 95, 60)], SIZE) == (2, 1)


def test_circle_drops_the_weakest_vote() -> None:
    assert ranked([1, 2, 3], [(0.9, 1, 2), (0.8, 2, 3), (0.1, 3, 1)]) == (3, 2, 1)


@given(st.data())
def test_any_votes_give_one_order(data: st.DataObject) -> None:
    ids = list(range(1, data.draw(st.integers(1, 7)) + 1))
    votes = []
    for i in ids:
        for j in ids[i:]:
            front, back = (i, j) if data.draw(st.booleans()) else (j, i)
            votes.append((data.draw(st.floats(0, 2)), front, back))
    order = ranked(ids, votes)
    assert sorted(order) == ids
    if votes:
        _, front, back = max(votes, key=lambda v: (v[0], -v[1], -v[2]))
        assert order.index(front) > order.index(back), "the clearest vote always holds"


def test_nobody_and_alone() -> None:
    assert estimate_order([], SIZE) == ()
    assert estimate_order([standing(4, 10, 80, 40)], SIZE) == (4,)
