"""Inpainters that a user brings: contracts, test card, self-test; on stand-ins whose answers are known exactly."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

import standins
from mild.app.cli import app
from mild.errors import MildError, UsageError
from mild.models import fill_nets
from mild.models.contracts import FillContract
from mild.models.inpainter import OnnxInpainter
from mild.models.known import fillers
from mild.models.probe import probe

LAMA, SMALL, MIGAN = (spec.contract for spec in fillers.SPECS)


def photo(height: int, width: int, low: int = 0, high: int = 256) -> np.ndarray:
    return np.random.default_rng(height).integers(low, high, (height, width, 3), np.uint8)


def hole_in(height: int, width: int) -> np.ndarray:
    hole = np.zeros((height, width), bool)
    hole[height // 3 : height // 2, width // 4 : width // 2] = True
    return hole


@pytest.fixture
def files(tmp_path: Path) -> dict[str, tuple[Path, FillContract]]:
    any_size = ("height", "width")
    return {
        "lama": (standins.image_and_mask(tmp_path / "lama.onnx"), LAMA),
        "lama-wide": (standins.image_and_mask(tmp_path / "wide.onnx", (256, 512)), LAMA),
        "lama-any": (standins.image_and_mask(tmp_path / "any.onnx", any_size, 1.0), FillContract()),
        "lama-4": (standins.four_channels(tmp_path / "four.onnx"), FillContract(layout="image,mask")),
        "migan": (standins.migan(tmp_path / "migan.onnx"), MIGAN),
        "migan-core": (
            standins.four_channels(tmp_path / "core.onnx", mask_first=True, signed=True),
            FillContract("mask,image", (-1.0, 1.0), (0.5, -0.5), (-1.0, 1.0)),
        ),
    }


NAMES = ("lama", "lama-wide", "lama-any", "lama-4", "migan", "migan-core")


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("size", [(97, 131), (64, 512), (512, 512), (33, 20)])
def test_the_hole_is_filled_and_the_rest_comes_back(
    files: dict[str, tuple[Path, FillContract]], name: str, size: tuple[int, int]
) -> None:
    path, contract = files[name]
    rgb, hole = photo(*size), hole_in(*size)
    rgb[:] = np.linspace(30, 200, size[1]).astype(np.uint8)[None, :, None]
    answer = OnnxInpainter(path, contract)(rgb, hole)
    assert answer.shape == (*size, 3) and answer.dtype == np.float32
    # MI-GAN's core fills with 0.2 of -1..1, the others with the middle.
    grey = 153 if name == "migan-core" else 127.5
    # Where a window is shown smaller, the edge is mixed.
    inner = cv2.erode(hole.astype(np.uint8), np.ones((9, 9), np.uint8)) > 0 if min(size) > 50 else hole
    assert np.abs(answer[inner] - grey).max() < 2
    far = ~hole
    far[max(0, size[0] // 3 - 8) : size[0] // 2 + 8, max(0, size[1] // 4 - 8) : size[1] // 2 + 8] = False
    assert not far.any() or np.abs(answer[far] - rgb[far]).mean() < 2


def test_a_night_photo_turns_not_white(files: dict[str, tuple[Path, FillContract]]) -> None:
    """The range was guessed from the answer's largest number: an answer of 0..255 that is nearly black became white."""
    path = standins.image_and_mask(files["lama"][0].with_name("night.onnx"), grey=0.004)
    rgb, hole = photo(64, 64, 0, 2), hole_in(64, 64)
    answer = OnnxInpainter(path, LAMA)(rgb, hole)
    assert answer.max() < 3


def test_a_wide_export_gets_its_own_height_and_width(files: dict[str, tuple[Path, FillContract]]) -> None:
    net = OnnxInpainter(*files["lama-wide"])
    assert net.size == (256, 512)
    assert net(photo(100, 100), hole_in(100, 100)).shape == (100, 100, 3)


@pytest.mark.parametrize("name", NAMES)
def test_the_card_finds_the_contract(files: dict[str, tuple[Path, FillContract]], name: str) -> None:
    path, wanted = files[name]
    found = probe(OnnxInpainter(path))
    assert found.doubts == {}
    for field in ("layout", "image_range", "mask_range", "output_range", "colours"):
        assert getattr(found.contract, field) == getattr(wanted, field), field
    fill_nets.with_contract(path, found.contract)


def test_the_card_sees_how_deep_migans_edge_leaks(tmp_path: Path) -> None:
    path = standins.migan(tmp_path / "leaky.onnx", leak=True)
    assert probe(OnnxInpainter(path)).contract.grow == 3
    # With the hole grown so far, nothing of the former pixel is left, and the answer is put in with our own mask.
    rgb, hole = np.full((96, 96, 3), 60, np.uint8), hole_in(96, 96)
    rgb[hole] = (255, 0, 255)
    answer = OnnxInpainter(path, MIGAN)(rgb, hole, blank=False)
    assert np.abs(answer[hole] - 128).max() <= 1
    bare = OnnxInpainter(path, replace(MIGAN, grow=0))(rgb, hole, blank=False)
    edge = bare[32, 40]
    assert edge[0] - 128 > 0.5 * (255 - 128), "without, two thirds of it"


def test_contracts_hold_for_what_is_registered(tmp_path: Path) -> None:
    for spec, path in (
        ("lama", standins.image_and_mask(tmp_path / "a.onnx")),
        ("lama-small", standins.image_and_mask(tmp_path / "b.onnx", (512, 512))),
        ("migan", standins.migan(tmp_path / "c.onnx", leak=True)),
    ):
        contract = next(s.contract for s in fillers.SPECS if s.name == spec)
        assert isinstance(contract, FillContract)
        fill_nets.with_contract(path, contract)


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        ({"mask_range": (1.0, 0.0)}, "its mask or its ranges"),
        ({"output_range": (0.0, 1.0)}, "its mask or its ranges"),
        ({"image_range": (0.0, 255.0)}, "its mask or its ranges"),
        ({"colours": "BGR"}, "come back|BGR"),
    ],
)
def test_a_net_that_fails_its_test_is_refused(tmp_path: Path, wrong: dict[str, object], why: str) -> None:
    path = standins.image_and_mask(tmp_path / "lama.onnx")
    if "colours" in wrong:
        # In and out exchanged alike comes back as it was; a net that exchanges by itself does not.
        path = standins.image_and_mask(tmp_path / "swap.onnx", swap=True)
        with pytest.raises(MildError, match="its colours are exchanged"):
            fill_nets.with_contract(path, LAMA)
        return
    with pytest.raises(MildError, match=why):
        fill_nets.with_contract(path, replace(LAMA, **wrong))


def test_a_red_card_tells_colours_that_are_exchanged_in_the_hole(tmp_path: Path) -> None:
    fill_nets.with_contract(standins.red_or_blue(tmp_path / "red.onnx", blue=False), FillContract())
    with pytest.raises(MildError, match="a hole in red is filled with blue"):
        fill_nets.with_contract(standins.red_or_blue(tmp_path / "blue.onnx", blue=True), FillContract())


def test_damaged_truncated_and_foreign_files_are_a_sentence(tmp_path: Path) -> None:
    good = standins.image_and_mask(tmp_path / "good.onnx")
    data = good.read_bytes()
    cases = {
        "cut.onnx": data[: len(data) // 2],
        "noise.onnx": bytes(np.random.default_rng(0).integers(0, 256, 2000, np.uint8)),
        "empty.onnx": b"",
    }
    for name, content in cases.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(MildError, match="no ONNX file that can be run here"):
            fill_nets.open_inpainter(str(tmp_path / name))
    finder = standins.rf_detr(tmp_path / "finder.onnx")
    with pytest.raises(UsageError, match="an image and a mask are expected"):
        fill_nets.open_inpainter(str(finder))
    with pytest.raises(UsageError, match="say patchmatch, one of lama, lama-small, migan, or an ONNX file"):
        fill_nets.open_inpainter("nonsense")
    with pytest.raises(UsageError, match="it fills no holes"):
        fill_nets.open_inpainter("blazepose")
    with pytest.raises(MildError, match="mild models --fetch lama"):
        fill_nets.open_inpainter("lama")


def test_an_exchanged_file_is_noticed(tmp_path: Path) -> None:
    """Another net under the same name: it is opened again, and tested again."""
    path = standins.image_and_mask(tmp_path / "net.onnx", ("height", "width"), 1.0)
    assert fill_nets.open_inpainter(str(path)).contract.output_range == (0, 1)
    standins.image_and_mask(path, ("height", "width"), 255.0)
    assert fill_nets.open_inpainter(str(path)).contract.output_range == (0, 255)
    standins.rf_detr(path)
    with pytest.raises(UsageError, match="an image and a mask are expected"):
        fill_nets.open_inpainter(str(path))


def test_a_contract_beside_the_file_counts(tmp_path: Path) -> None:
    path = standins.image_and_mask(tmp_path / "net.onnx", ("height", "width"), 1.0)
    beside = fill_nets.keep_contract(path, FillContract(grow=5))
    assert fill_nets.open_inpainter(str(path)).contract.grow == 5
    beside.write_text(json.dumps({"image_range": [0, 1], "grow": -1}))
    with pytest.raises(UsageError, match="grow is a whole number"):
        fill_nets.open_inpainter(str(path))
    beside.write_text("{")
    with pytest.raises(UsageError, match="cannot be read"):
        fill_nets.open_inpainter(str(path))


class Inpainter(torch.nn.Module):
    def forward(self, image: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        return image * (1 - mask) + 0.5 * mask


def test_torchscript_is_refused_until_it_is_trusted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MILD_CACHE", str(tmp_path / "cache"))
    path = tmp_path / "big-lama.pt"
    torch.jit.script(Inpainter()).save(str(path))
    with pytest.raises(UsageError, match=r"is a program as much as a model.*mild models --trust"):
        fill_nets.open_inpainter(str(path))
    assert app.run(["models", "--trust", str(path)]) == 0
    rgb, hole = photo(64, 80), hole_in(64, 80)
    answer = fill_nets.open_inpainter(str(path))(rgb, hole)
    assert np.abs(answer[hole] - 127.5).max() < 1 and np.abs(answer[~hole] - rgb[~hole]).max() < 1
    # Another file under the same name is another program.
    path.write_bytes(path.read_bytes() + b"x")
    with pytest.raises(UsageError, match="is a program"):
        fill_nets.open_inpainter(str(path))


def test_probe_on_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = standins.migan(tmp_path / "net.onnx")
    assert app.run(["models", "--probe", str(path), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["contract"]["mask_range"] == [255, 0] and told["doubts"] == {}
    assert app.run(["models", "--probe", str(path), "--set", "grow=3"]) == 0
    assert fill_nets.contract_of(path) == replace(probe(OnnxInpainter(path)).contract, grow=3)
    assert app.run(["models", "--probe", str(path), "--set", "mask_range=0,255"]) == 1
    assert "fails its test" in capsys.readouterr().err
    assert app.run(["models", "--probe", str(path), "--set", "colour=RGB"]) == 2
    assert "no field 'colour'" in capsys.readouterr().err
