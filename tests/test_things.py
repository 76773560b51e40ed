"""What may go with somebody: suggested, and never taken by itself."""

from __future__ import annotations

import json
import uuid
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from mild.app.cli import app
from mild.people import things
from mild.people.finders import detectors, nanodet
from mild.people.finders.blaze_nets import Picture
from mild.people.finders.coco import encode_rle
from mild.people.finders.nanodet import STRIDES, decode
from mild.people.scene import Box, Person, Scene
from mild.people.selection import select
from mild.people.things import KINDS, Thing, thing_at, things_with
from mild.photo import Photo
from mild.request import EraseRequest, Selection
from mild.road import decompose

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
    name = uuid.uuid4().hex
    monkeypatch.setattr(things, "_detector", lambda: (made, (name, repr(made.seen))))
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


def test_another_pixel_of_the_same_photo_does_not_ask_the_detector_again(net: Net) -> None:
    before = scene()
    bag, bike = things_with(before)
    asked = len(net.asked)
    assert asked == 2
    assert thing_at(before, (1,), *bag.at) is not None and thing_at(before, (1,), *bike.at) is not None
    assert len(net.asked) == asked
    other = Scene(Photo.from_array(255 - before.photo.pixels), before.people)
    things_with(other)
    assert len(net.asked) == 2 * asked, "of another photo it knows nothing"


def test_the_finder_and_the_suggestions_share_one_net(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    made: list[Path] = []
    monkeypatch.setattr(nanodet.NanoDet, "__init__", lambda self, path: made.append(path))
    monkeypatch.setattr(detectors, "MoveNet", lambda path: None)
    nanodet.load.cache_clear()
    monkeypatch.setattr(things.assets, "locate", lambda name: tmp_path)
    detectors.TwoDetectors(tmp_path)
    here = things._detector()
    nanodet.load.cache_clear()
    assert here is not None and made == [tmp_path / "nanodet.onnx"]


def test_nobody_s_things_go_by_themselves(net: Net) -> None:
    before = scene()
    after, _ = select(before, Selection(people=(1, 2)))
    assert after is before and net.asked == []


def posed(**at: tuple[float, float]) -> Scene:
    """The scene, in which the first person's wrist or ankle is seen at a place."""
    there = scene()
    points = np.zeros((17, 3), np.float32)
    for name, place in at.items():
        points[{"wrist": 10, "ankle": 15}[name]] = (*place, 0.9)
    first = replace(there.people[0], keypoints=points, source="nanodet")
    return Scene(there.photo, (first, *there.people[1:]))


def test_what_is_in_a_hand_goes_along_unless_it_is_left(net: Net) -> None:
    before = posed(wrist=(155, 125))
    bag, bike = things_with(before)
    assert bag.held and not bike.held
    after, ids = select(before, Selection(people=(1, 2)))
    assert ids == (1, 2) and after.mask_of((1,))[BAG.slices].mean() > 0.85 and after.person(1).things == ("handbag",)
    assert after.person(2).area == before.person(2).area, "nobody holds the bicycle"
    for other in (
        Selection(people=(1,), things=False),
        Selection(people=(1,), leave=(bag.at,)),
        Selection(people=(2,)),
    ):
        left, _ = select(before, other)
        assert left.person(1).area == before.person(1).area and left.person(1).things == ()


def test_the_handle_of_a_racket_stayed_in_the_air(net: Net, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its colours are others than the frame's: what joins a thing to the hand that holds it is the thing's."""
    before = posed(wrist=(152, 168))
    frame = np.zeros((BAG.height, BAG.width), bool)
    frame[:25, 15:] = True
    monkeypatch.setattr(things, "_cut", lambda *_: frame)
    monkeypatch.setattr(Net, "seen", (("tennis racket", BAG, 0.8),))
    (racket,) = things_with(before, (1,))
    whole = racket.full_mask(SIZE)
    assert racket.held and whole[BAG.slices][frame].all() and whole[[148, 153, 158, 163], [163, 160, 157, 154]].all()
    assert whole.sum() < frame.sum() + 200 and not (whole & before.mask_of((1, 2))).any()


def test_beyond_a_mask_by_hand_nothing_goes(net: Net) -> None:
    before = posed(wrist=(155, 125))
    mask = before.person(1).full_mask(SIZE)
    after, ids = select(before, Selection(mask_rle=encode_rle(mask)))
    assert (after.mask_of(ids) == mask).all() and net.asked == []


def test_a_layer_is_a_person_without_what_they_hold(net: Net) -> None:
    before = posed(wrist=(155, 125))
    request = EraseRequest.build(selection={"people": [1]}, method={"denoise": False})
    apart = decompose(request, before.photo, scene=before)
    assert apart.scene.person(1).area == before.person(1).area


@pytest.mark.parametrize(("kind", "at", "held"), [
    ("tennis racket", {"wrist": (150, 108)}, True), ("tennis racket", {"wrist": (125, 60)}, False),
    ("tennis racket", {"ankle": (170, 140)}, False), ("tennis racket", {}, False),
    ("skateboard", {"ankle": (170, 172)}, True), ("skateboard", {"ankle": (130, 205)}, False),
    ("suitcase", {"wrist": (170, 140)}, False), ("kite", {"wrist": (170, 140)}, False),
    ("bicycle", {"wrist": (170, 140)}, False), ("backpack", {"wrist": (170, 140)}, False),
])  # fmt: skip
def test_what_counts_as_held(
    net: Net, monkeypatch: pytest.MonkeyPatch, kind: str, at: dict[str, tuple[float, float]], held: bool
) -> None:
    monkeypatch.setattr(Net, "seen", ((kind, BAG, 0.8),))
    assert [thing.held for thing in things_with(posed(**at), (1,))] == [held]


@pytest.mark.parametrize(("box", "held"), [(Box(150, 155, 200, 180), True), (Box(150, 100, 230, 175), False)])
def test_the_box_of_skis_took_half_a_dog_along(net: Net, monkeypatch: pytest.MonkeyPatch, box: Box, held: bool) -> None:
    """Cut out, skis go; a box of which the cut made nothing stays, whatever else is in it."""
    there = posed(ankle=(150, 168))
    pixels = there.photo.pixels.copy()
    pixels[BAG.slices] = (205, 190, 160)
    if held:
        pixels[160:175, 150:195] = (20, 40, 120)
    monkeypatch.setattr(Net, "seen", (("skis", box, 0.8),))
    (skis,) = things_with(Scene(Photo.from_array(pixels), there.people), (1,))
    assert skis.held == held


@pytest.mark.parametrize(("kind", "least"), [("bicycle", 0.2), ("backpack", 0.5)])
def test_what_is_ridden_or_worn_is_partly_the_person_s(
    net: Net, monkeypatch: pytest.MonkeyPatch, kind: str, least: float
) -> None:
    there = posed(wrist=(140, 100), ankle=(130, 205))
    for part, held in ((least + 0.05, True), (least - 0.05, False)):
        wide = round(40 / part)  # the person is 40 pixels wide, and as high as the box
        box = Box(110, 60, 110 + wide, 210)
        monkeypatch.setattr(Net, "seen", ((kind, box, 0.8),))
        assert [thing.held for thing in things_with(there, (1,))] == [held], part


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
    monkeypatch.setattr("mild.road.find_people", lambda photo, finder: Scene(photo, there.people))
    (x, y), *_ = [thing.at for thing in things_with(there)]
    assert app.run(["people", "photo.png"]) == 0
    told = " ".join(capsys.readouterr().out.split())
    assert f"Person 1: perhaps a handbag goes along; say so with --also-at {x},{y}." in told
    assert app.run(["people", "photo.png", "--person", "2", "--json"]) == 0
    said = json.loads(capsys.readouterr().out)["things"]
    assert [thing["kind"] for thing in said] == ["bicycle"] and not said[0]["held"]
    there = posed(wrist=(155, 125))
    assert app.run(["people", "photo.png", "--person", "1"]) == 0
    assert "Person 1: a handbag goes along; --no-things leaves it." in " ".join(capsys.readouterr().out.split())
    words = ["erase", "photo.png", "--person", "1", "--no-denoise", "-o"]
    assert app.run([*words, "gone.png"]) == 0
    assert "with person 1: handbag (--no-things leaves what they hold)" in capsys.readouterr().out
    assert app.run([*words, "left.png", "--no-things"]) == 0 and "handbag" not in capsys.readouterr().out
    gone, left = (np.asarray(Image.open(name)) for name in ("gone.png", "left.png"))
    assert (gone[BAG.slices][..., 0] > 190).mean() > 0.9 and (left[125:165, 165:185][..., 1] < 60).all()
    assert isinstance(things_with(there)[0], Thing)
