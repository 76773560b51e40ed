"""The promise to those who stay: nobody's face is made anew when the people beside them go."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import mild
from mild.models import assets
from mild.people.scene import Scene
from mild.photo import Photo
from mild.request import Finder, Selection

EXAMPLES = Path(__file__).parent.parent / "examples"

pytestmark = pytest.mark.skipif(
    any(assets.locate(name) is None for name in ("blazepose", "nanodet")),
    reason="the person finder's nets are not here; `python -m mild.models.assets` fetches them",
)


def disc(size: tuple[int, int], x: int, y: int, radius: int) -> np.ndarray:
    """The pixels of a circle, ``[H, W]``."""
    rows, columns = np.mgrid[: size[0], : size[1]]
    return np.hypot(columns - x, rows - y) <= radius


@pytest.mark.parametrize(
    ("name", "stays_at", "go_at", "face"),
    [
        ("bar55", (410, 210), ((40, 230), (310, 300)), (410, 225, 30)),
        ("cold_water", (160, 238), ((210, 350), (240, 280)), (160, 236, 7)),
        ("cold_water", (210, 350), ((157, 250), (240, 280)), (210, 350, 30)),
        # Seen from behind: she has no face, and her hair, of which the middle is hers, hides a face that goes.
        ("cold_water", (210, 350), ((157, 235), (240, 280)), (174, 265, 7)),
        # One to the left of him, one to the right.
        ("bar55", (410, 210), ((310, 300), (580, 200)), (410, 225, 30)),
    ],
    ids=["embraced", "behind", "from the back", "hair", "between"],
)
def test_who_stays_keeps_every_pixel(
    name: str, stays_at: tuple[int, int], go_at: tuple[tuple[int, int], ...], face: tuple[int, int, int]
) -> None:
    """``face``: centre and radius of a circle that was drawn by eye, wholly inside the face (or the back)."""
    photo = Photo.open(EXAMPLES / f"{name}.jpg")
    scene: Scene = mild.find_people(photo, Finder(backend="nanodet"))
    labels = scene.label_map()
    stays, goes = int(labels[stays_at[::-1]]), sorted({int(labels[y, x]) for x, y in go_at})
    assert stays and all(goes) and stays not in goes and len(goes) == len(go_at)
    looks = disc(scene.size, *face)
    assert (labels[looks] == stays).mean() > 0.95, "what was marked by eye is theirs"
    request = mild.EraseRequest(selection=Selection(people=tuple(goes)), finder=Finder(backend="nanodet"))
    result = mild.run(request, photo)
    assert np.array_equal(result.photo.pixels[looks], photo.pixels[looks]), "the face"
    whole = scene.person(stays).full_mask(scene.size)
    assert np.array_equal(result.photo.pixels[whole], photo.pixels[whole]), "everything that is theirs"
    for number in goes:
        gone = scene.person(number).full_mask(scene.size)
        assert (result.photo.pixels[gone] != photo.pixels[gone]).any(-1).mean() > 0.9, "and who goes is gone"
