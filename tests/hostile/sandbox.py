"""A process of our own in which a command is run and killed, on a disk that is small, full or read-only."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

_USER, _MOUNTS = 0x10000000, 0x00020000
_READ_ONLY, _REMOUNT = 1, 32


@dataclass(frozen=True)
class Ended:
    """How a command ended.

    Attributes:
        code: its exit code; negative: the signal that ended it; None: it hung and was killed.
        said: what it wrote to stderr.
        seconds: how long it took.
    """

    code: int | None
    said: str
    seconds: float


def call(
    run: Callable[[Sequence[str]], int],
    arguments: Sequence[str],
    folder: Path,
    *,
    kill: tuple[float, signal.Signals] | None = None,
    disk: Callable[[], None] | None = None,
    seconds: float = 60.0,
) -> Ended:
    """Run a command in a fork of this process, in ``folder``.

    Args:
        kill: after so many seconds, with this signal.
        disk: called in the fork before the command; arranges the disk.
        seconds: after which it hangs.
    """
    said = folder.with_name(folder.name + ".stderr")
    begun = time.monotonic()
    child = os.fork()
    if child == 0:
        code = 99
        try:
            os.setsid()
            log = os.open(said, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            os.dup2(log, 2)
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
            sys.stdout, sys.stderr = open(1, "w", closefd=False), open(2, "w", closefd=False)  # noqa: SIM115
            if disk is not None:
                disk()
            os.chdir(folder)
            code = run(arguments)
            sys.stderr.flush()
        except BaseException:
            traceback.print_exc(file=sys.stderr)
            sys.stderr.flush()
        finally:
            os._exit(code)
    sent = False
    status: int | None = None
    while time.monotonic() - begun < seconds:
        done, state = os.waitpid(child, os.WNOHANG)
        if done:
            status = os.waitstatus_to_exitcode(state)
            break
        if kill is not None and not sent and time.monotonic() - begun >= kill[0]:
            os.kill(child, kill[1])
            sent = True
        time.sleep(0.002)
    else:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    return Ended(status, said.read_text("utf-8", "replace"), time.monotonic() - begun)


def private_mounts() -> None:
    """From here on what this process mounts is seen by nobody else; OSError where that is not allowed."""
    if ctypes.CDLL(None, use_errno=True).unshare(_MOUNTS if os.geteuid() == 0 else _USER | _MOUNTS):
        raise OSError(ctypes.get_errno(), "unshare")
    _mount("none", "/", "", 0x40000 | 0x4000, "")  # private, and all below


def small_disk(place: Path, size: int) -> None:
    """Mount a disk of ``size`` bytes at ``place``."""
    _mount("none", str(place), "tmpfs", 0, f"size={size}")


def read_only(place: Path) -> None:
    """The disk at ``place`` can no longer be written."""
    _mount("none", str(place), "tmpfs", _READ_ONLY | _REMOUNT, "")


def fill(place: Path, left: int) -> None:
    """Fill a disk until about ``left`` bytes are free."""
    state = os.statvfs(place)
    data = max(0, state.f_bavail * state.f_frsize - left)
    with (place / "filler").open("wb") as file:
        file.write(bytes(data))


def _mount(source: str, target: str, kind: str, flags: int, options: str) -> None:
    library = ctypes.CDLL(None, use_errno=True)
    words = [word.encode() for word in (source, target, kind)]
    if library.mount(*words, ctypes.c_ulong(flags), options.encode()):
        raise OSError(ctypes.get_errno(), f"mount {target}")
