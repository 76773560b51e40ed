"""Who stands in front of whom, on drawn people."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mild.people.order import estimate_order, pair_votes, placed, ranked
from mild.people.scene import Person
from perception_scenes import person

SIZE = (100, 200)


def standing(id: int, x: int, feet: int, tall: int):  # type: ignore[no-untyped-def]
    points = np.zeros((17, 3), np.float32)
    points[15:, :] = (x + 5, feet - 1, 0.9)
    return person(id, x, feet - tall, x + 10, feet, keypoints=points)


def test_lower_feet_and_larger_body_are_nearer() -> None:
    people = [standing(1, 10, 90, 60), standing(2, 50, 60, 30), standing(3, 90, 75, 45)]
    assert estimate_order(people, SIZE) == (2, 3, 1)


def test_of_two_as_large_a_part_of_the_taller_is_hidden() -> None:
    whole, hidden = person(1, 10, 50, 40, 80), person(2, 100, 20, 115, 80)
    votes = pair_votes(whole, hidden, SIZE)
    assert votes["area"] == votes["lowest"] == votes["feet"] == 0 > votes["height"]
    assert estimate_order([whole, hidden], SIZE) == (2, 1)
    taller = person(2, 100, 20, 160, 80)
    assert estimate_order([whole, taller], SIZE) == (1, 2), "as much larger as taller: nearer"


def test_whoever_is_open_within_their_hull_is_behind() -> None:
    mask = np.zeros(SIZE, bool)
    mask[40:80, 40:80] = True
    mask[45:80, 55:65] = False
    open_, whole = Person.from_mask(1, mask), person(2, 78, 45, 113, 80)
    assert pair_votes(whole, open_, SIZE)["solid"] == pytest.approx(0.5, abs=0.1)


def test_whose_outline_is_open_where_two_touch_is_behind() -> None:
    """Equal feet and sizes: of the one behind, the one in front took a bite."""
    whole = np.zeros(SIZE, bool)
    whole[50:80, 40:60] = True
    bitten = np.zeros(SIZE, bool)
    bitten[48:80, 25:55] = True
    bitten &= ~whole
    front, back = Person.from_mask(1, whole), Person.from_mask(2, bitten)
    assert pair_votes(front, back, SIZE)["bite"] > 0.9
    assert estimate_order([front, back], SIZE) == (2, 1)


def test_a_drawn_region_is_in_front_but_not_of_whoever_surely_hides_it() -> None:
    """A woman's hair was completed over the man behind her, whose outline somebody had drawn."""
    near = np.zeros(SIZE, bool)
    near[30:100, 60:110] = True
    drawn = np.zeros(SIZE, bool)
    drawn[5:60, 45:125] = True
    drawn &= ~near
    far, woman, man = standing(1, 150, 50, 20), Person.from_mask(2, near), Person.from_mask(3, drawn, source="mask")
    assert placed(man, [far, woman], (1, 2), SIZE) == (1, 3, 2), "she took a bite out of him, is lower, and larger"
    thing = np.zeros(SIZE, bool)
    thing[60:75, 90:120] = True
    bag = Person.from_mask(3, thing, source="mask")
    held = Person.from_mask(2, near & ~thing)
    assert placed(bag, [far, held], (1, 2), SIZE) == (1, 2, 3), "smaller and higher up, but she does not hide it"


def test_people_who_do_not_touch_are_judged_by_place_and_size_alone() -> None:
    assert set(pair_votes(standing(1, 10, 80, 40), standing(2, 90, 80, 40), SIZE)) == {
        "lowest", "area", "feet", "height",
    }  # fmt: skip


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
