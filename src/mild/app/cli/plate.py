"""``mild plate``: the place without anybody, from a video."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mild.app.cli import groups, options, output, progress


def plate(
    video: Annotated[Path, typer.Argument(metavar="VIDEO", help="A video from a camera that stays about where it is.")],
    out: Annotated[
        Path, typer.Option("--output", "-o", rich_help_panel=options.OUTPUT, help="The picture of the empty place.")
    ],
    frames: Annotated[int, typer.Option(min=3, max=500, help="Frames that are looked at.")] = 25,
    finder: options.Finder = None,
    finder_model: options.FinderModel = None,
    allow_download: options.AllowDownload = False,
    as_json: options.AsJson = False,
    force: options.Force = False,
) -> None:
    """Make a picture of a place without the people who pass through it.

    Everybody who is found is blanked, and the median of what stays is taken. `mild erase PHOTO --also PLATE` fills
    from it.
    """
    from mild.request import Finder

    output.check_picture(out, force=force, photo=video)
    chosen = Finder.model_validate(groups.finding(finder, None, finder_model, allow_download)["finder"])
    from mild.photo import Photo
    from mild.shots.plate import plate as make

    with progress.bar(quiet=as_json) as tell:
        pixels, share = make(video, chosen, frames, lambda done: tell("looking at frames", done) if tell else None)
        Photo.from_array(pixels).save(out)
    if as_json:
        output.print_json({"output": str(out), "seen": round(share, 4)})
    else:
        typer.echo(f"plate: {out}; {100 * share:.0f} % of it was seen without anybody found in front")
