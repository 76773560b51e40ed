"""The promise to those who stay: nobody's face is made anew when the people beside them go."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import mild
from mild.models import assets
from mild.people.scene import Person, Scene
from mild.photo import Photo
from mild.request import Finder, Selection

EXAMPLES = Path(__file__).parent.parent / "examples"

pytestmark = pytest.mark.skipif(
    any(assets.locate(name) is None for name in ("blazepose", "nanodet")),
    reason="the person finder's nets are not here; `python -m mild.models.assets` fetches them",
)


def head_of(person: Person, size: tuple[int, int]) -> np.ndarray:
    """The person's own pixels around nose, eyes and ears, ``[H, W]``."""
    assert person.keypoints is not None
    points = person.keypoints[:5, :2]
    centre, reach = points.mean(0), max(6.0, 1.2 * float(np.ptp(points, axis=0).max()))
    y, x = np.mgrid[: size[0], : size[1]]
    return person.full_mask(size) & (np.hypot(x - centre[0], y - centre[1]) < reach)


@pytest.mark.parametrize(
    ("name", "middle", "beside"),
    [("bar55", (410, 210), ((40, 230), (310, 300))), ("cold_water", (210, 350), ((170, 250), (240, 280)))],
    ids=["embraced", "overlapping"],
)
def test_who_stays_in_the_middle_keeps_every_pixel(
    name: str, middle: tuple[int, int], beside: tuple[tuple[int, int], ...]
) -> None:
    photo = Photo.open(EXAMPLES / f"{name}.jpg")
    scene: Scene = mild.find_people(photo, Finder(backend="nanodet"))
    labels = scene.label_map()
    stays, goes = int(labels[middle[::-1]]), sorted({int(labels[y, x]) for x, y in beside})
    assert stays and all(goes) and stays not in goes and len(goes) == len(beside)
    request = mild.EraseRequest(selection=Selection(people=tuple(goes)), finder=Finder(backend="nanodet"))
    result = mild.run(request, photo)
    person = scene.person(stays)
    head, whole = head_of(person, scene.size), person.full_mask(scene.size)
    assert head.sum() > 300 or name == "cold_water", "she is seen from behind"
    assert np.array_equal(result.photo.pixels[head], photo.pixels[head]), "the face"
    assert np.array_equal(result.photo.pixels[whole], photo.pixels[whole]), "everything that is theirs"
    erased = scene.mask_of(goes)
    assert not np.array_equal(result.photo.pixels[erased], photo.pixels[erased])
