"""Jobs and their records on disk: whatever happens to the server, no half file and no job that hangs.

A job is a folder ``jobs/ID``: ``job.json`` (replaced in one step at every change of state), ``photo`` (as uploaded)
and, once done, ``result.png`` and ``stack.zip``. The record says ``done`` only after both were written.
"""

from __future__ import annotations

import errno
import logging
import os
import threading
import time
import uuid
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, Field

from mild.app.server.photos import ID
from mild.app.server.results import LAYERED, copy
from mild.app.server.state import keeping, private
from mild.errors import MildError
from mild.files import write_bytes
from mild.reading import parse_json
from mild.request import EraseRequest

log = logging.getLogger("mild.app.server")
#: Every file that a job's folder may hold; no other is ever deleted.
_FILES = ("job.json", "result.png", "stack.zip", "photo")

Kind = Literal["erase", "layers"]
State = Literal["queued", "running", "done", "failed", "cancelled", "interrupted"]
FINISHED: frozenset[State] = frozenset({"done", "failed", "cancelled", "interrupted"})
INTERRUPTED = "The server stopped before this job was done; send it again."


class JobStatus(BaseModel):
    """A job as the API shows it, and as it is kept on disk."""

    id: str = Field(examples=["0f8fad5bd9cb469fa16570867728950e"])
    kind: Kind
    state: State
    stage: str = Field("", description="What the running job is doing.", examples=["fill"])
    progress: float = Field(0.0, ge=0, le=1, description="How much of the stage is done.")
    remaining: float | None = Field(None, ge=0, description="About how many seconds the running job still takes.")
    photo_id: str
    request: EraseRequest
    created: float = Field(description="Seconds since 1970.")
    started: float | None = None
    finished: float | None = None
    fault: Literal["request", "memory", "time", "process", "disk", "server"] | None = Field(
        None,
        description="Why it failed: the request itself, too little memory for it, the time allowed, a process that was "
        "ended from outside, a full disk, or a fault of the server's. After time, process and disk, try again later.",
    )
    error: str | None = Field(None, description="Why it failed or was stopped, in one sentence.")
    report: dict[str, Any] | None = Field(None, description="What was done: people, plan, seconds.")
    formats_with_original: tuple[str, ...] = Field(
        tuple(sorted(LAYERED)),
        description="Formats in which the result holds the original photo and everybody who was erased, as hidden "
        "layers, unless it is asked for with flatten_hidden=true; the other formats show the edited photo alone.",
    )


class Job:
    """One job; its status is replaced, never altered, so that readers need no lock."""

    def __init__(self, folder: Path, status: JobStatus) -> None:
        self.folder = folder
        self._status = status
        #: Says how many seconds the running job still takes; None as long as nobody can.
        self.remaining: Callable[[], float | None] = lambda: None
        self.cancel = threading.Event()
        self._lock = threading.Lock()
        self._listeners: list[Callable[[], None]] = []
        #: Is the record on disk older than the status? Then it is written again later.
        self.unsaved = False

    @property
    def status(self) -> JobStatus:
        """How the job stands now; what remains is asked for at every look."""
        status = self._status
        seconds = self.remaining() if status.state == "running" else None
        return status if seconds is None else status.model_copy(update={"remaining": round(seconds, 1)})

    @property
    def id(self) -> str:
        return self._status.id

    @property
    def over(self) -> bool:
        return self._status.state in FINISHED

    def update(self, *, save: bool = True, **fields: Any) -> bool:
        """Change the status (on disk too, unless it is mere progress) and tell the listeners.

        A finished job changes no more: False is returned. A record that cannot be written (a full disk) is written
        later; only a job that is done must have its record, and fails without it.
        """
        with self._lock:
            if self.over:
                return False
            status = self._status.model_copy(update=fields)
            if save:
                try:
                    self._write(status)
                except MildError as error:
                    log.warning("job %s: %s", self.id, error)
                    self.unsaved = True
                    if status.state == "done":
                        lost = "The result could not be kept: the server's disk is full or cannot be written."
                        failed = {"state": "failed", "fault": "disk", "error": lost, "report": None}
                        status = status.model_copy(update=failed)
            self._status = status
            listeners = list(self._listeners)
        for tell in listeners:
            tell()
        return True

    def listen(self, tell: Callable[[], None]) -> Callable[[], None]:
        """Call ``tell`` at every change, from whatever thread; the function returned ends that."""
        with self._lock:
            self._listeners.append(tell)

        def stop() -> None:
            with self._lock, suppress(ValueError):
                self._listeners.remove(tell)

        return stop

    def save_again(self) -> None:
        """Write the record if the last try failed."""
        with self._lock, suppress(MildError):
            if self.unsaved:
                self._write(self._status)

    def not_from_the_future(self) -> None:
        """When the clock was set back, a finished job is not to be kept for years: it counts as finished now."""
        with self._lock:
            now = time.time()
            if self.over and (self._status.finished or 0) > now + 1:
                self._status = self._status.model_copy(update={"finished": now})
                self.unsaved = True

    def tidy(self) -> None:
        """Delete what a process that ended in the middle may have left, and, of a job that is not done, its results."""
        with self._lock, suppress(OSError):
            names = () if self._status.state == "done" else ("result.png", "stack.zip")
            for path in (*(self.folder / name for name in names), *self.folder.glob(".mild-*.part")):
                with suppress(OSError):
                    path.unlink()

    def _write(self, status: JobStatus) -> None:
        write_bytes(self.folder / "job.json", status.model_dump_json(indent=1).encode())
        self.unsaved = False


class Jobs:
    """All jobs of a state folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._jobs: dict[str, Job] = {}
        self._lock = threading.Lock()
        private(folder)
        self._recover()

    def create(self, kind: Kind, photo: Path, photo_id: str, request: EraseRequest) -> Job:
        """A queued job with its own copy (or hard link) of the photo."""
        id = uuid.uuid4().hex
        folder = self._folder / id
        with keeping():
            folder.mkdir(mode=0o700)
        fields = {"kind": kind, "photo_id": photo_id, "request": request}
        status = JobStatus.model_validate({"id": id, "state": "queued", "created": time.time(), **fields})
        job = Job(folder, status)
        try:
            copy(photo, folder / "photo")
            with keeping():
                job._write(status)
        except BaseException:
            _remove(folder)
            raise
        with self._lock:
            self._jobs[id] = job
        return job

    def get(self, id: str) -> Job | None:
        with self._lock:
            return self._jobs.get(id)

    def all(self) -> list[Job]:
        with self._lock:
            return list(self._jobs.values())

    def delete(self, job: Job) -> None:
        """Forget a finished job and its files; nothing where somebody else is already doing so.

        Raises:
            OSError: its files cannot be deleted; then it stays.
        """
        with self._lock:
            known = self._jobs.pop(job.id, None)
        if known is not None and not _remove(job.folder):
            with self._lock:
                self._jobs[job.id] = known
            raise OSError(errno.EROFS, "a job's files cannot be deleted", str(job.folder))

    def prune(self, keep_seconds: float, keep: int) -> list[Job]:
        """Delete finished jobs that are too old or too many; those that went."""
        gone = []
        over = sorted((job for job in self.all() if job.over), key=lambda job: job.status.finished or 0, reverse=True)
        for rank, job in enumerate(over):
            job.not_from_the_future()
            if rank >= keep or time.time() - (job.status.finished or 0) > keep_seconds:
                with suppress(OSError):  # the next round tries again
                    self.delete(job)
                    gone.append(job)
        return gone

    def _recover(self) -> None:
        """Take over what an earlier server left: finished jobs as they are, unfinished ones as interrupted."""
        for folder in self._folder.iterdir():
            if not ID.fullmatch(folder.name):
                continue  # not a job's: somebody else's
            try:
                status = JobStatus.model_validate(parse_json((folder / "job.json").read_bytes()))
                if status.id != folder.name:
                    raise ValueError("another job's record")
            except (OSError, ValueError, RecursionError):
                # Killed while the folder was being made: nobody was told of this job.
                _remove(folder)
                continue
            job = Job(folder, status)
            job.tidy()
            if not job.over:
                job.update(state="interrupted", finished=time.time(), error=INTERRUPTED)
            self._jobs[status.id] = job


def _remove(folder: Path) -> bool:
    """Delete a job's folder: the files that are a job's, and the folder if it then is empty. Are these files gone?"""
    paths = [folder / name for name in _FILES]
    with suppress(OSError):
        paths += folder.glob(".mild-*.part")
    for path in paths:
        with suppress(OSError):
            path.unlink()
    with suppress(OSError):
        folder.rmdir()
    return not any(os.path.lexists(folder / name) for name in _FILES)
