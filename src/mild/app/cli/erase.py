"""``mild erase``: build the request, walk the road, save the photo."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mild.app.cli import asked, first, groups, options, output, pipes, progress
from mild.app.cli.taking import takes
from mild.errors import UsageError
from mild.extras import needs

if TYPE_CHECKING:
    from mild.result import EraseResult


@takes(groups.who, groups.finding, groups.model, groups.place, groups.switches, groups.saying)
def erase(
    *,
    photo: options.PhotoArgument = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            rich_help_panel=options.OUTPUT,
            help="The edited photo; - is standard output (PNG). [default: PHOTO.erased.png]",
        ),
    ] = None,
    parts: dict[str, Any],
    request_file: Annotated[
        Path | None,
        typer.Option(
            "--request", rich_help_panel=options.OUTPUT, help="Replay a saved request; other options override it."
        ),
    ] = None,
    save_request: Annotated[
        Path | None,
        typer.Option("--save-request", rich_help_panel=options.OUTPUT, help="Save this job as JSON, for --request."),
    ] = None,
    report: Annotated[
        str | None,
        typer.Option(
            "--report",
            metavar="cag",
            rich_help_panel=options.OUTPUT,
            help="Measure leaking attention: OUTPUT.cag.json and OUTPUT.cag.png beside the output.",
        ),
    ] = None,
    as_json: options.AsJson = False,
    force: options.Force = False,
) -> None:
    """Erase chosen people from PHOTO; - is standard input.

    The choices add up: --person 2 --at 310,95 erases both. Outside the erased people and a narrow soft edge every pixel
    stays the photo's own (PNG, TIFF and lossless WebP keep it exactly; JPEG as well as JPEG can).
    """
    request = asked.build(request_file, photo=None if photo is None else str(photo), **parts)
    source = Path(request.photo or "")
    if request.selection.empty:
        raise UsageError(f"Say whom to erase, for instance --person 1; `mild people {source}` shows the numbers.")
    from_stream = pipes.is_stream(source)
    target = out or (pipes.STREAM if from_stream else Path(f"{source.stem}.erased.png"))
    to_stream = pipes.is_stream(target)
    if to_stream:
        pipes.check_output(out, as_json, report is not None)
    else:
        output.check_picture(target, force=force, photo=None if from_stream else source)
    if save_request is not None:
        output.check_json(save_request, force=force)
        try:
            request.model_dump_json()
        except ValueError:
            raise UsageError("A name in the request is no Unicode, which no JSON can hold; rename that file.") from None
        cag = target.with_suffix(".cag.json") if report is not None else None
        output.distinct(target, save_request, cag)
    measure = None if report is None else _Measure(report, target, source, force, request.method.parts.denoise)

    from mild.photo import Photo

    opened = pipes.read_photo() if from_stream else Photo.open(source)
    shown_as = Path(f"photo{pipes.SUFFIX}") if to_stream else target
    opened.check_format(shown_as)
    beside = None if to_stream or opened.meta.sidecar is None else opened.meta.sidecar.beside_output(target)
    if beside is not None and beside.exists() and opened.meta.sidecar is not None:
        if beside == opened.meta.sidecar.path:
            typer.echo(f"note: the sidecar {beside} is left as it is; it may still name who is erased.", err=True)
        elif not force:
            raise UsageError(f"The output's sidecar {beside} exists already; name another output, or --force.")

    from mild.road import run

    asking = not (as_json or from_stream or to_stream or request.selection.drawn)
    searched = first.offer(request.finder, ask=asking)
    unsearched = first.not_searched(request.selection)
    with progress.bar(quiet=as_json) as tell:
        result = run(request, opened, progress=tell, probe=None if measure is None else measure.probe)
        if not to_stream:
            result.save(target)
        if measure is not None:
            measure.write(result)
    if save_request is not None:
        output.write_text(save_request, result.request.model_dump_json(indent=2, exclude_none=True) + "\n")
    if to_stream:
        _show(result, target, err=True)
        if not searched:
            typer.echo(unsearched, err=True)
        pipes.write_photo(result.photo)
    elif as_json:
        output.print_json({**result.report(), "output": str(target), **({} if measure is None else measure.files)})
    else:
        _show(result, target)
        if not searched:
            typer.echo(unsearched)
        if measure is not None:
            measure.show()


class _Measure:
    """``--report cag``: its files, checked before any work, and the probe.

    Raises:
        UsageError: another kind of report, nothing to measure, or a file in the way.
        MildError: no package to draw with.
    """

    def __init__(self, kind: str, target: Path, source: Path, force: bool, denoise: bool) -> None:
        if kind != "cag":
            raise UsageError(f"There is no report {kind!r}; the one there is: cag.")
        if not denoise:
            raise UsageError("--report cag measures the denoiser, which --no-denoise switches off.")
        self.table, self.picture = target.with_suffix(".cag.json"), target.with_suffix(".cag.png")
        output.check_json(self.table, force=force)
        output.check_file(self.picture, suffixes=(".png",), force=force, photo=source)
        with needs("--report cag", "bench", "torch"):
            from mild.diffusion.cag import CagProbe
            from mild.lab.cag_report import PLOTTED
            from mild.lab.plotting import plotting
        plotting(*PLOTTED)
        self.probe = CagProbe()

    @property
    def files(self) -> dict[str, dict[str, str]]:
        return {"report": {"table": str(self.table), "picture": str(self.picture)}}

    def write(self, result: EraseResult) -> None:
        from mild.lab.cag_report import write_report

        about = {"erased": list(result.erased), "method": result.request.method.model_dump(mode="json")}
        write_report(self.probe.report(), result.scene.photo.pixels, self.table, self.picture, about)

    def show(self) -> None:
        from rich.console import Console
        from rich.table import Table

        table = Table("layer", "CAG", "CAG per area", "foreign part of its view")
        for layer in self.probe.report():
            cells = [layer.mean(values) for values in (layer.cag, layer.area)]
            shown = ["none foreign" if cell is None else f"{cell:.3f}" for cell in cells]
            table.add_row(layer.layer.name, *shown, f"{100 * layer.foreign_share:.0f} %")
        console = Console(highlight=False, markup=False)
        console.print(table)
        console.print(f"report: {self.table}, {self.picture}", soft_wrap=True)
        console.print(f"note: {self.picture.name} shows the photo as it was, with everybody in it.", soft_wrap=True)


def _show(result: EraseResult, target: Path, *, err: bool = False) -> None:
    who = ", ".join(str(n) for n in result.erased)
    took = sum(result.seconds.values())
    lines = [f"erased: {'person' if len(result.erased) == 1 else 'people'} {who} in {took:.1f} s"]
    for person in result.scene.people:
        if person.things:
            lines.append(f"with person {person.id}: {', '.join(person.things)} (--no-things leaves what they hold)")
    if result.seen is not None:
        lines.append(f"seen in the other shots: {100 * result.seen:.0f} % of the hole")
    told = result.metadata
    lines += [f"note: {note}" for note in told.notes]
    if told.left:
        names = ", ".join(told.left)
        lines.append(
            f"note: names in the metadata that no face region places were left: {names}; --metadata none leaves none."
        )
    typer.echo("\n".join([*lines, f"photo: {target}"]), err=err)
