"""What may go with somebody: suggested, and never taken by itself."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from mild.app.cli import app
from mild.people import things
from mild.people.finders.blaze_nets import Picture
from mild.people.finders.nanodet import STRIDES, decode
from mild.people.scene import Box, Person, Scene
from mild.people.selection import select
from mild.people.things import KINDS, Thing, thing_at, things_with
from mild.photo import Photo
from mild.request import Selection

SIZE = (240, 320)
BAG, BIKE = Box(150, 120, 190, 170), Box(40, 150, 105, 215)
NUMBERS = {kind: number for number, kind in KINDS.items()}


class Net:
    """A detector that sees a handbag beside the first, a bicycle beside both, and a kite far away."""

    seen = (("handbag", BAG, 0.8), ("bicycle", BIKE, 0.6), ("kite", Box(270, 5, 300, 25), 0.9))

    def __init__(self) -> None:
        self.asked: list[Box] = []

    def things(self, picture: Picture, window: tuple[int, int, int, int], kinds: object, least: float) -> np.ndarray:
        self.asked.append(Box(*window))
        rows = [[*box, score, 0.0, NUMBERS[kind]] for kind, box, score in self.seen if box.intersect(Box(*window)).area]
        return np.array(rows, float).reshape(-1, 7)


@pytest.fixture
def net(monkeypatch: pytest.MonkeyPatch) -> Net:
    made = Net()
    monkeypatch.setattr(things, "_detector", lambda: made)
    return made


def scene() -> Scene:
    """Two people on sand; a red bag at the right of the first, spokes too thin for a cut at the left of the second."""
    rng = np.random.default_rng(0)
    pixels = np.full((*SIZE, 3), (205, 190, 160), np.uint8)
    pixels[BAG.slices] = (170, 30, 40)
    cv2.ellipse(pixels, (72, 182), (30, 30), 0, 0, 360, (150, 140, 120), 1)
    pixels = np.clip(pixels + rng.normal(0, 4, pixels.shape), 0, 255).astype(np.uint8)
    one, two = Box(110, 40, 150, 210), Box(20, 60, 44, 214)
    for box in (one, two):
        pixels[box.slices] = (40, 60, 120)
    people = tuple(Person(k + 1, b, np.ones((b.height, b.width), bool)) for k, b in enumerate((one, two)))
    return Scene(Photo.from_array(pixels), people)


def test_what_is_near_somebody_is_suggested_and_of_whom(net: Net) -> None:
    there = scene()
    bag, bike = things_with(there)
    assert (bag.person, bag.kind, bag.box) == (1, "handbag", BAG)
    assert (bike.person, bike.kind) == (2, "bicycle"), "both are beside it, one of them nearer"
    for thing in (bag, bike):
        assert thing.mask[thing.at[1] - thing.box.y0, thing.at[0] - thing.box.x0]
        assert not (thing.mask & there.mask_of((1, 2), thing.box)).any(), "people's pixels are people's"
        json.dumps(thing.summary())
    assert bag.mask.mean() > 0.85, "cut out by its colours"
    assert [t.kind for t in things_with(there, (1,))] == ["handbag"]
    assert all(window.area < SIZE[0] * SIZE[1] for window in net.asked)


def test_the_pixel_of_a_suggestion_takes_all_of_it(net: Net) -> None:
    before = scene()
    bag, bike = things_with(before)
    after, ids = select(before, Selection(people=(1,), also=(bag.at,)))
    assert ids == (1,) and after.mask_of((1,))[BAG.slices].mean() > 0.85
    assert after.person(2).area == before.person(2).area
    gone, _ = select(before, Selection(people=(2,), also=(bike.at,)))
    assert (gone.mask_of((2,))[bike.box.slices] >= bike.mask).all()
    assert thing_at(before, (1,), 300, 100) is None


def test_the_thing_of_somebody_unsure_who_was_named_is_whole_too(net: Net) -> None:
    """The command named its pixel, and a click there cut by colours alone: only sure people were asked about."""
    sure = scene()
    doubtful = Scene(sure.photo, tuple(replace(p, sure=False) for p in sure.people))
    (bike,) = things_with(doubtful, (2,))
    gone, _ = select(doubtful, Selection(people=(2,), also=(bike.at,)))
    assert (gone.mask_of((2,))[bike.box.slices] >= bike.mask).all()


def test_nobody_s_things_go_by_themselves(net: Net) -> None:
    before = scene()
    after, _ = select(before, Selection(people=(1, 2)))
    assert after is before and net.asked == []


def test_without_the_detector_nothing_is_suggested_and_a_click_works(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(things, "_detector", lambda: None)
    before = scene()
    assert things_with(before) == () and thing_at(before, (1,), 170, 145) is None
    after, _ = select(before, Selection(people=(1,), also=((170, 145),)))
    assert after.mask_of((1,))[BAG.slices].mean() > 0.85


def test_a_kind_of_its_own_is_asked_of_the_grids() -> None:
    classes, reach = np.zeros((52 * 52, 80), np.float32), np.zeros((52 * 52, 44), np.float32)
    classes[60, NUMBERS["bicycle"]], classes[61, 0] = 0.9, 0.8
    (bike,) = decode(classes, reach, STRIDES[0], 0.5, NUMBERS["bicycle"])
    (person,) = decode(classes, reach, STRIDES[0], 0.5)
    assert bike[4] == pytest.approx(0.9) and person[4] == pytest.approx(0.8) and person[0] - bike[0] == STRIDES[0]


def test_the_command_says_what_may_go_along(
    net: Net, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    there = scene()
    Image.fromarray(there.photo.pixels).save("photo.png")
    monkeypatch.setattr("mild.people.find.find_people", lambda photo, finder: Scene(photo, there.people))
    (x, y), *_ = [thing.at for thing in things_with(there)]
    assert app.run(["people", "photo.png"]) == 0
    told = " ".join(capsys.readouterr().out.split())
    assert f"Person 1: perhaps a handbag goes along; say so with --also-at {x},{y}." in told
    assert app.run(["people", "photo.png", "--person", "2", "--json"]) == 0
    said = json.loads(capsys.readouterr().out)["things"]
    assert [thing["kind"] for thing in said] == ["bicycle"]
    assert isinstance(things_with(there)[0], Thing)
