"""What was fetched, written down: the sha256 of every file, and when it was last found right.

One JSON file a model, ``CACHE/receipts/NAME.json``. A large file whose size and times have not changed since it was
hashed is not hashed again at every start; ``mild models --check`` always hashes.
"""

from __future__ import annotations

import functools
import json
from contextlib import suppress
from pathlib import Path
from typing import Any

from mild.errors import MildError
from mild.files import write_json
from mild.models.cache import cache_dir, sha256_of
from mild.models.spec import ModelFile

#: Files up to this many bytes are hashed in every process that uses them.
SMALL = 16 << 20


def read(name: str) -> dict[str, dict[str, Any]]:
    """File name -> what was written down of it; ``{}`` where there is nothing."""
    try:
        found = json.loads(_path(name).read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) and all(isinstance(v, dict) for v in found.values()) else {}


def write(name: str, folder: Path, notes: dict[str, dict[str, Any]]) -> None:
    """Write down notes ``{file: {"sha256", …}}`` of files that were just found right."""
    write_json(_path(name), {file: {**note, "seen": _seen(folder / file)} for file, note in notes.items()})


def forget(name: str) -> None:
    _path(name).unlink(missing_ok=True)


def intact(name: str, file: ModelFile, folder: Path) -> bool:
    """Is the file there, and is it the one that is registered (or, where that is not known, that was fetched)?"""
    path = folder / file.name
    seen = _seen(path)
    if seen is None or (file.size and seen[0] != file.size):
        return False
    note = read(name).get(file.name, {})
    wanted = str(note.get("sha256") or "") if len(file.sha256) < 64 else file.sha256
    if len(wanted) < 64 or not wanted.startswith(file.sha256):
        return False
    if seen[0] > SMALL and note.get("seen") == seen and note.get("sha256") == wanted:
        return True
    if _hash_of(path, tuple(seen)) != wanted:
        return False
    if seen[0] > SMALL and note:
        # A cache that cannot be written is slower, not worse.
        with suppress(MildError):
            write_json(_path(name), {**read(name), file.name: {**note, "sha256": wanted, "seen": seen}})
    return True


def _path(name: str) -> Path:
    return cache_dir() / "receipts" / f"{name}.json"


def _seen(path: Path) -> list[int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return [found.st_size, found.st_mtime_ns, found.st_ctime_ns]


@functools.lru_cache(maxsize=64)
def _hash_of(path: Path, seen: tuple[int, ...]) -> str:
    # Keyed by the times of change, so that a file is read once per process and again only after it was altered.
    return sha256_of(path)
