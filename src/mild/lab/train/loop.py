"""The training loop. It knows nothing of what is trained: a task hands it batches and modules that return losses.

Every draw of a step depends on the seed and the step's number alone, so that a run that was killed goes on from its
last checkpoint as if nothing had happened (bit-equal on a CPU, tested). Devices, processes and precision are
accelerate's.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import nn

from mild.errors import MildError
from mild.lab.train.checkpoint import Averages, Checkpoints
from mild.lab.train.config import LoopConfig, OptimiserConfig
from mild.lab.train.journal import Journal, only_run
from mild.lab.train.meter import Meter


@dataclass(frozen=True)
class Turn:
    """Where a run is: ``micro`` counts the forwards of a step. ``rank`` of ``world`` processes draws its own rows."""

    seed: int
    step: int
    micro: int = 0
    rank: int = 0
    world: int = 1

    def generator(self, device: torch.device | str = "cpu", purpose: int = 0) -> torch.Generator:
        """Random numbers that depend on this turn (and on what they are for) and on nothing that came before."""
        mixed = 0
        for part in (self.seed, self.step, self.micro, self.rank, purpose):
            mixed = (mixed * 6364136223846793005 + part * 1442695040888963407 + 1013904223) % 2**64
            mixed ^= mixed >> 29
        return torch.Generator(device).manual_seed(mixed % 2**63)


@dataclass(frozen=True)
class Player:
    """One module with its own optimiser.

    Attributes:
        module: ``module(batch)`` returns a dict of scalar losses; ``"loss"`` is the one to lower. It holds what learns
            and nothing else: it is what a checkpoint keeps.
        rate: peak learning rate.
        averaged: is a running average of its weights kept (and exported)?
        faster: the rate of some of its parameters as a multiple, by the beginning of their names.
    """

    module: nn.Module
    rate: float
    averaged: bool = True
    faster: Mapping[str, float] = field(default_factory=dict)

    def groups(self) -> list[dict[str, Any]]:
        """The optimiser's parameter groups: one per rate; ``peak`` is a group's highest rate."""
        by_rate: dict[float, list[nn.Parameter]] = {}
        for name, parameter in self.module.named_parameters():
            factor = next((f for start, f in self.faster.items() if name.startswith(start)), 1.0)
            by_rate.setdefault(self.rate * factor, []).append(parameter)
        return [{"params": group, "lr": rate, "peak": rate} for rate, group in by_rate.items()]


class Task(Protocol):
    """What the loop asks of a stage of training."""

    @property
    def players(self) -> Mapping[str, Player]:
        """By name; each takes its turn with every batch, in this order."""

    def to(self, device: torch.device) -> None:
        """Move what does not learn."""

    def batch(self, turn: Turn) -> Any:
        """Rows for one forward; ``len`` is their number, ``shape`` hashable and the same for equal amounts of work."""

    def finish(self) -> None:
        """Called when a forward and its backward are done."""

    def close(self) -> None:
        """The run ends."""

    def judge(self, averages: Mapping[str, torch.Tensor], picture: Path | None) -> dict[str, Any]:
        """Figures on test rows with the averaged weights (names ``player.parameter``), and a picture of some."""


def rate_at(config: OptimiserConfig, step: int) -> float:
    """The learning rate as a fraction of its peak: warm-up, constant, linear fade to zero at the last step."""
    start = int(config.steps * (1 - config.fade))
    fade = 1.0 if step < start else max(0.0, (config.steps - step) / max(1, config.steps - start))
    return min(1.0, (step + 1) / max(1, config.warmup)) * fade


def fit(
    task: Task,
    config: LoopConfig,
    *,
    most_steps: int | None = None,
    minutes: float | None = None,
) -> bool:
    """Train ``task`` up to ``config.optimiser.steps``, from the last checkpoint in ``config.out`` if there is one.

    Args:
        most_steps: end (with a checkpoint) after so many steps of this call.
        minutes: end (with a checkpoint) after so long; SIGTERM does the same at once.

    Returns:
        Whether the run is complete.

    Raises:
        UsageError: another run is at work in the folder.
        MildError: a checkpoint cannot be read or written.
    """
    accelerator = make_accelerator(config)
    with only_run(Path(config.out)) if accelerator.is_main_process else nullcontext():
        return _fit(task, config, accelerator, most_steps, minutes)


def _fit(
    task: Task, config: LoopConfig, accelerator: Any, most_steps: int | None = None, minutes: float | None = None
) -> bool:
    device, main, setting = accelerator.device, accelerator.is_main_process, config.optimiser
    task.to(device)
    names = list(task.players)
    for player in task.players.values():
        player.module.to(device)
    averages = Averages({n: p.module for n, p in task.players.items() if p.averaged}, setting.average)
    optimisers = [
        torch.optim.AdamW(p.groups(), weight_decay=setting.weight_decay, betas=(0.9, 0.98))
        for p in task.players.values()
    ]
    prepared = accelerator.prepare(*(p.module for p in task.players.values()), *optimisers)
    modules, optimisers = prepared[: len(names)], prepared[len(names) :]
    journal = Journal(config, accelerator)
    checkpoints = Checkpoints(Path(config.out), config.log.keep)
    meter, step = Meter(device, accelerator.mixed_precision == "bf16"), 0
    progress = checkpoints.load(accelerator, averages)
    if progress is not None:
        step = int(progress["step"])
        meter.resume(progress)
    journal.resume(step)
    begun, last, asked = time.monotonic(), setting.steps, _stop_asked()
    if most_steps is not None:
        last = min(last, step + most_steps)
    with asked as stop:
        while step < last:
            for optimiser in optimisers:
                for group in optimiser.param_groups:
                    group["lr"] = group["peak"] * rate_at(setting, step)
            sums: dict[str, torch.Tensor] = {}
            for micro in range(setting.accumulate):
                turn = Turn(config.seed, step, micro, accelerator.process_index, accelerator.num_processes)
                with meter.waiting():
                    batch = task.batch(turn)
                with meter.counting(batch.shape, len(batch) * accelerator.num_processes):
                    for name, module in zip(names, modules, strict=True):
                        final = micro == setting.accumulate - 1
                        with nullcontext() if final else accelerator.no_sync(module):
                            losses = module(batch)
                            if losses["loss"].requires_grad:  # a batch may have nothing to teach
                                accelerator.backward(losses["loss"] / setting.accumulate)
                        for part, value in losses.items():
                            full = part if len(names) == 1 else f"{name}.{part}"
                            sums[full] = sums.get(full, torch.zeros((), device=device)) + value.detach().float()
                    task.finish()
            for name, module, optimiser in zip(names, modules, optimisers, strict=True):
                norm = accelerator.clip_grad_norm_(module.parameters(), setting.clip)
                optimiser.step()
                optimiser.zero_grad(set_to_none=True)
                sums["norm" if len(names) == 1 else f"{name}.norm"] = torch.as_tensor(norm) * setting.accumulate
            step += 1
            averages.update(step)
            journal.note({name: value / setting.accumulate for name, value in sums.items()})
            out_of_time = minutes is not None and time.monotonic() - begun > 60 * minutes
            ending = step == last or _anybody(accelerator, stop.is_set or out_of_time)
            saving = ending or step % config.log.checkpoint == 0
            if saving or step % config.log.every == 0:
                journal.write(step, rate_at(setting, step - 1), meter.figures())
            with meter.paused():
                if saving:
                    checkpoints.save(accelerator, averages, {"step": step, **meter.totals()})
                if main and (step == setting.steps or step % config.log.judge == 0):
                    journal.judged(step, lambda picture: task.judge(averages.weights, picture))
                accelerator.wait_for_everyone()
            if ending:
                break
    task.close()
    journal.close()
    return step >= setting.steps


def make_accelerator(config: LoopConfig) -> Any:
    """The accelerate object of a run.

    Raises:
        MildError: the launcher's processes do not know of each other.
    """
    from accelerate import Accelerator
    from accelerate.state import AcceleratorState

    precision = config.precision
    if precision == "auto":
        precision = "bf16" if torch.cuda.is_available() and torch.cuda.is_bf16_supported() else "fp32"
    if torch.cuda.is_available():
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
    # One process may run several stages, each with its own precision; accelerate keeps the first one's otherwise.
    AcceleratorState._reset_state()
    accelerator = Accelerator(
        mixed_precision="no" if precision == "fp32" else precision,
        log_with="tensorboard" if config.log.tensorboard else None,
        project_dir=config.out,
    )
    started = int(os.environ.get("WORLD_SIZE", "1"))
    if started != accelerator.num_processes:
        # Each would take itself for the only one, and all would write the same files.
        raise MildError(
            f"{started} processes were started, but they do not find each other (accelerate sees "
            f"{accelerator.num_processes}); choose multi-GPU or multi-CPU in `accelerate config`."
        )
    return accelerator


def _anybody(accelerator: Any, flag: bool) -> bool:
    """Does any process say so? All must stop at the same step."""
    if accelerator.num_processes == 1:
        return flag
    return bool(accelerator.gather(torch.tensor([float(flag)], device=accelerator.device)).max() > 0)


class _stop_asked:
    """While open, SIGTERM asks for a checkpoint and a quiet end."""

    is_set = False

    def __enter__(self) -> _stop_asked:
        def ask(*_: object) -> None:
            self.is_set = True

        try:
            self.before = signal.signal(signal.SIGTERM, ask)
        except ValueError:  # not the main thread
            self.before = None
        return self

    def __exit__(self, *_: object) -> None:
        if self.before is not None:
            signal.signal(signal.SIGTERM, self.before)
