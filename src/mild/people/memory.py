"""People found once are found: kept by the photo's pixels, so that the next question need not search again.

The one cache of found people. A few photos' are held in this process; on disk there is one small file per photo in
the user's cache folder (a server has it in its state folder), holding masks and poses, never pixels of the photo. The
oldest go when there are many, and so does what was not asked for in 30 days: outlines of people are personal data.
``MILD_REMEMBER=0`` keeps nothing on disk; ``mild cache --clear`` deletes them all, which loses only seconds.

A file's name begins with the fingerprint of the photo's pixels, so that all that is known of a photo can be forgotten.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import threading
import time
import uuid
from collections import OrderedDict
from collections.abc import Callable, Hashable, Sequence
from pathlib import Path
from typing import Any, TypeVar, cast

import numpy as np

from mild.errors import MildError
from mild.models import assets
from mild.people.scene import Box, Person
from mild.reading import guarded, parse_json, read_arrays

Found = tuple[tuple[Person, ...], tuple[int, ...]]
Answer = TypeVar("Answer")

#: Photos that are kept on disk, and in this process.
MOST_FILES, MOST_HELD = 256, 8
#: Answers to clicks and boxes that are held in this process.
MOST_ANSWERS = 64
#: How long they stay on disk after they were last asked for.
MOST_DAYS = 30
#: Bytes of one file's content; the masks of a crowd in a large photo are far less.
_LARGEST = 512 * 2**20
_ARRAYS = {"mask": "b", "keypoints": "f", "landmarks": "f", "parts": "u"}

_held: OrderedDict[tuple[str, str], Found] = OrderedDict()
_answers: OrderedDict[tuple[str, Hashable], Any] = OrderedDict()
_lock = threading.Lock()
_folder: Path | None = None


def keep_in(folder: Path) -> None:
    """From now on the files of this process lie in ``folder``."""
    global _folder
    _folder = folder


def recall(pixels: str, key: Sequence[str]) -> Found | None:
    """What :func:`keep` was given for this photo and key, or None.

    Args:
        pixels: the fingerprint of the photo's pixels.
        key: everything else that decides the answer.
    """
    name = _name(pixels, key)
    with _lock:
        if name in _held:
            _held.move_to_end(name)
            return _held[name]
    path = _path(name)
    if path is None or not path.is_file():
        return None
    if path.stat().st_mtime < time.time() - MOST_DAYS * 24 * 3600:
        prune()
        return None
    try:
        with guarded(path.name, "a file of the cache"):
            found = _read(path)
            path.touch()
    except MildError:
        # Damaged, or of another version: the search will write it anew.
        return None
    _hold(name, found)
    return found


def keep(pixels: str, key: Sequence[str], found: Found) -> None:
    """Keep what was found. A disk that is full or read-only costs the next search, nothing else."""
    name = _name(pixels, key)
    _hold(name, found)
    path = _path(name)
    if path is None:
        return
    people, order = found
    arrays: dict[str, Any] = {}
    entries = []
    for number, person in enumerate(people):
        entry = {"id": person.id, "box": list(person.box), "score": person.score, "sure": person.sure}
        entries.append(entry | {"source": person.source})
        for array in _ARRAYS:
            if (value := getattr(person, array)) is not None:
                arrays[f"{array}{number}"] = value
    about = json.dumps({"people": entries, "order": list(order)})
    scratch = path.with_suffix(f".{uuid.uuid4().hex}.part")
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with scratch.open("wb") as file:
            np.savez_compressed(file, about=np.asarray(about), **arrays)
        scratch.replace(path)
        prune()
    except OSError:
        with contextlib.suppress(OSError):
            scratch.unlink()


def answer(pixels: str, key: Hashable, make: Callable[[], Answer]) -> Answer:
    """What was asked about the photo with these pixels (who is meant by a click, what is beside somebody): made once in
    this process, never on disk.

    Whoever refines a mark by more of them asks for the first one each time. The key names what answers and does not
    hold it: these answers outlive the nets (see :func:`stamps`).
    """
    name = (pixels, key)
    with _lock:
        known = _answers.get(name)
    if known is None:
        known = make()
        with _lock:
            _answers[name] = known
            while len(_answers) > MOST_ANSWERS:
                _answers.popitem(last=False)
    return cast(Answer, known)


def answered(pixels: str, key: Hashable) -> Any:
    """What :func:`answer` knows, or None."""
    with _lock:
        return _answers.get((pixels, key))


def stamps(*weights: str | Path) -> tuple[str, ...]:
    """What names weights without holding them: each file's name, size and time, of files and of folders. Where nothing
    lies, nothing is said."""
    found = [
        path for place in map(Path, weights) for path in ([place] if place.is_file() else sorted(place.rglob("*")))
    ]
    return tuple(f"{p.name}:{p.stat().st_size}:{p.stat().st_mtime_ns}" for p in found if p.is_file())


def forget(pixels: str) -> None:
    """Forget everybody who was found in the photo with these pixels."""
    with _lock:
        for answered in [name for name in _answers if name[0] == pixels]:
            del _answers[answered]
        for name in [name for name in _held if name[0] == pixels]:
            del _held[name]
    with contextlib.suppress(OSError):
        for path in folder().glob(f"{pixels[:32]}-*.npz"):
            path.unlink(missing_ok=True)


def prune() -> None:
    """Delete what was not asked for in :data:`MOST_DAYS`, and the oldest beyond :data:`MOST_FILES`."""
    oldest = time.time() - MOST_DAYS * 24 * 3600
    with contextlib.suppress(OSError):
        kept = sorted(((p.stat().st_mtime, p) for p in folder().glob("*.npz")), reverse=True)
        for place, (used, path) in enumerate(kept):
            if place >= MOST_FILES or used < oldest:
                path.unlink(missing_ok=True)


def clear() -> None:
    """Forget everybody: delete all files, those half-written too, and what this process holds."""
    with _lock:
        _held.clear()
        _answers.clear()
    for path in (*folder().glob("*.npz"), *folder().glob("*.part")):
        path.unlink(missing_ok=True)


def _hold(name: tuple[str, str], found: Found) -> None:
    with _lock:
        _held[name] = found
        _held.move_to_end(name)
        while len(_held) > MOST_HELD:
            _held.popitem(last=False)


def _read(path: Path) -> Found:
    arrays = read_arrays(path, _LARGEST)
    about = parse_json(str(arrays["about"]))
    people = []
    for number, entry in enumerate(about["people"]):
        values: dict[str, Any] = {name: arrays[f"{name}{number}"] for name in _ARRAYS if f"{name}{number}" in arrays}
        if any(value.dtype.kind != _ARRAYS[name] for name, value in values.items()):
            raise ValueError("an array is of another kind")
        box = Box(*(int(n) for n in entry.pop("box")))
        person = Person(
            int(entry["id"]), box, sure=bool(entry["sure"]), score=float(entry["score"]), source=str(entry["source"]),
            **values,
        )  # fmt: skip
        if not person.mask.any():
            raise ValueError("a mask is empty")
        people.append(person)
    order = tuple(int(n) for n in about["order"])
    if sorted(order) != sorted(person.id for person in people) or len(set(order)) != len(order):
        raise ValueError("people and their order differ")
    return tuple(people), order


def _name(pixels: str, key: Sequence[str]) -> tuple[str, str]:
    # Another version of the finder's code may find other people.
    code = [*stamps(*sorted(Path(__file__).parent.rglob("*.py")))]
    return pixels, hashlib.sha256(json.dumps([pixels, *key, code]).encode()).hexdigest()


def folder() -> Path:
    """Where they lie on disk."""
    return _folder or assets.cache_dir() / "people"


def _path(name: tuple[str, str]) -> Path | None:
    if os.environ.get("MILD_REMEMBER", "1") == "0":
        return None
    return folder() / f"{name[0][:32]}-{name[1][:32]}.npz"
