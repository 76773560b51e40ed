"""The parts of a server in one place, for the routes."""

from __future__ import annotations

import asyncio
import fcntl
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import IO

from mild.app.server.inputs import Body, check_http
from mild.app.server.jobs import Job, Jobs, Kind
from mild.app.server.metrics import Metrics
from mild.app.server.photos import Photos
from mild.app.server.problems import Problem
from mild.app.server.results import Results
from mild.app.server.road import Road
from mild.app.server.settings import Settings
from mild.app.server.worker import Worker
from mild.errors import MildError
from mild.people.finders.coco import decode_rle, encode_rle
from mild.people.scene import Scene
from mild.request import EraseRequest, Finder


@dataclass
class Found:
    """A photo and the people in it."""

    photo_id: str
    scene: Scene


class Service:
    """Photos, jobs, worker and finder of one state folder.

    Raises:
        MildError: another server uses the folder, or it cannot be written.
    """

    def __init__(self, settings: Settings, road: Road, metrics: Metrics) -> None:
        self.settings, self.road, self.metrics = settings, road, metrics
        try:
            settings.state.mkdir(parents=True, exist_ok=True)
            self._lock = lock(settings)
        except OSError as error:
            raise MildError(
                f"The state folder {settings.state} cannot be used: {error.strerror or error}."
            ) from None  # fmt: skip
        self.photos = Photos(settings.state / "photos", settings.max_pixels)
        self.jobs = Jobs(settings.state / "jobs")
        self.results = Results(settings.state / "scratch")
        self.worker = Worker(road, settings, metrics)
        # People are found beside the queue: whoever opens a photo need not wait for another's long job.
        self._finder = ThreadPoolExecutor(1, thread_name_prefix="mild-finder")
        self._finding = 0
        metrics.gauge("mild_queue_jobs", "Jobs waiting", lambda: self.worker.waiting)
        metrics.gauge("mild_running_jobs", "Jobs running", lambda: int(self.worker.busy))
        metrics.gauge("mild_model_loaded", "Is the model in memory?", lambda: int(self.worker.loaded))
        self.worker.start()

    def close(self) -> None:
        """Finish or give back what is held, then free the state folder."""
        self.worker.close()
        self._finder.shutdown(wait=False, cancel_futures=True)
        self._lock.close()

    async def photo_id(self, body: Body) -> str:
        """The id of the body's photo, stored if it was sent along."""
        if (body.photo is None) == (body.photo_id is None):
            raise Problem(422, "Send either the photo or the photo_id of one uploaded before.")
        if body.photo is not None:
            self.prune()
            return (await asyncio.to_thread(self.photos.add, body.photo))[0]
        self.photos.path(body.photo_id or "")
        return body.photo_id or ""

    async def people(self, photo_id: str, finder: Finder) -> Found:
        """The people in a photo; found once and remembered."""
        key = finder.model_dump_json()
        scene = self.photos.scene(photo_id, key)
        if scene is None:
            if self._finding >= self.settings.max_queue:
                raise Problem(429, "Too many photos are waiting; try again later.", {"Retry-After": "5"})
            photo = await asyncio.to_thread(self.photos.get, photo_id)
            self._finding += 1
            try:
                loop = asyncio.get_running_loop()
                scene = await loop.run_in_executor(self._finder, self.road.find, photo, finder)
            finally:
                self._finding -= 1
            self.photos.remember(photo_id, key, scene)
        return Found(photo_id, scene)

    async def start(self, kind: Kind, body: Body) -> Job:
        """Check, store and queue a job.

        Raises:
            Problem, MildError: the job is refused, with the reason.
        """
        self.worker.check()
        photo_id = await self.photo_id(body)
        photo = await asyncio.to_thread(self.photos.get, photo_id)
        request = body.request
        if body.mask is not None:
            mask = await asyncio.to_thread(self.photos.mask, body.mask, photo.size)
            if request.selection.mask_rle is not None:
                raise Problem(422, "Send one mask, as a picture or as run-length code.")
            drawn = {"mask_rle": encode_rle(mask)}
            request = request.model_copy(update={"selection": request.selection.model_copy(update=drawn)})
        check_http(request, self.settings, erase=kind == "erase")
        for code in (request.selection.mask_rle, request.selection.spare_rle):
            if code is not None:
                decode_rle(code, photo.size)
        return await asyncio.to_thread(self._queue, kind, photo_id, request)

    def _queue(self, kind: Kind, photo_id: str, request: EraseRequest) -> Job:
        job = self.jobs.create(kind, self.photos.path(photo_id), photo_id, request)
        try:
            self.worker.submit(job)
        except Problem:
            self.jobs.delete(job)
            raise
        return job

    def job(self, id: str) -> Job:
        job = self.jobs.get(id)
        if job is None:
            raise Problem(404, "There is no job of this id; finished jobs are deleted after a while.")
        return job

    def drop(self, job: Job) -> None:
        """Forget a finished job."""
        self.results.forget(job)
        self.jobs.delete(job)

    def prune(self) -> None:
        """Delete what is old; done when something new comes, since only then does the folder grow."""
        settings = self.settings
        self.jobs.prune(settings.keep_seconds, settings.keep_jobs)
        self.photos.prune(settings.keep_seconds, settings.keep_photos)


def lock(settings: Settings) -> IO[str]:
    """The state folder's lock, held while the file returned is open; the system frees it however the process ends.

    Raises:
        MildError: another server holds it.
    """
    file = (settings.state / "lock").open("w")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        file.close()
        raise MildError(
            f"Another server uses the state folder {settings.state}; name another one with --state."
        ) from None  # fmt: skip
    return file
