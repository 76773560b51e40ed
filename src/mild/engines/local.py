"""Processes of this machine: one model each, loaded once; threads inside so that cores are not fought for."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
import time
from collections import deque
from collections.abc import Generator, Iterable, Iterator
from contextlib import contextmanager, suppress
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from mild.engines.engine import Done, Limits, Noted, Work, cores
from mild.engines.notes import Note, noting
from mild.errors import MildError
from mild.files import flat

#: How often limits are looked at, seconds.
TICK = 0.25
#: Seconds that a process has to end when it is asked to.
PATIENCE = 3.0
#: More time for a worker's first item: it loads the model.
WARMING = 60.0
#: What libraries read to know how many threads they may start.
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS")
#: For the C library's heap (glibc): what one item frees is kept for the next one, up to so many bytes. Otherwise every
#: array of a photo's size goes back to the system and is asked for, and cleared, anew: of seven photos' 19 s of
#: processor time 1.2 s were the system's, with this 0.45.
HEAP = {"MALLOC_TRIM_THRESHOLD_": str(256 << 20), "MALLOC_MMAP_THRESHOLD_": str(64 << 20)}


class LocalEngine:
    """See :class:`mild.engines.Engine`.

    Args:
        jobs: processes; each gets its share of the cores as threads.
    """

    def __init__(self, work: Work, jobs: int, limits: Limits) -> None:
        threads = work.threads or max(1, cores() // jobs)
        self._lanes = [Lane(work, limits, threads) for _ in range(jobs)]
        self.jobs = jobs
        self.name = f"{jobs} process{'es' if jobs > 1 else ''}"

    def run(self, items: Iterable[Any], noted: Noted | None = None) -> Generator[Done, None, None]:
        queue = enumerate(items)
        busy: dict[Lane, int] = {}
        idle = deque(self._lanes)
        ended = False
        try:
            while True:
                while idle and not ended:
                    following = next(queue, None)
                    if following is None:
                        ended = True
                        break
                    lane = idle.popleft()
                    lane.send(following[1])
                    busy[lane] = following[0]
                if not busy:
                    return
                ready = set(wait([lane.pipe for lane in busy], timeout=TICK))
                for lane in [lane for lane in busy if lane.pipe in ready or lane.over()]:
                    done = lane.receive(busy[lane])
                    if isinstance(done, Note):
                        if noted is not None:
                            noted(done.value)
                        continue
                    del busy[lane]
                    idle.append(lane)
                    yield done
        finally:
            if busy:  # whoever listened has gone: what is under way is not waited for
                for lane in busy:
                    lane.stop()
                for lane in busy:
                    lane.kill()

    def close(self) -> None:
        for lane in self._lanes:
            lane.close()


class Lane:
    """One worker's process, started when it is needed and again after it died."""

    def __init__(self, work: Work, limits: Limits, threads: int) -> None:
        self._work, self._limits, self._threads = work, limits, threads
        self._process: BaseProcess | None = None
        self._pipe: Connection | None = None
        self._begun, self._asked = 0.0, 0.0
        self._first = True
        self._broken = ""

    @property
    def pipe(self) -> Connection:
        assert self._pipe is not None
        return self._pipe

    def send(self, item: Any) -> None:
        """Give it an item; it must not be busy."""
        for _ in range(2):
            if self._process is None:
                self._start()
            self._begun = time.monotonic()
            try:
                self.pipe.send(item)
                return
            except (BrokenPipeError, OSError):  # died while it was idle
                self.kill()
        self._start()
        self.pipe.send(item)

    def over(self) -> bool:
        """Is the item over a limit? If so its process is ended."""
        seconds, memory = self._limits.seconds, self._limits.memory
        allowed = None if seconds is None else seconds + (WARMING if self._first else 0)
        if allowed is not None and time.monotonic() - self._begun > allowed:
            self._broken = "time"
        elif memory is not None and self._process is not None and resident(self._process.pid) > memory:
            self._broken = "memory"
        else:
            return False
        return True

    def receive(self, index: int) -> Done | Note:
        """What became of the item, or what is said of it meanwhile."""
        spent = time.monotonic() - self._begun
        if self._broken:
            fault, self._broken = self._broken, ""
            self.kill()
            return Done(index, error=_limit(fault, self._limits), fault=fault, seconds=spent)
        try:
            told = self.pipe.recv()
        except (EOFError, OSError):
            code = None if self._process is None else self._exit_code()
            self.kill()
            return Done(index, error=f"Its process died ({_why(code)}).", fault="died", seconds=spent)
        if isinstance(told, Note):
            return told
        value, error, seconds, peak = told
        self._first = False
        limit = self._limits.memory
        if limit is not None and error is None and peak > limit and resident(os.getpid()) == 0:
            # Where no memory of a running process can be read, it is known afterwards.
            return Done(index, error=_limit("memory", self._limits), fault="memory", seconds=seconds)
        return Done(index, value, error, "raised" if error else "", seconds)

    def stop(self) -> None:
        """Ask the process to end, and to delete what is half written; :meth:`kill` waits for it."""
        if self._process is not None:
            self._process.terminate()
            self._asked = time.monotonic()

    def kill(self) -> None:
        """End the process: at once, or soon after it was asked to."""
        if self._process is not None:
            if self._asked:
                self._process.join(max(0.0, self._asked + PATIENCE - time.monotonic()))
            self._process.kill()
            self._process.join()
            self._forget()

    def close(self) -> None:
        """Let the process end by itself; at once if it does not."""
        if self._process is not None and self._pipe is not None:
            with suppress(OSError):
                self._pipe.close()
            self._process.join(5)
            self.kill()

    def _exit_code(self) -> int | None:
        assert self._process is not None
        self._process.join(5)
        return self._process.exitcode

    def _forget(self) -> None:
        if self._pipe is not None:
            self._pipe.close()
        self._process = self._pipe = None

    def _start(self) -> None:
        context = multiprocessing.get_context("spawn")
        here, there = context.Pipe()
        process = context.Process(target=_serve, args=(self._work, there, self._threads), name="mild worker")
        with _environment(self._threads):
            process.start()
        there.close()
        self._process, self._pipe, self._first, self._asked = process, here, True, 0.0


def _serve(work: Work, pipe: Connection, threads: int) -> None:
    """A worker's whole life: it ends when its pipe does, that is, also when whoever started it was killed."""
    items: deque[Any] = deque()
    there = threading.Semaphore(0)

    def listen() -> None:
        try:
            while True:
                items.append(pipe.recv())
                there.release()
        except (EOFError, OSError):
            os._exit(0)  # also in the middle of an item: nobody waits for it, and somebody else may do it again

    # Asked to stop: as an exception, so that files half written are deleted on the way out.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    threading.Thread(target=listen, daemon=True).start()
    handle = None
    try:
        while True:
            there.acquire()
            item = items.popleft()
            begun = time.monotonic()
            value, error = None, None
            try:
                if handle is None:
                    calm(threads)
                    handle = work.begin(work.setup)
                with noting(lambda value: pipe.send(Note(value))):
                    value = handle(item)
            except MildError as wrong:
                error = str(wrong)
            except MemoryError:
                error = "There is not enough memory for it."
            except Exception as wrong:
                error = f"It failed unexpectedly ({type(wrong).__name__}: {flat(wrong)})."
            pipe.send((value, error, time.monotonic() - begun, peak()))
    except (KeyboardInterrupt, BrokenPipeError):
        return


def calm(threads: int) -> None:
    """So many threads for libraries that do not ask the environment."""
    import cv2

    cv2.setNumThreads(threads)
    torch = sys.modules.get("torch")
    if torch is not None:
        torch.set_num_threads(threads)


def resident(pid: int | None) -> float:
    """MiB of memory that a process holds now; 0 where the system does not say."""
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    except (OSError, ValueError, IndexError):
        return 0.0
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def peak() -> float:
    """MiB of memory that this process held at most; 0 where the system does not say."""
    try:
        import resource
    except ImportError:
        return 0.0
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most / (2**20 if sys.platform == "darwin" else 2**10)


def _limit(fault: str, limits: Limits) -> str:
    if fault == "time":
        return f"It took longer than the {limits.seconds:g} seconds allowed."
    return f"It needed more than the {limits.memory:g} MiB of memory allowed."


def _why(code: int | None) -> str:
    if code is None:
        return "nobody knows why"
    return f"signal {-code}" if code < 0 else f"exit code {code}"


@contextmanager
def _environment(threads: int) -> Iterator[None]:
    """The environment in which a new process starts so many threads, and keeps its heap unless the user said how."""
    wanted = dict.fromkeys(THREADS, str(threads)) | {k: os.environ.get(k, v) for k, v in HEAP.items()}
    before = {name: os.environ.get(name) for name in wanted}
    os.environ.update(wanted)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
