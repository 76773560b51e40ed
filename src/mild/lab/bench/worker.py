"""A method in a process of its own: it may crash, hang or eat memory, and the run goes on.

The worker never sees the truth. Jobs go one ahead: while an answer is scored here, the next is made there.
"""

from __future__ import annotations

import multiprocessing
import os
import resource
import sys
import time
import traceback
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from mild.errors import MildError
from mild.lab.bench.items import Trial
from mild.lab.bench.methods import Answer, MethodSpec, load


@dataclass(frozen=True)
class Outcome:
    """What became of one trial.

    Attributes:
        status: ``ok``, ``error`` (an exception), ``crash`` (the process died), ``hang`` (the time was up).
        answer: of an ``ok``.
        message: of anything else: one line.
        seconds, cpu_seconds: wall and processor time of the method's call.
        memory: peak resident memory of the worker during the call, MiB; the whole process's, model and libraries too.
            None once the method has measured itself: that loads what no trial needs.
        measured: what :meth:`Eraser.measure` gave.
    """

    status: str
    answer: Answer | None = None
    message: str = ""
    seconds: float = 0.0
    cpu_seconds: float = 0.0
    memory: float | None = 0.0
    measured: Mapping[str, Any] = field(default_factory=dict)


class MethodProcess:
    """The process of one method, started when it is needed and again after it died.

    Raises:
        MildError: when the method cannot be loaded (from :meth:`start`).
    """

    def __init__(self, spec: MethodSpec, *, seconds: float, load_seconds: float = 600.0, threads: int = 1) -> None:
        self.spec, self.seconds, self.load_seconds, self.threads = spec, seconds, load_seconds, threads
        self.about: Mapping[str, Any] = {}
        self.seeded = True
        self._process: BaseProcess | None = None
        self._pipe: Connection | None = None

    def start(self) -> None:
        here, there = multiprocessing.get_context("spawn").Pipe()
        process = multiprocessing.get_context("spawn").Process(
            target=_serve, args=(self.spec, there, self.threads), daemon=True, name=f"bench {self.spec.slug}"
        )
        with one_thread(self.threads):
            process.start()
        there.close()
        self._process, self._pipe = process, here
        try:
            if not here.poll(self.load_seconds):
                raise MildError(f"The method {self.spec.name} was not loaded in {self.load_seconds:g} s.")
            kind, told = here.recv()
        except (EOFError, OSError):
            code = self._end()
            raise MildError(f"The method {self.spec.name} died while it was loaded ({_why(code)}).") from None
        except MildError:
            self.stop()
            raise
        if kind == "failed":
            self.stop()
            raise MildError(f"The method {self.spec.name} cannot be loaded: {told}")
        self.about, self.seeded = told

    def run(self, trials: Iterable[tuple[Trial, bool]]) -> Iterator[tuple[Trial, Outcome]]:
        """Do trials, in order; of each, whether :meth:`Eraser.measure` is wanted too."""
        waiting: tuple[Trial, bool, float] | None = None
        queue = iter(trials)
        pending = next(queue, None)
        while pending is not None or waiting is not None:
            if waiting is None and pending is not None:
                waiting = self._send(*pending)
                pending = next(queue, None)
            assert waiting is not None
            trial, measure, begun = waiting
            outcome = self._receive(begun, measure)
            waiting = None
            if pending is not None:
                # Before this answer is scored: the next is made meanwhile.
                waiting = self._send(*pending)
                pending = None
            yield trial, outcome
            pending = next(queue, None)

    def stop(self) -> None:
        """End the process at once: it may hang."""
        if self._process is not None:
            self._process.kill()
            self._end()

    def close(self) -> None:
        """Let the process end by itself, as libraries like it; at once if it does not."""
        if self._process is not None and self._pipe is not None:
            self._pipe.close()
            self._process.join(10)
            self.stop()

    def _end(self) -> int | None:
        process, pipe = self._process, self._pipe
        self._process = self._pipe = None
        if pipe is not None:
            pipe.close()
        if process is None:
            return None
        process.join(30)
        return process.exitcode

    def _send(self, trial: Trial, measure: bool) -> tuple[Trial, bool, float]:
        if self._process is None or not self._process.is_alive():
            self._end()
            self.start()
        blind = replace(trial, item=replace(trial.item, truth=None))
        assert self._pipe is not None
        begun = time.monotonic()
        with suppress(OSError):  # it died meanwhile: receiving says so
            self._pipe.send((blind, measure))
        return trial, measure, begun

    def _receive(self, begun: float, measure: bool) -> Outcome:
        pipe = self._pipe
        assert pipe is not None
        outcome: Outcome | None = None
        try:
            if not pipe.poll(max(0.0, begun + self.seconds - time.monotonic())):
                self.stop()
                return Outcome("hang", message=f"no answer within {self.seconds:g} s", seconds=self.seconds)
            outcome = pipe.recv()
            assert outcome is not None
            if not measure or outcome.status != "ok":
                return outcome
            # The answer is there; figures that take long are a matter of their own.
            if not pipe.poll(3 * self.seconds):
                self.stop()
                return replace(outcome, message="its own figures took too long and were left out")
            measured: Mapping[str, Any] | str = pipe.recv()
        except (EOFError, OSError):
            why = f"the method's process died ({_why(self._end())})"
            return Outcome("crash", message=why) if outcome is None else replace(outcome, message=why)
        if isinstance(measured, str):
            return replace(outcome, message=measured)
        return replace(outcome, measured=measured)


def _why(code: int | None) -> str:
    if code is not None and code < 0:
        import signal

        return f"signal {signal.Signals(-code).name}"
    return f"exit code {code}"


@contextmanager
def one_thread(threads: int) -> Iterator[None]:
    """What is started inside inherits the number of threads; libraries read it when they are loaded."""
    names = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
    before = {name: os.environ.get(name) for name in names}
    os.environ.update(dict.fromkeys(names, str(threads)))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def _serve(spec: MethodSpec, pipe: Connection, threads: int) -> None:
    """The worker's whole life."""
    import cv2

    cv2.setNumThreads(threads)
    try:
        method = load(spec)
        pipe.send(("ready", (dict(method.about()), method.seeded)))
    except Exception as error:
        pipe.send(("failed", _line(error)))
        return
    looked_inside = False
    while True:
        try:
            trial, measure = pipe.recv()
        except (EOFError, OSError):
            return
        outcome = _one(method, trial)
        pipe.send(replace(outcome, memory=None) if looked_inside else outcome)
        if measure and outcome.status == "ok":
            looked_inside = True
            try:
                pipe.send(dict(method.measure(trial)))
            except Exception as error:
                pipe.send(f"its own figures could not be measured: {_line(error)}")


def _one(method: Any, trial: Trial) -> Outcome:
    _forget_peak()
    begun, spent = time.perf_counter(), time.process_time()
    try:
        answer = method(trial)
        seconds, cpu = time.perf_counter() - begun, time.process_time() - spent
        memory = _peak()
    except Exception as error:
        if os.environ.get("MILD_DEBUG"):
            traceback.print_exc(file=sys.stderr)
        return Outcome("error", message=_line(error), seconds=time.perf_counter() - begun)
    return Outcome("ok", answer, "", seconds, cpu, memory)


def _line(error: BaseException) -> str:
    text = " ".join(str(error).split())[:300]
    return text if isinstance(error, MildError) and text else f"{type(error).__name__}: {text}"


def _forget_peak() -> None:
    """Linux only; elsewhere the peak is that of the process's whole life."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return


def _peak() -> float:
    try:
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) / 1024
    except OSError:
        pass
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 2**20 if sys.platform == "darwin" else peak / 1024
