"""``mild compose``: a layered file put together again, with another choice of who is there."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mild.app.cli import asked, options, output
from mild.errors import UsageError

#: What the mark calls a model that the layered file does not name.
UNKNOWN = "not named in the layered file"
_WHO = "1 or 1,3; repeatable."


def compose(
    layers: Annotated[Path, typer.Argument(help="A .ora, .psd or .zip file or a folder, as `mild layers` writes.")],
    out: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", rich_help_panel=options.OUTPUT, help="A picture, or .psd, .ora, .zip. [default: X.png]"
        ),
    ] = None,
    hide: Annotated[list[str] | None, typer.Option("--hide", help=f"People who leave: {_WHO}")] = None,
    show: Annotated[list[str] | None, typer.Option("--show", help=f"People who come back: {_WHO}")] = None,
    front: Annotated[
        list[str] | None, typer.Option("--front", help=f"People moved before all others, the last foremost: {_WHO}")
    ] = None,
    flatten_hidden: Annotated[
        bool,
        typer.Option(
            "--flatten-hidden", "--share-safe", help="Write a layered file without the hidden people and the original."
        ),
    ] = False,
    no_mark: options.NoMark = False,
    as_json: options.AsJson = False,
    force: options.Force = False,
) -> None:
    """Put LAYERS together again: who was erased may come back, who was kept may leave. No model is run.

    Without --hide, --show and --front the picture is the one the job gave. A person who never had a layer can neither
    leave nor come back; `mild layers` makes one for everybody.
    """

    def people(option: str, values: list[str] | None) -> list[int]:
        return [n for found in asked.numbers(option, values or ()) for n in found]

    wanted = people("--hide", hide), people("--show", show), people("--front", front)

    from mild.layers.export import SUFFIXES, open_stack, save_stack
    from mild.layers.finish import finished
    from mild.layers.recompose import recompose
    from mild.photo import Photo, PhotoMeta
    from mild.photo.mark import Mark
    from mild.request import Output

    target = out or Path(f"{layers.stem}.png")
    layered = target.suffix.lower() in SUFFIXES
    if target.exists() and layers.exists() and target.samefile(layers):
        raise UsageError(f"The output {target} is the input itself; name another file.")
    if layered:
        output.check_file(target, suffixes=SUFFIXES, force=force)
    else:
        output.check_picture(target, force=force)
    stack, colour = open_stack(layers)
    stack = recompose(stack, *wanted)
    source = Photo(stack.photo, meta=PhotoMeta(icc=colour.icc, dpi=colour.dpi))
    # Who made the layers is said in the file; an older one, or one without a mark, does not know.
    model = UNKNOWN if colour.mark is None else colour.mark.model
    photo, _ = finished(source, stack, Output(mark=not no_mark), model)
    inside = layered and bool(stack.hidden) and not flatten_hidden
    if layered:
        mark = None if no_mark else Mark.now(model)
        save_stack(stack, target, photo, mark=mark, flatten_hidden=flatten_hidden)
    else:
        photo.save(target)
    if as_json:
        said = {"hidden": sorted(stack.hidden), "raised": list(stack.raised), "holds_hidden_people": inside}
        said["holds_original"] = layered and not flatten_hidden
        output.print_json({**said, "output": str(target)})
        return
    gone = ", ".join(str(n) for n in sorted(stack.hidden)) or "nobody"
    typer.echo(f"hidden: {gone}\npicture: {target}")
    if inside:
        typer.echo(
            "note: the file still holds who is hidden, and the original photo, in hidden layers; "
            "--flatten-hidden writes it without them."
        )
