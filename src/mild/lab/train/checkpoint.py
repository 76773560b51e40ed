"""Checkpoints that survive ``kill -9``, and the running average of the weights.

A checkpoint is a folder: accelerate's state (weights as safetensors, optimisers, random states), the averaged weights
as safetensors, and the progress as JSON. It is written under another name and then renamed, so a half one never counts.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from mild.errors import MildError
from mild.files import flat

AVERAGE, PROGRESS = "average.safetensors", "progress.json"


class Averages:
    """Exponential average of everything that learns, 32 bits; names are ``player.parameter``.

    The decay starts low, ``(1 + step) / (10 + step)``, so that the beginning is soon forgotten.
    """

    def __init__(self, modules: Mapping[str, nn.Module], decay: float) -> None:
        self.modules, self.decay = dict(modules), decay
        self.weights = {name: value.detach().float().clone() for name, value in self._current()}

    def _current(self) -> list[tuple[str, torch.Tensor]]:
        return [(f"{p}.{name}", value) for p, m in self.modules.items() for name, value in m.named_parameters()]

    @torch.no_grad()
    def update(self, step: int) -> None:
        decay = min(self.decay, (1 + step) / (10 + step))
        for name, value in self._current():
            self.weights[name].lerp_(value.float(), 1 - decay)

    @torch.no_grad()
    def load(self, weights: Mapping[str, torch.Tensor]) -> None:
        for name, value in self.weights.items():
            value.copy_(weights[name])


class Checkpoints:
    """The checkpoints of one run, the ``keep`` latest of them."""

    def __init__(self, run: Path, keep: int = 2) -> None:
        self.folder, self.keep = run / "checkpoints", keep

    def all(self) -> list[Path]:
        """Complete ones, oldest first."""
        return sorted(path.parent for path in self.folder.glob(f"step-*/{PROGRESS}"))

    def save(self, accelerator: Any, averages: Averages, progress: dict[str, Any]) -> None:
        """Write a checkpoint, unless that step has one.

        Raises:
            MildError: it cannot be written, for example since the disk is full; the former ones stay.
        """
        from safetensors.torch import save_file

        path = self.folder / f"step-{progress['step']:08d}"
        if path.exists():
            return
        scratch = self.folder / "unfinished"
        if accelerator.is_main_process and scratch.exists():
            shutil.rmtree(scratch)
        accelerator.wait_for_everyone()
        try:
            accelerator.save_state(str(scratch), safe_serialization=True)
            accelerator.wait_for_everyone()
            if not accelerator.is_main_process:
                return
            save_file({name: value.contiguous() for name, value in averages.weights.items()}, str(scratch / AVERAGE))
            (scratch / PROGRESS).write_text(json.dumps(progress), encoding="utf-8")
            scratch.rename(path)
        except Exception as error:  # of safetensors, of torch or of the system, each with a class of its own
            shutil.rmtree(scratch, ignore_errors=True)
            raise MildError(
                f"The checkpoint {path} cannot be written ({flat(error)[:200]}); make room, and the same command goes "
                "on from the one before."
            ) from error
        for old in self.all()[: -self.keep]:
            shutil.rmtree(old)

    def load(self, accelerator: Any, averages: Averages) -> dict[str, Any] | None:
        """Go on from the last checkpoint; returns its progress, or None where there is none.

        Raises:
            MildError: it is damaged.
        """
        paths = self.all()
        if not paths:
            return None
        try:
            accelerator.load_state(str(paths[-1]))
            averages.load(average_of(paths[-1]))
            return dict(json.loads((paths[-1] / PROGRESS).read_text(encoding="utf-8")))
        except MildError:
            raise
        except Exception as error:
            raise _damaged(paths[-1], error) from error


def average_of(checkpoint: Path) -> dict[str, torch.Tensor]:
    """The averaged weights of one checkpoint.

    Raises:
        MildError: it is damaged.
    """
    from safetensors.torch import load_file

    try:
        return dict(load_file(str(checkpoint / AVERAGE)))
    except Exception as error:
        raise _damaged(checkpoint, error) from error


def _damaged(checkpoint: Path, error: Exception) -> MildError:
    return MildError(
        f"The checkpoint {checkpoint} is damaged ({flat(error)[:200]}); delete that folder, and the run goes on "
        "from the one before, or from the start."
    )


def checkpoint_of(run: str | Path, step: int | None = None) -> Path:
    """A complete checkpoint of a run: that of ``step``, or the last one.

    Raises:
        MildError: there is none, or none of that step.
    """
    paths = {int(path.name.removeprefix("step-")): path for path in Checkpoints(Path(run)).all()}
    if not paths:
        raise MildError(f"{run} holds no complete checkpoint; train for longer first.")
    if step is None:
        return paths[max(paths)]
    if step not in paths:
        kept = ", ".join(str(number) for number in paths)
        raise MildError(f"{run} holds no checkpoint of step {step}, only of {kept}; log.keep says how many are kept.")
    return paths[step]
