"""What is spared stays, whatever else is said: the studio's brush that takes away."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from mild.errors import UsageError
from mild.people.find import select
from mild.people.finders.coco import encode_rle
from mild.people.scene import Box, Person, Scene
from mild.photo import Photo
from mild.plan.planning import plan_layers
from mild.request import Region, Selection
from stacks import ellipse

SIZE = (80, 120)


def scene() -> Scene:
    photo = Photo.from_array(np.full((*SIZE, 3), 128, np.uint8))
    people = tuple(Person.from_mask(k + 1, ellipse(*SIZE, x, 40, 12, 30)) for k, x in enumerate((30, 80)))
    return Scene(photo, people)


def block(*corners: int) -> np.ndarray[Any, np.dtype[np.bool_]]:
    mask = np.zeros(SIZE, bool)
    mask[Box(*corners).slices] = True
    return mask


def test_spared_pixels_leave_the_chosen_person_and_are_not_widened_into() -> None:
    before, spared = scene(), block(20, 10, 45, 30)
    after, ids = select(before, Selection(people=(1,), spare_rle=encode_rle(spared)))
    assert ids == (1,)
    gone = after.mask_of(ids)
    assert not (gone & spared).any()
    np.testing.assert_array_equal(gone, before.mask_of((1,)) & ~spared)
    box, matte = plan_layers(after, ids, Region()).mattes[1]
    changed = np.zeros(SIZE, bool)
    changed[box.slices] = matte > 0
    assert changed[gone].all()
    assert not (changed & spared).any()


def test_others_keep_their_pixels_and_masks_stay_exclusive() -> None:
    before = scene()
    after, _ = select(before, Selection(people=(1,), spare_rle=encode_rle(block(0, 0, 120, 30))))
    np.testing.assert_array_equal(after.person(2).full_mask(SIZE), before.person(2).full_mask(SIZE))
    assert sum(p.area for p in after.people) == after.mask_of(p.id for p in after.people).sum()
    assert not after.people[-1].sure


def test_whoever_is_wholly_spared_is_not_chosen() -> None:
    spared = encode_rle(block(0, 0, 60, 80))
    assert select(scene(), Selection(people=(1, 2), spare_rle=spared))[1] == (2,)
    with pytest.raises(UsageError, match="spared as well"):
        select(scene(), Selection(people=(1,), spare_rle=spared))


def test_a_spared_mask_of_another_size_is_refused() -> None:
    with pytest.raises(UsageError, match="made for 1 x 1"):
        select(scene(), Selection(people=(1,), spare_rle={"size": [1, 1], "counts": [1]}))
