"""``mild people``: who is in the photo, and whom a choice would take."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mild.app.cli import asked, first, groups, options, output, progress
from mild.app.cli.taking import takes

if TYPE_CHECKING:
    from mild.people.scene import Scene
    from mild.people.things import Thing


@takes(groups.who, groups.finding)
def people(
    *,
    photo: options.PhotoArgument = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", rich_help_panel=options.OUTPUT, help="The numbered picture. [default: PHOTO.people.png]"
        ),
    ] = None,
    parts: dict[str, Any],
    as_json: options.AsJson = False,
    force: options.Force = False,
) -> None:
    """Find the people in PHOTO: a numbered picture and a table.

    The numbers are those that `mild erase --person` takes. Name somebody here too, and the picture shows whom (or what)
    the same options of `mild erase` would take. Uncertain finds are marked; they are left alone unless named.

    With --json the picture is drawn only if -o names it.
    """
    request = asked.build(None, photo=None if photo is None else str(photo), **parts)
    source = Path(request.photo or "")
    picture = out
    if picture is None and not as_json:
        # The name is ours, and the picture costs nothing to make again: no --force for looking twice.
        picture, force = Path(f"{source.stem}.people.png"), True
    if picture is not None:
        output.check_file(picture, suffixes=(".png",), force=force, photo=source)

    from mild.people.find import find_people
    from mild.people.selection import chosen_in, with_things
    from mild.people.things import things_with
    from mild.photo import Photo, write_image

    first.offer(request.finder, ask=not as_json)
    with progress.bar(quiet=as_json) as report:
        if report:
            report("find", 0.0)
        scene = find_people(Photo.open(source), request.finder)
        chosen: tuple[int, ...] = ()
        alone = scene
        if not request.selection.empty:
            taken, numbers = chosen_in(scene, request.selection)
            alone, _ = with_things(taken, numbers, request.selection.model_copy(update={"things": False}))
            scene, chosen = with_things(taken, numbers, request.selection)
        beside = things_with(alone, chosen or None)
        if picture is not None:
            from mild.people.overlay import draw_overlay

            write_image(draw_overlay(scene, chosen), picture)
    if as_json:
        output.print_json(_report(scene, chosen, picture) | {"things": [thing.summary() for thing in beside]})
    else:
        _show(scene, chosen, picture, beside, searched=request.finder.backend != "none")


def _report(scene: Scene, chosen: tuple[int, ...], picture: Path | None) -> dict[str, Any]:
    return {
        "size": {"width": scene.size[1], "height": scene.size[0]},
        "people": scene.summary(),
        "order": list(scene.order),
        "chosen": list(chosen),
        "picture": None if picture is None else str(picture),
    }


def _show(
    scene: Scene, chosen: tuple[int, ...], picture: Path | None, beside: tuple[Thing, ...], *, searched: bool
) -> None:
    from rich.console import Console
    from rich.table import Table

    console = Console(markup=False)
    if scene.people:
        table = Table("person", "box x0, y0, x1, y1", "height", "certain", "role", "depth", "found by")
        if chosen:
            table.add_column("chosen")
        for p in scene.people:
            # Counted from the front, since that is where one looks first.
            depth = len(scene.order) - scene.order.index(p.id)
            cells = [str(p.id), ", ".join(map(str, p.box)), f"{p.box.height} px"]
            cells += [f"{p.score:.2f}" + ("" if p.sure else " (unsure)"), p.role, _place(depth), p.source]
            table.add_row(*cells, *(["yes" if p.id in chosen else ""] if chosen else []))
        console.print(table)
        if any(not p.sure for p in scene.people):
            console.print("Unsure finds are left alone unless named with --person.")
    else:
        console.print("Nobody was found." if searched else "Nobody was searched for: the finder is none.")
    for thing in beside:
        x, y = thing.at
        if thing.held:
            console.print(f"Person {thing.person}: a {thing.kind} goes along; --no-things leaves it.")
        else:
            console.print(f"Person {thing.person}: perhaps a {thing.kind} goes along; say so with --also-at {x},{y}.")
    console.print("Somebody missing? Point at them: `mild erase PHOTO --at X,Y`, or --box, or --mask.")
    if picture is not None:
        console.print(f"picture: {picture}", soft_wrap=True)


def _place(depth: int) -> str:
    return "in front" if depth == 1 else f"{depth}. from front"
