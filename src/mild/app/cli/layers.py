"""``mild layers``: the photo taken apart."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mild.app.cli import first, options, output, progress


def layers(
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
    person: options.Person = None,
    keep: options.Keep = None,
    everyone: options.Everyone = False,
    at: options.At = None,
    box: options.Boxes = None,
    mask: options.Mask = None,
    finder: options.Finder = None,
    coco: options.Coco = None,
    finder_model: options.FinderModel = None,
    allow_download: options.AllowDownload = False,
    model: options.Model = None,
    seed: options.Seed = None,
    steps: options.Steps = None,
    resolution: options.Resolution = None,
    device: options.Device = None,
    dtype: options.Dtype = None,
    fill: options.Fill = None,
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
    request = options.build(
        None,
        photo=None if photo is None else str(photo),
        selection=options.selection(person, keep, everyone, at, box, mask),
        finder=options.finder(finder, coco, finder_model, allow_download),
        method=options.method(model, steps, resolution, None, {}, device=device, dtype=dtype, fill=fill),
        output=options.written(None, no_mark),
        seed=seed,
    )
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
    console.print(f"background and {len(result.stack.people)} layers of people ({people})", soft_wrap=True)
    console.print(f"layers: {target}", soft_wrap=True)
    console.print(
        "note: the layers hold the original photo and everybody in it, also once they are hidden; "
        "`mild compose --hide N --flatten-hidden` writes a layered file without those who are hidden.",
        soft_wrap=True,
    )
