"""Methods of the benchmark, each through the one interface, on nets of a few numbers."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
import uvicorn
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file

import standins
from bench_items import two_people
from fake_road import FakeRoad
from mild.app.server import Settings
from mild.app.server.app import create_app
from mild.diffusion.adapters import DomainAdapters
from mild.errors import MildError, UsageError
from mild.fill.windows import square, through_window
from mild.lab.bench.items import make_trial, without
from mild.lab.bench.methods import KINDS, checked, load, parse
from mild.lab.bench.methods.diffuser import DiffusersMethod
from mild.lab.bench.methods.road import MildMethod
from mild.people.scene import Box
from tiny_pipes import sd15


class Inpainter(torch.nn.Module):
    """The mean of what is visible, in the hole; answers in 0..255 as LaMa's exports do."""

    def forward(self, image: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        visible = 1 - mask
        mean = (image * visible).sum((2, 3), keepdim=True) / visible.sum().clamp(min=1)
        return 255 * (image * visible + mean * mask)


@pytest.mark.parametrize("name", ["telea", "ns", "patchmatch", "input", "layered:telea", "layered:ns"])
def test_classic_methods_keep_what_is_outside_the_mask(name: str) -> None:
    trial = make_trial(two_people(), "dilated")
    answer = checked(load(parse(name))(trial), trial)
    assert (answer[~trial.mask] == trial.item.photo[~trial.mask]).all()
    changed = (answer[trial.mask] != trial.item.photo[trial.mask]).any()
    assert changed == (name != "input")


def test_layers_by_diffusion_see_their_own_pixels_alone() -> None:
    """The peer of the network: the same layers, colour and alpha carried on from what is visible of each."""
    trial = make_trial(two_people(), "dilated")
    answer = load(parse("layered:telea,radius=3"))(trial)
    assert answer.stack is not None
    (blue,) = (layer for layer in answer.stack.people if layer.owner == 1)
    made = blue.rgba[blue.generated & (blue.rgba[..., 3] > 127)].astype(int)
    assert len(made) > 50 and (made[:, 2] > made[:, 0] + 50).all(), "nothing of the red one, nothing of the meadow"
    ground = answer.stack.background
    green = ground.rgba[ground.rgba[..., 3] > 0].astype(int)
    assert (green[:, 1] > green[:, 0]).all() and (green[:, 1] > green[:, 2]).all()
    with pytest.raises(UsageError, match="does not know 'size=3'"):
        load(parse("layered:ns,size=3"))


def test_the_memory_of_a_job_is_without_what_only_measuring_loads() -> None:
    """`about` loaded torch for jobs that onnxruntime answers, and every figure of memory held it."""
    import subprocess
    import sys

    program = (
        "import sys; from mild.lab.bench.methods import load, parse; from mild.runtimes import chosen_runtime\n"
        "from mild.request import Method; method = load(parse('mild')); method.about()\n"
        "print(chosen_runtime(Method()), 'torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["onnx", "False"]


def test_a_torchscript_file_of_any_size(tmp_path: Path) -> None:
    path = tmp_path / "mean.pt"
    torch.jit.script(Inpainter()).save(str(path))
    method = load(parse(f"lama@torchscript:{path},trust=1"))
    trial = make_trial(two_people(height=97, width=131), "tight")
    answer = checked(method(trial), trial)
    assert np.abs(answer[~trial.mask].astype(int) - trial.item.photo[~trial.mask]).max() <= 1
    # No trace of the red of whoever went.
    assert answer[trial.mask][:, 0].astype(int).max() < 110
    assert len(method.about()["sha256"]) == 64
    fixed = load(parse(f"torchscript:{path},size=64,trust=1"))
    assert checked(fixed(trial), trial).shape == trial.item.photo.shape
    with pytest.raises(UsageError, match="no TorchScript"):
        (tmp_path / "bad.pt").write_bytes(b"nothing")
        load(parse(f"torchscript:{tmp_path / 'bad.pt'},trust=1"))


def test_an_onnx_file(tmp_path: Path) -> None:
    path = standins.image_and_mask(tmp_path / "lama.onnx", (64, 96))
    method = load(parse(f"onnx:{path}"))
    assert method.net.size == (64, 96)  # type: ignore[attr-defined]  # read from the file
    assert method.about()["contract"]["output_range"] == [0, 255]
    trial = make_trial(two_people(), "tight")
    answer = checked(method(trial), trial)
    inside = two_people().scene.mask_of((2,))
    # Shown at half its size: the edge is mixed.
    assert np.abs(answer[inside].astype(int) - 128).mean() < 6


def test_any_inpainting_pipeline_of_diffusers_and_its_attention() -> None:
    pipeline = sd15()
    pipeline.set_progress_bar_config(disable=True)
    method = DiffusersMethod(pipeline, "tiny", steps=2, size=64, guidance=1.0)
    trial = make_trial(two_people(), "tight")
    answer = checked(method(trial), trial)
    again = checked(method(trial), trial)
    assert (answer == again).all()
    processors = dict(pipeline.unet.attn_processors)
    found = method.measure(trial)
    assert -1 <= found["cag"] <= 1
    assert pipeline.unet.attn_processors == processors
    assert json.dumps(dict(method.about()))


def test_a_named_pipeline_with_a_lora(tmp_path: Path) -> None:
    pipeline = sd15()
    pipeline.save_pretrained(tmp_path / "tiny")
    adapters = DomainAdapters.for_unet(pipeline.unet, rank=2)
    torch.nn.init.normal_(next(iter(adapters.up.values())))
    save_file(adapters.domain_state("background"), tmp_path / "lora.safetensors")
    named = f"{tmp_path / 'tiny'},pipeline=StableDiffusionInpaintPipeline,steps=2,size=64"
    bare = load(parse(f"diffusers:{named}"))
    adapted = load(parse(f"diffusers:{named},lora={tmp_path / 'lora.safetensors'}"))
    trial = make_trial(two_people(), "tight")
    assert (checked(bare(trial), trial) != checked(adapted(trial), trial)).any()
    for wrong, why in (("pipeline=AutoModel", "no inpainting pipeline"), ("dtype=integer", "no dtype")):
        with pytest.raises(UsageError, match=why):
            load(parse(f"diffusers:{tmp_path / 'tiny'},{wrong}"))


@pytest.fixture
def address(tmp_path: Path) -> Iterator[str]:
    app = create_app(Settings(state=tmp_path / "state", hosts=("127.0.0.1",)), FakeRoad())
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="error", timeout_graceful_shutdown=1))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        thread.join(0.01)
    yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    server.should_exit = True
    thread.join(20)


def test_the_api_over_http(address: str) -> None:
    method = load(parse(f"http:{address}"))
    trial = make_trial(two_people(), "tight")
    answer = checked(method(trial), trial)
    assert (answer[trial.mask] != trial.item.photo[trial.mask]).any()
    assert method.about()["api"] == "/v1/erase"
    nobody = load(parse("http:http://127.0.0.1:9"))
    with pytest.raises(MildError, match="does not answer"):
        nobody(trial)


def test_mild_with_its_switches_and_without_estimators() -> None:
    method = MildMethod.parse("denoise=off,hmg=pose+relations,steps=3")
    assert method.overrides == {"denoise": False, "hmg": ["pose", "relations"], "steps": 3}
    assert MildMethod.parse("parsing=off").overrides["hmg"] == ["pose", "relations"]
    assert not MildMethod.parse("pose=off").pose
    scene = two_people().scene
    lost = without(scene, pose=True, parsing=True)
    assert all(p.keypoints is not None and not p.keypoints.any() and p.parts is None for p in lost.people)


def test_a_file_of_switches(tmp_path: Path) -> None:
    path = tmp_path / "many.yaml"
    path.write_text("steps: 4\nsma: 'off'\n")
    assert MildMethod.parse(str(path)).overrides == {"steps": 4, "sma": "off"}
    with pytest.raises(UsageError):
        MildMethod.parse(str(tmp_path / "none.yaml"))


def test_mild_on_an_item_gives_layers_and_keeps_pixels() -> None:
    method = load(parse("mild"))
    trial = make_trial(two_people(), "dilated")
    answer = method(trial)
    pixels = checked(answer, trial)
    assert (pixels[~trial.mask] == trial.item.photo[~trial.mask]).all()
    assert answer.stack is not None
    assert [layer.owner for layer in answer.stack.people if layer.generated.any()]
    assert set(method.measure(trial)) == {"cag", "cag_area"}
    assert len(str(method.about()["weights"])) == 64


@given(st.integers(1, 60), st.integers(1, 60), st.integers(0, 40), st.integers(0, 40), st.floats(0, 2))
@settings(max_examples=40, deadline=None)
def test_windows_hold_the_mask_and_come_back_unchanged(h: int, w: int, y: int, x: int, context: float) -> None:
    height, width = h + y, w + x
    photo = np.random.default_rng(h).integers(0, 256, (height, width, 3), dtype=np.uint8)
    mask = np.zeros((height, width), bool)
    mask[y : y + h, x : x + w] = True
    window = square(Box.around(mask), mask.shape, context)
    assert Box.around(mask).intersect(window) == Box.around(mask)
    out = through_window(photo, mask, lambda rgb, hole: rgb.astype(np.float32) / 255, None, 8, context)
    assert np.abs(out * 255 - photo).max() < 1e-3


def test_every_kind_of_method_is_described() -> None:
    assert all(kind.summary for kind in KINDS.values())
