"""The diary of a run: ``log.jsonl`` with a line every so many steps, a plot of it, pictures, TensorBoard if wanted."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import torch

from mild.errors import MildError, UsageError
from mild.files import held, read_json_lines, write_atomically
from mild.lab.train.config import LoopConfig
from mild.lab.train.settings import dump_yaml, read_yaml

#: What may differ when a run is continued: how long, how watched, and where.
FREE = ("out", "log", "optimiser.steps", "data.test")


@contextmanager
def only_run(folder: Path) -> Iterator[None]:
    """Hold a run's folder, which is made where it is missing, until the run ends, however it does.

    Raises:
        UsageError: another run is at work in it: both would write the same checkpoints.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        try:
            stack.enter_context(held(folder))
        except BlockingIOError:
            raise UsageError(f"Another run is at work in {folder}; wait, or name another folder in out.") from None
        yield


class Journal:
    """Writes the diary; only the main process does. ``accelerator`` is accelerate's."""

    def __init__(self, config: LoopConfig, accelerator: Any) -> None:
        self.config, self.accelerator = config, accelerator
        self.folder, self.main = Path(config.out), accelerator.is_main_process
        self._sums: dict[str, torch.Tensor] = {}
        self._count = 0
        if self.main:
            _same_run(config, self.folder / "config.yaml")
            dump_yaml(config, self.folder / "config.yaml")
        self.board = config.log.tensorboard and self.main
        if self.board:
            accelerator.init_trackers("tensorboard")

    @property
    def path(self) -> Path:
        return self.folder / "log.jsonl"

    def resume(self, step: int) -> None:
        """Forget the lines of steps that a kill undid."""
        if not self.main or not self.path.exists():
            return
        lines = read_log(self.folder)
        kept = [json.dumps(line) + "\n" for line in lines if line["step"] <= step]
        scratch = self.path.with_suffix(".part")
        scratch.write_text("".join(kept), encoding="utf-8")
        scratch.rename(self.path)

    def note(self, losses: dict[str, torch.Tensor]) -> None:
        """The losses of one step; means are written. Stays on the device: nothing waits for it."""
        for name, value in losses.items():
            self._sums[name] = self._sums.get(name, torch.zeros_like(value)) + value
        self._count += 1

    def write(self, step: int, rate: float, figures: dict[str, Any]) -> None:
        means = {name: float(value) / max(1, self._count) for name, value in self._sums.items()}
        self._sums, self._count = {}, 0
        bad = [name for name, value in means.items() if value != value]
        if bad:
            raise MildError(f"At step {step} {bad[0]} is not a number any more; lower the learning rate and go on.")
        self._line({"step": step, **{k: round(v, 6) for k, v in means.items()}, "rate": round(rate, 5), **figures})

    def judged(self, step: int, judge: Callable[[Path | None], dict[str, Any]]) -> None:
        picture = None
        if self.config.log.pictures:
            picture = self.folder / "pictures" / f"step-{step:08d}.png"
            picture.parent.mkdir(exist_ok=True)
        found = judge(picture)
        if found:
            self._line({"step": step, **found})

    def close(self) -> None:
        if self.main:
            plot([self.folder], self.folder / "curve.png")
        if self.board:
            self.accelerator.end_training()

    def _line(self, entry: dict[str, Any]) -> None:
        if not self.main:
            return
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(entry) + "\n")
        print(json.dumps(entry), flush=True)
        if self.board:
            numbers = {k: v for k, v in entry.items() if isinstance(v, int | float) and k != "step"}
            self.accelerator.log(numbers, step=entry["step"])


def read_log(run: str | Path) -> list[dict[str, Any]]:
    """The lines of a run's log."""
    return read_json_lines(Path(run) / "log.jsonl")


def plot(runs: Sequence[Path], to: Path) -> bool:
    """Loss and test figures over the steps, one colour a run; False without matplotlib or without lines."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        return False
    logs = {run.name: read_log(run) for run in runs}
    names = [key for log in logs.values() for line in log for key, v in line.items() if isinstance(v, int | float)]
    counted = ("step", "rate", "samples", "seconds", "gflops", "waiting")
    kinds = [name for name in dict.fromkeys(names) if name not in counted]
    if not kinds:
        return False
    columns = min(4, len(kinds))
    rows = -(-len(kinds) // columns)
    figure = Figure(figsize=(3.6 * columns, 2.6 * rows), layout="constrained")
    for i, kind in enumerate(kinds):
        axes = figure.add_subplot(rows, columns, i + 1, title=kind)
        for name, log in logs.items():
            points = [(line["step"], line[kind]) for line in log if kind in line]
            axes.plot(*zip(*points, strict=True), label=name, linewidth=1) if points else None
        if len(runs) > 1 and i == 0:
            axes.legend(fontsize=6)
    write_atomically(to, lambda file: figure.savefig(file, dpi=90, format="png"))
    return True


def _same_run(config: LoopConfig, path: Path) -> None:
    """Refuse to continue a run with other settings than it was begun with."""
    if not path.exists():
        return
    before, now = _flat(read_yaml(path)), _flat(config.model_dump(mode="json"))
    changed = [k for k in now if before.get(k) != now[k] and not any(k == f or k.startswith(f + ".") for f in FREE)]
    if changed:
        what = "; ".join(f"{k} was {before.get(k)} and is {now[k]}" for k in changed)
        raise UsageError(f"{path.parent} holds a run with other settings ({what}); name another folder in out.")


def _flat(values: Any, prefix: str = "") -> dict[str, Any]:
    if not isinstance(values, dict):
        return {prefix: values}
    out: dict[str, Any] = {}
    for name, value in values.items():
        out |= _flat(value, f"{prefix}.{name}" if prefix else name)
    return out
