"""A run from its config to its pipeline."""

from __future__ import annotations

from pathlib import Path

from mild.lab.train.config import RunConfig
from mild.lab.train.loop import fit
from mild.lab.train.parts import export
from mild.lab.train.stages import make_task


def train(config: RunConfig, *, most_steps: int | None = None, minutes: float | None = None) -> Path | None:
    """Train (or go on training) and, when the run is complete, write its pipeline; returns the pipeline's folder.

    Raises:
        MildError: something of the config or its files is wrong; one sentence per mistake.
    """
    complete = fit(make_task(config), config, most_steps=most_steps, minutes=minutes)
    if not complete:
        return None
    return export(config.out) if _first_process() else None


def _first_process() -> bool:
    from accelerate import PartialState

    return bool(PartialState().is_main_process)
