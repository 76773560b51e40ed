"""What the operator of the server decides."""

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
        max_pixels: largest photo.
        max_queue: jobs that may wait; one more is refused with 429.
        max_seconds: longest time a job may run.
        sync_seconds: how long ``/v1/erase`` and ``/v1/layers`` wait before they hand back the job instead.
        idle_seconds: without work for so long, the model is unloaded.
        grace_seconds: time the running job is given to finish when the server is told to stop.
        keep_seconds: finished jobs and unused photos are deleted after that.
        keep_jobs: finished jobs kept at most, the newest.
        keep_photos: photos kept at most, the newest.
        api_key: asked of every request but ``/health``; None asks for none.
        hosts: names the server answers to (a web page elsewhere cannot then reach it through a name of its own);
            empty answers to any.
        models: values of ``method.model`` that a request may name.
        cors_origins: web origins that may call the API from a browser; none by default.
        open_prefixes: paths that begin so are answered without a key: a page's files, never data.
    """

    state: Path
    max_bytes: int = 64 * 2**20
    max_pixels: int = 60_000_000
    max_queue: int = 16
    max_seconds: float = 900.0
    sync_seconds: float = 60.0
    idle_seconds: float = 600.0
    grace_seconds: float = 20.0
    keep_seconds: float = 24 * 3600.0
    keep_jobs: int = 100
    keep_photos: int = 100
    api_key: str | None = None
    hosts: tuple[str, ...] = ()
    models: tuple[str, ...] = ("mild-small",)
    cors_origins: tuple[str, ...] = ()
    open_prefixes: tuple[str, ...] = ()
