"""The onnx runtime: the shipped graph gives what the pipeline gives, for every canvas, batch and switch it serves."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from mild.diffusion.bodies import BodyRow
from mild.diffusion.one_step import FILE, OneStep
from mild.errors import MildError, UsageError
from mild.fill.canvas import LayerCrop
from mild.models import assets
from mild.people.scene import Person, Scene
from mild.photo import Photo
from mild.plan.planning import plan_layers
from mild.request import EraseRequest, Model, Region
from mild.runtimes import Models, chosen_runtime

FOLDER = assets.model_folder("mild-small")


def scene(size: tuple[int, int] = (210, 300)) -> Scene:
    """Two people, the first in front of the second, with a pose."""
    rng = np.random.default_rng(0)
    pixels = np.clip(rng.normal(120, 30, (*size, 3)) + np.linspace(-50, 50, size[1])[:, None], 0, 255).astype(np.uint8)
    front, behind = np.zeros(size, bool), np.zeros(size, bool)
    front[40:190, 100:150] = True
    behind[50:190, 140:200] = True
    behind &= ~front
    joints = np.column_stack([rng.uniform(130, 195, 17), rng.uniform(55, 185, 17), rng.uniform(0.2, 1, 17)])
    second = Person.from_mask(2, behind, keypoints=joints.astype(np.float32))
    return Scene(Photo.of(pixels), (Person.from_mask(1, front), second), (2, 1))


@pytest.mark.parametrize("switches", [{}, {"hmg": "none"}, {"hmg": ("pose",)}, {"prior": False}, {"detail": False}])
def test_the_graph_gives_what_the_pipeline_gives(switches: dict[str, object]) -> None:
    here = scene()
    plan = plan_layers(here, (1,), Region())
    assert {row.domain for row in plan.layers} == {"background", "person"}
    one = OneStep(FOLDER)(here, plan, seed=3, **switches)  # type: ignore[arg-type]
    pipeline = Models().pipeline(Model())
    two = pipeline(scene=here, plan=plan, generator=torch.Generator().manual_seed(3), **switches).stacks[0]
    for a, b in zip(one.layers, two.layers, strict=True):
        difference = np.abs(a.rgba.astype(int) - b.rgba.astype(int))
        if switches.get("prior", True):
            assert difference.max() <= 1 and (difference > 0).mean() < 1e-3
        else:
            # The painter looks for places by the answer alone: of two as good as equal either may be taken.
            assert (difference > 1).mean() < 2e-3 and (difference > 0).mean() < 4e-3
    assert np.array_equal(one.compose()[:40], two.compose()[:40])


@pytest.mark.parametrize("size", [(210, 300), (190, 290), (230, 250)])
def test_a_person_in_a_mirror_is_completed_in_a_mirror(size: tuple[int, int]) -> None:
    here, model = scene(size), OneStep(FOLDER)
    (row,) = [row for row in plan_layers(here, (1,), Region()).layers if row.owner is not None]
    crop, body = LayerCrop.cut(here.photo.pixels[row.crop.slices], row, 0), BodyRow.of(here, row)
    width = row.sizes.content[1]
    made, turned = model.layer(crop, body), model.layer(crop.mirrored(), body.mirrored(width))
    assert np.abs(made - turned[:, ::-1]).max() < 1e-4
    alone = model.layer(crop, body, mirrored=False)
    assert np.abs(made - alone).max() > 0.01
    again = body.mirrored(width).mirrored(width)
    assert np.array_equal(again.own, body.own) and np.allclose(again.keypoints, body.keypoints)  # type: ignore[arg-type]
    assert [o.box for o in again.others] == [o.box for o in body.others]


@pytest.mark.parametrize("size", [(64, 256), (256, 192), (256, 256)])
def test_any_canvas_and_batch(size: tuple[int, int]) -> None:
    from mild.diffusion.one_step import BODY_INPUTS, LAYER_INPUTS
    from mild.lab.train.one_step_export import _Step, example_inputs

    inputs = example_inputs(3, *size, seed=1)
    with torch.no_grad():
        wanted = _Step(Models().pipeline(Model()).to(torch.float32))(*inputs).numpy()
    session = OneStep(FOLDER)._session
    names = [value.name for value in session.get_inputs()]
    feeds = {n: t.numpy() for n, t in zip((*LAYER_INPUTS, *BODY_INPUTS), inputs, strict=True) if n in names}
    assert np.abs(session.run(None, feeds)[0] - wanted).max() < 1e-4


def test_auto_takes_the_graph_for_the_default_job_only() -> None:
    def chosen(**method: object) -> str:
        return chosen_runtime(EraseRequest.build(method=method).method)

    assert chosen() == "onnx" and chosen(hmg="none", prior=False, layers=False) == "onnx"
    assert chosen(steps=4) == chosen(adapters=False) == chosen(denoise=False) == "torch"
    assert chosen(sma="off") == "onnx"  # the embedded model has no amplitudes to switch off
    assert chosen(runtime="torch") == "torch"
    assert chosen_runtime(EraseRequest.build().method, probed=True) == "torch"


def test_amplitudes_that_a_model_has_are_switched_off_by_torch(tmp_path: Path) -> None:
    for part in ("codec", "modulation"):
        (tmp_path / part).mkdir()
    (tmp_path / "one_step.onnx").touch()
    (tmp_path / "model_index.json").touch()

    def chosen(**method: object) -> str:
        return chosen_runtime(EraseRequest.build(method={"model": str(tmp_path), **method}).method)

    assert chosen() == "onnx" and chosen(sma="off") == "torch"


def test_onnx_that_cannot_is_refused_in_a_sentence() -> None:
    with pytest.raises(UsageError, match="runtime torch or auto"):
        chosen_runtime(EraseRequest.build(method={"runtime": "onnx", "steps": 4}).method)


def test_a_graph_without_its_weights_says_so(tmp_path: Path) -> None:
    (tmp_path / FILE).write_bytes((FOLDER / FILE).read_bytes())
    with pytest.raises(MildError, match="runtime torch"):
        OneStep(tmp_path)


def test_the_default_job_never_loads_torch(tmp_path: Path) -> None:
    code = (
        "import sys, numpy as np, mild\n"
        "photo = np.random.default_rng(0).integers(0, 256, (90, 120, 3), dtype=np.uint8)\n"
        "mask = np.zeros((90, 120), bool); mask[30:60, 40:70] = True\n"
        "mild.erase(photo, mask=mask, finder='none')\n"
        "print(sorted({'torch', 'diffusers', 'transformers'} & set(sys.modules)))"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=tmp_path)
    assert out.stdout.strip().endswith("[]")
