"""``mild batch``: many photos, one request each, exactly once."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mild.app.cli import asked, engine_options, groups, options, output
from mild.app.cli.taking import takes
from mild.errors import MildError, UsageError

if TYPE_CHECKING:
    from mild.app.batch.batch import Batch, Tell
    from mild.app.batch.order import Order, Progress

PHOTOS, RUNNING = "Which photos, which results", engine_options.RUNNING


class Nobody(StrEnum):
    copy = "copy"
    skip = "skip"


@takes(groups.who, groups.finding, groups.model, groups.place, groups.switches, groups.saying)
def batch(
    *,
    source: Annotated[
        str,
        typer.Argument(
            metavar="SOURCE",
            help="A folder, a list (one photo a line, - for standard input), a manifest (.csv, .jsonl), or a URI.",
            show_default=False,
        ),
    ],
    out: Annotated[
        str,
        typer.Option(
            "--output", "-o", rich_help_panel=PHOTOS, help="Folder (or URI) of the results.", show_default=False
        ),
    ],
    include: Annotated[
        list[str] | None,
        typer.Option(
            "--include", metavar="PATTERN", rich_help_panel=PHOTOS, help="Only such names, like 'trip/*.jpg'."
        ),
    ] = None,
    exclude: Annotated[
        list[str] | None,
        typer.Option("--exclude", metavar="PATTERN", rich_help_panel=PHOTOS, help="None of such names."),
    ] = None,
    name: Annotated[
        str,
        typer.Option("--name", metavar="PATTERN", rich_help_panel=PHOTOS, help="Names of the results."),
    ] = "{folder}/{stem}{suffix}",
    format: Annotated[
        str | None,
        typer.Option("--format", rich_help_panel=PHOTOS, help="png, jpg, webp, tif, heic. [default: the photo's own]"),
    ] = None,
    nobody: Annotated[
        Nobody, typer.Option("--nobody", rich_help_panel=PHOTOS, help="What becomes of a photo in which nobody goes.")
    ] = Nobody.copy,
    ledger: Annotated[
        Path | None,
        typer.Option(
            "--ledger", rich_help_panel=PHOTOS, help="Folder of batch.jsonl and batch.html. [default: output]"
        ),
    ] = None,
    bursts: Annotated[
        str | None,
        typer.Option(
            "--bursts",
            metavar="folder|SECONDS",
            rich_help_panel=PHOTOS,
            help="Photos of one folder, or taken within so many seconds, are shots of one scene: what the others saw "
            "fills the holes.",
        ),
    ] = None,
    force: options.Force = False,
    parts: dict[str, Any],
    request_file: Annotated[
        Path | None,
        typer.Option("--request", help="A saved request, for every photo; other options override it."),
    ] = None,
    engine: engine_options.EngineName = "local",
    jobs: engine_options.Jobs = None,
    address: engine_options.Address = None,
    gpus: engine_options.Gpus = 0.0,
    seconds: Annotated[
        float | None, typer.Option("--time-limit", min=0.1, rich_help_panel=RUNNING, help="Seconds for one photo.")
    ] = 900.0,
    memory: Annotated[
        float | None,
        typer.Option("--memory-limit", min=1, rich_help_panel=RUNNING, help="MiB for one photo, model included."),
    ] = None,
    watch: Annotated[
        bool, typer.Option("--watch", rich_help_panel=RUNNING, help="Keep looking for new photos, until Ctrl-C.")
    ] = False,
    rest: Annotated[
        float,
        typer.Option(min=0.1, rich_help_panel=RUNNING, help="Watching: seconds for which a file must not change."),
    ] = 3.0,
    idle: Annotated[
        float | None, typer.Option(min=0, rich_help_panel=RUNNING, help="Watching: end after so many quiet seconds.")
    ] = None,
    dry_run: Annotated[
        bool,
        typer.Option(
            "--dry-run", rich_help_panel=RUNNING, help="Only say who would go: dry-run.html and dry-run.jsonl."
        ),
    ] = False,
    as_json: options.AsJson = False,
) -> None:
    """Erase people from many photos; the same command goes on after whatever stopped it.

    Every photo gets what `mild erase` with the same options gives it. Beside the results: batch.jsonl, a line a photo,
    and batch.html, to look at them and to mark some for redoing. The exit status is 0 only if every photo is done.
    """
    from mild.app.batch.batch import Batch
    from mild.app.batch.order import Order
    from mild.app.batch.store import PICTURES, is_uri
    from mild.app.batch.worker import Setup, Worker
    from mild.engines import Limits, Work

    fields = asked.fields_of(request_file, **parts)
    fields.pop("photo", None)
    if is_uri(out) and ledger is None:
        raise UsageError("An output in an object store needs --ledger FOLDER, where the ledger and the page are kept.")
    if watch and dry_run:
        raise UsageError("--watch and --dry-run contradict each other; give one of them.")
    pictures = PICTURES[dry_run]
    setup = Setup(out, str(ledger or out), nobody.value, dry_run, pictures)
    suffix = None if format is None else "." + format.lower().lstrip(".")
    order = Order(source, setup, fields, tuple(include or ()), tuple(exclude or ()), name, suffix, force, bursts)
    work = Work(Worker, setup)
    limits = Limits(seconds, memory)
    # Before any worker is begun: what cannot be done is said at once.
    workers = engine_options.workers(engine, jobs, address, gpus)
    run = Batch(order, workers.engine_for(work, limits))
    with run, _shown(as_json) as tell:
        progress = run.watch(tell, rest, idle) if watch else run.run(tell)
    _end(run, order, progress, as_json)


def _end(run: Batch, order: Order, progress: Progress, as_json: bool) -> None:
    if as_json:
        told: dict[str, Any] = {"photos": progress.total, "before": progress.before, **progress.counts}
        output.print_json(
            told | {"seconds": round(progress.seconds, 1), "ledger": str(run.ledger_path), "page": str(run.page_path)}
        )
    else:
        counts = ", ".join(f"{number} {state}" for state, number in sorted(progress.counts.items()))
        before = f"; {progress.before} were done before" if progress.before else ""
        typer.echo(f"{progress.total} photo{'' if progress.total == 1 else 's'}: {counts or 'nothing to do'}{before}")
        typer.echo(f"ledger: {run.ledger_path}\npage: {run.page_path}")
    if progress.failed:
        some = "photo was" if progress.failed == 1 else "photos were"
        raise MildError(f"{progress.failed} {some} not done; {run.ledger_path} says why of each.")


@contextmanager
def _shown(quiet: bool) -> Iterator[Tell]:
    """Progress for people: a bar on a terminal, otherwise a line now and then."""
    import sys
    import time

    if quiet:
        yield lambda progress: None
        return
    if not sys.stderr.isatty():
        last = time.monotonic()

        def line(progress: Progress) -> None:
            nonlocal last
            if time.monotonic() - last > 10:
                last = time.monotonic()
                typer.echo(_line(progress), err=True)

        yield line
        return
    from rich.console import Console
    from rich.progress import BarColumn, SpinnerColumn, TextColumn
    from rich.progress import Progress as Bars

    with Bars(
        SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), console=Console(stderr=True), transient=True
    ) as bars:
        task = bars.add_task("starting", total=None)

        def bar(progress: Progress) -> None:
            bars.update(task, description=_line(progress), completed=progress.finished, total=progress.total)

        yield bar


def _line(progress: Progress) -> str:
    told = f"{progress.finished} of {progress.total} photos"
    if progress.failed:
        told += f", {progress.failed} failed"
    left = progress.remaining
    if left is None:
        return told
    time_left = f"{left:.0f} s" if left < 90 else f"{left / 60:.0f} min" if left < 5400 else f"{left / 3600:.1f} h"
    return f"{told}, {60 * progress.rate:.1f} a minute, about {time_left} left"
