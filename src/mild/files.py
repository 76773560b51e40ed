"""Files that are written whole or not at all, and JSON in them."""

from __future__ import annotations

import json
import os
import shutil
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

from mild.errors import MildError, UsageError


def write_atomically(path: str | os.PathLike[str], write: Callable[[IO[bytes]], object]) -> Path:
    """Let ``write`` fill a temporary file beside ``path``, then put it in place in one step.

    Whatever fails, the former file stays as it was and no temporary file is left. Through a symbolic link the file
    it points to is replaced; its permissions are kept.

    Raises:
        UsageError: the folder does not exist, or ``path`` is a folder.
        MildError: the file cannot be written.
    """
    path = Path(path)
    target = Path(os.path.realpath(path))
    if target.is_dir():
        raise UsageError(f"{path} is a folder: give the name of a file.")
    if not target.parent.is_dir():
        raise UsageError(f"There is no folder {path.parent}: create it first.")
    # Not tempfile: its files are private to the user, ours shall have the permissions of any new file.
    part = target.parent / f".mild-{uuid.uuid4().hex}.part"
    try:
        with part.open("x+b") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        if target.exists():
            shutil.copymode(target, part)
        part.replace(target)
    except BaseException as error:
        part.unlink(missing_ok=True)
        if isinstance(error, MildError) or not isinstance(error, Exception):
            raise
        reason = error.strerror if isinstance(error, OSError) and error.strerror else flat(error)
        raise MildError(f"{path} cannot be written: {reason}.") from error
    return path


def write_bytes(path: Path, data: bytes) -> Path:
    """Write a file whole or not at all; errors as :func:`write_atomically`."""
    return write_atomically(path, lambda stream: stream.write(data))


def write_json(path: Path, value: Any) -> None:
    """Write a value as JSON, one file; missing folders are made.

    Raises:
        MildError: the file cannot be written.
    """
    text = json.dumps(value, indent=1, ensure_ascii=False, default=str) + "\n"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise MildError(f"{path} cannot be written: {error.strerror or flat(error)}.") from error
    write_bytes(path, text.encode())


def read_json_lines(path: Path) -> list[dict[str, Any]]:
    """The values of a file of JSON lines, none if it is not there; a line that a kill cut short is left out."""
    if not path.is_file():
        return []
    rows = []
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            rows.append(json.loads(line))
        except ValueError:
            continue
    return rows


def flat(error: BaseException) -> str:
    """An error's message on one line, without the full stop."""
    return " ".join(str(error).split()).rstrip(".") or type(error).__name__
