"""The FastAPI application."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Literal

from fastapi import FastAPI, Request, Response
from pydantic import BaseModel, Field
from starlette.concurrency import run_in_threadpool
from starlette.middleware.cors import CORSMiddleware

from mild import __version__
from mild.app.server import docs_page, openapi, problems, routes_jobs, routes_photos
from mild.app.server.guard import Guard
from mild.app.server.metrics import Metrics
from mild.app.server.results import FORMATS
from mild.app.server.road import Road
from mild.app.server.service import Service
from mild.app.server.settings import Settings
from mild.fill import fillers

DESCRIPTION = """Chosen people leave a photo, layer by layer; everybody else stays as they are.

Small jobs: `POST /v1/erase` with the photo and a request, and the answer is the picture. Others: `POST /v1/jobs`,
watch `/events`, fetch `/result`, and recompose it with `hide`, `show` and `front` as often as you like. The request is
the same JSON that the library takes and `mild erase --save-request` writes, and it gives the same pixels.

Errors are problem documents (RFC 9457). Nothing is fetched from addresses or read from paths that a request names.
"""


class Process(BaseModel):
    """A process that works for the server; it is started when it is needed."""

    name: str
    pid: int | None
    running: bool
    busy: bool
    lost: int = Field(description="How many of its kind crashed or were ended by the system.")


class Health(BaseModel):
    """Is the server well?"""

    status: Literal["ok", "failing", "stopping"]
    faults: list[str] = Field(description="Why it is failing.")
    version: str
    waiting: int = Field(description="Jobs in the queue.")
    running: bool
    model_loaded: bool
    disk_free: int = Field(description="Bytes that are free where photos and results are kept.")
    processes: list[Process]


class Limits(BaseModel):
    """What this server takes and gives."""

    max_bytes: int
    max_pixels: int
    max_request: int
    max_marks: int
    max_steps: int
    max_resolution: int
    max_queue: int
    max_seconds: float
    sync_seconds: float
    models: list[str]
    fillers: list[str] = Field(description="Values of `method.fill`, the built-in first.")
    formats: list[str]


def create_app(settings: Settings, road: Road | None = None) -> FastAPI:
    """The API over a state folder.

    Args:
        road: of a test: works in threads of this process; None: ``settings.road`` works in processes.
    """
    metrics = Metrics()

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        # Through the routes' own pool of threads, which is then loaded before the first request comes.
        app.state.service = await run_in_threadpool(Service, settings, road, metrics)
        yield
        await run_in_threadpool(app.state.service.close)

    app = FastAPI(
        title="MILD", version=__version__, description=DESCRIPTION, lifespan=lifespan, docs_url=None, redoc_url=None
    )  # fmt: skip
    app.state.settings, app.state.metrics = settings, metrics
    problems.install(app)
    app.include_router(routes_photos.router)
    app.include_router(routes_jobs.router)

    @app.get(
        "/health", response_model=Health, tags=["server"], summary="Is the server well? 503 when it is not",
        responses={503: {"model": Health, "description": "It cannot do jobs now"}},
    )  # fmt: skip
    async def health(request: Request, response: Response) -> dict[str, Any]:
        state: dict[str, Any] = request.app.state.service.health()
        response.status_code = 503 if state["status"] == "failing" else 200
        return state | {"version": app.version}

    @app.get("/v1/limits", response_model=Limits, tags=["server"], summary="What this server takes and gives")
    def limits() -> dict[str, Any]:
        names = [name for name in Limits.model_fields if name not in ("models", "fillers", "formats")]
        return {name: getattr(settings, name) for name in names} | {
            "models": list(settings.models),
            "fillers": fillers.choices(),
            "formats": list(FORMATS),
        }

    @app.get(
        "/metrics", response_class=Response, responses={200: {"content": {"text/plain": {}}}}, tags=["server"],
        summary="Prometheus metrics",
    )  # fmt: skip
    def prometheus() -> Response:
        return Response(metrics.render(), media_type="text/plain; version=0.0.4; charset=utf-8")

    docs_page.install(app)
    openapi.install(app, with_key=settings.api_key is not None)
    if settings.cors_origins:
        app.add_middleware(
            CORSMiddleware, allow_origins=list(settings.cors_origins), allow_methods=["*"], allow_headers=["*"]
        )  # fmt: skip
    app.add_middleware(Guard, settings=settings, metrics=metrics)
    return app
