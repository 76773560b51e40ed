"""The parts of a server in one place, for the routes."""

from __future__ import annotations

import asyncio
import os
import shutil
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

from mild.app.server.hands import Hand, Tell
from mild.app.server.inputs import Body, check_http, check_request
from mild.app.server.jobs import Job, Jobs, Kind
from mild.app.server.metrics import Metrics
from mild.app.server.photos import Known, Photos
from mild.app.server.problems import Problem
from mild.app.server.queue import JobQueue
from mild.app.server.results import FORMATS, Choice, Scratch, copy, discard
from mild.app.server.settings import Settings
from mild.app.server.state import Writable, lock, private, still_ours
from mild.errors import MildError
from mild.request import EraseRequest, Finder, Selection

#: Seconds between two rounds of the housekeeper, at most.
ROUND = 20.0


class Line:
    """A hand and those who wait for it; too many are refused."""

    def __init__(self, hand: Hand, most: int) -> None:
        self.hand = hand
        self._most, self._waiting = most, 0
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=f"mild-{hand.name}")

    async def call(self, task: str, *arguments: Any, tell: Tell | None = None) -> Any:
        """Errors as :meth:`Hand.call`; Problem 429 when too many wait."""
        if self._waiting >= self._most:
            raise Problem(429, "Too many photos are waiting; try again later.", {"Retry-After": "5"})
        self._waiting += 1
        try:
            loop = asyncio.get_running_loop()
            return await loop.run_in_executor(self._thread, lambda: self.hand.call(task, *arguments, tell=tell))
        finally:
            self._waiting -= 1

    def forget(self, paths: list[str], pixels: str | None) -> None:
        if self.hand.running:
            self._thread.submit(self.hand.forget, paths, pixels)

    def close(self) -> None:
        self.hand.close()
        self._thread.shutdown(wait=False, cancel_futures=True)


class Service:
    """Photos, jobs and the processes that work on them, of one state folder.

    Four processes, each started when it is needed: ``reader`` takes in what is sent, ``finder`` finds people,
    ``maker`` does the jobs of the queue, ``printer`` makes files of finished ones. So nobody who opens a photo or
    looks at a result waits for another's long job.

    Args:
        road: works in threads of this process (for tests); None: in processes.

    Raises:
        MildError: another server uses the folder, it is not ours, or it cannot be written.
    """

    def __init__(self, settings: Settings, road: Any, metrics: Metrics) -> None:
        self.settings, self.metrics = settings, metrics
        # Other people's photos: what the server and its processes write is for its user alone.
        self._umask = os.umask(0o077)
        try:
            self._lock = lock(settings)
        except BaseException:
            os.umask(self._umask)
            raise
        self._writable = Writable(settings.state)
        try:
            self.photos = Photos(settings.state, settings.max_pixels)
            self.jobs = Jobs(settings.state / "jobs")
            self.scratch = Scratch(settings.state)
        except OSError as error:
            self._lock.close()
            os.umask(self._umask)
            raise MildError(
                f"The state folder {settings.state} cannot be used: {error.strerror or error}."
            ) from None  # fmt: skip
        self._maker = Hand("maker", settings, road)
        self.queue = JobQueue(self._maker, settings, metrics)
        self.reader, self.finder, self.printer = (
            Line(Hand(name, settings, road), settings.max_queue) for name in ("reader", "finder", "printer")
        )
        self._hands = (self._maker, self.reader.hand, self.finder.hand, self.printer.hand)
        metrics.gauge("mild_queue_jobs", "Jobs waiting", lambda: self.queue.waiting)
        metrics.gauge("mild_running_jobs", "Jobs running", lambda: int(self.queue.busy))
        metrics.gauge("mild_model_loaded", "Is there a process that may hold the model?", lambda: int(self.loaded))
        metrics.gauge("mild_lost_processes", "Processes that crashed", lambda: sum(h.lost for h in self._hands))
        self._stop = threading.Event()
        self.prune()
        self._keeper = threading.Thread(target=self._keep, name="mild-housekeeper", daemon=True)
        self._keeper.start()
        self.queue.start()

    @property
    def loaded(self) -> bool:
        return self._maker.running

    def health(self) -> dict[str, Any]:
        """How the server is, as it is now."""
        folder = self.settings.state
        try:
            free = shutil.disk_usage(folder).free
        except OSError:
            free = 0
        faults = []
        if not self.queue.alive and not self.queue.closing:
            faults.append("nobody takes jobs from the queue")
        faults += [f"the {hand.name}'s process cannot be started" for hand in self._hands if hand.failing]
        if not still_ours(folder, self._lock):
            faults.append("the state folder is gone, or another is in its place")
        elif not self._writable() or not all(os.access(folder / name, os.W_OK) for name in ("photos", "jobs")):
            faults.append("the state folder cannot be written")
        elif free < self.settings.least_disk:
            faults.append("the disk is full")
        return {
            "status": "stopping" if self.queue.closing else "failing" if faults else "ok",
            "faults": faults,
            "waiting": self.queue.waiting,
            "running": self.queue.busy,
            "model_loaded": self.loaded,
            "disk_free": free,
            "processes": [
                {"name": h.name, "pid": h.pid, "running": h.running, "busy": h.busy, "lost": h.lost}
                for h in self._hands
            ],
        }

    def close(self) -> None:
        """Finish or give back what is held, then free the state folder."""
        self._stop.set()
        self._keeper.join(10)  # it may be writing a record
        self.queue.close()
        for line in (self.reader, self.finder, self.printer):
            line.close()
        self._lock.close()
        os.umask(self._umask)

    async def add(self, data: bytes) -> tuple[str, Known]:
        """Keep an uploaded photo.

        Raises:
            Problem, MildError: it is refused, with the reason.
        """
        read = self._from_thread("look")
        added = await asyncio.to_thread(self.photos.add, data, lambda path: read(path, self.photos.max_pixels))
        await asyncio.to_thread(self.prune)  # by number; by age, the housekeeper does it
        return added

    async def photo_id(self, body: Body) -> str:
        """The id of the body's photo, stored if it was sent along."""
        if (body.photo is None) == (body.photo_id is None):
            raise Problem(422, "Send either the photo or the photo_id of one uploaded before.")
        if body.photo is not None:
            return (await self.add(body.photo))[0]
        self.photos.path(body.photo_id or "")
        return body.photo_id or ""

    async def people(self, photo_id: str, finder: Finder, masks: bool) -> list[dict[str, Any]]:
        """The people in a photo, one entry each; found once and remembered."""
        people: list[dict[str, Any]] = await self.finder.call("people", str(self.photos.path(photo_id)), finder, masks)
        return people

    async def things(self, photo_id: str, finder: Finder) -> list[dict[str, Any]]:
        """What may go with the people in a photo."""
        told: list[dict[str, Any]] = await self.finder.call("things", str(self.photos.path(photo_id)), finder)
        return told

    async def select(
        self, photo_id: str, finder: Finder, selection: Selection, masks: bool
    ) -> tuple[list[dict[str, Any]], list[int]]:
        """As :meth:`people`, after a selection, and whom it means."""
        check_request(EraseRequest.build(selection=selection), self.settings)
        await self._check_codes(selection, self.photos.known(photo_id))
        path = str(self.photos.path(photo_id))
        found: tuple[list[dict[str, Any]], list[int]] = await self.finder.call("select", path, finder, selection, masks)
        return found

    async def start(self, kind: Kind, body: Body) -> Job:
        """Check, store and queue a job.

        Raises:
            Problem, MildError: the job is refused, with the reason.
        """
        self.queue.check()
        # What is wrong with the request itself is said before anything is stored.
        check = partial(check_http, body.request, self.settings, erase=kind == "erase" and body.mask is None)
        await asyncio.to_thread(check)  # it looks for the fillers' files
        photo_id = await self.photo_id(body)
        known = self.photos.known(photo_id)
        request = body.request
        if body.mask is not None:
            if request.selection.mask_rle is not None:
                raise Problem(422, "Send one mask, as a picture or as run-length code.")
            read = self._from_thread("mask")
            drawn = {"mask_rle": await asyncio.to_thread(self.photos.mask, body.mask, known.size, read)}
            request = request.model_copy(update={"selection": request.selection.model_copy(update=drawn)})
        await self._check_codes(body.request.selection, known)
        return await asyncio.to_thread(self._queue, kind, photo_id, request)

    def _from_thread(self, task: str) -> Callable[..., dict[str, Any]]:
        """A task of the reader, to be called (and waited for) in a thread beside the event loop."""
        loop = asyncio.get_running_loop()

        def call(*arguments: Any) -> dict[str, Any]:
            answer: dict[str, Any] = asyncio.run_coroutine_threadsafe(self.reader.call(task, *arguments), loop).result()
            return answer

        return call

    async def _check_codes(self, selection: Selection, known: Known) -> None:
        codes = [code for code in (selection.mask_rle, selection.spare_rle) if code is not None]
        if codes:
            await self.reader.call("check", codes, known.size)

    def _queue(self, kind: Kind, photo_id: str, request: EraseRequest) -> Job:
        try:
            job = self.jobs.create(kind, self.photos.path(photo_id), photo_id, request)
        except FileNotFoundError:
            raise Problem(404, "There is no photo of this id; upload it (again).") from None
        try:
            self.queue.submit(job)
        except Problem:
            self.jobs.delete(job)
            raise
        return job

    def job(self, id: str) -> Job:
        job = self.jobs.get(id)
        if job is None:
            raise Problem(404, "There is no job of this id; finished jobs are deleted after a while.")
        return job

    async def result(self, task: str, job: Job, *arguments: Any) -> Any:
        """What the printer makes of a finished job."""
        return await self.printer.call(task, str(job.folder), *arguments)

    async def render(self, job: Job, format: str, choice: Choice) -> tuple[Path, Path]:
        """A file of a finished job in one of :data:`FORMATS`.

        Returns:
            The file, and the folder to discard once it is sent; the job itself may expire meanwhile.

        Raises:
            Problem: 410 when the job's files are gone.
            UsageError: the choice names somebody without a layer, or the format cannot hold the photo's transparency.
        """
        target = await asyncio.to_thread(self.scratch.new, format)
        assert target.suffix == FORMATS[format][0]
        try:
            if format == "png" and not choice:
                await asyncio.to_thread(copy, job.folder / "result.png", target)
            else:
                await self.result("render", job, format, choice, str(target), job.status.request)
        except FileNotFoundError:
            discard(target.parent)
            raise Problem(410, "The job's result is gone; do the job again.") from None
        except BaseException:
            discard(target.parent)
            raise
        return target, target.parent

    def drop(self, job: Job) -> None:
        """Forget a finished job."""
        self.jobs.delete(job)
        self.printer.forget([str(job.folder)], None)

    def forget(self, photo_id: str) -> None:
        """Forget a photo, and everybody found in it; jobs have their own copy."""
        path = str(self.photos.path(photo_id))
        self._forgotten(path, self.photos.delete(photo_id))

    def prune(self) -> None:
        """Delete what is old or too much."""
        settings = self.settings
        for job in self.jobs.prune(settings.keep_seconds, settings.keep_jobs):
            self.printer.forget([str(job.folder)], None)
        for path, pixels in self.photos.prune(settings.keep_seconds, settings.keep_photos):
            self._forgotten(str(path), pixels)

    def _forgotten(self, path: str, pixels: str | None) -> None:
        for line in (self.reader, self.finder, self.printer):
            line.forget([path], pixels)
        if pixels is not None:
            self.queue.forget(pixels)

    def _keep(self) -> None:
        """Rounds of housekeeping: what is old goes in time, whether anybody comes or not."""
        pause = min(ROUND, max(0.05, min(self.settings.keep_seconds, self.settings.idle_seconds) / 4))
        while not self._stop.wait(pause):
            if not still_ours(self.settings.state, self._lock):
                continue  # what is there now is none of ours
            try:
                for name in ("photos", "people", "jobs", "scratch"):
                    private(self.settings.state / name)
                self.prune()
                for job in self.jobs.all():
                    job.save_again()
                for hand in self._hands:
                    hand.rest()
            except OSError:
                continue  # the disk, again; the next round may find it well
