"""Outputs are refused before any work is done, and appear whole or not at all."""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path
from typing import Any

from mild.errors import MildError, UsageError
from mild.files import check_target, is_empty


def check_file(path: Path, *, suffixes: tuple[str, ...], force: bool, photo: Path | None = None) -> Path:
    """Refuse a file that could not, or should not, be written.

    Args:
        suffixes: the file kinds that can be written, lower case, with their dot.
        force: an existing file may be replaced.
        photo: the input, which is never replaced without ``force``.
    """
    if is_folder(path):
        raise UsageError(f"The output {path} is a folder; name a file, such as {path / 'out.png'}.")
    if path.suffix.lower() not in suffixes:
        known = ", ".join(suffixes)
        raise UsageError(f"The output {path} has no suffix that can be written (one of {known}).")
    check_target(path)
    if photo is not None and not force and path.exists() and is_file(photo) and path.samefile(photo):
        raise UsageError(f"The output {path} is the photo itself; name another file, or --force to replace it.")
    if path.exists() and not force:
        raise UsageError(f"The output {path} exists already; name another file, or --force to replace it.")
    _check_writable(path.parent)
    return path


def check_picture(path: Path, *, force: bool, photo: Path | None = None) -> Path:
    """:func:`check_file` for a photo, of any kind that can be written here."""
    from mild.photo.formats import FORMATS, heif

    check_file(path, suffixes=tuple(FORMATS), force=force, photo=photo)
    if FORMATS[path.suffix.lower()] == "HEIF":
        heif()  # an extra: missing, it says so now rather than after the work
    return path


def check_json(path: Path, *, force: bool) -> Path:
    """:func:`check_file` for a JSON file."""
    return check_file(path, suffixes=(".json",), force=force)


def distinct(*paths: Path | None) -> None:
    """Refuse outputs that would replace each other."""
    seen: dict[Path, Path] = {}
    for path in paths:
        if path is not None and seen.setdefault(path.resolve(), path) is not path:
            raise UsageError(f"Two outputs would have the same name, {path}; give each its own.")


def is_folder(path: Path) -> bool:
    """As ``Path.is_dir``, but a name that no system would take is none."""
    try:
        return path.is_dir()
    except (OSError, ValueError):
        return False


def is_file(path: Path) -> bool:
    """As ``Path.exists``, but a name that no system would take is none."""
    try:
        return path.exists()
    except (OSError, ValueError):
        return False


#: The file that tells a folder of layers from any other.
MARKER = "layers.json"


def check_folder(path: Path, *, force: bool) -> Path:
    """Refuse a folder that could not, or should not, be filled.

    Args:
        force: a folder that an earlier run filled may be filled again. Any other folder with something in it is
            refused all the same: a slip of the hand must not scatter files over somebody's pictures.
    """
    if not is_folder(path):
        check_target(path)
    if path.exists() and not path.is_dir():
        raise UsageError(f"The output {path} is a file; name a folder.")
    if path.is_dir() and not is_empty(path):
        if not (path / MARKER).is_file():
            raise UsageError(f"The folder {path} holds other things; name a new or an empty one.")
        if not force:
            raise UsageError(f"The folder {path} holds layers already; name another one, or --force to replace them.")
    _check_writable(path if path.is_dir() else path.parent)
    return path


def _check_writable(folder: Path) -> None:
    """By writing: permission bits say nothing about read-only disks, quotas, or what root may do."""
    if not folder.is_dir():
        raise UsageError(f"The output's folder {folder} does not exist.")
    try:
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise MildError(f"The folder {folder} cannot be written to ({error.strerror or error}).") from None


def write_text(path: Path, text: str) -> None:
    """Write a text file whole or not at all."""
    from mild.files import write_atomically

    write_atomically(path, lambda stream: stream.write(text.encode()))


def print_json(value: Any) -> None:
    """One JSON document on stdout."""
    sys.stdout.write(json.dumps(value, indent=2, ensure_ascii=False) + "\n")
