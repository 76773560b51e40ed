"""A bounded queue, and a thread that hands one job after the other to a process; what cannot wait is refused."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from typing import Any

from mild.app.server.hands import Broken, Ended, Hand, Late, NoMemory
from mild.app.server.jobs import INTERRUPTED, Job
from mild.app.server.metrics import Metrics
from mild.app.server.problems import Problem
from mild.app.server.settings import Settings
from mild.errors import Cancelled, MildError
from mild.files import NoSpace

log = logging.getLogger("mild.app.server")


class JobQueue:
    """The queue and its thread."""

    def __init__(self, hand: Hand, settings: Settings, metrics: Metrics) -> None:
        self._hand, self._settings, self._metrics = hand, settings, metrics
        self._queue: deque[Job] = deque()
        self._changed = threading.Condition()
        self._running: Job | None = None
        self._closing = False
        self._deadline = 0.0
        self._thread = threading.Thread(target=self._loop, name="mild-worker", daemon=True)

    def start(self) -> None:
        self._thread.start()

    @property
    def alive(self) -> bool:
        """Is there somebody who takes jobs from the queue?"""
        return self._thread.is_alive()

    @property
    def closing(self) -> bool:
        return self._closing

    @property
    def waiting(self) -> int:
        return len(self._queue)

    @property
    def busy(self) -> bool:
        return self._running is not None

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
        """Stop a job: at once when it waits, within two seconds when it runs."""
        with self._changed:
            job.cancel.set()
            if job in self._queue:
                self._queue.remove(job)
                self._end(job, "cancelled", why)

    def forget(self, pixels: str) -> None:
        """Have what was made of a photo forgotten, once the running job is through."""
        if self._hand.running:
            threading.Thread(target=self._hand.forget, args=([], pixels), daemon=True).start()

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
        if self._thread.is_alive():
            self._thread.join(max(0.0, self._deadline - time.monotonic()))
        running = self._running
        if running is not None:
            running.cancel.set()
            self._thread.join(5.0)
            self._end(running, "interrupted", INTERRUPTED)
        self._hand.close()

    def _loop(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: bool(self._queue) or self._closing)
                if not self._queue:
                    return
                job = self._running = self._queue.popleft()
            try:
                self._do(job)
            except Exception:  # the thread must outlive whatever one job does
                log.exception("job %s", job.id)
                self._end(job, "failed", "The job failed unexpectedly; the server's log says where.", fault="server")
            finally:
                self._running = None

    def _do(self, job: Job) -> None:
        start = time.monotonic()
        limit = self._settings.max_seconds
        job.update(state="running", started=time.time())

        def tell(stage: str, share: float, remaining: float | None) -> None:
            said = time.monotonic()
            if remaining is not None:
                job.remaining = lambda: max(0.0, remaining - (time.monotonic() - said))
            job.update(save=False, stage=stage, progress=min(max(share, 0.0), 1.0))

        status = job.status
        try:
            report = self._hand.call(
                "job", str(job.folder), status.kind, status.request, seconds=limit, cancel=job.cancel, tell=tell
            )
            self._end(job, "done", None, report=report, progress=1.0, stage="done")
            if job.status.state == "done":
                self._metrics.took(status.kind, time.monotonic() - start)
        except Cancelled:
            if self._closing:
                self._end(job, "interrupted", INTERRUPTED)
            else:
                self._end(job, "cancelled", "The job was cancelled.")
        except Late:
            self._end(job, "failed", f"The job took longer than the {limit:g} seconds allowed.", fault="time")
        except NoSpace:
            self._end(job, "failed", "The server's disk is full; nothing was written.", fault="disk")
        except NoMemory as error:
            self._end(job, "failed", str(error), fault="memory")
        except Ended as error:
            self._end(job, "failed", str(error), fault="process")
        except Broken as error:
            self._end(job, "failed", str(error), fault="server")
        except Problem as problem:
            self._end(job, "failed", problem.detail, fault="server")
        except MildError as error:
            self._end(job, "failed", str(error), fault="request")
        job.tidy()

    def _end(self, job: Job, state: str, error: str | None, **fields: Any) -> None:
        if job.update(state=state, error=error, finished=time.time(), **fields):
            self._metrics.jobs.labels(job.status.kind, job.status.state).inc()
