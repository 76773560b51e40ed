"""The terminal's side of a command: standard streams that are closed, full or not UTF-8, and signals that end it."""

from __future__ import annotations

import errno
import io
import os
import signal
import sys
import threading
from typing import Any


class Printed(io.RawIOBase):
    """Standard output that never fails: what was done is done, whether or not anybody can be told.

    Attributes:
        lost: why something could not be written, or None.
    """

    def __init__(self, handle: int) -> None:
        super().__init__()
        self._handle = handle
        self.lost: OSError | None = None

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self._handle

    def isatty(self) -> bool:
        return os.isatty(self._handle)

    def write(self, data: Any) -> int:
        if self.lost is None:
            try:
                return os.write(self._handle, data)
            except OSError as error:
                self.lost = error
        return len(data)


def prepare() -> None:
    """Give the process the three streams that every library takes for granted.

    A closed one is opened to nothing: the next file that is opened would else take its number, and whatever a library
    prints would land in somebody's photo.
    """
    for handle in range(3):
        try:
            os.fstat(handle)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the lowest free number: this one
    if sys.stdin is None:
        sys.stdin = open(0, closefd=False)  # noqa: SIM115
    for name, handle in (("stdout", 1), ("stderr", 2)):
        stream = getattr(sys, name)
        if stream is None or (stream is getattr(sys, f"__{name}__") and _number(stream) == handle):
            encoding = getattr(stream, "encoding", None) or "utf-8"
            text = io.TextIOWrapper(
                io.BufferedWriter(Printed(handle)), encoding, errors="backslashreplace", line_buffering=True
            )
            setattr(sys, name, text)


def lost() -> str | None:
    """Why something could not be printed, if there is somebody who should know; a reader that went away knows."""
    stream = getattr(getattr(sys.stdout, "buffer", None), "raw", None)
    if not isinstance(stream, Printed):
        return None
    sys.stdout.flush()
    error = stream.lost
    return None if error is None or error.errno == errno.EPIPE else error.strerror or str(error)


def reader_left() -> bool:
    """Has the reader of our output (head, less) gone?"""
    stream = getattr(getattr(sys.stdout, "buffer", None), "raw", None)
    return isinstance(stream, Printed) and stream.lost is not None and stream.lost.errno == errno.EPIPE


def end_like_ctrl_c() -> None:
    """TERM and HUP clean up as INT does; a HUP that somebody (nohup) had ignored stays ignored."""
    if threading.current_thread() is not threading.main_thread():
        return

    def stop(sign: int, frame: Any) -> None:
        signal.signal(sign, signal.SIG_IGN)  # once is enough: cleaning up is under way
        raise KeyboardInterrupt

    for sign in (signal.SIGTERM, getattr(signal, "SIGHUP", None)):
        if sign is not None and signal.getsignal(sign) == signal.SIG_DFL:
            signal.signal(sign, stop)


def _number(stream: Any) -> int | None:
    try:
        return int(stream.fileno())
    except (OSError, ValueError, AttributeError):
        return None
