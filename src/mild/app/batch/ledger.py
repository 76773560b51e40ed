"""What was done, one whole line a photo, in ``batch.jsonl``; who reads it knows where to go on."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from mild.errors import MildError, UsageError
from mild.files import flat, read_json_lines

#: What became of a photo, when nothing is left to do.
FINISHED = ("done", "copied", "skipped")
FAILED = "failed"


class Ledger:
    """The lines of a batch, and the right to write them: one batch at a time has it.

    Args:
        path: the file; its folder exists.

    Attributes:
        entries: the last line of every result, by the result's name.

    Raises:
        UsageError: another batch is writing there.
        MildError: it cannot be read or written.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self._lock = _locked(path.with_suffix(".lock"))
            self.entries: dict[str, dict[str, Any]] = {}
            for entry in read_json_lines(path):
                if _sound(entry):
                    self._learn(entry)
            self._file = path.open("ab", buffering=0)
            if self._file.tell() and not _ends_whole(path):
                self._file.write(b"\n")  # a kill cut the last line short; it is no line
        except OSError as error:
            raise MildError(f"{path} cannot be written ({error.strerror or flat(error)}).") from None

    def write(self, entry: Mapping[str, Any]) -> None:
        """Add a line.

        Raises:
            MildError: it cannot be written: the batch cannot go on.
        """
        # A name that is not UTF-8 becomes an escape of JSON's.
        line = json.dumps(entry, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "backslashreplace") + b"\n"
        try:
            if self._file.write(line) != len(line):
                raise OSError(28, "no space left")
            os.fsync(self._file.fileno())
        except OSError as error:
            raise MildError(
                f"{self.path} cannot be written ({error.strerror or flat(error)}); the same command goes on from there."
            ) from None
        self._learn(dict(entry))

    def close(self) -> None:
        self._file.close()
        self._lock.release()

    def _learn(self, entry: dict[str, Any]) -> None:
        self.entries[entry["output"]] = entry


def _sound(entry: Any) -> bool:
    """Is it a line of ours? What somebody's hand or the disk changed says nothing, and its photo is done again."""
    if not isinstance(entry, dict) or not isinstance(entry.get("output"), str):
        return False
    given, result = entry.get("input"), entry.get("result", {"size": 0})
    if (
        not isinstance(given, dict)
        or not isinstance(given.get("stamp"), str)
        or not isinstance(entry.get("number"), int)
    ):
        return False
    if entry.get("status") == FAILED:
        return True
    whole = isinstance(given.get("sha256"), str) and isinstance(result, dict) and isinstance(result.get("size"), int)
    return entry.get("status") in FINISHED and whole


def _ends_whole(path: Path) -> bool:
    with path.open("rb") as file:
        file.seek(-1, os.SEEK_END)
        return file.read(1) == b"\n"


def _locked(path: Path) -> FileLock:
    """A lock that nobody else has; the system lets go of it when the process ends, however it ends."""
    lock = FileLock(path, timeout=0)
    try:
        lock.acquire()
    except Timeout:
        raise UsageError(f"Another batch is writing to {path.parent}; wait for it, or name another output.") from None
    return lock
