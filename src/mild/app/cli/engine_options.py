"""The options of commands that do many jobs: on which engine, with how many workers."""

from __future__ import annotations

from typing import Annotated

import typer

RUNNING = "How it runs"
EngineName = Annotated[
    str, typer.Option("--engine", metavar="NAME", rich_help_panel=RUNNING, help="local: this machine; or ray.")
]
Jobs = Annotated[
    int | None,
    typer.Option("--jobs", "-j", min=1, rich_help_panel=RUNNING, help="Workers, one model each. [default: cores]"),
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
