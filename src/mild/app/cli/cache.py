"""``mild cache``: what this program keeps on this machine, where, for how long; and how to be rid of it."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from mild.app.cli import options, output
from mild.errors import MildError


@dataclass(frozen=True)
class Place:
    """A folder of ours: what is in it, and how long it stays there."""

    name: str
    folder: Path
    holds: str
    kept: str

    @property
    def files(self) -> list[Path]:
        return [path for path in self.folder.rglob("*") if path.is_file()] if self.folder.is_dir() else []

    @property
    def size(self) -> int:
        return sum(path.stat().st_size for path in self.files)


def places() -> list[Place]:
    """Every folder that may hold something of the user's, and that of the models."""
    from platformdirs import user_state_dir

    from mild.models import assets
    from mild.people import memory

    # The folders of `mild.app.server.settings`, which belongs to an extra.
    state = Path(user_state_dir("mild"))
    day = "a day, unless told otherwise"
    return [
        Place("people", memory.folder(), "outlines and poses of people found in photos", f"{memory.MOST_DAYS} days"),
        Place("studio", state / "studio", "photos, jobs and results of mild studio", day),
        Place("server", state / "server", "photos, jobs and results of mild serve", day),
        Place("models", assets.cache_dir(), "fetched models", "until --models"),
    ]


def cache(
    clear: Annotated[bool, typer.Option("--clear", help="Delete what is kept of photos and of people.")] = False,
    models: Annotated[bool, typer.Option("--models", help="With --clear: also the fetched models.")] = False,
    as_json: options.AsJson = False,
) -> None:
    """Show what MILD keeps on this machine, and for how long; --clear deletes it.

    Outlines of the people in searched photos are kept so that the same photo is not searched twice: never pixels.
    MILD_REMEMBER=0 keeps none.
    """
    from mild.models import assets
    from mild.people import memory

    memory.prune()
    found = places()
    if clear:
        memory.clear()
        for place in found[1:3]:
            _clear_state(place)
        if models:
            for status in assets.status():
                # Those in the hub's own cache are other programs', too: `mild models --remove` asks about each.
                if status.spec.snapshot is None and (assets.cache_dir() / status.name).is_dir():
                    assets.remove(status.name)
    held = []
    for place in found:
        files = place.files
        if place.name == "models":
            files = [path for path in files if not path.is_relative_to(memory.folder())]
        size = sum(path.stat().st_size for path in files)
        held.append((place, len(files), size))
    if as_json:
        output.print_json(
            [
                {"name": p.name, "folder": str(p.folder), "holds": p.holds, "kept": p.kept, "files": n, "bytes": size}
                for p, n, size in held
            ]
        )
        return
    from rich.console import Console
    from rich.table import Table

    table = Table("what", "files", "size", "kept for")
    for p, n, size in held:
        table.add_row(p.holds, str(n), f"{size / 1e6:.1f} MB", p.kept)
    console = Console(highlight=False, markup=False)
    console.print(table)
    for p, _, _ in held:
        console.print(f"{p.name}: {p.folder}", soft_wrap=True)
    if clear:
        console.print("Cleared.")


def _clear_state(place: Place) -> None:
    """Empty the folder of a studio or server, unless one is running on it.

    Raises:
        MildError: one is.
    """
    if not place.folder.is_dir():
        return
    import fcntl

    lock = place.folder / "lock"
    with lock.open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise MildError(f"`mild {_command(place)}` is running: end it first, then clear what it keeps.") from None
        for inner in place.folder.iterdir():
            if inner == lock:
                continue
            if inner.is_dir() and not inner.is_symlink():
                shutil.rmtree(inner)
            else:
                inner.unlink(missing_ok=True)


def _command(place: Place) -> str:
    return {"studio": "studio", "server": "serve"}[place.name]
