"""The trainer: every stage on tiny models, what it writes, and that a killed run goes on as if nothing had happened."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import StableDiffusionInpaintPipeline, StableDiffusionXLInpaintPipeline
from safetensors.torch import load_file

from mild.diffusion.pipeline import MildPipeline
from mild.train import stages
from mild.train.checkpoint import latest
from mild.train.config import RunConfig, build
from mild.train.journal import read_log
from mild.train.parts import export
from mild.train.run import train
from mild.train.sampling import sampled
from tiny_pipes import sd15, sdxl
from tiny_rows import write_rows


@pytest.fixture(autouse=True)
def one_core() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
    from accelerate.state import AcceleratorState

    AcceleratorState._reset_state(reset_partial_state=True)


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_rows(tmp_path_factory.mktemp("rows"))


def tiny(rows: Path, out: Path, stage: str = "base", **sections: dict[str, Any]) -> RunConfig:
    """A config of very few, very small steps."""
    values: dict[str, Any] = {
        "stage": stage,
        "out": str(out),
        "precision": "fp32",
        "model": {"channels": [32, 32], "rank": 2},
        "data": {"rows": str(rows), "size": 32, "large_every": 2},
        "optimiser": {"steps": 4, "batch": 4, "warmup": 1},
        "log": {"every": 1, "checkpoint": 2, "judge": 100, "judged": 4, "pictures": 2},
    }
    for name, changes in sections.items():
        values[name] = {**values.get(name, {}), **changes}
    return build(RunConfig, values, "the test's config")


def weights(run: Path) -> dict[str, torch.Tensor]:
    return {**load_file(latest(run) / "model.safetensors"), **load_file(latest(run) / "average.safetensors")}


def in_a_child(do: Any) -> int:
    """Run ``do`` in a forked process; its exit status."""
    child = os.fork()
    if child == 0:
        try:
            do()
        finally:
            os._exit(0)
    return os.waitpid(child, 0)[1]


# --- resuming


@pytest.mark.parametrize(("stage", "when"), [("base", 4), ("distill", 3)])
def test_a_run_killed_with_signal_9_resumes_bit_equal(
    rows: Path, tmp_path: Path, when: int, stage: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    start: dict[str, Any] = {}
    more: dict[str, Any] = {}
    if stage == "distill":
        train(tiny(rows, tmp_path / "start", optimiser={"steps": 1}))
        start = {"start": str(tmp_path / "start")}
        more = {"loss": {"adversarial": 0.01, "teacher": 0.02, "gradient": 0.01, "texture": 0.01}}
        more |= {"noise": {"teacher_steps": 2}}
    morphology = {"hmg": "all"} if stage == "base" else {}
    config = {"model": {**start, **morphology}, "optimiser": {"steps": 4, "accumulate": 2}, **more}
    train(tiny(rows, tmp_path / "whole", stage, **config))
    broken = tiny(rows, tmp_path / "broken", stage, **config)
    real, calls = stages.RowTask.batch, [0]

    def deadly(self: Any, turn: Any) -> Any:
        calls[0] += 1
        if calls[0] == 2 * when:  # in the middle of a step
            os.kill(os.getpid(), signal.SIGKILL)
        return real(self, turn)

    monkeypatch.setattr(stages.RowTask, "batch", deadly)
    status = in_a_child(lambda: train(broken))
    assert os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL
    assert latest(tmp_path / "broken").name == "step-00000002"
    monkeypatch.setattr(stages.RowTask, "batch", real)
    train(broken)
    one, two = weights(tmp_path / "whole"), weights(tmp_path / "broken")
    assert set(one) == set(two)
    for name in one:
        assert torch.equal(one[name], two[name]), name
    name = "loss" if stage == "base" else "model.loss"
    curves = [[(line["step"], line[name]) for line in read_log(tmp_path / run)] for run in ("whole", "broken")]
    assert curves[0] == curves[1] and [step for step, _ in curves[0]] == [1, 2, 3, 4]


def test_a_half_written_checkpoint_does_not_count(rows: Path, tmp_path: Path) -> None:
    config = tiny(rows, tmp_path / "run")
    train(config, most_steps=2)
    (tmp_path / "run" / "checkpoints" / "unfinished").mkdir()
    half = tmp_path / "run" / "checkpoints" / "step-00000009"
    half.mkdir()
    (half / "model.safetensors").write_bytes(b"half")
    assert latest(tmp_path / "run").name == "step-00000002"
    train(config)
    assert latest(tmp_path / "run").name == "step-00000004"
