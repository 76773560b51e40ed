"""One thread holds the model and does one job after the other; what cannot wait in the queue is refused."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from dataclasses import replace
from typing import Any

from mild.app.server import results
from mild.app.server.jobs import INTERRUPTED, Job
from mild.app.server.metrics import Metrics
from mild.app.server.problems import Problem
from mild.app.server.road import Road
from mild.app.server.settings import Settings
from mild.errors import Cancelled, MildError
from mild.photo import Photo

log = logging.getLogger("mild.app.server")


class Worker:
    """A bounded queue and its thread."""

    def __init__(self, road: Road, settings: Settings, metrics: Metrics) -> None:
        self._road, self._settings, self._metrics = road, settings, metrics
        self._queue: deque[Job] = deque()
        self._changed = threading.Condition()
        self._running: Job | None = None
        self._closing = False
        self._deadline = 0.0
        self._loaded = False
        self._thread = threading.Thread(target=self._loop, name="mild-worker", daemon=True)

    def start(self) -> None:
        self._thread.start()

    @property
    def closing(self) -> bool:
        return self._closing

    @property
    def waiting(self) -> int:
        return len(self._queue)

    @property
    def busy(self) -> bool:
        return self._running is not None

    @property
    def loaded(self) -> bool:
        return self._loaded

    def check(self) -> None:
        """Refuse a job before its photo is even stored.

        Raises:
            Problem: 503 while stopping, 429 when the queue is full, each with ``Retry-After``.
        """
        if self._closing:
            raise Problem(503, "The server is stopping; try again shortly.", {"Retry-After": "30"})
        if len(self._queue) >= self._settings.max_queue:
            wait = str(max(1, round(self._metrics.typical_seconds * 2)))
            raise Problem(429, "Too many jobs are waiting; try again later.", {"Retry-After": wait})

    def submit(self, job: Job) -> None:
        """Queue a job; refused as in :meth:`check`."""
        with self._changed:
            self.check()
            self._queue.append(job)
            self._changed.notify_all()

    def cancel(self, job: Job, why: str = "The job was cancelled.") -> None:
        """Stop a job: at once when it waits, at its next step when it runs."""
        with self._changed:
            job.cancel.set()
            if job in self._queue:
                self._queue.remove(job)
                self._end(job, "cancelled", why)

    def drain(self) -> None:
        """Take no more jobs and give the waiting ones back as interrupted; the grace of the running one begins."""
        with self._changed:
            if not self._closing:
                self._closing = True
                self._deadline = time.monotonic() + self._settings.grace_seconds
            while self._queue:
                self._end(self._queue.popleft(), "interrupted", INTERRUPTED)
            self._changed.notify_all()

    def close(self) -> None:
        """As :meth:`drain`; then wait for the running job as long as its grace lasts, and stop it."""
        self.drain()
        if not self._thread.is_alive():
            return
        self._thread.join(max(0.0, self._deadline - time.monotonic()))
        running = self._running
        if running is not None:
            running.cancel.set()
            self._thread.join(5.0)
            # A step that takes longer than that is left to the process's end; the record is right already.
            self._end(running, "interrupted", INTERRUPTED)

    def _loop(self) -> None:
        while True:
            with self._changed:
                idle = self._settings.idle_seconds if self._loaded else None
                self._changed.wait_for(lambda: bool(self._queue) or self._closing, timeout=idle)
                if self._queue:
                    self._running = self._queue.popleft()
                elif self._closing:
                    return
            if self._running is None:
                self._road.unload()
                self._loaded = False
                continue
            try:
                self._do(self._running)
            finally:
                self._running = None

    def _do(self, job: Job) -> None:
        start = time.monotonic()
        job.update(state="running", started=time.time())
        late = False

        def progress(stage: str, share: float) -> None:
            nonlocal late
            late = time.monotonic() - start > self._settings.max_seconds
            if late or job.cancel.is_set():
                raise Cancelled
            if hasattr(share, "remaining"):  # a mild.pace.Share
                job.remaining = lambda: share.remaining
            job.update(save=False, stage=stage, progress=min(max(float(share), 0.0), 1.0))

        try:
            progress("start", 0.0)
            self._loaded = True
            # Without a path: what the server calls its files is nobody's business in a report.
            photo = replace(Photo.open(job.folder / "photo"), path=None)
            method = self._road.run if job.status.kind == "erase" else self._road.decompose
            result = method(job.status.request, photo, progress)
            progress("save", 1.0)
            results.save(job.folder, result)
            self._metrics.took(job.status.kind, time.monotonic() - start)
            self._end(job, "done", None, report=result.report(), progress=1.0, stage="done")
        except Cancelled:
            if late:
                limit = self._settings.max_seconds
                self._end(job, "failed", f"The job took longer than the {limit:g} seconds allowed.", fault="time")
            elif self._closing:
                self._end(job, "interrupted", INTERRUPTED)
            else:
                self._end(job, "cancelled", "The job was cancelled.")
        except MildError as error:
            self._end(job, "failed", str(error), fault="request")
        except MemoryError:
            self._end(job, "failed", "There is not enough memory for this photo; send a smaller one.", fault="server")
        except Exception:
            log.exception("job %s", job.id)
            self._end(job, "failed", "The job failed unexpectedly; the server's log says where.", fault="server")

    def _end(self, job: Job, state: str, error: str | None, **fields: Any) -> None:
        if job.update(state=state, error=error, finished=time.time(), **fields):
            self._metrics.jobs.labels(job.status.kind, state).inc()
