"""Who is under a click: what the looks at a detector's doubtful boxes are taken for."""

from __future__ import annotations

import dataclasses
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from mild.people import manual, memory
from mild.people.finders import clicked
from mild.people.finders.blaze_candidates import Candidate
from mild.people.finders.blaze_nets import Landmarks, Picture, Square
from mild.people.finders.boxes import Place
from mild.people.finders.detectors import TwoDetectors
from mild.people.finders.looks import Find, Look
from mild.people.guesses import Guesses
from mild.people.scene import Box, Person, Scene
from mild.people.selection import further
from mild.photo import Photo
from mild.request import Selection

SIZE, SPOT = 60, (30.0, 20.0)


def _found(
    monkeypatch: pytest.MonkeyPatch, peaks: dict[float, float], scale: float = 1.0, others: Any = None
) -> tuple[Guesses, Any]:
    """What a click finds where the boxes at these left edges have looks with these peaks, masks as wide as the box."""

    def looks(nets: Any, picture: Any, place: Place) -> list[Look]:
        mask = np.zeros((256, 256), np.float32)
        mask[5:40, int(place.box[0]) : 40] = 1
        nowhere, seen = np.zeros((39, 2), np.float32), np.zeros(39, np.float32)
        region = Square(128.0, 128.0, 256.0, 0.0)
        marks = Landmarks(nowhere, seen, 0.5, peaks[place.box[0]], mask, np.eye(2, 3), region)
        return [Look(marks, 0.5, 0.5)]

    monkeypatch.setattr(clicked, "all_looks", looks)
    places = [Place((left, 5.0, 40.0, 40.0), (0.1, 0.1, 0.0)) for left in peaks]
    detector: Any = SimpleNamespace(
        judge=TwoDetectors.judge, places_near=lambda picture, x, y: places, layers=lambda *window: None
    )
    nets: Any = None
    return clicked.at_click(nets, detector, Picture(np.zeros((SIZE, SIZE, 3), np.uint8)), *SPOT, others, scale)


def test_every_doubtful_look_under_a_click_is_a_guess(monkeypatch: pytest.MonkeyPatch) -> None:
    """000000013659: a find of .1 with an IoU of .7 was refused, and the landmark net alone took somebody else."""
    guesses, best = _found(monkeypatch, {2.0: 0.02, 20.0: 0.6})
    assert len(guesses) == 2 and best is not None
    assert guesses.values[0] >= guesses.values[1], "the best first"
    assert np.array_equal(guesses.masks[0], best.landmarks.mask * 255)


@pytest.mark.parametrize("holds_it", [True, False])
def test_the_best_look_drawn_anew_is_the_first_guess(monkeypatch: pytest.MonkeyPatch, holds_it: bool) -> None:
    anew = np.zeros((256, 256), np.float32)
    anew[10:35, 10 : 38 if holds_it else 20] = 1
    drawn: list[Any] = []

    def outlined(detector: Any, picture: Any, finds: list[Find]) -> list[Find]:
        drawn.extend(finds)
        return [dataclasses.replace(f, candidate=dataclasses.replace(f.candidate, mask=anew)) for f in finds]

    monkeypatch.setattr(clicked, "outlined", outlined)
    guesses, best = _found(monkeypatch, {2.0: 0.02, 20.0: 0.6})
    assert len(drawn) == 1 and drawn[0].candidate is best, "one of both is drawn, the best"
    assert len(guesses) == (3 if holds_it else 2), "what misses the click is no guess"
    if holds_it:
        np.testing.assert_array_equal(guesses.masks[0], anew * 255)
        assert guesses.values[0] == pytest.approx(guesses.values[1] + 0.15)


def test_who_is_in_a_box_is_drawn_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    marks: Any = SimpleNamespace(peak=0.8)
    find = Find(Candidate(marks, np.zeros((256, 256), np.float32), 0.9), Place((2, 2, 40, 40), (0.1, 0.1, 0.0)), 0.9)
    monkeypatch.setattr(clicked, "look_at", lambda nets, seen, place, judge: find)
    monkeypatch.setattr(clicked, "outlined", lambda detector, picture, finds: [dataclasses.replace(finds[0], fit=0.7)])
    detector: Any = SimpleNamespace(judge=TwoDetectors.judge, places_near=lambda picture, x, y: [])
    nets: Any = None
    picture = Picture(np.zeros((SIZE, SIZE, 3), np.uint8))
    found = clicked.in_frame(nets, detector, picture, (2, 2, 40, 40), None)
    assert found is not None and found.fit == 0.7


def test_a_look_beside_the_click_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    guesses, _ = _found(monkeypatch, {2.0: 0.6, 35.0: 0.9})
    assert len(guesses) == 1 and guesses.inside(Box(0, 0, SIZE, SIZE), (SIZE, SIZE))[0, 20, 10] == 1
    assert len(_found(monkeypatch, {35.0: 0.9})[0]) == 0


def test_fewer_boxes_are_looked_at_under_somebody_who_was_surely_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """The second click there waited 1.5 s for looks at eight boxes, and the last five changed nothing."""
    peaks = {float(left): 0.5 for left in range(2, 22, 4)}
    known = np.zeros((SIZE, SIZE), bool)
    assert len(_found(monkeypatch, peaks, others=known)[0]) == 5
    known[:, :10] = True
    assert len(_found(monkeypatch, peaks, others=known)[0]) == 10, "once with the others painted grey"
    known[15:25, 25:35] = True
    assert len(_found(monkeypatch, peaks, others=known)[0]) == 6


def test_guesses_are_in_the_pixels_of_the_photo(monkeypatch: pytest.MonkeyPatch) -> None:
    """The nets see a smaller picture of a large photo."""
    guesses, _ = _found(monkeypatch, {10.0: 0.6}, scale=0.5)
    mask = guesses.outline((2 * SIZE, 2 * SIZE))
    assert mask is not None and abs(mask.sum() - 4 * 35 * 30) < 0.05 * 4 * 35 * 30
    assert mask[40, 60] and not mask[40, 10]


def test_boxes_of_a_photo_that_was_searched_are_not_looked_for_again() -> None:
    """A click waited a quarter of a second for boxes that the search had seen already."""
    asked = list[float]()

    def boxes(picture: Picture, least: float) -> np.ndarray:
        asked.append(least)
        rows = np.array([(2.0, 5.0, 40.0, 40.0, 0.5, 0.0), (20.0, 5.0, 40.0, 40.0, 0.2, 0.0)])
        return rows[rows[:, 4] > least]

    detector: Any = object.__new__(TwoDetectors)
    detector._key = ("boxes", "a stand-in")
    detector._nanodet = SimpleNamespace(boxes=boxes)
    detector._movenet = SimpleNamespace(people=lambda picture, least: (np.zeros((0, 5)), np.zeros((0, 17, 3))))
    pixels = np.zeros((SIZE, SIZE, 3), np.uint8)
    memory.forget("a photo")
    for photo, times in (("a photo", 1), ("", 2)):
        asked.clear()
        picture = Picture(pixels, photo)
        assert len(detector.places(picture)) == 1, "the search believes less"
        assert len(detector.places_near(picture, *SPOT)) == 2
        assert len(asked) == times
    memory.forget("a photo")


def test_what_was_prepared_for_a_further_point_is_not_looked_at_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Piece by piece or at once: the same answer, one look."""
    asked = list[float]()

    def looks(nets: Any, seen: Any, place: Place) -> list[Look]:
        asked.append(place.box[0])
        mask = np.zeros((256, 256), np.float32)
        mask[5:40, int(place.box[0]) : 40] = 1
        marks: Any = SimpleNamespace(to_net=np.eye(2, 3), mask=mask, peak=0.5, presence=0.5)
        return [Look(marks, 0.5, 0.5)]

    places = [Place((left, 5.0, 40.0, 40.0), (0.1, 0.1, 0.0)) for left in (2.0, 12.0, 20.0)]
    detector: Any = SimpleNamespace(
        name="nanodet", judge=TwoDetectors.judge, places_near=lambda picture, x, y: places, layers=lambda *window: None
    )
    monkeypatch.setattr(clicked, "all_looks", looks)
    monkeypatch.setattr(clicked, "detector_here", lambda: detector)
    monkeypatch.setattr(manual, "load_nets", lambda: object())
    monkeypatch.setattr(manual.clicks, "available", lambda: False)
    pixels = np.random.default_rng(0).integers(0, 255, (SIZE, SIZE, 3), np.uint8)
    there = np.zeros((SIZE, SIZE), bool)
    there[15:30, 25:35] = True
    scene = Scene(Photo.from_array(pixels), (Person.from_mask(1, there),))
    x, y = int(SPOT[0]), int(SPOT[1])
    memory.clear()
    once = manual.guessed(scene.photo, x, y, there)
    assert len(asked) == 6
    memory.forget(scene.photo.sha256)
    assert not list(further(scene, Selection(points=((2, 2),)))), "nobody was found there"
    ahead = further(scene, Selection(points=((x, y),)))
    next(ahead)
    assert len(asked) == 7, "a box at a time"
    assert len(list(ahead)) == 6 and len(asked) == 12
    again = manual.guessed(scene.photo, x, y, there)
    assert len(asked) == 12, "known"
    assert np.array_equal(again.masks, once.masks) and np.array_equal(again.values, once.values)
    assert len(list(further(scene, Selection(points=((x, y),))))) == 1 and len(asked) == 12
