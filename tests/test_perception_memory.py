"""People are looked for once per photo."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import replace

import numpy as np
import pytest

from mild.people import find as perception
from mild.people import memory
from mild.people.scene import Person, Scene
from mild.photo import Photo
from mild.request import Finder


@pytest.fixture
def searches(monkeypatch: pytest.MonkeyPatch) -> list[Photo]:
    """The photos that the backend was really asked about."""
    asked: list[Photo] = []

    def find(photo: Photo, finder: Finder) -> Scene:
        asked.append(photo)
        mask = np.zeros(photo.size, bool)
        mask[2:6, 2:6] = True
        return Scene(photo, (Person.from_mask(1, mask),))

    monkeypatch.setitem(perception.BACKENDS, "blazepose", replace(perception.BACKENDS["blazepose"], find=find))
    monkeypatch.setattr(memory, "_held", OrderedDict())
    return asked


def test_the_same_pixels_are_searched_once(searches: list[Photo]) -> None:
    pixels = np.full((8, 9, 3), 7, np.uint8)
    finder = Finder(backend="blazepose")
    first, again = (perception.find_people(Photo.from_array(pixels), finder) for _ in range(2))
    assert len(searches) == 1
    assert again.people == first.people and again.photo is not first.photo


def test_other_pixels_are_searched_again(searches: list[Photo]) -> None:
    for value in (7, 8):
        perception.find_people(Photo.from_array(np.full((8, 9, 3), value, np.uint8)), Finder(backend="blazepose"))
    assert len(searches) == 2


def test_only_so_many_photos_are_remembered(searches: list[Photo]) -> None:
    for value in range(memory.MOST_HELD + 4):
        perception.find_people(Photo.from_array(np.full((8, 9, 3), value, np.uint8)), Finder(backend="blazepose"))
    assert len(memory._held) == memory.MOST_HELD


def test_a_finder_with_other_options_searches_again(searches: list[Photo]) -> None:
    photo = Photo.from_array(np.full((8, 9, 3), 7, np.uint8))
    for options in ({}, {"model": "some/model"}, {"allow_download": True}, {}):
        perception.find_people(photo, Finder(backend="blazepose", **options))
    assert len(searches) == 3
