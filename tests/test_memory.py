"""People found once are found on disk the next time, as they were; a damaged file costs a search and nothing else."""

from __future__ import annotations

import gc
import weakref
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest

from mild.people import find as perception
from mild.people import manual, memory
from mild.people.guesses import Guesses
from mild.people.scene import Person, Scene
from mild.photo import Photo
from mild.request import Finder


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MILD_CACHE", str(tmp_path))
    monkeypatch.setenv("MILD_REMEMBER", "1")
    monkeypatch.setattr(memory, "_held", OrderedDict())
    return tmp_path / "people"


def people() -> tuple[Person, ...]:
    mask = np.zeros((40, 50), bool)
    mask[5:20, 5:15] = True
    joints = np.random.default_rng(0).random((17, 3)).astype(np.float32)
    first = Person.from_mask(1, mask, score=0.75, keypoints=joints, parts=np.full((15, 10), 2, np.uint8))
    return first, Person.from_mask(2, np.roll(mask, 20, 1), sure=False, source="blazepose")


def test_what_is_kept_comes_back_as_it_was(folder: Path) -> None:
    memory.keep("a", (), (people(), (2, 1)))
    memory._held.clear()
    back, order = memory.recall("a", ()) or ((), ())
    assert order == (2, 1)
    for one, two in zip(people(), back, strict=True):
        assert (one.id, one.box, one.score, one.sure, one.source) == (two.id, two.box, two.score, two.sure, two.source)
        assert np.array_equal(one.mask, two.mask) and two.mask.dtype == bool
    assert np.array_equal(people()[0].keypoints, back[0].keypoints) and back[1].keypoints is None
    assert memory.recall("b", ()) is None


def test_a_photo_is_searched_once(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    searched = []

    def search(photo: Photo, finder: Finder) -> Scene:
        searched.append(photo)
        return Scene(photo, people())

    backend = perception.Backend("blazepose", "", "", "", search)
    monkeypatch.setitem(perception.BACKENDS, "blazepose", backend)
    photo, finder = Photo.of(np.zeros((40, 50, 3), np.uint8)), Finder(backend="blazepose")
    for _ in range(3):
        assert len(perception.find_people(photo, finder).people) == 2
        memory._held.clear()
    assert len(searched) == 1
    perception.find_people(Photo.of(np.ones((40, 50, 3), np.uint8)), finder)
    assert len(searched) == 2


@pytest.mark.parametrize("damage", [b"", b"not a file of arrays", b"PK\x03\x04cut short"])
def test_a_damaged_file_is_as_none(folder: Path, damage: bytes) -> None:
    memory.keep("a", (), (people(), (1, 2)))
    (path,) = folder.glob("*.npz")
    path.write_bytes(damage)
    memory._held.clear()
    assert memory.recall("a", ()) is None


def test_the_oldest_go(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "MOST_FILES", 3)
    for name in "abcde":
        memory.keep(name, (), (people(), (1, 2)))
    assert len(list(folder.glob("*"))) == 3


def test_a_folder_that_cannot_be_written_stops_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("MILD_CACHE", str(tmp_path / "file"))
    monkeypatch.setenv("MILD_REMEMBER", "1")
    memory.keep("a", (), (people(), (1, 2)))
    memory._held.clear()
    assert memory.recall("a", ()) is None


def test_it_can_be_switched_off(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MILD_REMEMBER", "0")
    memory.keep("a", (), (people(), (1, 2)))
    assert not folder.exists()


def test_every_flipped_bit_is_seen_or_does_no_harm(folder: Path) -> None:
    memory.keep("a", (), (people(), (2, 1)))
    (path,) = folder.glob("*.npz")
    whole = path.read_bytes()
    for at in range(0, 8 * len(whole), 41):
        data = bytearray(whole)
        data[at // 8] ^= 1 << at % 8
        path.write_bytes(data)
        memory._held.clear()
        found = memory.recall("a", ())
        assert found is None or [person.area for person in found[0]] == [150, 150]


def test_a_photo_is_forgotten_with_everybody_in_it(folder: Path) -> None:
    for pixels in ("a" * 64, "b" * 64):
        for finder in ("one", "other"):
            memory.keep(pixels, (finder,), (people(), (1, 2)))
    memory.forget("a" * 64)
    assert memory.recall("a" * 64, ("one",)) is None and memory.recall("b" * 64, ("other",)) is not None
    assert len(list(folder.glob("*.npz"))) == 2


def test_answers_to_clicks_keep_no_nets(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """64 answers held every net that had given one, through their keys, after it was unloaded."""

    class Nets:
        name = "nanodet"

    def clicked(photo: Photo, x: int, y: int, *_: object) -> tuple[Person, Guesses]:
        asked.append((x, y))
        return people()[0], Guesses.none()

    asked: list[tuple[int, int]] = []
    monkeypatch.setattr(manual, "_clicked", clicked)
    photo = Photo.of(np.zeros((40, 50, 3), np.uint8))
    here: list[Nets | None] = [Nets()]
    gone = weakref.ref(here[0])
    monkeypatch.setattr(manual.clicked, "detector_here", lambda: here[0])
    monkeypatch.setattr(manual, "load_nets", lambda: here[0])
    manual.at_point(photo, 4, 5, 1)
    assert manual.at_point(photo, 4, 5, 2).id == 2 and asked == [(4, 5)]
    here[0] = None
    gc.collect()
    assert gone() is None
    manual.at_point(photo, 4, 5, 1)
    assert len(asked) == 2, "without nets, another answer"
