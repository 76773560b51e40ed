"""Processes that do the work: whatever happens in one ends the task it was at, and nothing else.

A :class:`Hand` does one task after another (see ``tasks.py``). Its process is started when it is needed; a crash in a C
library, a task beyond its time or its memory, and a task that does not stop when it is told to end the process, and the
next task starts a new one.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from multiprocessing.connection import Connection, Pipe
from typing import Any

from mild.app.server import process, starting
from mild.app.server.problems import Problem
from mild.app.server.settings import Settings
from mild.errors import Cancelled, MildError, UsageError
from mild.files import NoSpace

Tell = Callable[..., None]
#: Seconds that a task is given to stop by itself before its process is ended.
KINDNESS = 1.0
#: What a crash ends a process with; any other signal comes from outside.
_CRASHES = frozenset({signal.SIGSEGV, signal.SIGBUS, signal.SIGABRT, signal.SIGFPE, signal.SIGILL, signal.SIGSYS})
#: Seconds a new process is given to say that it is there; on a loaded machine importing takes its time.
STARTING = 60.0


class Late(MildError):
    """The task took longer than it may."""


class Broken(MildError):
    """The process crashed at the task, twice, or failed in a way nobody foresaw: a fault of ours."""


class Ended(MildError):
    """The process was ended from outside in the middle of the task, twice: by the system, or by its operator."""


class NoMemory(MildError):
    """The task asked for more memory than it may have."""


#: What a process may answer instead of a result.
_FAULTS: dict[str, Callable[[str], Exception]] = {
    "UsageError": UsageError,
    "MildError": MildError,
    "Cancelled": Cancelled,
    "NoSpace": NoSpace,
    "NoMemory": NoMemory,
    "Broken": Broken,
    "TooLarge": lambda message: Problem(413, message),
    "BadBody": lambda message: Problem(400, message),
}


class Hand:
    """A process (or, for tests with a road of their own, a thread) and the line to it.

    Args:
        name: what it is for, as ``/health`` shows it.
        settings: its limits.
        road: an object to work with in a thread of this process, which cannot be ended by force; None: a process.
    """

    def __init__(self, name: str, settings: Settings, road: Any = None) -> None:
        self.name = name
        self._settings, self._road = settings, road
        self._turn = threading.Lock()  # one task at a time
        self._change = threading.Lock()  # of the process
        self._line: Connection | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._thread: threading.Thread | None = None
        self._started: float | None = None  # when a process was started that has not said yet that it is there
        self._used = time.monotonic()
        self._closed = False
        self.busy = False
        #: Processes that ended otherwise than by being told to, and whether the last start failed.
        self.lost = 0
        self.failing = False

    @property
    def running(self) -> bool:
        """Is there a process?"""
        started, thread = self._process, self._thread  # other threads change them
        return started.poll() is None if started is not None else thread is not None and thread.is_alive()

    @property
    def pid(self) -> int | None:
        started = self._process  # another thread may put it away
        return started.pid if started is not None and started.poll() is None else None

    def call(
        self,
        task: str,
        *arguments: Any,
        seconds: float | None = None,
        cancel: threading.Event | None = None,
        tell: Tell | None = None,
    ) -> Any:
        """Have a task done, and wait for it; the other callers wait meanwhile.

        When its process ends in the middle of it, the task is done once more, in a new one and within the same time:
        mostly it was not the task's fault.

        Args:
            seconds: how long it may take.
            cancel: set from elsewhere, it stops the task.
            tell: called with the task's progress.

        Raises:
            Cancelled: it was cancelled.
            Late, Broken, Ended, NoMemory, NoSpace: see there.
            MildError, Problem: what the task says is wrong with its input.
        """
        seconds = left = self._settings.task_seconds if seconds is None else seconds
        code: int | None = None
        with self._turn:
            self.busy = True
            try:
                for _ in range(2):
                    if cancel is not None and cancel.is_set():
                        raise Cancelled
                    begun = time.monotonic()
                    try:
                        line = self._ready(cancel)
                        begun = time.monotonic()  # a process that starts does not count against the task
                        line.send((task, arguments))
                        return self._answer(line, begun + left, seconds, cancel, tell)
                    except (EOFError, OSError):
                        code = self._gone()
                    left = max(0.1, left - (time.monotonic() - begun))
                raise _crash(code)
            finally:
                self.busy = False
                self._used = time.monotonic()

    def forget(self, *arguments: Any) -> None:
        """Have it forget what it holds of a photo or a job; nothing is started for that."""
        with self._turn, contextlib.suppress(MildError, Problem):
            line = self._line
            if line is None or not self.running or self._started is not None:
                return
            try:
                line.send(("forget", arguments))
                self._answer(line, time.monotonic() + 5.0, 5.0, None, None)
            except (EOFError, OSError):
                self._gone()

    def rest(self) -> bool:
        """End a process that had nothing to do for ``idle_seconds``; True when it was ended."""
        if self.busy or not self.running or time.monotonic() - self._used < self._settings.idle_seconds:
            return False
        if not self._turn.acquire(blocking=False):
            return False
        try:
            self.end()
        finally:
            self._turn.release()
        return True

    def end(self) -> None:
        """End the process, in the middle of a task if there is one."""
        with self._change:
            line, self._line = self._line, None
            started, self._process = self._process, None
            self._thread = None
            if line is not None:
                with contextlib.suppress(OSError):
                    line.close()
            if started is not None:
                started.kill()
                started.wait()

    def close(self) -> None:
        """As :meth:`end`, for good."""
        self._closed = True
        self.end()

    def _answer(
        self, line: Connection, deadline: float, seconds: float, cancel: threading.Event | None, tell: Tell | None
    ) -> Any:
        asked: float | None = None
        late = False
        while True:
            if line.poll(0.1):
                kind, value = line.recv()
                if kind != "progress":
                    if late:
                        raise _late(seconds)
                    if kind == "done" and asked is None:
                        return value
                    raise Cancelled if kind == "done" else _FAULTS.get(kind, Broken)(value)
                if tell is not None and asked is None:
                    tell(*value)
            now = time.monotonic()
            if asked is None and (now > deadline or (cancel is not None and cancel.is_set())):
                asked, late = now, now > deadline
                line.send(("cancel", ()))
            elif asked is not None and now - asked > KINDNESS and self._process is not None:
                self.end()
                raise _late(seconds) if late else Cancelled()

    def _ready(self, cancel: threading.Event | None) -> Connection:
        """The line to a process that is there, started if need be.

        Raises:
            EOFError: it ended, or did not say in time that it is there.
            Cancelled: nobody wants to wait for it any more; it goes on starting.
        """
        with self._change:
            if self._closed:
                raise Problem(503, "The server is stopping; try again shortly.", {"Retry-After": "30"})
            if self._line is None or not self.running:
                if self._line is not None:  # it died while nobody looked
                    self.lost += 1
                    self._line.close()
                self._line = self._start()
            line = self._line
        while self._started is not None:
            try:
                there = line.poll(0.1) and line.recv() == ("ready", None)
                late = time.monotonic() - self._started > STARTING
            except (EOFError, OSError):
                there, late = False, True
            if there or late:
                self.failing, self._started = not there, None
            if late and not there:
                raise EOFError
            if cancel is not None and cancel.is_set():
                raise Cancelled
        return line

    def _start(self) -> Connection:
        ours, theirs = Pipe()
        if self._road is not None:
            self._process = None
            given = theirs, self._road, self._settings
            self._thread = threading.Thread(target=process.work, args=given, name=f"mild-{self.name}", daemon=True)
            self._thread.start()
            return ours
        try:
            call = [sys.executable, "-m", "mild.app.server.process", str(theirs.fileno()), self._settings.road]
            call += [str(self._settings.state), str(self._settings.max_memory)]
            places = os.pathsep.join(path or "." for path in sys.path)
            self._process = starting.start(call, theirs.fileno(), os.environ | {"PYTHONPATH": places})
        except OSError as error:
            self.failing = True
            ours.close()
            raise Broken(f"No process could be started ({error.strerror or error}).") from None
        finally:
            theirs.close()
        self._started = time.monotonic()
        return ours

    def _gone(self) -> int | None:
        """Put a process away that is gone: what it ended with, as far as is known."""
        ended = self._process
        self.end()
        if self._closed:
            raise Cancelled
        self.lost += 1
        return None if ended is None else ended.returncode


def _crash(code: int | None) -> MildError:
    """What to say of a task whose processes are gone."""
    if code is not None and -code in _CRASHES:
        return Broken("The process that worked on this photo crashed, and so did a second one; nothing else did.")
    return Ended("The process that worked on this photo was ended twice, maybe for want of memory; try again later.")


def _late(seconds: float) -> Late:
    return Late(f"It took longer than the {seconds:g} seconds allowed.")


def road_of(name: str) -> Any:
    """What ``Settings.road`` names."""
    module, _, attribute = name.partition(":")
    return getattr(importlib.import_module(module), attribute)()
