"""Fillers on the road: only a layer's own pixels are shown, only the hole is taken, whoever asks."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import httpx
import numpy as np
import pytest
from fastapi.testclient import TestClient

import mild
import standins
from bench_items import two_people
from mild.app.cli import app
from mild.app.server.app import create_app
from mild.app.server.road import MildRoad
from mild.app.server.settings import Settings
from mild.errors import MildError, UsageError
from mild.fill import fillers
from mild.fill.net import NetFiller
from mild.fill.windows import windows_of
from mild.models import receipts, registry
from mild.models.inpainter import Inpainter
from mild.models.known.fillers import SPECS
from mild.people.scene import Scene
from mild.photo import Photo
from mild.plan.planning import plan_layers
from mild.request import EraseRequest
from mild.road import run

LAMA = SPECS[0]


@pytest.fixture
def lama(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A stand-in, installed under the name of the real one."""
    monkeypatch.setenv("MILD_CACHE", str(tmp_path / "cache"))
    (tmp_path / "cache" / "lama").mkdir(parents=True)
    path = standins.image_and_mask(tmp_path / "cache" / "lama" / "lama_fp32.onnx", (128, 128))
    file = replace(LAMA.files[0], size=path.stat().st_size, sha256=receipts.sha256_of(path))
    monkeypatch.setitem(registry.REGISTRY, "lama", replace(LAMA, files=(file,)))
    return path


@pytest.fixture(scope="module")
def scene() -> Scene:
    """Two people in red and blue on a textured ground; person 2 is to go."""
    return two_people().scene


def request(**method: object) -> EraseRequest:
    return EraseRequest.build(selection={"people": [2]}, method=method)


def hole_of(scene: Scene, one: EraseRequest) -> np.ndarray:
    hole = np.zeros(scene.size, bool)
    for box, matte in plan_layers(scene, (2,), one.region).mattes.values():
        hole[box.slices] |= matte > 0
    return hole


class Spy(Inpainter):
    """Fills with green, and remembers what it was shown."""

    def __init__(self) -> None:
        from mild.models.contracts import FillContract

        self.shown: list[tuple[np.ndarray, np.ndarray]] = []
        super().__init__("spy", lambda *_: np.zeros(0), FillContract())

    def __call__(self, rgb: np.ndarray, hole: np.ndarray, *, blank: bool = True) -> np.ndarray:
        self.shown.append((rgb.copy(), hole.copy()))
        return np.broadcast_to(np.float32([0, 255, 0]), rgb.shape)


def test_nobody_is_shown_to_a_filler(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    spy = Spy()
    monkeypatch.setattr(fillers, "load", lambda name: NetFiller("spy", spy))
    one = request(fill="spy", layers=False)
    result = run(one, scene.photo, scene=scene)
    assert spy.shown
    for rgb, hole in spy.shown:
        # People of this scene are red or blue beyond everything else.
        assert rgb[~hole].max() < 200
        assert hole.any() and not hole.all()
    inside = hole_of(scene, one)
    assert (result.photo.pixels[~inside] == scene.photo.pixels[~inside]).all()


def test_a_standin_through_the_whole_road(scene: Scene, lama: Path) -> None:
    one = request(fill="lama")
    result = run(one, scene.photo, scene=scene)
    inside = hole_of(scene, one)
    before, after = scene.photo.pixels, result.photo.pixels
    assert (after[~inside] == before[~inside]).all()
    person = scene.mask_of((2,))
    # No erased pixel is left: person 2 is far from grey.
    assert (np.abs(after[person].astype(int) - before[person]).max(1) > 20).all()
    # The denoiser leaves it alone unless it is asked for.
    corrected = run(request(fill="lama", correct=True), scene.photo, scene=scene)
    assert (corrected.photo.pixels != after).any()
    built_in = run(request(), scene.photo, scene=scene)
    assert (built_in.photo.pixels != after).any()
    assert result.request.method.parts.fill == "lama"


def test_the_torch_runtime_gives_the_same(scene: Scene, lama: Path) -> None:
    onnx, torch = (run(request(fill="lama", runtime=r), scene.photo, scene=scene) for r in ("onnx", "torch"))
    assert np.abs(torch.photo.pixels.astype(int) - onnx.photo.pixels).max() <= 2


def test_kept_people_are_completed_by_our_own(scene: Scene, lama: Path) -> None:
    ours, theirs = (run(request(fill=f), scene.photo, scene=scene) for f in ("patchmatch", "lama"))
    people = [[layer for layer in r.stack.layers if layer.owner == 1] for r in (ours, theirs)]
    for a, b in zip(*people, strict=True):
        assert (a.rgba == b.rgba).all()


def test_holes_far_apart_get_windows_of_their_own(lama: Path) -> None:
    rgb = np.full((200, 400, 3), 90, np.uint8)
    hole = np.zeros((200, 400), bool)
    hole[90:110, 20:40] = hole[90:110, 360:380] = True
    spy = Spy()
    out = NetFiller("spy", spy)(rgb, ~hole, hole, seed=0)
    assert len(spy.shown) == 2 and all(h.sum() == 400 for _, h in spy.shown)
    assert (out[hole] == (0, 255, 0)).all() and (out[~hole] == 90).all()
    near = hole.copy()
    near[90:110, 60:360:20] = True
    assert len(windows_of(near, 0.5, 128)) == 1
    together = np.zeros_like(hole)
    for window, part in windows_of(near, 0.5, 8):
        together[window.slices] |= part
    assert (together == near).all()


def test_the_same_through_command_line_api_and_library(
    scene: Scene, lama: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    photo, mask = tmp_path / "photo.png", tmp_path / "mask.png"
    scene.photo.save(photo)
    Photo.from_array(np.repeat(scene.mask_of((2,))[..., None], 3, 2).astype(np.uint8) * 255).save(mask)
    library = mild.erase(str(photo), mask=str(mask), finder="none", fill="lama")
    out = tmp_path / "cli.png"
    arguments = ["erase", str(photo), "--mask", str(mask), "--finder", "none", "--fill", "lama", "-o", str(out)]
    assert app.run([*arguments, "--save-request", str(tmp_path / "job.json")]) == 0, capsys.readouterr().err
    assert (Photo.open(out).pixels == library.photo.pixels).all()
    assert json.loads((tmp_path / "job.json").read_text())["method"]["parts"]["fill"] == "lama"
    again = tmp_path / "again.png"
    assert app.run(["erase", "--request", str(tmp_path / "job.json"), "-o", str(again)]) == 0
    assert (Photo.open(again).pixels == library.photo.pixels).all()
    batch = tmp_path / "batch"
    # Its processes know the file, not this test's registry.
    by_file = ["--finder", "none", "--fill", str(lama)]
    assert app.run(["batch", str(photo), "-o", str(batch), "--mask", str(mask), *by_file]) == 0
    (made,) = batch.rglob("photo*.png")
    assert (Photo.open(made).pixels == library.photo.pixels).all()
    with TestClient(create_app(Settings(state=tmp_path / "state"), MildRoad()), base_url="http://127.0.0.1") as client:
        assert client.get("/v1/limits").json()["fillers"] == ["patchmatch", "lama"]
        answer = asked(client, photo, mask, {"finder": {"backend": "none"}, "method": {"fill": "lama"}})
        assert answer.status_code == 200
        (tmp_path / "api.png").write_bytes(answer.content)
        assert (Photo.open(tmp_path / "api.png").pixels == library.photo.pixels).all()
        # Paths, and what is not installed, are refused from afar.
        for name in (str(lama), "migan", "../x"):
            refused = asked(client, photo, mask, {"method": {"fill": name}})
            assert refused.status_code == 422 and "no such filler (it has: patchmatch, lama)" in refused.text


def asked(client: TestClient, photo: Path, mask: Path, job: dict[str, object]) -> httpx.Response:
    files = {"photo": photo.read_bytes(), "mask": mask.read_bytes()}
    return client.post("/v1/erase", files=files, data={"request": json.dumps(job)})


def test_what_cannot_be_is_said(scene: Scene, lama: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no filler 'nonsense'"):
        run(request(fill="nonsense"), scene.photo, scene=scene)
    with pytest.raises(MildError, match="mild models --fetch migan"):
        run(request(fill="migan"), scene.photo, scene=scene)
    with pytest.raises(UsageError, match="switched off, so lama cannot make it"):
        run(request(fill="lama", prior=False), scene.photo, scene=scene)
    lama.write_bytes(lama.read_bytes()[:-10])
    with pytest.raises(MildError, match="mild models --fetch lama"):
        run(request(fill="lama"), scene.photo, scene=scene)


def test_old_requests_mean_the_built_in() -> None:
    assert EraseRequest.build(method={"steps": 1}).method.parts.fill == fillers.BUILT_IN
    assert fillers.load(fillers.BUILT_IN) is None
