"""Trains ``ThingsNet`` and writes it as ONNX.

    python -m mild.lab.train.things_run rows SAMPLES ROWS        # from `mild data synth`
    python -m mild.lab.train.things_run train configs/things.yaml
    python -m mild.lab.train.things_run export RUN things.onnx

A step's crops depend on the seed and the step alone; a run that is stopped goes on from its last checkpoint as if it
had not been. One thread of a processor is enough; figures are written a line each to ``log.jsonl``.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict, Field
from safetensors.torch import load_file, save_file

from mild.errors import MildError
from mild.lab.train.config import read_yaml
from mild.lab.train.things_net import INPUTS, SIDE, ThingsNet, loss_of
from mild.lab.train.things_rows import RowStore, drawn, make_rows

STATE, PROGRESS = "state.safetensors", "progress.json"
OPSET = 17


class ThingsConfig(BaseModel):
    """A run: where its rows lie, where it goes, for how long."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    rows: Path
    out: Path
    widths: tuple[int, ...] = (24, 40, 72, 128, 192)
    steps: int = Field(6000, ge=1)
    batch: int = Field(16, ge=1)
    rate: float = Field(2e-3, gt=0)
    decay: float = Field(0.01, ge=0)
    average: float = Field(0.998, ge=0, lt=1)
    seed: int = 0
    every: int = Field(100, ge=1, description="Steps between checkpoints.")
    weights: dict[str, float] = {
        "alpha": 1.0, "things": 2.0, "shadow": 2.0, "things_shared": 0.5, "shadow_shared": 0.5,
    }  # fmt: skip


def batch_of(config: ThingsConfig, store: RowStore, step: int) -> tuple[torch.Tensor, torch.Tensor]:
    """The crops and truths of a step."""
    rng = np.random.default_rng([config.seed, step])
    pairs = [drawn(rng, store[int(k)]) for k in rng.integers(0, len(store), config.batch)]
    seen, truth = (torch.from_numpy(np.stack(side)) for side in zip(*pairs, strict=True))
    return seen.contiguous(memory_format=torch.channels_last), truth


def rate_at(config: ThingsConfig, step: int) -> float:
    """Up over 200 steps, then down along a cosine."""
    done = step / config.steps
    return config.rate * min(1.0, (step + 1) / 200) * 0.5 * (1 + float(np.cos(np.pi * min(1.0, done))))


def train(config: ThingsConfig, most_steps: int | None = None) -> int:
    """Train up to the last step, or ``most_steps`` more; returns the step that was reached."""
    store = RowStore(config.rows)
    torch.manual_seed(config.seed)
    net = ThingsNet(config.widths).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimiser = torch.optim.AdamW(net.parameters(), config.rate, weight_decay=config.decay)
    average = {name: value.detach().clone() for name, value in net.state_dict().items()}
    step = resume(config.out, net, optimiser, average)
    last = config.steps if most_steps is None else min(config.steps, step + most_steps)
    sums: dict[str, float] = {}
    begun, first = time.perf_counter(), step
    while step < last:
        for group in optimiser.param_groups:
            group["lr"] = rate_at(config, step)
        seen, truth = batch_of(config, store, step)
        parts = loss_of(net(seen), truth)
        loss = sum((config.weights[name] * value for name, value in parts.items()), torch.zeros(()))
        optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimiser.step()
        step += 1
        keep = min(config.average, (1 + step) / (10 + step))
        for name, value in net.state_dict().items():
            if value.dtype.is_floating_point:
                average[name].lerp_(value, 1 - keep)
            else:
                average[name].copy_(value)
        for name, value in parts.items():
            sums[name] = sums.get(name, 0.0) + float(value.detach())
        if step % config.every == 0 or step == last:
            count = step % config.every or config.every
            means = {name: round(total / count, 5) for name, total in sums.items()}
            if any(value != value for value in means.values()):
                raise MildError(f"At step {step} a loss is not a number any more; lower the rate and go on.")
            speed = round((time.perf_counter() - begun) / (step - first), 3)
            save(config.out, net, optimiser, average, step)
            with (config.out / "log.jsonl").open("a", encoding="utf-8") as log:
                log.write(json.dumps({"step": step, **means, "seconds": speed}) + "\n")
            sums = {}
    return step


def save(run: Path, net: ThingsNet, optimiser: Any, average: dict[str, torch.Tensor], step: int) -> None:
    """A checkpoint, whole or not at all: weights, their average, the optimiser's moments."""
    tensors = {f"net.{name}": value for name, value in net.state_dict().items()}
    tensors |= {f"average.{name}": value for name, value in average.items()}
    for k, moments in optimiser.state_dict()["state"].items():
        tensors |= {f"optimiser.{k}.{name}": value for name, value in moments.items()}
    run.mkdir(parents=True, exist_ok=True)
    scratch = run / f"{STATE}.part"
    whole = {name: value.detach().contiguous() for name, value in tensors.items()}
    save_file(whole, str(scratch), {"step": str(step), "widths": json.dumps(net.widths)})
    scratch.replace(run / STATE)


def resume(run: Path, net: ThingsNet, optimiser: Any, average: dict[str, torch.Tensor]) -> int:
    """Go on from a run's checkpoint; returns its step, 0 where there is none."""
    if not (run / STATE).exists():
        return 0
    tensors, about = load_file(str(run / STATE)), about_of(run)
    net.load_state_dict({n.removeprefix("net."): v for n, v in tensors.items() if n.startswith("net.")})
    for name, value in average.items():
        value.copy_(tensors[f"average.{name}"])
    state = optimiser.state_dict()
    for name, value in tensors.items():
        if name.startswith("optimiser."):
            _, k, moment = name.split(".")
            state["state"].setdefault(int(k), {})[moment] = value
    optimiser.load_state_dict(state)
    return int(about["step"])


def about_of(run: Path) -> dict[str, str]:
    """What a checkpoint says of itself.

    Raises:
        MildError: the run has none.
    """
    from safetensors import safe_open

    if not (run / STATE).exists():
        raise MildError(f"{run} holds no checkpoint; train for longer first.")
    with safe_open(str(run / STATE), "pt") as file:
        return dict(file.metadata())


def averaged(run: Path) -> ThingsNet:
    """The net of a run's averaged weights."""
    net = ThingsNet(tuple(json.loads(about_of(run)["widths"])))
    tensors = load_file(str(run / STATE))
    net.load_state_dict({n.removeprefix("average."): v for n, v in tensors.items() if n.startswith("average.")})
    return net.eval()


class _Chances(torch.nn.Module):
    def __init__(self, net: ThingsNet) -> None:
        super().__init__()
        self.net = net

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.net(x).sigmoid()
        return out


def export(run: Path, to: Path) -> None:
    """Write the averaged net as ONNX: ``crops`` ``[n, 6, 192, 192]`` to ``maps`` ``[n, 3, 192, 192]``, both 0..1."""
    scratch = to.with_suffix(".part")
    with torch.no_grad():
        torch.onnx.export(
            _Chances(averaged(run)).eval(), (torch.zeros(1, INPUTS, SIDE, SIDE),), str(scratch), dynamo=False,
            opset_version=OPSET, input_names=["crops"], output_names=["maps"],
            dynamic_axes={"crops": {0: "n"}, "maps": {0: "n"}},
        )  # fmt: skip
    scratch.replace(to)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("rows", "train", "export"))
    parser.add_argument("paths", nargs="+", type=Path)
    options = parser.parse_args()
    if options.what == "rows":
        print(make_rows(*options.paths))
    elif options.what == "train":
        torch.set_num_threads(1)
        print(train(ThingsConfig.model_validate(read_yaml(options.paths[0]))))
    else:
        export(*options.paths)


if __name__ == "__main__":
    main()
