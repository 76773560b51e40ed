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
    "also": "looking at the other shots",
    "layers": "making layers",
    "fill": "filling from the photo",
    "denoise": "denoising",
    "paint": "painting",
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
    from rich.progress import BarColumn, Progress, ProgressColumn, SpinnerColumn, Task, TextColumn, TimeElapsedColumn
    from rich.text import Text

    class Left(ProgressColumn):
        """What the road thinks that it still needs, asked again at every refresh."""

        def render(self, task: Task) -> Text:
            return Text(left_in_words(task.fields.get("share")), style="progress.remaining")

    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn(), Left())
    shown = Progress(*columns, console=Console(stderr=True), transient=True)
    with shown:
        task = shown.add_task("starting", total=1.0)

        def report(stage: str, fraction: float) -> None:
            shown.update(task, description=WORDS.get(stage, stage), completed=fraction, share=fraction)

        yield report


def left_in_words(share: object) -> str:
    """``about 7 s left`` of a :class:`mild.progress.Share`; nothing of a plain number, which does not know."""
    seconds = getattr(share, "remaining", None)
    if seconds is None:
        return ""
    return f"about {seconds:.0f} s left" if seconds < 90 else f"about {seconds / 60:.0f} min left"
