"""``mild data curate``: from real photos to samples, and from a reviewed set to what was accepted."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from mild.app.cli import engine_options, groups, options, output, progress
from mild.errors import MildError, UsageError

_LICENCE, _FILTERS, _REVIEW = "Licences", "Filters", "Review"


class Split(StrEnum):
    train = "train"
    test = "test"


def curate(
    photos: Annotated[Path, typer.Argument(metavar="PHOTOS", help="Folder of photos; or, with --decisions, a set.")],
    out: Annotated[Path, typer.Argument(metavar="SET", help="Folder for the set.")],
    licence: Annotated[
        str | None,
        typer.Option("--licence", "--license", rich_help_panel=_LICENCE, help="Of every photo no table lists."),
    ] = None,
    credit: Annotated[str, typer.Option(rich_help_panel=_LICENCE, help="Whom to thank, with --licence.")] = "",
    origin: Annotated[str, typer.Option(rich_help_panel=_LICENCE, help="Where from, with --licence.")] = "",
    licences: Annotated[
        Path | None,
        typer.Option(
            "--licences",
            "--licenses",
            rich_help_panel=_LICENCE,
            help="CSV or JSON: file, licence, credit, origin, group.",
        ),
    ] = None,
    coco: Annotated[
        Path | None,
        typer.Option(
            rich_help_panel=options.FINDING, help="People from this COCO instances JSON; only its photos are looked at."
        ),
    ] = None,
    finder: options.Finder = None,
    finder_model: options.FinderModel = None,
    min_side: Annotated[int, typer.Option(min=16, rich_help_panel=_FILTERS, help="Short side of a photo, px.")] = 256,
    min_person: Annotated[
        int, typer.Option(min=1, rich_help_panel=_FILTERS, help="Height of the tallest person in the sample, px.")
    ] = 64,
    blur: Annotated[
        float, typer.Option(min=0, rich_help_panel=_FILTERS, help="Widest sharp edge, px at 512; 0: any.")
    ] = 1.1,
    exposure: Annotated[
        bool, typer.Option(rich_help_panel=_FILTERS, help="Leave out what is dark, burnt out or flat.")
    ] = True,
    duplicates: Annotated[
        int,
        typer.Option(
            min=-1, max=32, rich_help_panel=_FILTERS, help="Bits of 64 by which near-duplicates differ; -1: none."
        ),
    ] = 6,
    against: Annotated[
        list[Path] | None,
        typer.Option(rich_help_panel=_FILTERS, help="Leave out photos that this set holds already (repeatable)."),
    ] = None,
    longest: Annotated[
        int, typer.Option(min=64, max=8192, rich_help_panel=_FILTERS, help="Long side of the samples, px.")
    ] = 1024,
    decisions: Annotated[
        Path | None,
        typer.Option(rich_help_panel=_REVIEW, help="decisions.json of the review page: only what was accepted."),
    ] = None,
    split: Annotated[Split, typer.Option(help="Of all samples of the set.")] = Split.train,
    per_shard: Annotated[int, typer.Option(min=1, help="Photos of a shard.")] = 250,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a set that was curated otherwise.")] = False,
    engine: engine_options.EngineName = "local",
    jobs: engine_options.Jobs = None,
    address: engine_options.Address = None,
    gpus: engine_options.Gpus = 0.0,
    as_json: options.AsJson = False,
) -> None:
    """Real photos to samples: people, masks, pose, parts, order, tags; nobody knows what is behind them.

    Photos without a licence, unreadable ones and wrong annotations are named and left out; the exit status is then 1.
    Look at SET/review/index.html, accept or reject with a key, save the decisions, and run again with the set itself:
    `mild data curate SET ACCEPTED --decisions decisions.json`.
    """
    from mild.lab.data.store import shards_of

    if not photos.exists():
        raise UsageError(f"There is no {photos}.")
    workers = engine_options.workers(engine, jobs, address, gpus)
    if decisions is not None and (photos.is_file() or shards_of(photos)):
        _accepted(photos, out, decisions, per_shard, as_json)
        return
    from mild.lab.data.curate import curate as make
    from mild.lab.data.curation import Curation
    from mild.lab.data.licences import Licence, read_licences
    from mild.lab.data.looks import Filters
    from mild.request import Finder

    everybody = Licence(licence, credit, origin) if licence else None
    chosen = groups.finding(finder, None, finder_model)["finder"]
    if coco is not None and chosen:
        raise UsageError("--coco says who is in the photos; --finder and --finder-model contradict it.")
    order = Curation(
        photos,
        out,
        read_licences(licences, everybody),
        Filters(min_side, min_person, blur, exposure, duplicates, longest),
        Finder.model_validate(chosen),
        coco,
        decisions,
        tuple(against or ()),
        split.value,
        per_shard,
    )
    with progress.bar(quiet=as_json) as report:
        fates = make(order, workers=workers, overwrite=overwrite, tell=report)
    counts: dict[str, int] = {}
    for fate in fates:
        counts[fate.outcome] = counts.get(fate.outcome, 0) + 1
        if fate.outcome not in ("taken", "rejected", "undecided"):
            typer.echo(f"mild: {fate.file or '-'}: {fate.outcome}: {fate.why}", err=True)
    page = out / "review" / "index.html"
    if as_json:
        output.print_json({"counts": counts, "page": str(page), "photos": [vars(fate) for fate in fates]})
    else:
        said = ", ".join(f"{count} {outcome}" for outcome, count in counts.items())
        typer.echo(f"{len(fates)} photos: {said}; look at {page}")
    wrong = counts.get("problem", 0)
    if wrong:
        raise MildError(f"{wrong} photo{'s' if wrong > 1 else ''} could not be used; each is named above.")
    if not counts.get("taken"):
        raise MildError("No photo was taken; the reasons are above.")


def _accepted(source: Path, out: Path, decisions: Path, per_shard: int, as_json: bool) -> None:
    from mild.lab.data.accepted import accepted

    counts = accepted(source, out, decisions, per_shard=per_shard)
    if as_json:
        output.print_json({"counts": dict(counts)})
    else:
        said = f"{counts['taken']} samples accepted, {counts['rejected']} rejected, {counts['undecided']} undecided"
        typer.echo(f"{said} (left out); in {out}")
