"""``mild data synth``: compose people onto scenes."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from mild.app.cli import engine_options, options, output, progress
from mild.errors import MildError, UsageError

#: What a preset stands for: split, samples, side in pixels, samples of a shard, share of known ground.
PRESETS: dict[str, tuple[str, int, int, int, float]] = {
    "train": ("train", 20_000, 256, 250, 0.88),
    "test": ("test", 600, 512, 60, 0.92),
}


class Preset(StrEnum):
    train = "train"
    test = "test"


def synth(
    ingredients: Annotated[Path, typer.Argument(metavar="PHOTOS", help="Folder with manifest.jsonl and its photos.")],
    out: Annotated[Path, typer.Argument(metavar="SET", help="Folder for the shards.")],
    preset: Annotated[Preset, typer.Option(help="train: 20,000 at 256 px. test: 600 at 512 px.")] = Preset.train,
    count: Annotated[int | None, typer.Option(min=1, help="Samples, instead of the preset's.")] = None,
    size: Annotated[int | None, typer.Option(min=64, max=2048, help="Side in pixels, instead of the preset's.")] = None,
    per_shard: Annotated[int | None, typer.Option(min=1, help="Samples of a shard.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="The same seed gives the same bytes.")] = 0,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Make everything anew.")] = False,
    engine: engine_options.EngineName = "local",
    jobs: engine_options.Jobs = None,
    address: engine_options.Address = None,
    gpus: engine_options.Gpus = 0.0,
    as_json: options.AsJson = False,
) -> None:
    """Compose complete people onto person-free scenes: the truth of every layer is known.

    Interrupted, it goes on where it stopped and gives the same shards, byte for byte. Photos that cannot be used are
    named and left out; the exit status is then 1.
    """
    from mild.lab.data.factory import Order, make_set
    from mild.lab.data.inspection import inspect
    from mild.lab.data.synth import SetRecipe

    split, samples, side, shard, grounded = PRESETS[preset.value]
    if out.exists() and not out.is_dir():
        raise UsageError(f"{out} is a file; name a folder for the set.")
    workers = engine_options.workers(engine, jobs, address, gpus)
    with progress.bar(quiet=as_json) as report:
        if report:
            report("looking the photos over", 0.0)
        found = inspect(ingredients, split)  # type: ignore[arg-type]
        for problem in found.problems:
            _say(problem)
        recipe = SetRecipe(size=size or side, seed=seed, split=split, grounded=grounded)  # type: ignore[arg-type]
        order = Order(ingredients, out, recipe, count or samples, per_shard or shard, found.left_out)

        def tell(done: int, total: int) -> None:
            if report:
                report(f"making samples: {done} of {total}", done / total)

        outcome = make_set(order, workers=workers, overwrite=overwrite, tell=tell)
    for problem in outcome.problems:
        _say(problem)
    if as_json:
        output.print_json(
            {
                "samples": order.count,
                "made": outcome.made,
                "already_there": outcome.kept,
                "seconds": round(outcome.seconds, 1),
                "samples_per_second": round(outcome.rate, 2),
                "problems": [*found.problems, *outcome.problems],
            }
        )
    else:
        there = f", {outcome.kept} were there" if outcome.kept else ""
        typer.echo(f"{outcome.made} samples made{there}; {outcome.rate:.1f} samples/s; shards and sheets in {out}")
    wrong = len(found.problems) + len(outcome.problems)
    if wrong:
        raise MildError(f"{wrong} thing{'s' if wrong > 1 else ''} went wrong; each is named above.")


def _say(problem: str) -> None:
    typer.echo(f"mild: {problem}", err=True)
