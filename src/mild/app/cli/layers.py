"""``mild layers``: the photo taken apart."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from mild.app.cli import asked, first, groups, options, output, progress
from mild.app.cli.taking import takes


@takes(groups.who, groups.finding, groups.model)
def layers(
    *,
    photo: options.PhotoArgument = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            rich_help_panel=options.OUTPUT,
            help="A folder, or a .psd, .ora or .zip file. [default: PHOTO.layers]",
        ),
    ] = None,
    parts: dict[str, Any],
    no_mark: options.NoMark = False,
    as_json: options.AsJson = False,
    force: options.Force = False,
) -> None:
    """Take PHOTO apart: the background as if nobody stood there, and every person complete.

    Every person surely found gets a layer; name people (or regions) to have layers of these alone.

    Into a folder it writes background.png, one RGBA picture of the photo's size per person (person-1.png, …) and
    layers.json, which lists the layers from back to front, each with its file, owner, name and box; the rest is what
    MILD needs to put the stack together again.
    """
    parts["output"] = {"mark": False} if no_mark else None
    request = asked.build(None, photo=None if photo is None else str(photo), **parts)
    source = Path(request.photo or "")
    target = out or Path(f"{source.stem}.layers")

    from mild.layers.export import SUFFIXES, save_stack

    if target.suffix.lower() in SUFFIXES:
        output.check_file(target, suffixes=SUFFIXES, force=force)
    else:
        output.check_folder(target, force=force)

    from mild.road import decompose

    first.offer(request.finder, ask=not as_json)
    from mild.layers import psd
    from mild.layers.finish import mark_of
    from mild.photo import Photo

    opened = Photo.open(source)
    if target.suffix.lower() == ".psd":
        psd.check_size(opened.size)
    with progress.bar(quiet=as_json) as report:
        result = decompose(request, opened, progress=report)
        save_stack(result.stack, target, result.photo, mark=mark_of(request))
    if as_json:
        output.print_json({**result.report(), "output": str(target), "holds_original": True})
        return
    from rich.console import Console

    console = Console(highlight=False, markup=False)
    people = ", ".join(layer.name for layer in result.stack.people) or "nobody"
    count = len(result.stack.people)
    console.print(f"background and {count} layer{'s' * (count != 1)} of people ({people})", soft_wrap=True)
    console.print(f"layers: {target}", soft_wrap=True)
    console.print(
        "note: the layers hold the original photo and everybody in it, also once they are hidden; "
        "`mild compose --hide N --flatten-hidden` writes a layered file without those who are hidden.",
        soft_wrap=True,
    )
