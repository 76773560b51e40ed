"""Trains ``ThingsNet`` with the trainer's own loop, and writes it as ONNX.

    python -m mild.lab.train.things_run rows SAMPLES ROWS        # from `mild data synth`
    python -m mild.lab.train.things_run train configs/things.yaml
    python -m mild.lab.train.things_run export RUN things.onnx

A step's crops depend on the seed and the step alone. One thread of a processor is enough.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pydantic import Field
from safetensors.torch import load_file
from torch import nn

from mild.lab.train.checkpoint import average_of, checkpoint_of
from mild.lab.train.config import LogConfig, LoopConfig, OptimiserConfig
from mild.lab.train.loop import Player, Turn, fit
from mild.lab.train.settings import build, read_yaml
from mild.lab.train.things_net import INPUTS, SIDE, ThingsNet, loss_of
from mild.lab.train.things_rows import RowStore, drawn, make_rows

OPSET = 17


class ThingsConfig(LoopConfig):
    """A run: where its rows lie, how wide the net is, what counts how much."""

    rows: str
    widths: tuple[int, ...] = (24, 40, 72, 128, 192)
    weights: dict[str, float] = Field(
        {"alpha": 1.0, "things": 2.0, "shadow": 2.0, "things_shared": 0.5, "shadow_shared": 0.5},
        description="Of the parts of the loss.",
    )
    optimiser: OptimiserConfig = OptimiserConfig(batch=16, learning_rate=2e-3, fade=1.0, average=0.998)
    log: LogConfig = LogConfig(every=100, checkpoint=100)


@dataclass(frozen=True)
class Crops:
    """A batch: crops and truths."""

    seen: torch.Tensor
    truth: torch.Tensor

    def __len__(self) -> int:
        return len(self.seen)

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(self.seen.shape)


class _Learner(nn.Module):
    def __init__(self, config: ThingsConfig) -> None:
        super().__init__()
        self.net, self.weights = ThingsNet(config.widths), config.weights
        self.net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def forward(self, batch: Crops) -> dict[str, torch.Tensor]:
        parts = loss_of(self.net(batch.seen), batch.truth)
        loss = sum((self.weights[name] * value for name, value in parts.items()), torch.zeros(()))
        return {**parts, "loss": loss}


class ThingsTask:
    """Crops of people in, losses out (``loop.Task``)."""

    def __init__(self, config: ThingsConfig) -> None:
        self.config, self.store, self.device = config, RowStore(Path(config.rows)), torch.device("cpu")
        torch.manual_seed(config.seed)
        self.players: Mapping[str, Player] = {"things": Player(_Learner(config), config.optimiser.learning_rate)}

    def to(self, device: torch.device) -> None:
        self.device = device

    def batch(self, turn: Turn) -> Crops:
        rng = np.random.default_rng([turn.seed, turn.step, turn.micro, turn.rank])
        picked = rng.integers(0, len(self.store), self.config.optimiser.batch)
        pairs = [drawn(rng, self.store[int(k)]) for k in picked]
        seen, truth = (torch.from_numpy(np.stack(side)).to(self.device) for side in zip(*pairs, strict=True))
        return Crops(seen.contiguous(memory_format=torch.channels_last), truth)

    def finish(self) -> None:
        """Nothing stays open."""

    def close(self) -> None:
        """Nothing stays open."""

    def judge(self, averages: Mapping[str, torch.Tensor], picture: Path | None) -> dict[str, Any]:
        return {}


def averaged(run: Path) -> ThingsNet:
    """The net of a run's averaged weights, with the last statistics of its normalisations.

    Raises:
        MildError: the run has no checkpoint.
    """
    checkpoint = checkpoint_of(run)
    config = build(ThingsConfig, read_yaml(run / "config.yaml"), str(run))
    learner = _Learner(config)
    learner.load_state_dict(load_file(str(checkpoint / "model.safetensors")))
    held = {name.removeprefix("things."): value for name, value in average_of(checkpoint).items()}
    learner.load_state_dict(held, strict=False)
    return learner.net.eval()


class _Chances(nn.Module):
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
        config = build(ThingsConfig, read_yaml(options.paths[0]), str(options.paths[0]))
        fit(ThingsTask(config), config)
    else:
        export(*options.paths)


if __name__ == "__main__":
    main()
