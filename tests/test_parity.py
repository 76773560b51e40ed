"""The same request through library, command line and API gives the same pixels."""

from __future__ import annotations

import json
import time
from pathlib import Path

import numpy as np
import pytest
from fastapi.testclient import TestClient
from PIL import Image

from mild.app.cli.app import run as mild
from mild.app.server import Settings
from mild.app.server.app import create_app
from mild.people.finders.coco import encode_rle
from mild.photo import Photo
from mild.request import EraseRequest
from stacks import ellipse, make_photo


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A tiny pipeline with random weights, so that the denoiser has a say in the pixels."""
    import torch

    from mild.diffusion.adapters import DomainAdapters
    from mild.diffusion.attention import SpatialModulation
    from mild.diffusion.codec import PixelCodec
    from mild.diffusion.denoiser import small_unet
    from mild.diffusion.pipeline import MildPipeline
    from mild.diffusion.schedule import noise_scheduler

    torch.manual_seed(0)
    codec = PixelCodec()
    unet = small_unet(codec, (32, 32))
    torch.nn.init.normal_(unet.conv_out.weight, std=0.02)
    parts = DomainAdapters.for_unet(unet), SpatialModulation.for_unet(unet)
    folder = tmp_path_factory.mktemp("model")
    MildPipeline(unet, noise_scheduler(), codec, *parts).save_pretrained(folder)
    return str(folder)


@pytest.fixture
def job(tmp_path: Path, model: str) -> tuple[Path, EraseRequest]:
    Image.fromarray(make_photo(160, 240)).save(tmp_path / "photo.png", dpi=(300, 300))
    mask = ellipse(160, 240, 120, 90, 25, 50)
    request = EraseRequest.build(
        selection={"mask_rle": encode_rle(mask)},
        finder={"backend": "none"},
        method={"model": model, "steps": 2, "resolution": 64},
        seed=7,
    )
    return tmp_path / "photo.png", request


def test_library_command_line_and_api_agree(
    tmp_path: Path, job: tuple[Path, EraseRequest], model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mild.road import run

    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")  # the mark tells the time of the edit
    photo, request = job
    library = run(request, Photo.open(photo))
    library.save(tmp_path / "library.png")
    assert (library.photo.pixels != make_photo(160, 240)).any()
    (tmp_path / "job.json").write_text(request.model_dump_json(exclude_none=True))
    assert mild(["erase", str(photo), "--request", str(tmp_path / "job.json"), "-o", str(tmp_path / "cli.png")]) == 0
    with TestClient(create_app(Settings(state=tmp_path / "state", models=(model,)))) as client:
        files = {"photo": photo.read_bytes()}
        data = {"request": request.model_dump_json()}
        at_once = client.post("/v1/erase", files=files, data=data)
        assert at_once.status_code == 200, at_once.text
        made = client.post("/v1/jobs", files=files, data=data)
        url = made.headers["location"]
        while (status := client.get(url).json())["state"] in ("queued", "running"):
            time.sleep(0.05)
        assert status["state"] == "done", status
        queued = client.get(f"{url}/result")
        whole = client.get(f"{url}/result?show=1")
        assert client.get(f"{url}/result?format=jpeg").content.startswith(b"\xff\xd8")
        replay = EraseRequest.model_validate(status["report"]["request"])
        assert str(tmp_path) not in json.dumps(status).replace(model, "")
    # Byte for byte: the same encoder wrote the same pixels and the same metadata.
    assert at_once.content == queued.content == (tmp_path / "cli.png").read_bytes()
    assert at_once.content == (tmp_path / "library.png").read_bytes()
    (tmp_path / "whole.png").write_bytes(whole.content)
    assert np.array_equal(Photo.open(tmp_path / "whole.png").pixels, make_photo(160, 240))
    assert np.array_equal(run(replay, Photo.open(photo)).photo.pixels, library.photo.pixels)


def test_layers_agree(tmp_path: Path, job: tuple[Path, EraseRequest], model: str) -> None:
    from mild.layers.export import load_stack
    from mild.road import decompose
    from stacks import equal

    photo, request = job
    library = decompose(request, Photo.open(photo))
    with TestClient(create_app(Settings(state=tmp_path / "state", models=(model,)))) as client:
        files = {"photo": photo.read_bytes()}
        for suffix in ("ora", "psd", "zip"):
            answer = client.post(
                f"/v1/layers?format={suffix}", files=files, data={"request": request.model_dump_json()}
            )
            assert answer.status_code == 200, answer.text
            (tmp_path / f"api.{suffix}").write_bytes(answer.content)
            assert equal(load_stack(tmp_path / f"api.{suffix}"), library.stack)
