"""Which parts of a UNet its answers come from: its levels, transformers, SMA and HMG, switched off one by one.

    OMP_NUM_THREADS=1 python bench/depth.py --rows runs/cache-test [--model FOLDER] [--blank] [--json FILE]

On cached rows (``mild train cache``), one step, no retraining: the PSNR of backgrounds in the hole, with the IoU of
people's alpha there. What costs nothing when it is gone was not used; SMA can change nothing where self-attention does
not. ``--blank`` takes the exemplar fill away, so that all there is comes from the visible pixels.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from mild.lab.train.batches import Batch, judged_batches
from mild.lab.train.config import DataConfig, ModelConfig, RunConfig
from mild.lab.train.judging import score_rows
from mild.lab.train.parts import make_parts
from mild.lab.train.rowfiles import RowFiles
from mild.lab.train.sampling import sampled

MODEL = Path(__file__).resolve().parents[1] / "src/mild/weights/mild-small"
FIGURES = ("psnr_answer", "alpha_iou", "person_mse")


@contextmanager
def silent(modules: list[nn.Module]) -> Iterator[None]:
    """What these modules give is zero."""

    def nothing(_module: nn.Module, _given: Any, made: Any) -> Any:
        return made * 0 if isinstance(made, torch.Tensor) else (made[0] * 0, *made[1:])

    hooks = [module.register_forward_hook(nothing) for module in modules]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def ends(unet: nn.Module, name: str) -> list[nn.Module]:
    return [module for path, module in unet.named_modules() if path.rpartition(".")[2] == name]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", required=True, help="cached rows that were not learned from")
    parser.add_argument("--model", default=str(MODEL))
    parser.add_argument("--count", type=int, default=256)
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--blank", action="store_true")
    parser.add_argument("--json")
    options = parser.parse_args()
    torch.set_num_threads(1)
    config = RunConfig(
        stage="base", out="nowhere", model=ModelConfig(start=options.model, hmg="all"),
        data=DataConfig(rows=options.rows),
    )  # fmt: skip
    parts = make_parts(config)
    for module in parts.modules().values():
        module.eval()
    unet = parts.pipeline.unet
    batches = judged_batches(RowFiles(options.rows), options.count, options.size, bodies=True, whole=False)
    if options.blank:
        for batch in batches:
            batch.rows = dataclasses.replace(batch.rows, fill=torch.zeros_like(batch.rows.fill))

    def figures(make: Callable[[Batch], torch.Tensor]) -> dict[str, float]:
        found: dict[str, list[float]] = {}
        for batch in batches:
            for name, values in score_rows(batch, make(batch)).items():
                found.setdefault(name, []).extend(values)
        return {name: round(float(np.mean(found[name])), 4) for name in (*FIGURES, "psnr_fill") if name in found}

    def made(batch: Batch, hmg: Any = "all", **model: Any) -> torch.Tensor:
        changed = config.model_copy(update={"model": config.model.model_copy(update=model)})
        return sampled(parts, changed, batch, 1, hmg=hmg)

    table = {"everything": figures(made)}
    if parts.pipeline.modulation is not None:
        table["without SMA"] = figures(lambda batch: made(batch, sma="off"))
    table["without HMG"] = figures(lambda batch: made(batch, hmg="none"))
    without = {
        "without self-attention": ends(unet, "attn1"),
        "without transformers": ends(unet, "proj_out"),
        **{f"levels kept: {i + 1}": [unet.up_blocks[-2 - i]] for i in range(len(unet.up_blocks) - 1)},
    }
    for name, modules in without.items():
        with silent(modules):
            table[name] = figures(made)
    for name, values in table.items():
        print(f"{name:26s}", *(f"{key} {value:.4f}" for key, value in values.items()), flush=True)
    if options.json:
        Path(options.json).write_text(json.dumps(table, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
