"""What the operator of the server decides: places and limits, all of them in this one place."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from platformdirs import user_state_dir


def default_state() -> Path:
    """Where jobs and photos are kept when no folder is named."""
    return Path(user_state_dir("mild")) / "server"


@dataclass(frozen=True)
class Settings:
    """Limits and places.

    Attributes:
        state: folder of uploaded photos and of jobs; one server at a time.
        max_bytes: largest request body.
        max_held: bytes of request bodies held at once, of all clients together.
        max_pixels: largest photo.
        max_request: longest request in JSON, without photo and mask, in bytes; masks as run-length codes are in it.
        max_marks: points and boxes of a selection, together, and clicks of several points: each is a search of its own.
        max_steps, max_resolution: of the method; both cost time, the second memory.
        max_queue: jobs that may wait; one more is refused with 429.
        max_seconds: longest time a job may run, finding people included.
        max_memory: bytes that a process working on a photo may take; beyond, that job fails and nothing else.
        task_seconds: longest time anything but a job may take: reading a photo, finding people, writing a file.
        sync_seconds: how long ``/v1/erase`` and ``/v1/layers`` wait before they hand back the job instead.
        idle_seconds: without work for so long, a process is ended, and its model with it.
        grace_seconds: time the running job is given to finish when the server is told to stop.
        client_seconds: a client that sends nothing for so long is let go.
        max_connections: connections at once; one more is answered 503.
        keep_seconds: finished jobs and unused photos are deleted after that.
        keep_jobs: finished jobs kept at most, the newest.
        keep_photos: photos kept at most, the newest.
        least_disk: with fewer bytes free on the disk, the server says that it is not well.
        api_key: asked of every request but ``/health`` and the page of the API; None asks for none.
        hosts: names the server answers to (a web page elsewhere cannot then reach it through a name of its own);
            empty answers to any.
        models: values of ``method.model`` that a request may name.
        cors_origins: web origins that may call the API from a browser; none by default.
        open_prefixes: paths that begin so are answered without a key: a page's files, never data.
        road: ``module:name`` of what the processes work with.
    """

    state: Path
    max_bytes: int = 64 * 2**20
    max_held: int = 256 * 2**20
    max_pixels: int = 60_000_000
    max_request: int = 4 * 2**20
    max_marks: int = 64
    max_steps: int = 100
    max_resolution: int = 1024
    max_queue: int = 16
    max_seconds: float = 900.0
    max_memory: int = 8 * 2**30
    task_seconds: float = 120.0
    sync_seconds: float = 60.0
    idle_seconds: float = 600.0
    grace_seconds: float = 20.0
    client_seconds: float = 30.0
    max_connections: int = 256
    keep_seconds: float = 24 * 3600.0
    keep_jobs: int = 100
    keep_photos: int = 100
    least_disk: int = 64 * 2**20
    api_key: str | None = None
    hosts: tuple[str, ...] = ()
    models: tuple[str, ...] = ("mild-small",)
    cors_origins: tuple[str, ...] = ()
    open_prefixes: tuple[str, ...] = ()
    road: str = "mild.app.server.road:MildRoad"
