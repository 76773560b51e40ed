"""``mild data export``: samples in other formats."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mild.app.cli import options, output
from mild.errors import UsageError


def export(
    set_: Annotated[Path, typer.Argument(metavar="SET", help="Folder of shards, a shard, or a plain folder.")],
    coco: Annotated[Path, typer.Option(help="The COCO instances JSON to write.")],
    photos: Annotated[Path | None, typer.Option(help="Folder for the photos, as KEY.png.")] = None,
    force: options.Force = False,
    as_json: options.AsJson = False,
) -> None:
    """Write the people of a set as COCO instances: masks, boxes, pose, belongings, licences.

    Read them back with `mild data curate FOLDER SET --coco FILE`. What COCO cannot say (layers, backgrounds) is lost.
    """
    from mild.lab.data.cocoset import write_coco
    from mild.lab.data.store import open_samples

    if not set_.exists():
        raise UsageError(f"There is no {set_}.")
    if coco.suffix.lower() != ".json":
        raise UsageError(f"The output {coco} must be called .json.")
    counts = write_coco(open_samples(set_), coco, photos, overwrite=force)
    if as_json:
        output.print_json({**counts, "file": str(coco)})
    else:
        typer.echo(", ".join(f"{number} {name}" for name, number in counts.items()) + f" in {coco}")
