"""Small scenes for the tests of perception."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from mild.errors import MildError
from mild.models import assets
from mild.people.scene import Box, Person, Scene
from mild.photo import Photo

SIZE = (60, 100)


def block(box: Box, size: tuple[int, int] = SIZE) -> NDArray[np.bool_]:
    mask = np.zeros(size, bool)
    mask[box.slices] = True
    return mask


def person(id: int, *corners: int, **fields: object) -> Person:
    box = Box(*corners)
    return Person(id, box, np.ones((box.height, box.width), bool), **fields)  # type: ignore[arg-type]


def two_people(*extra: Person) -> Scene:
    """1 at the left, 2 in the middle, on a grey photo 100 x 60."""
    photo = Photo.from_array(np.full((*SIZE, 3), 128, np.uint8))
    return Scene(photo, (person(1, 10, 10, 25, 50), person(2, 40, 10, 55, 55), *extra))


def need_nets() -> None:
    """Skip where the nets were not fetched (``make test`` fetches them)."""
    try:
        assets.ensure("blazepose", download=False)
    except MildError as error:
        pytest.skip(f"the BlazePose nets are missing: {error}")
