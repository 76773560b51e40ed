"""Files that are written whole or not at all, and JSON in them."""

from __future__ import annotations

import ctypes
import errno
import io
import json
import os
import shutil
import uuid
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from mild.errors import MildError, UsageError

try:
    import fcntl
except ImportError:  # not on Windows
    fcntl = None  # type: ignore[assignment]


class NoSpace(MildError):
    """The disk is full, or the user's share of it is."""


class _Counted(io.BufferedRandom):
    """A file without a number: Pillow writes to a number itself, and does not see that a full disk took only a part."""

    def fileno(self) -> int:
        raise io.UnsupportedOperation("fileno")


#: What fills an open file.
Write = Callable[[IO[bytes]], object]


def write_atomically(path: str | os.PathLike[str], write: Write) -> Path:
    """Let ``write`` fill a temporary file beside ``path``, then put it in place in one step.

    Whatever fails, the former file stays as it was and no temporary file is left. Through a symbolic link the file
    it points to is replaced; its permissions are kept.

    Raises:
        UsageError: the folder does not exist, or ``path`` is a folder, a dangling link, or has too long a name.
        MildError: the file cannot be written; :class:`NoSpace` when the disk is full.
    """
    return write_together([(Path(path), write)])


def write_together(files: Sequence[tuple[Path, Write]]) -> Path:
    """Several files that belong together: all are whole on the disk before any is put in place, the last one last.

    Whatever fails before that, all former files stay. A process that is killed between the renames leaves each file
    whole, and the last one as it was: so the file that says that the work is done comes last.

    Returns:
        the last file's path.

    Raises:
        As :func:`write_atomically`.
    """
    parts: list[tuple[Path, Path]] = []
    path = files[-1][0]
    try:
        for path, write in files:
            check_target(path)
            target = Path(os.path.realpath(path))
            # Not tempfile: its files are private to the user, ours shall have the permissions of any new file.
            parts.append((target.parent / f".mild-{uuid.uuid4().hex}.part", target))
            with parts[-1][0].open("x+b", buffering=0) as raw, _Counted(raw) as file:
                write(file)
                file.flush()
                os.fsync(raw.fileno())
            if target.exists():
                shutil.copymode(target, parts[-1][0])
        for part, target in parts:
            part.replace(target)
    except BaseException as error:
        for part, _ in parts:
            part.unlink(missing_ok=True)
        if isinstance(error, MildError) or not isinstance(error, Exception):
            raise
        reason = error.strerror if isinstance(error, OSError) and error.strerror else flat(error)
        full = isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)
        raise (NoSpace if full else MildError)(f"{path} cannot be written: {reason}.") from error
    return path


def check_target(path: Path) -> None:
    """Refuse a file that could not be written, before any work is done for it.

    Raises:
        UsageError: the folder does not exist, or ``path`` is a folder, a device, a link that leads
            nowhere, or has too long a name.
    """
    try:
        target = Path(os.path.realpath(path))
        if target.is_dir():
            raise UsageError(f"{path} is a folder: give the name of a file.")
        if target.parent.exists() and not target.parent.is_dir():
            raise UsageError(f"{path.parent} is a file, and can hold no other: give a name in a folder.")
        if not target.parent.is_dir():
            where = f"{path} is a link that leads nowhere" if path.is_symlink() else f"There is no folder {path.parent}"
            raise UsageError(f"{where}: create {target.parent} first.")
        if target.exists() and not target.is_file():
            raise UsageError(f"{path} is a pipe or a device: give the name of a file.")
        target.lstat()
    except FileNotFoundError:
        return
    except ValueError:
        raise UsageError(f"{str(path)!r} cannot be the name of a file.") from None
    except OSError as error:
        name = path.name if len(path.name) < 60 else path.name[:57] + "…"
        raise UsageError(f"{name} cannot be the name of a file: {error.strerror or flat(error)}.") from None


def write_bytes(path: Path, data: bytes) -> Path:
    """Write a file whole or not at all; errors as :func:`write_atomically`."""
    return write_atomically(path, lambda stream: stream.write(data))


def replace_folder(path: Path, fill: Callable[[Path], object], old: Collection[str] = ()) -> None:
    """Let ``fill`` write into a new folder beside ``path``, then put it in place in one step.

    Whatever fails, and whenever the process is killed, ``path`` is what it was or holds all of the new. Files in it
    that are not of the ``old`` set stay.

    Args:
        old: names, relative to ``path``, of the files that the new ones replace.

    Raises:
        MildError: it cannot be written; :class:`NoSpace` when the disk is full.
    """
    check_target(path.parent / ".mild")
    target = Path(os.path.realpath(path))
    remove_leftovers(target.parent)
    scratch = target.parent / f"{_FOLDER}{uuid.uuid4().hex}.part"
    try:
        scratch.mkdir()
        with held(scratch):
            fresh = scratch / "new"
            fresh.mkdir()
            fill(fresh)
            if target.is_dir():
                shutil.copymode(target, fresh)
                _link_others(target, fresh, frozenset(old))
                exchange(fresh, target)
            else:
                fresh.replace(target)
            shutil.rmtree(scratch)
    except BaseException as error:
        shutil.rmtree(scratch, ignore_errors=True)
        if isinstance(error, MildError) and str(scratch) in str(error):  # whoever reads it knows the folder's own name
            raise type(error)(str(error).replace(str(scratch / "new"), str(path))) from error
        if isinstance(error, MildError) or not isinstance(error, Exception):
            raise
        reason = error.strerror if isinstance(error, OSError) and error.strerror else flat(error)
        full = isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)
        raise (NoSpace if full else MildError)(f"{path} cannot be written: {reason}.") from error


#: How a folder under way is called; it is locked as long as somebody fills it.
_FOLDER = ".mild-folder-"


def is_empty(folder: Path) -> bool:
    """Does a folder hold nothing, but for what a killed process of ours left under way?"""
    return all(path.name.startswith(".mild-") and path.suffix == ".part" for path in folder.iterdir())


def remove_leftovers(parent: Path) -> None:
    """Delete what killed processes left of folders under way."""
    for scratch in parent.glob(f"{_FOLDER}*.part"):
        with suppress(OSError), held(scratch):
            shutil.rmtree(scratch)


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """Hold a folder's lock, which the system frees however the process ends; OSError when another has it."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        if fcntl is not None:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(handle)


def _link_others(source: Path, target: Path, left_out: frozenset[str]) -> None:
    """Everything of a folder but the files left out appears in another one, too, by hard links where that can be."""
    for folder, _, names in os.walk(source):
        for name in names:
            path = Path(folder) / name
            inner = path.relative_to(source)
            if str(inner) in left_out or os.path.lexists(target / inner):
                continue
            (target / inner).parent.mkdir(parents=True, exist_ok=True)
            try:
                os.link(path, target / inner, follow_symlinks=False)
            except OSError:
                shutil.copy2(path, target / inner, follow_symlinks=False)
        (target / Path(folder).relative_to(source)).mkdir(parents=True, exist_ok=True)


def exchange(one: Path, other: Path) -> None:
    """Two folders change places, in one step where the system can (Linux), else in three."""
    try:
        rename = ctypes.CDLL(None, use_errno=True).renameat2
        here, swap = -100, 2
        done = rename(here, os.fsencode(one), here, os.fsencode(other), swap) == 0
    except (AttributeError, OSError):
        done = False
    if not done:
        aside = one.with_name(one.name + ".old")
        other.rename(aside)
        one.rename(other)
        aside.rename(one)


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
    write_bytes(path, text.encode("utf-8", "backslashreplace"))  # a name that is not UTF-8: an escape of JSON's


def read_json_lines(path: Path) -> list[dict[str, Any]]:
    """The values of a file of JSON lines, none if it is not there; a line that is none (a kill cut it short, the disk
    damaged it) is left out."""
    if not path.is_file():
        return []
    values = []
    for line in path.read_bytes().split(b"\n"):  # and at nothing else: a name may hold what Unicode calls a line's end
        try:
            values.append(json.loads(line))
        except ValueError:
            continue
    return values


def flat(error: BaseException) -> str:
    """An error's message on one line, without the full stop."""
    return " ".join(str(error).split()).rstrip(".") or type(error).__name__
