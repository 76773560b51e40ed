"""Whom does the user mean?"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from mild.errors import MildError, UsageError
from mild.people import manual
from mild.people.drawn import apply_mask
from mild.people.find import select
from mild.people.finders.coco import encode_rle
from mild.people.scene import Box, Person, Scene
from mild.photo import write_image
from mild.plan.planning import plan_layers
from mild.request import Region, Selection
from perception_scenes import SIZE, block, person, two_people


@pytest.fixture(autouse=True)
def no_nets(monkeypatch: pytest.MonkeyPatch) -> None:
    """Marking by hand must work without weights, and these tests must not depend on them."""

    def missing() -> None:
        raise MildError("no nets")

    monkeypatch.setattr(manual, "load_nets", missing)


def chosen(scene: Scene, **fields: object) -> tuple[int, ...]:
    return select(scene, Selection.model_validate(fields))[1]


def maybe(id: int = 3) -> Person:
    return person(id, 70, 10, 80, 50, sure=False, score=0.6)


def test_numbers_everyone_and_keep() -> None:
    scene = two_people(maybe())
    assert chosen(scene, people=(2,)) == (2,)
    assert chosen(scene, people=(3, 1)) == (1, 3), "an uncertain find goes when named"
    assert chosen(scene, everyone=True) == (1, 2), "but not with everyone"
    assert chosen(scene, keep=(1,)) == (2,)
    assert chosen(scene, keep=()) == (1, 2)
    assert chosen(scene, keep=(3,)) == (1, 2)


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({}, "Nobody is chosen"),
        ({"people": (9,)}, "no person 9"),
        ({"keep": (9,)}, "no person 9"),
        ({"keep": (1, 2)}, "nobody to erase"),
        ({"points": ((100, 5),)}, "outside the photo"),
        ({"points": ((-1, 5),)}, "outside the photo"),
        ({"boxes": ((5, 5, 5, 9),)}, "empty"),
        ({"boxes": ((200, 5, 220, 9),)}, "outside the photo"),
        ({"mask_rle": {"size": [60, 100], "counts": [6000]}}, "mask is empty"),
        ({"mask_rle": {"size": [60, 100], "counts": [0, 6000]}}, "whole photo"),
        ({"mask_rle": {"size": [6, 10], "counts": [60]}}, "made for 10 x 6"),
        ({"keep": (1,), "points": ((15, 20),)}, "Person 1 is to be kept"),
        ({"keep": (1,), "boxes": ((9, 9, 26, 51),)}, "Person 1 is to be kept"),
    ],
)
def test_faults_are_one_sentence(fields: dict[str, object], sentence: str) -> None:
    with pytest.raises(UsageError, match=sentence):
        chosen(two_people(), **fields)


def test_nobody_found() -> None:
    empty = Scene(two_people().photo)
    for fields in ({"people": (1,)}, {"everyone": True}, {"keep": ()}, {"keep": (1,)}):
        with pytest.raises(UsageError, match="No person was found"):
            chosen(empty, **fields)
    with pytest.raises(UsageError, match="only maybe"):
        chosen(Scene(empty.photo, (maybe(1),)), everyone=True)


def test_click_means_the_person_there() -> None:
    assert chosen(two_people(maybe()), points=((12, 20),)) == (1,)
    assert chosen(two_people(maybe()), points=((75, 20),)) == (3,), "pointing at an uncertain find names it"
    assert chosen(two_people(), points=((25, 20),)) == (1,), "one pixel beside the mask is still that person"


def test_click_elsewhere_adds_a_region() -> None:
    photo = np.full((*SIZE, 3), 90, np.uint8)
    photo[20:35, 80:95] = (250, 40, 40)
    scene = Scene(type(two_people().photo).from_array(photo), two_people().people)
    after, ids = select(scene, Selection.model_validate({"points": ((87, 27),)}))
    assert ids == (3,)
    new = after.person(3)
    assert new.source == "click" and new.sure
    assert (new.full_mask(SIZE) & block(Box(80, 20, 95, 35))).sum() > 0.8 * 15 * 15
    assert new.area < 2 * 15 * 15


def test_box_means_the_framed_people_or_a_region() -> None:
    assert chosen(two_people(), boxes=((8, 8, 27, 52),)) == (1,)
    assert chosen(two_people(), boxes=((8, 8, 57, 57),)) == (1, 2)
    after, ids = select(two_people(), Selection.model_validate({"boxes": ((60, 5, 120, 55),)}))
    assert ids == (3,)
    assert after.person(3).source == "box"
    assert after.person(3).box.x1 == 100, "cut at the photo's edge"
    assert after.person(3).area > 0.8 * 40 * 50


def test_mask_file(tmp_path: Path) -> None:
    mask = block(Box(70, 20, 80, 30))
    path = tmp_path / "mask.png"
    write_image((mask * 255).astype(np.uint8), path)
    after, ids = select(two_people(), Selection.model_validate({"mask": str(path)}))
    assert ids == (3,)
    np.testing.assert_array_equal(after.mask_of(ids), mask)


def test_mask_over_most_of_a_person_is_that_person_with_the_users_outline() -> None:
    marked = block(Box(10, 10, 25, 40))
    scene, ids = apply_mask(two_people(), marked)
    assert ids == {1}
    np.testing.assert_array_equal(scene.mask_of(ids), marked)


def test_sloppy_edges_join_the_person() -> None:
    scene, ids = apply_mask(two_people(), block(Box(8, 8, 27, 52)))
    assert ids == {1}
    assert len(scene.people) == 2
    assert scene.person(1).box == Box(8, 8, 27, 52)


def test_a_stray_pixel_of_a_mask_is_erased_but_is_nobody() -> None:
    marked = block(Box(8, 8, 27, 52))
    marked[2, 90] = marked[55, 33] = True
    scene, ids = apply_mask(two_people(), marked)
    assert ids == {1} and len(scene.people) == 2
    np.testing.assert_array_equal(scene.mask_of(ids), marked)
    marked[2:12, 80:90] = True
    scene, ids = apply_mask(two_people(), marked)
    assert ids == {1, 3}, "a tenth of the mask is no slip"
    np.testing.assert_array_equal(scene.mask_of(ids), marked)


def test_mask_that_brushes_a_person_takes_those_pixels() -> None:
    marked = block(Box(23, 20, 40, 30))
    scene, ids = apply_mask(two_people(), marked)
    assert ids == {3}
    assert scene.order[-1] == 3, "what is marked lies in front"
    np.testing.assert_array_equal(scene.mask_of(ids), marked)
    assert scene.person(1).area == 15 * 40 - 2 * 10


def head_at(x: float, y: float) -> np.ndarray:
    """Keypoints of which the face is seen there."""
    points = np.zeros((17, 3), np.float32)
    points[:5] = (x, y, 0.9)
    return points


#: Finds of a person whose true outline is MARKED.
MARKED = Box(40, 10, 60, 50)
WRONG_FINDS = {
    "too large": [person(1, 25, 5, 80, 58)],
    "too small": [person(1, 45, 12, 52, 30)],
    "merged with a neighbour": [person(1, 40, 10, 90, 50, keypoints=head_at(80, 15))],
    "split in two": [person(1, 40, 10, 60, 30), person(2, 41, 30, 75, 55)],
    "shifted": [person(1, 52, 18, 72, 58)],
    "found twice": [person(1, 38, 8, 50, 50, keypoints=head_at(44, 12)), person(2, 50, 8, 70, 45)],
    "scraps all around": [
        person(1, 40, 12, 58, 48, keypoints=head_at(50, 15)),
        replace(
            Person.from_mask(2, block(Box(38, 8, 62, 12)) | block(Box(58, 12, 63, 50))),
            keypoints=head_at(62, 9),
        ),
    ],
    "uncertain": [person(1, 30, 10, 52, 50, sure=False)],
}


@pytest.mark.parametrize("finds", WRONG_FINDS.values(), ids=WRONG_FINDS.keys())
def test_a_find_with_another_outline_brings_nobody_back(finds: list[Person]) -> None:
    marked = block(MARKED)
    scene, ids = apply_mask(Scene(two_people().photo, tuple(finds)), marked)
    np.testing.assert_array_equal(scene.mask_of(ids), marked)
    assert {p.id for p in scene.people} == ids, "nothing of the find stays, as a person or as a place not to be seen"
    plan = plan_layers(scene, tuple(ids), Region())
    assert [row.domain for row in plan.layers] == ["background"], "nobody is completed into the mask"


def test_somebody_behind_whose_head_is_seen_stays_and_is_completed() -> None:
    front = person(1, 38, 8, 60, 52, keypoints=head_at(50, 12))
    behind = person(2, 60, 10, 90, 55, keypoints=head_at(80, 15))
    wide = replace(behind, box=Box(52, 10, 90, 55), mask=np.ones((45, 38), bool))
    narrow = replace(front, box=Box(38, 8, 52, 52), mask=np.ones((44, 14), bool))
    scene, ids = apply_mask(Scene(two_people().photo, (narrow, wide), (2, 1)), block(Box(38, 8, 60, 52)))
    assert 2 not in ids and scene.person(2).box.x0 == 52
    assert not (scene.mask_of([2]) & block(Box(38, 8, 60, 52))).any()
    plan = plan_layers(scene, tuple(ids), Region())
    assert [row.owner for row in plan.layers] == [None, 2]


def test_a_find_that_holds_most_of_a_mask_is_nobody_else_though_a_face_was_seen_in_a_part_of_it() -> None:
    """Boots in front of a wave: the wave with the boots was one find with a head far up, a shoe was one with a face."""
    wave = np.ones((50, 60), bool)
    wave[30:45, 10:20] = False
    finds = (
        person(1, 40, 40, 50, 55, keypoints=head_at(45, 45)),
        replace(person(2, 30, 10, 90, 60, keypoints=head_at(75, 15)), mask=wave),
    )
    marked = block(Box(40, 30, 62, 55))
    scene, ids = apply_mask(Scene(two_people().photo, finds), marked)
    assert {p.id for p in scene.people} == ids and 2 not in ids
    np.testing.assert_array_equal(scene.mask_of(ids), marked)


def test_somebody_who_holds_no_more_than_half_of_a_mask_stays_though_another_of_it_is_small() -> None:
    """Two in a window: of whoever is marked only the head was found, and half of their body with a neighbour's."""
    neighbour = np.ones((40, 40), bool)
    neighbour[:12, :12] = False
    finds = (
        person(1, 30, 10, 42, 22, keypoints=head_at(36, 15)),
        replace(person(2, 30, 10, 70, 50, keypoints=head_at(60, 15)), mask=neighbour),
    )
    marked = block(Box(25, 10, 42, 45))
    scene, ids = apply_mask(Scene(two_people().photo, finds), marked)
    assert 2 not in ids
    np.testing.assert_array_equal(scene.person(2).full_mask(scene.size), finds[1].full_mask(scene.size) & ~marked)


def test_whoever_is_named_goes_with_their_own_outline() -> None:
    marked = block(Box(20, 20, 35, 30))
    both = Selection.model_validate({"people": (1,), "mask_rle": encode_rle(marked)})
    scene, ids = select(two_people(), both)
    assert 1 in ids
    np.testing.assert_array_equal(scene.mask_of(ids), marked | block(Box(10, 10, 25, 50)))


def test_somebody_kept_by_number_loses_what_is_marked_and_stays() -> None:
    scene, ids = apply_mask(two_people(), block(Box(15, 10, 35, 50)), frozenset({1}))
    assert ids == {3} and scene.person(1).area == 5 * 40


def test_mask_over_a_kept_person() -> None:
    with pytest.raises(UsageError, match="covers person 1"):
        apply_mask(two_people(), block(Box(5, 5, 30, 55)), frozenset({1}))


@settings(max_examples=60, deadline=None)
@given(arrays(bool, SIZE, elements=st.booleans(), fill=st.just(False)), st.integers(0, 90), st.integers(1, 50))
def test_every_white_pixel_goes_and_masks_stay_exclusive(noise: np.ndarray, x: int, width: int) -> None:
    mask = noise | block(Box(x, 5, min(99, x + width), 52))
    scene, ids = select(two_people(maybe()), Selection.model_validate({"mask_rle": encode_rle(mask)}))
    assert not (mask & ~scene.mask_of(ids)).any()
    assert sum(p.area for p in scene.people) == scene.mask_of(p.id for p in scene.people).sum()
    assert sorted(scene.order) == [p.id for p in scene.people]
    for p in scene.people:
        assert Box.around(p.full_mask(SIZE)) == p.box
