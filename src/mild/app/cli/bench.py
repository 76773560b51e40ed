"""``mild bench``: run the benchmark, compare two runs, make and read a study with people."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mild.app.cli import engine_options, output
from mild.errors import MildError, UsageError
from mild.extras import EXTRAS, sentence

bench = typer.Typer(no_args_is_help=True, help="The benchmark: run it, compare two runs, ask people.")
study = typer.Typer(no_args_is_help=True, help="Blind pairs for people to judge.")
bench.add_typer(study, name="study")


@bench.command()
def run(
    recipe: Annotated[Path | None, typer.Option("--recipe", help="A YAML file that says everything below.")] = None,
    photos: Annotated[
        Path | None,
        typer.Option(help="What a recipe means by $photos: a folder with manifest.jsonl and its photos."),
    ] = None,
    sets: Annotated[
        list[str] | None,
        typer.Option(
            "--set", metavar="KIND:PATH[,NAME=VALUE…]", help="samples, outlines, triples, coco or photos; repeatable."
        ),
    ] = None,
    methods: Annotated[
        list[str] | None,
        typer.Option(
            "--method", "--methods", "-m", metavar="[NAME@]KIND[:OPTIONS]", help="Repeatable; see `mild bench methods`."
        ),
    ] = None,
    out: Annotated[
        Path, typer.Option("--output", "-o", help="Folder of the run; an unfinished run there is continued.")
    ] = Path("report"),
    limit: Annotated[int | None, typer.Option(min=1, help="At most so many items of every set.")] = None,
    masks: Annotated[
        list[str] | None, typer.Option("--mask", help="tight, dilated or box; repeatable. [default: dilated]")
    ] = None,
    seeds: Annotated[list[int] | None, typer.Option("--seed", help="Repeatable. [default: 0, 1 and 2]")] = None,
    reference: Annotated[
        str | None, typer.Option(help="The method that others are compared with. [default: the first]")
    ] = None,
    seconds: Annotated[
        float | None, typer.Option("--time-limit", help="Seconds for one answer. [default: 120]")
    ] = None,
    cag: Annotated[
        int | None, typer.Option(min=0, help="Measure attention on so many items of a set. [default: 0]")
    ] = None,
    features: Annotated[
        list[str] | None,
        typer.Option("--feature", metavar="NAME=PATH", help="lpips, dino, clip or inception; repeatable."),
    ] = None,
    results: Annotated[
        Path | None, typer.Option(help="Write the tables as Markdown there too, with the command that made them.")
    ] = None,
    retry: Annotated[bool, typer.Option("--retry", help="Ask again where a method failed before.")] = False,
    engine: engine_options.EngineName = "local",
    jobs: Annotated[
        int | None,
        typer.Option(
            "--jobs",
            "-j",
            min=1,
            rich_help_panel=engine_options.RUNNING,
            help="Workers that share the items. [default: the recipe's, or 1; with ray the cluster's cores]",
        ),
    ] = None,
    address: engine_options.Address = None,
    gpus: engine_options.Gpus = 0.0,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No lines of progress.")] = False,
) -> None:
    """Ask every method for every item, measure the answers, write report.html, report.md and results.json.

    What was measured before is kept: the same command continues a run that was stopped.
    """
    _ready()
    from mild.lab.bench.recipe import BenchRecipe
    from mild.lab.bench.report.write import write_report
    from mild.lab.bench.runner import run as run_recipe

    named: dict[str, object] = {
        "methods": methods or None,
        "seeds": seeds or None,
        "reference": reference,
        "seconds": seconds,
        "cag": cag,
        "jobs": jobs,
        "features": dict(_feature(text) for text in features) if features else None,
    }
    if sets:
        named["sets"] = [{"source": text, **({"masks": masks} if masks else {})} for text in sets]
    if recipe is not None:
        made = BenchRecipe.open(recipe, photos, **named)
    else:
        if not sets or not methods:
            raise UsageError("Name a --recipe, or at least one --set and one --method.")
        made = BenchRecipe.build(**{name: value for name, value in named.items() if value is not None})
    if limit is not None:
        fewer = [one.model_copy(update={"limit": min(limit, one.limit or limit)}) for one in made.sets]
        made = made.model_copy(update={"sets": tuple(fewer)})
    if masks and not sets:
        made = made.model_copy(
            update={"sets": tuple(one.model_copy(update={"masks": tuple(masks)}) for one in made.sets)}
        )
    tell = (lambda text: None) if quiet else _tell
    workers = engine_options.workers(engine, jobs or (made.jobs if engine == "local" else None), address, gpus)
    run_recipe(made, out, retry=retry, tell=tell, workers=workers)
    command = f"mild bench run --recipe {recipe}" if recipe is not None else None
    if command is not None and photos is not None:
        command += " --photos FOLDER"
    if command is not None and limit is not None:
        command += f" --limit {limit}"
    found = write_report(out, results=results, command=command)
    typer.echo(f"report: {out / 'report.html'}")
    lost = [method["name"] for method in found["methods"].values() if "failed" in method]
    if lost:
        raise MildError(f"Of the methods, {', '.join(lost)} could not be run; the report says why.")


@bench.command()
def report(
    folder: Annotated[Path, typer.Argument(help="Folder of a run, finished or not.")],
    results: Annotated[Path | None, typer.Option(help="Write the tables as Markdown there too.")] = None,
) -> None:
    """Write the report of what a run has measured so far."""
    _ready()
    from mild.lab.bench.report.write import write_report

    write_report(folder, results=results)
    typer.echo(f"report: {folder / 'report.html'}")


@bench.command()
def compare(
    first: Annotated[Path, typer.Argument(help="Folder of a run, or its results.json.")],
    second: Annotated[Path, typer.Argument(help="Another one.")],
    methods: Annotated[
        list[str] | None,
        typer.Option("--method", help="Given twice: this method of the first run with that one of the second."),
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="All figures, not only the main ones.")] = False,
    exact: Annotated[bool, typer.Option("--exact", help="End with 1 unless all numbers are the same.")] = False,
) -> None:
    """Compare two runs item by item: differences with intervals and tests, and whether the numbers are the same."""
    _ready()
    from mild.lab.bench.compare import compare as compare_results
    from mild.lab.bench.compare import load_results, told

    if methods and len(methods) != 2:
        raise UsageError("Give --method twice: one of the first run, one of the second.")
    pair = (methods[0], methods[1]) if methods else None
    found = compare_results(load_results(first), load_results(second), pair)
    typer.echo(told(found, everything=everything))
    if exact and not found.same:
        raise typer.Exit(1)


@bench.command()
def methods() -> None:
    """The kinds of methods and sets that a run takes."""
    from mild.lab.bench.methods import KINDS
    from mild.lab.bench.sets import KINDS as SETS

    for title, kinds in (("methods", KINDS), ("sets", SETS)):
        typer.echo(f"{title}:")
        for name, kind in kinds.items():  # type: ignore[attr-defined]  # both have a summary
            typer.echo(f"  {name:12} {kind.summary}")


@study.command()
def make(
    folder: Annotated[Path, typer.Argument(help="Folder of a run.")],
    out: Annotated[Path, typer.Option("--output", "-o", help="Folder for study.html and study.key.json.")] = Path(
        "study"
    ),
    methods: Annotated[list[str] | None, typer.Option("--method", help="Only these; repeatable.")] = None,
    count: Annotated[int, typer.Option(min=1, help="How many pairs.")] = 30,
    seed: Annotated[int, typer.Option(help="Of the choice and the order.")] = 0,
    force: Annotated[bool, typer.Option("--force", help="Replace a study that is there.")] = False,
) -> None:
    """Make a page of blind pairs to send to people, and the key that says which is which."""
    _ready()
    from mild.lab.bench.listing import load_sets
    from mild.lab.bench.recipe import BenchRecipe
    from mild.lab.bench.study.make import choose_pairs, make_study
    from mild.lab.bench.summary import summarise

    if not force and (out / "study.key.json").exists():
        # Without its key a study's answers are worth nothing.
        raise UsageError(f"There is a study in {out} already; name another folder, or --force to replace it.")
    summary = summarise(folder)
    pairs = choose_pairs(summary, methods or (), count, seed)
    page, key = make_study(out, folder, summary, load_sets(BenchRecipe.build(**summary["recipe"])), pairs)
    typer.echo(f"{len(pairs)} pairs\npage: {page}\nkey, to be kept: {key}")


@study.command()
def read(
    key: Annotated[Path, typer.Argument(help="study.key.json")],
    answers: Annotated[list[Path], typer.Argument(help="The files that people saved.")],
    as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
) -> None:
    """What people preferred, and how far they agree (Fleiss' and Cohen's kappa)."""
    _ready()
    from dataclasses import asdict

    from mild.lab.bench.study.read import read_study, told

    duels, raters = read_study(key, answers)
    if as_json:
        output.print_json({"duels": [asdict(d) for d in duels], "agreement": asdict(raters)})
    else:
        typer.echo(told(duels, raters))


def _ready() -> None:
    """Raises :class:`MildError` where the benchmark's packages are not installed."""
    from importlib.util import find_spec

    missing = next((name for name in EXTRAS["bench"] if find_spec(name) is None), None)
    if missing is not None:
        raise MildError(sentence("The benchmark", "bench", module=missing))


def _tell(text: str) -> None:
    typer.echo(text, err=True)


def _feature(text: str) -> tuple[str, str]:
    name, sign, path = text.partition("=")
    if not sign:
        raise UsageError(f"--feature takes NAME=PATH, not {text!r}.")
    return name, path
