"""A find that is drawn wrongly must not bring back, in the pixels, whom a mask by hand erased."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest

import mild
from mild.people.finders.coco import encode_rle
from mild.people.scene import Box, Person, Scene
from mild.photo import Photo
from mild.plan.planning import plan_layers
from mild.request import Region

SIZE = (132, 200)
#: The erased person, in red; a neighbour, in blue, who stays.
GONE, STAYS = Box(60, 16, 96, 112), Box(110, 20, 144, 116)


def painted() -> np.ndarray:
    rng = np.random.default_rng(5)
    photo = np.full((*SIZE, 3), (70, 130, 60), np.int16) + rng.integers(-20, 21, (*SIZE, 3))
    for box, colour in ((GONE, (200, 40, 40)), (STAYS, (40, 60, 200))):
        photo[box.slices] = np.asarray(colour) + rng.integers(-12, 13, (box.height, box.width, 3))
    return np.clip(photo, 0, 255).astype(np.uint8)


def found(number: int, *boxes: Box, head: tuple[int, int] | None = None) -> Person:
    mask = np.zeros(SIZE, bool)
    for box in boxes:
        mask[box.slices] = True
    person = Person.from_mask(number, mask, source="blazepose")
    if head is None:
        return person
    points = np.zeros((17, 3), np.float32)
    points[:5] = (*head, 0.9)
    return replace(person, keypoints=points)


NEIGHBOUR = found(9, STAYS, head=(127, 28))
FINDS: dict[str, tuple[Person, ...]] = {
    "nobody": (),
    "exact": (found(1, GONE), NEIGHBOUR),
    "too large": (found(1, GONE.grow(14, SIZE)), NEIGHBOUR),
    "too small": (found(1, Box(66, 24, 86, 70)), NEIGHBOUR),
    "merged": (found(1, GONE, STAYS, head=(127, 28)),),
    "split": (found(1, Box(60, 16, 96, 60)), found(2, Box(64, 62, 108, 118)), NEIGHBOUR),
    "shifted": (found(1, Box(76, 26, 110, 120)), NEIGHBOUR),
    "the neighbour too large": (found(1, GONE, head=(78, 24)), found(2, Box(100, 12, 150, 120), head=(127, 28))),
}


@pytest.mark.parametrize("finds", FINDS.values(), ids=FINDS.keys())
def test_no_wrong_find_brings_the_erased_person_back(finds: tuple[Person, ...]) -> None:
    photo, mask = Photo.from_array(painted()), np.zeros(SIZE, bool)
    mask[GONE.slices] = True
    request = mild.build_request(mask_rle=encode_rle(mask))
    result = mild.run(request, photo, scene=Scene(photo, finds)).photo.pixels.astype(np.int16)
    red = (result[..., 0] > 120) & (result[..., 1] < 90) & (result[..., 2] < 90)
    # The rim's soft edge may keep a tinge, the inside may not.
    inside = cv2.erode(mask.view(np.uint8), np.ones((5, 5), np.uint8)) > 0
    assert red[inside].mean() < 0.01
    assert np.array_equal(result[:, STAYS.x0 + 4 :], photo.pixels[:, STAYS.x0 + 4 :]), "the neighbour is as before"


@pytest.mark.parametrize(("wide", "completed"), [(3, False), (60, True)])
def test_scraps_around_somebody_who_goes_by_number_are_nobody(wide: int, completed: bool) -> None:
    """A second find of the erased boy, all around him, was completed: his arm came back as a murky streak."""
    scraps = found(2, Box(GONE.x0, 12, GONE.x1, 16), Box(GONE.x1, 12, GONE.x1 + wide, 112))
    plan = plan_layers(Scene(Photo.from_array(painted()), (found(1, GONE), scraps), (2, 1)), (1,), Region())
    assert any(row.owner == 2 for row in plan.layers) is completed
