"""Click segmenters, on stand-ins that answer with discs; the photo is encoded once."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import standins
from mild.app.cli import groups
from mild.errors import MildError, UsageError
from mild.models import registry
from mild.models.known.clicks import SPECS
from mild.models.spec import ModelFile
from mild.people import clicks, manual
from mild.people.clicks import Clicks, layouts
from mild.people.scene import Box, Scene
from mild.people.selection import select
from mild.photo import Photo
from mild.request import EraseRequest

SIZE = (300, 600)
BY_NAME = {spec.name: spec for spec in SPECS}


@pytest.fixture
def photo() -> Photo:
    return Photo.from_array(np.random.default_rng(0).integers(0, 256, (*SIZE, 3), np.uint8))


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[object]:
    """Puts a stand-in where a registered model's files belong."""
    monkeypatch.setenv("MILD_CACHE", str(tmp_path / "cache"))
    clicks.forget()

    def put(name: str) -> Path:
        folder = tmp_path / "cache" / name
        folder.mkdir(parents=True, exist_ok=True)
        if name == "efficientsam":
            standins.efficientsam(folder / BY_NAME[name].files[0].name)
        else:
            {"sam-onnx": standins.samexporter}.get(name, standins.sam2)(folder)
        files = tuple(
            ModelFile(p.name, p.stat().st_size, standins.sha256(p)) for p in sorted(folder.glob("*.onnx"), reverse=True)
        )
        order = [f.name for f in BY_NAME[name].files]
        files = tuple(sorted(files, key=lambda f: order.index(f.name)))
        monkeypatch.setitem(registry.REGISTRY, name, replace(BY_NAME[name], files=files))
        return folder

    yield put
    clicks.forget()


def disc(x: float, y: float, radius: float) -> np.ndarray:
    """A disc of the net's 1024 pixels in the photo: an ellipse, since the photo is squashed."""
    py, px = np.mgrid[: SIZE[0], : SIZE[1]]
    far = ((px + 0.5) * 1024 / SIZE[1] - x * 1024 / SIZE[1]) ** 2 + (
        (py + 0.5) * 1024 / SIZE[0] - y * 1024 / SIZE[0]
    ) ** 2
    return far < radius**2


def same(mask: np.ndarray, wanted: np.ndarray) -> bool:
    return (mask & wanted).sum() / (mask | wanted).sum() > 0.95


@pytest.mark.parametrize(
    ("name", "radius", "framed"), [("edgetam", 120, 120), ("sam-onnx", 100, 200), ("efficientsam", 100, 0)]
)
def test_a_click_and_a_box_mean_a_disc(photo: Photo, install: object, name: str, radius: float, framed: float) -> None:
    install(name)  # type: ignore[operator]
    cut = clicks.cut_out(photo, Clicks(on=[(200, 100)]))
    assert cut is not None and cut[1] == name and same(cut[0], disc(200.5, 100.5, radius)), "the surest of the masks"
    if framed:
        cut = clicks.cut_out(photo, Clicks(box=Box(350, 120, 450, 200)))
        assert cut is not None and same(cut[0], disc(400, 160, framed))


def test_points_are_added_and_taken_away_and_the_photo_is_encoded_once(
    photo: Photo, install: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    install("edgetam")  # type: ignore[operator]
    looked = []
    encode = layouts.TransformersJs.encode
    monkeypatch.setattr(layouts.TransformersJs, "encode", lambda self, pixels: looked.append(1) or encode(self, pixels))
    first = clicks.cut_out(photo, Clicks(on=[(200, 100)]))
    more = clicks.cut_out(photo, Clicks(on=[(200, 100), (280, 100)]))
    less = clicks.cut_out(photo, Clicks(on=[(200, 100), (280, 100)], off=[(240, 100)]))
    assert first and more and less
    assert same(more[0], first[0] | disc(280.5, 100.5, 120))
    assert same(less[0], more[0] & ~disc(240.5, 100.5, 60))
    assert looked == [1]


def test_selections_use_it(photo: Photo, install: object) -> None:
    scene = Scene(photo)
    refined = {"on": [(200, 100)], "off": [(230, 100)]}
    made, (number,) = select(scene, EraseRequest.build(selection={"clicks": [refined]}).selection)
    mask = made.person(number).full_mask(SIZE)
    assert mask[100, 200] and not mask[100, 230], "without a model the colours say it"
    install("edgetam")  # type: ignore[operator]
    made, (number,) = select(scene, EraseRequest.build(selection={"clicks": [refined]}).selection)
    mask = made.person(number).full_mask(SIZE)
    assert same(mask, disc(200.5, 100.5, 120) & ~disc(230.5, 100.5, 60))
    made, (number,) = select(scene, EraseRequest.build(selection={"points": [(200, 100)]}).selection)
    assert same(made.person(number).full_mask(SIZE), disc(200.5, 100.5, 120))
    assert same(manual.in_box(photo, Box(350, 120, 450, 200), 1).full_mask(SIZE), disc(400, 160, 120))
    for wrong in ({"off": [(1, 1)]}, {}, {"on": [(1,)]}):
        with pytest.raises(UsageError):
            EraseRequest.build(selection={"clicks": [wrong]})
    with pytest.raises(UsageError, match="outside the photo"):
        select(scene, EraseRequest.build(selection={"clicks": [{"on": [(600, 100)]}]}).selection)


def test_one_that_cannot_load_is_named_and_passed_over(
    photo: Photo, install: object, caplog: pytest.LogCaptureFixture
) -> None:
    folder = install("edgetam")  # type: ignore[operator]
    (folder / "vision_encoder.onnx").write_bytes(b"damaged")
    spec = registry.REGISTRY["edgetam"]
    damaged = tuple(replace(f, size=0, sha256=standins.sha256(folder / f.name)) for f in spec.files)
    registry.REGISTRY["edgetam"] = replace(spec, files=damaged)
    install("efficientsam")  # type: ignore[operator]
    cut = clicks.cut_out(photo, Clicks(on=[(200, 100)]))
    assert cut is not None and cut[1] == "efficientsam"
    assert "vision_encoder.onnx is no ONNX file that can be run here" in caplog.text


def test_six_points_at_most(photo: Photo, install: object, caplog: pytest.LogCaptureFixture) -> None:
    install("efficientsam")  # type: ignore[operator]
    assert clicks.cut_out(photo, Clicks(on=[(i, i) for i in range(7)])) is None
    assert "takes 6 points at most" in caplog.text


def test_another_net_in_its_place_is_a_sentence(tmp_path: Path) -> None:
    standins.sam2(tmp_path)
    standins.rf_detr(tmp_path / "vision_encoder.onnx")
    with pytest.raises(MildError, match=r"another net than expected: it takes input and gives dets, labels, masks"):
        layouts.TransformersJs(tmp_path, ())


def test_points_on_the_command_line() -> None:
    given = groups.who(at=["10,20", "10,20+30,40-5,6"])["selection"]
    assert given["points"] == ((10, 20),)
    assert given["clicks"] == ({"on": [(10, 20), (30, 40)], "off": [(5, 6)]},)
    for wrong in ("10,20+30", "-10,20+3,4", "10,20++3,4"):
        with pytest.raises(UsageError, match="--at takes"):
            groups.who(at=[wrong])
