"""``mild data``: make data sets, look at them, and hand them on. One file per command; each is a line below."""

from __future__ import annotations

import typer

from mild.app.cli.app import Command

#: Every command of ``mild data``, in the order of its help. To add one, add a line and a module
#: ``mild.app.cli.data_NAME`` that imports nothing heavy outside its function.
COMMANDS: dict[str, Command] = {
    "synth": Command("mild.app.cli.data_synth:synth", "Compose people onto scenes: samples with every layer's truth."),
    "curate": Command("mild.app.cli.data_curate:curate", "Real photos to samples: found, filtered, reviewed."),
    "pairs": Command("mild.app.cli.data_pairs:pairs", "Before/after pairs from a static camera: video or burst."),
    "export": Command("mild.app.cli.data_export:export", "Write samples in another format: COCO instances."),
    "validate": Command("mild.app.cli.data_check:validate", "Check every rule of the format, sample by sample."),
    "stats": Command("mild.app.cli.data_check:stats", "Tables and plots of what is in a set."),
    "card": Command("mild.app.cli.data_check:card", "Write the data card and the credits of a set."),
}

data = typer.Typer(help="Make data sets, look at them, and hand them on.", pretty_exceptions_enable=False)


@data.callback()
def group() -> None:
    """Make data sets, look at them, and hand them on."""


for _name, _command in COMMANDS.items():
    data.command(_name, short_help=_command.help)(_command.load())
