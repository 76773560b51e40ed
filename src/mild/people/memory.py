"""People found once are found: kept on disk by the photo's pixels, so that the next command need not search again.

One small file per photo in the user's cache folder, holding masks and poses, never pixels of the photo. The oldest go
when there are many. ``MILD_REMEMBER=0`` switches it off; deleting the folder loses nothing but seconds.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from mild.models import assets
from mild.people.scene import Box, Person

Found = tuple[tuple[Person, ...], tuple[int, ...]]

#: Photos that are kept.
MOST_FILES = 256
_ARRAYS = ("mask", "keypoints", "landmarks", "parts")


def recall(key: tuple[str, ...]) -> Found | None:
    """What :func:`keep` was given for this key, or None."""
    path = _path(key)
    if path is None:
        return None
    try:
        with np.load(path, allow_pickle=False) as arrays:
            about = json.loads(str(arrays["about"]))
            people = [_person(entry, arrays, number) for number, entry in enumerate(about["people"])]
        path.touch()
    except (OSError, EOFError, ValueError, KeyError, zipfile.BadZipFile):
        # A damaged or older file: the search will write it anew.
        return None
    return tuple(people), tuple(about["order"])


def keep(key: tuple[str, ...], found: Found) -> None:
    """Write what was found. A disk that is full or read-only costs the next search, nothing else."""
    path = _path(key)
    if path is None:
        return
    people, order = found
    arrays: dict[str, Any] = {}
    entries = []
    for number, person in enumerate(people):
        entry = {"id": person.id, "box": list(person.box), "score": person.score, "sure": person.sure}
        entries.append(entry | {"source": person.source})
        for name in _ARRAYS:
            if (value := getattr(person, name)) is not None:
                arrays[f"{name}{number}"] = value
    about = json.dumps({"people": entries, "order": list(order)})
    scratch = path.with_suffix(f".{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with scratch.open("wb") as file:
            np.savez_compressed(file, about=np.asarray(about), **arrays)
        scratch.replace(path)
        kept = sorted(path.parent.glob("*.npz"), key=lambda p: p.stat().st_mtime)
        for old in kept[:-MOST_FILES]:
            old.unlink(missing_ok=True)
    except OSError:
        with contextlib.suppress(OSError):
            scratch.unlink()


def _person(entry: dict[str, Any], arrays: Any, number: int) -> Person:
    values = {name: arrays[f"{name}{number}"] for name in _ARRAYS if f"{name}{number}" in arrays}
    return Person(box=Box(*entry.pop("box")), **entry, **values)


def _path(key: tuple[str, ...]) -> Path | None:
    if os.environ.get("MILD_REMEMBER", "1") == "0":
        return None
    # Another version of the finder's code may find other people.
    code = [f"{p.name}:{p.stat().st_size}:{p.stat().st_mtime_ns}" for p in sorted(Path(__file__).parent.rglob("*.py"))]
    name = hashlib.sha256(json.dumps([*key, code]).encode()).hexdigest()
    return assets.cache_dir() / "people" / f"{name}.npz"
