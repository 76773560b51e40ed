"""``mild models``: what is installed, where it comes from, under which licence."""

from __future__ import annotations

from typing import Annotated

import typer

from mild.app.cli import options, output, progress
from mild.errors import UsageError


def models(
    names: Annotated[
        list[str] | None, typer.Argument(metavar="[NAME]…", help="Only these; --fetch alone means blazepose.")
    ] = None,
    fetch: Annotated[bool, typer.Option("--fetch", help="Fetch what is missing.")] = False,
    as_json: options.AsJson = False,
) -> None:
    """List the models: what each is for, whether it is installed, where it comes from, under which licence."""
    from mild.models import assets

    known = [row.name for row in assets.status()]
    for name in names or ():
        if name not in known:
            raise UsageError(f"There is no model {name!r}; the known ones are {', '.join(known)}.")
    if fetch:
        for name in names or ("blazepose",):
            with progress.bar(quiet=as_json) as report:
                if report:
                    report(f"fetching {name}", 0.0)
                assets.ensure(name, download=True)
    rows = [row for row in assets.status() if not names or row.name in names]
    if as_json:
        output.print_json(
            [
                {
                    "name": row.name,
                    "purpose": row.purpose,
                    "installed": row.installed,
                    "bytes": row.size,
                    "source": row.source,
                    "licence": row.licence,
                    "path": None if row.path is None else str(row.path),
                }
                for row in rows
            ]
        )
        return
    from rich.console import Console
    from rich.table import Table

    table = Table("model", "for")
    for heading in ("installed", "source", "licence"):
        # Folded, never shortened: a source or a licence with an ellipsis in it tells nothing.
        table.add_column(heading, overflow="fold")
    for row in rows:
        state = f"yes, {row.size / 2**20:.1f} MB" if row.installed else "no"
        table.add_row(row.name, row.purpose, state, row.source, row.licence)
    console = Console()
    console.print(table)
    for row in rows:
        if row.path is not None:
            console.print(f"{row.name}: {row.path}", soft_wrap=True)
