"""``mild data pairs``: real before/after pairs from a static camera."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mild.app.cli import groups, options, output, progress
from mild.app.cli.data_curate import Split
from mild.errors import MildError, UsageError


def pairs(
    clip: Annotated[
        Path, typer.Argument(metavar="CLIP", help="A video, or a folder of photos, of a camera on a stand.")
    ],
    out: Annotated[Path, typer.Argument(metavar="SET", help="New folder for the set.")],
    licence: Annotated[str, typer.Option("--licence", "--license", help="Of the clip; without one it cannot be used.")],
    credit: Annotated[str, typer.Option(help="Whom to thank.")] = "",
    origin: Annotated[str, typer.Option(help="Where it is from.")] = "",
    count: Annotated[int, typer.Option(min=1, help="Samples at most.")] = 24,
    frames: Annotated[int, typer.Option(min=5, help="Frames that are read at most, evenly spread.")] = 150,
    longest: Annotated[int, typer.Option(min=64, max=8192, help="Long side of the samples, px.")] = 1024,
    min_person: Annotated[int, typer.Option(min=8, help="Height of the tallest person, px.")] = 48,
    split: Annotated[Split, typer.Option(help="Of all samples; one clip is never in two.")] = Split.train,
    finder: options.Finder = None,
    finder_model: options.FinderModel = None,
    as_json: options.AsJson = False,
) -> None:
    """Frames with people, and the same place without them: the temporal median of all frames.

    The camera must not move: frames that are shifted are left out, and a clip that moves is refused. Look at
    SET/plate.png and SET/review/index.html: who never moves stays in the plate.
    """
    from mild.lab.data.licences import Licence
    from mild.lab.data.pairs import Burst, make_pairs
    from mild.request import Finder

    if not licence.strip():
        raise UsageError("Name the clip's --licence; without one it cannot be used.")
    chosen = Finder.model_validate(groups.finding(finder, None, finder_model)["finder"])
    burst = Burst(clip, out, Licence(licence, credit, origin), chosen, count, frames, longest, min_person, split.value)
    with progress.bar(quiet=as_json) as report:
        made = make_pairs(burst, tell=report)
    counts: dict[str, int] = {}
    for fate in made.fates:
        counts[fate.outcome] = counts.get(fate.outcome, 0) + 1
        if fate.outcome == "problem":
            typer.echo(f"mild: {fate.file}: {fate.why}", err=True)
    for note in made.notes:
        typer.echo(f"mild: {note}", err=True)
    if as_json:
        output.print_json(
            {
                "counts": counts,
                "largest_shift": round(made.shift, 3),
                "notes": list(made.notes),
                "frames": [vars(fate) for fate in made.fates],
            }
        )
    else:
        said = ", ".join(f"{number} {outcome}" for outcome, number in sorted(counts.items()))
        typer.echo(f"{said}; largest shift {made.shift:.2f} px; look at {out / 'review' / 'index.html'}")
    if counts.get("problem"):
        raise MildError("Some frames could not be used; each is named above.")
