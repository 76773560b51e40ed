"""Options that stand in several commands as they are; those that say *what is to be done* are in :mod:`.groups`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

WHO, FINDING, METHOD, SWITCHES, OUTPUT = "Whom", "Finding people", "How", "Switches (for comparisons)", "Output"

PhotoArgument = Annotated[Path | None, typer.Argument(metavar="PHOTO", help="The photo.", show_default=False)]
Finder = Annotated[
    str | None,
    typer.Option(
        "--finder", rich_help_panel=FINDING, help="auto, nanodet, ssd, blazepose, hub, none, coco. [default: auto]"
    ),
]
FinderModel = Annotated[
    str | None,
    typer.Option("--finder-model", rich_help_panel=FINDING, help="Hub id or folder of the model of finder `hub`."),
]
AllowDownload = Annotated[
    bool, typer.Option("--allow-download", rich_help_panel=FINDING, help="Finder `hub` may fetch its weights.")
]
NoMark = Annotated[
    bool, typer.Option("--no-mark", rich_help_panel=OUTPUT, help="Do not say in the file that it was edited.")
]
AsJson = Annotated[bool, typer.Option("--json", rich_help_panel=OUTPUT, help="Print JSON, and nothing else.")]
Force = Annotated[bool, typer.Option("--force", "-f", rich_help_panel=OUTPUT, help="Replace an existing output.")]
