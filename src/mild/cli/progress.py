"""A progress bar on stderr, for people; nothing at all for programs."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

Report = Callable[[str, float], None]


#: What the road's stages are called for the reader; others are shown as they are.
WORDS = {
    "find": "finding people",
    "plan": "planning layers",
    "load": "loading the model",
    "layers": "making layers",
    "fill": "filling from the photo",
    "denoise": "denoising",
    "compose": "composing",
}


@contextmanager
def bar(quiet: bool = False) -> Iterator[Report | None]:
    """Yields a callback ``(stage, fraction 0..1)``, or None where nobody looks (``quiet``, or stderr is no terminal).

    The bar vanishes when the block ends, however it ends.
    """
    if quiet or not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    shown = Progress(*columns, console=Console(stderr=True), transient=True)
    with shown:
        task = shown.add_task("starting", total=1.0)

        def report(stage: str, fraction: float) -> None:
            shown.update(task, description=WORDS.get(stage, stage), completed=fraction)

        yield report
