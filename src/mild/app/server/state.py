"""The state folder: made by us or empty, else not touched; one server at a time."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import logging
import math
import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from mild.app.server.settings import Settings, default_state
from mild.errors import MildError, UsageError
from mild.files import NoSpace, is_empty, write_bytes

log = logging.getLogger("mild.app.server")

#: The file that says a folder is ours.
MARKER = ".mild-state"
_CONTENT = {"format": "mild-state", "version": 1}
#: A file of no bytes, made and removed to see whether that is possible.
PROBE = ".mild-probe"
#: What an earlier version of ours left, in the places that are ours by their name.
_EARLIER = frozenset({"lock", "jobs", "photos", "scratch", "address"})


def claim(folder: Path) -> None:
    """Make a state folder, or take one over that is ours; nobody but the user can read it.

    Raises:
        UsageError: it holds other things and is none of ours.
        MildError: it cannot be made or written.
    """
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if (folder / MARKER).is_file():
            with contextlib.suppress(ValueError, TypeError, KeyError):
                if json.loads((folder / MARKER).read_bytes()[:4096])["format"] == _CONTENT["format"]:
                    return
        names = {path.name for path in folder.iterdir()}
        own = folder in (default_state(), default_state().with_name("studio")) and names <= _EARLIER
        if not (own or is_empty(folder)):
            raise UsageError(
                f"The folder {folder} holds other things, and was not made by this program; name a new or an empty one."
            )
        folder.chmod(0o700)
        write_bytes(folder / MARKER, json.dumps(_CONTENT).encode())
    except OSError as error:
        raise MildError(f"The state folder {folder} cannot be used: {error.strerror or error}.") from None


def private(folder: Path) -> Path:
    """A folder inside, made if missing, that nobody but the user can read."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    folder.chmod(0o700)
    return folder


def still_ours(folder: Path, lock: IO[str]) -> bool:
    """Is this folder still the one whose lock is held? It may have been removed, or others put in its place."""
    try:
        return os.path.samestat((folder / "lock").stat(), os.fstat(lock.fileno()))
    except (OSError, ValueError):
        return False


class Writable:
    """Can the folder be written now? Tried with a file of no bytes: rights do not tell of a disk that failed, and that
    the system has made read-only under open files.

    Nobody waits long for the answer: a disk that does not answer within five seconds counts as one that cannot be
    written, and until then what was true last is said.
    """

    def __init__(self, folder: Path) -> None:
        self._folder, self._true = folder, True
        self._began, self._done = -math.inf, threading.Event()
        self._done.set()

    def __call__(self) -> bool:
        now = time.monotonic()
        if self._done.is_set() and now - self._began > 1:
            self._began = now
            self._done.clear()
            threading.Thread(target=self._try, name="mild-writable", daemon=True).start()
        self._done.wait(0.02)
        return self._true and (self._done.is_set() or now - self._began < 5)

    def _try(self) -> None:
        probe = self._folder / PROBE
        try:
            probe.touch(mode=0o600)
            probe.unlink()
            self._true = True
        except OSError as error:
            self._true = error.errno in (errno.ENOSPC, errno.EDQUOT)  # that it is full is told apart
        finally:
            self._done.set()


@contextlib.contextmanager
def keeping() -> Iterator[None]:
    """What cannot be written to the state folder is no fault of the sender's, who is told none of its paths.

    Raises:
        NoSpace: the disk is full.
        Problem: 503.
    """
    try:
        yield
    except NoSpace:
        raise
    except (OSError, MildError) as error:
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise NoSpace("The server's disk is full.") from error
        from mild.app.server.problems import UNUSABLE, Problem  # the working processes need no web framework

        log.error("the state folder: %s", error)
        raise Problem(503, UNUSABLE, {"Retry-After": "60"}) from error


def lock(settings: Settings) -> IO[str]:
    """The state folder's lock, held while the file returned is open; the system frees it however the process ends.

    Raises:
        UsageError: the folder is somebody else's.
        MildError: another server holds the lock, or the folder cannot be used.
    """
    claim(settings.state)
    try:
        file = (settings.state / "lock").open("w")
    except OSError as error:
        raise MildError(f"The state folder {settings.state} cannot be used: {error.strerror or error}.") from None
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        file.close()
        raise MildError(
            f"Another server uses the state folder {settings.state}; name another one with --state."
        ) from None  # fmt: skip
    return file
