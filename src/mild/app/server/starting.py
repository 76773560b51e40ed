"""Start a working process that ends with the server, whatever ends the server, a stopped one too."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress

_SET_DEATH_SIGNAL = 1  # PR_SET_PDEATHSIG
#: How much less important than the server: it must answer however busy its processes are.
NICE = 10


def start(words: Sequence[str], line: int, environment: dict[str, str]) -> subprocess.Popen[bytes]:
    """A process in a group of its own (Ctrl-C is the server's affair) that holds the file descriptor ``line``.

    Not in a session of its own: Linux may share the processor among sessions first, and then a process would be the
    server's rival however nice it is.

    On Linux the system ends it when the thread that called this ends, and so when the server dies: a stopped process
    never sees that its line is closed. That is settled before the program is loaded, and before anybody is told of
    the process. Elsewhere it sees to its end itself.

    Raises:
        OSError: it could not be started.
    """
    return subprocess.Popen(
        words, pass_fds=[line], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, process_group=0,
        env=environment, preexec_fn=_bound() if sys.platform == "linux" else None,
    )  # fmt: skip


def _bound() -> Callable[[], None] | None:
    """What binds the process to this one. It runs between fork and exec, so it must take no lock and import nothing.

    Having it, Python forks where it would otherwise hold up all threads until the new process is loaded: half a second
    on a busy machine, in which the server answered nobody.
    """
    try:
        bind = ctypes.CDLL(None).prctl
    except (OSError, AttributeError):
        return None
    server = os.getpid()

    def first() -> None:
        bind(_SET_DEATH_SIGNAL, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != server:
            os._exit(1)  # it died in between
        with suppress(OSError):
            os.nice(NICE)

    return first
