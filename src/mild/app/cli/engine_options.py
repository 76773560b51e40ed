"""The options of commands that do many jobs: on which engine, with how many workers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from mild.engines import Workers

RUNNING = "How it runs"
EngineName = Annotated[
    str, typer.Option("--engine", metavar="NAME", rich_help_panel=RUNNING, help="local: this machine; or ray.")
]
Jobs = Annotated[
    int | None,
    typer.Option(
        "--jobs", "-j", min=1, rich_help_panel=RUNNING, help="Workers, a process and a model each. [default: cores]"
    ),
]
Address = Annotated[
    str | None,
    typer.Option(
        "--address", rich_help_panel=RUNNING, help="Of the Ray cluster. [default: $RAY_ADDRESS, or this machine]"
    ),
]
Gpus = Annotated[
    float, typer.Option("--gpus-per-worker", min=0, rich_help_panel=RUNNING, help="Of each Ray worker; may be 0.5.")
]


def workers(engine: str, jobs: int | None, address: str | None, gpus: float) -> Workers:
    """The choice that the options make; without ``--jobs`` a worker for every core.

    Raises:
        UsageError: an engine of no such name, or options that it does not take.
    """
    from mild.engines.choice import check
    from mild.engines.engine import cores
    from mild.engines.workers import Workers

    check(engine, address, gpus)
    return Workers(engine, jobs or (cores() if engine == "local" else None), address, gpus)
