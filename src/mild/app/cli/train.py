"""``mild train``: train a model, measure what each part of the method gives, make the rows to train on."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal, cast

import typer
from typer.core import TyperGroup

from mild.errors import UsageError
from mild.files import is_empty


class _Runs(TyperGroup):
    """``mild train config.yaml`` is short for ``mild train run config.yaml``."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if args and args[0] not in self.commands and args[0] not in ("--help", "-h"):
            args = ["run", *args]
        return super().parse_args(ctx, args)


train = typer.Typer(
    cls=_Runs,
    no_args_is_help=True,
    help="Train: `mild train config.yaml`. Ready configs are in configs/, a guide is docs/training.md.",
)

Threads = Annotated[int | None, typer.Option("--threads", min=1, help="Processor threads; default: torch's own.")]
Changes = Annotated[
    list[str] | None, typer.Option("--set", metavar="NAME=VALUE", help="Change a setting, e.g. optimiser.steps=100.")
]


@train.command("run")
def run(
    configs: Annotated[list[Path], typer.Argument(metavar="CONFIG…", help="YAML files; one stage each, in order.")],
    changes: Changes = None,
    minutes: Annotated[float | None, typer.Option(min=0.0, help="Stop with a checkpoint after so long.")] = None,
    most_steps: Annotated[int | None, typer.Option("--steps", min=1, help="Stop after so many steps of now.")] = None,
    check: Annotated[bool, typer.Option("--check", help="Only say whether the configs are good.")] = False,
    threads: Threads = None,
) -> None:
    """Train one or several stages. A run that was stopped goes on from its last checkpoint."""
    from mild.lab.train.config import RunConfig

    read = [RunConfig.load(path, changes or ()) for path in configs]
    for config in read:
        config.check_files()
    if check:
        return
    _threads(threads)
    from mild.lab.train.run import train as train_run

    for config in read:
        done = train_run(config, most_steps=most_steps, minutes=minutes)
        if done is None:
            return
        typer.echo(f"{config.stage} is complete: {done}")


@train.command("export")
def export(
    run: Annotated[Path, typer.Argument(help="Folder of a run; it need not be complete.")],
    to: Annotated[Path, typer.Option("--to", help="Folder of the pipeline.")],
    step: Annotated[int | None, typer.Option("--step", help="Of a kept checkpoint; the last one by default.")] = None,
    share: Annotated[
        float, typer.Option("--share", min=0, max=1, help="Of the run's weights; the rest is what it started from.")
    ] = 1.0,
    force: Annotated[bool, typer.Option("--force", help="Replace a pipeline that is there.")] = False,
) -> None:
    """Write a run's averaged weights as a pipeline, and its adapters as LoRA files."""
    if not force and to.exists() and (not to.is_dir() or not is_empty(to)):
        raise UsageError(
            f"The output {to} exists already; name another folder, or --force to replace a pipeline in it."
        )
    if not (run / "config.yaml").is_file():
        raise UsageError(f"{run} is not the folder of a run (it holds no config.yaml).")
    from mild.lab.train.parts import export as write

    typer.echo(str(write(run, to, step, share)))


@train.command("plot")
def plot(
    runs: Annotated[list[Path], typer.Argument(help="Folders of runs.")],
    to: Annotated[Path, typer.Option("--to", help="Name of the PNG.")] = Path("curves.png"),
    force: Annotated[bool, typer.Option("--force", help="Replace a picture that is there.")] = False,
) -> None:
    """Draw the curves of several runs into one picture."""
    if to.exists() and not force:
        raise UsageError(f"The output {to} exists already; name another file, or --force to replace it.")
    from mild.lab.train.journal import plot as draw

    if not draw(runs, to):
        raise UsageError("There is nothing to draw: matplotlib is missing, or the folders hold no log.")
    typer.echo(str(to))


def _threads(count: int | None) -> None:
    if count is not None:
        import torch

        torch.set_num_threads(count)


@train.command("cache")
def cache(
    out: Annotated[Path, typer.Option("--out", help="Folder of the rows.")],
    samples: Annotated[Path | None, typer.Option(help="MILD samples (`mild data synth`).")] = None,
    data: Annotated[Path | None, typer.Option(help="Or a folder of ingredients (manifest.jsonl and tars).")] = None,
    split: Annotated[str, typer.Option(help="Of the ingredients: train or test.")] = "train",
    rows: Annotated[int, typer.Option(min=1, help="From ingredients: how many, rounded up to shards of 128.")] = 8192,
    size: Annotated[int, typer.Option(min=64, help="Side of a row, pixels; a multiple of 64.")] = 256,
    seed: Annotated[int, typer.Option(min=0)] = 0,
    whole: Annotated[bool, typer.Option("--whole", help="From samples: also whole pictures, for the twin.")] = False,
    fills: Annotated[bool, typer.Option("--fills", help="Also second fills, of another patch size and seed.")] = False,
    partial: Annotated[
        bool,
        typer.Option("--partial", help="From ingredients: every visible person, a part of them covered."),
    ] = False,
    severe: Annotated[
        float, typer.Option("--severe", min=0, max=1, help="With --partial: share of rows of which much is covered.")
    ] = 0.0,
    joints: Annotated[
        bool, typer.Option("--joints", help="Also people's joints, as the finder's net sees them.")
    ] = False,
    people_only: Annotated[bool, typer.Option("--people-only", help="From samples: no backgrounds.")] = False,
    workers: Annotated[int, typer.Option(min=1, help="Processes.")] = 2,
) -> None:
    """Make the rows to train on, with their exemplar fills. Started again, it makes what is missing."""
    if (samples is None) == (data is None):
        raise UsageError("Name either --samples or --data.")
    if size % 64 or split not in ("train", "test"):
        raise UsageError("--size is a multiple of 64 and --split is train or test.")
    if whole and samples is None:
        raise UsageError("--whole needs --samples: rows from ingredients are layers only.")
    if (partial and data is None) or (people_only and (samples is None or whole)):
        raise UsageError("--partial goes with --data; --people-only with --samples, and without --whole.")
    if severe and not partial:
        raise UsageError("--severe goes with --partial.")
    import functools

    from mild.engines import Work, Workers, calling
    from mild.lab.train import cache as rows_cache
    from mild.lab.train.shards import claim

    out.mkdir(parents=True, exist_ok=True)
    side = cast(Literal["train", "test"], split)
    shards = -(-rows // rows_cache.SHARD)
    if samples is not None:
        from mild.lab.train.stream import ShardIndex

        shards = -(-len(ShardIndex.of(samples)) // rows_cache.SAMPLES)
        make = functools.partial(
            rows_cache.from_samples, str(samples), str(out), size=size, seed=seed, whole=whole, fills=fills,
            backgrounds=not people_only,
        )  # fmt: skip
    elif partial:
        make = functools.partial(
            rows_cache.from_visible, str(data), side, str(out), size=size, seed=seed, severe=severe
        )
    else:
        make = functools.partial(
            rows_cache.from_ingredients, str(data), side, str(out), size=size, seed=seed, fills=fills
        )
    made_from: dict[str, object] = {"size": size, "seed": seed}
    if samples is not None:
        made_from |= {"samples": samples.resolve().name, "shards": shards, "whole": whole, "people only": people_only}
    elif data is not None:
        made_from |= {"data": data.resolve().name, "split": split, "severe": severe}
    claim(out, "rows-p" if partial else "rows", made_from)
    if joints:
        make = functools.partial(rows_cache.with_joints, make)
    made = Workers(jobs=workers).mapped(Work(calling, make, threads=1), range(shards))
    for number, path in enumerate(made, 1):
        typer.echo(f"{number}/{shards} {path}")


@train.command("ablate")
def ablate(
    recipe: Annotated[Path, typer.Argument(help="YAML file of the ablation.")],
    table_only: Annotated[bool, typer.Option("--table", help="Train and erase nothing: only the table.")] = False,
    threads: Threads = None,
) -> None:
    """Train every variant of the method on the same rows, erase the same samples with each, write table and plot."""
    _threads(threads)
    from mild.lab.train.ablate import ablate as run_ablation
    from mild.lab.train.ablation_recipe import AblationRecipe
    from mild.lab.train.ablation_table import write_table

    read = AblationRecipe.load(recipe)
    path = write_table(read) if table_only else run_ablation(read)
    typer.echo(path.read_text(encoding="utf-8"))
    typer.echo(str(path))
