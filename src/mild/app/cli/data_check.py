"""``mild data validate``, ``stats`` and ``card``: what is in a set, whether it is right, and how to hand it on."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mild.app.cli import options, output, progress
from mild.errors import MildError, UsageError

if TYPE_CHECKING:
    from mild.lab.data.rules import Verdict

Sets = Annotated[list[Path], typer.Argument(metavar="SET…", help="Folders of shards, shards, or plain folders.")]
Jobs = Annotated[int | None, typer.Option("--jobs", "-j", min=1, help="Processes. [default: cores]")]


def validate(sets: Sets, jobs: Jobs = None, as_json: options.AsJson = False) -> None:
    """Check every rule of the format; with several sets also that no original photo is in two splits.

    Each breach is one line: the sample, the rule, what is wrong. The exit status is 1 when there is any.
    """
    verdict = _checked(sets, jobs, as_json)
    if as_json:
        output.print_json(
            {
                "samples": len(verdict.facts),
                "breaches": [{"where": b.where, "rule": b.rule, "says": b.says} for b in verdict.breaches],
            }
        )
    else:
        for breach in verdict.breaches:
            typer.echo(str(breach))
        typer.echo(f"{len(verdict.facts)} samples read, {len(verdict.breaches)} breaches")
    if verdict.breaches:
        count = len(verdict.breaches)
        raise MildError(f"{count} rule{'s are' if count > 1 else ' is'} broken; each is named above.")


def stats(
    sets: Sets,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Folder for stats.json and stats.png.")] = None,
    jobs: Jobs = None,
    as_json: options.AsJson = False,
) -> None:
    """Tables and plots of what is in a set; of what can be read of it, and then the exit status is 1."""
    from mild.lab.data.stats import summary, write_stats

    verdict = _checked(sets, jobs, as_json)
    numbers = summary(verdict.facts)
    written = write_stats(verdict.facts, out) if out else []
    if as_json:
        output.print_json(numbers)
    else:
        _show(numbers)
        for path in written:
            typer.echo(str(path))
    if (lost := _unread(verdict)) is not None:
        raise MildError(f"{lost}; the figures are of the rest.")


def _show(numbers: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table

    console = Console(markup=False)
    console.print(f"{numbers['samples']} samples, {numbers['people']} people; {', '.join(numbers['sizes'])}")
    for title in ("scenarios", "people_per_sample", "objects", "original_photos"):
        table = Table(title.replace("_", " "), "count")
        for name, count in numbers[title].items():
            table.add_row(str(name), str(count))
        console.print(table)
    table = Table("quantity", "per", "count", "5 %", "25 %", "50 %", "75 %", "95 %")
    for name, row in numbers["distributions"].items():
        table.add_row(
            name, row["per"], str(row["count"]), *(str(row.get(m, "")) for m in ("5", "25", "50", "75", "95"))
        )
    console.print(table)
    table = Table("licence", "ingredients", "samples")
    for row in numbers["licences"]:
        table.add_row(row["licence"], str(row["ingredients"]), str(row["samples"]))
    console.print(table)


def card(
    set_: Annotated[Path, typer.Argument(metavar="SET", help="Folder of shards.")],
    name: Annotated[str | None, typer.Option("--name", help="What the set is called. [default: its folder]")] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace a card that is there.")] = False,
    jobs: Jobs = None,
) -> None:
    """Write the set's data card (README.md, as the Hub reads it) and its credits (CREDITS.tsv)."""
    from mild.lab.data.card import write_card

    if not set_.is_dir():
        raise UsageError(f"{set_} is no folder; name the folder of a set.")
    if (set_ / "README.md").exists() and not force:
        raise UsageError(f"{set_ / 'README.md'} exists already; --force replaces it.")
    verdict = _checked([set_], jobs, False)
    if (lost := _unread(verdict)) is not None:
        raise MildError(f"{lost}; its credits would be missing from the card, so make the set whole first.")
    for path in write_card(verdict.facts, set_, name=name):
        typer.echo(str(path))


def _unread(verdict: Verdict) -> str | None:
    """What of a set could not be read, as the beginning of a sentence."""
    lost = [str(breach).rstrip(".") for breach in verdict.breaches if breach.rule == "readable"]
    more = f", and {len(lost) - 1} more" if len(lost) > 1 else ""
    return f"A part of the set cannot be read ({lost[0]}{more})" if lost else None


def _checked(sets: Sequence[Path], jobs: int | None, quiet: bool) -> Verdict:
    from mild.lab.data.rules import check

    for path in sets:
        if not path.exists():
            raise UsageError(f"There is no {path}.")
    with progress.bar(quiet=quiet) as report:

        def tell(done: int, total: int) -> None:
            if report:
                report(f"reading shard {done} of {total}", done / total)

        return check(sets, jobs=jobs or os.cpu_count() or 1, tell=tell)
