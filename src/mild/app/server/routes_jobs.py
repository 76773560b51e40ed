"""Routes of jobs: start, wait, watch, stop, and everything that can be made of a result."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Annotated, Any, Literal, get_args

from fastapi import APIRouter, Path, Query, Request, Response
from fastapi.responses import FileResponse, JSONResponse, StreamingResponse
from pydantic import BaseModel, Field
from starlette.background import BackgroundTask

from mild.app.server.jobs import Job, JobStatus, Kind
from mild.app.server.openapi import JOB_BODY
from mild.app.server.problems import FAULTS, Problem, responses
from mild.app.server.results import FORMATS, LAYERED, Choice, discard
from mild.app.server.routes_photos import Held, job_of
from mild.app.server.service import Service
from mild.errors import MildError, UsageError

router = APIRouter(prefix="/v1", tags=["jobs"])

Format = Literal["png", "jpeg", "webp", "psd", "ora", "zip"]
assert get_args(Format) == tuple(FORMATS)
JobId = Annotated[str, Path(description="As given when the job was made.")]
Ids = Annotated[str, Query(pattern=r"^$|^\d{1,6}(,\d{1,6}){0,99}$", description="People's numbers: 2 or 1,3.")]
Flatten = Annotated[
    bool,
    Query(
        description="psd, ora and zip hold the original photo and everybody who was erased, as hidden layers; true "
        "leaves these out."
    ),
]
#: Says of every result whether the photo as it was is in it.
HOLDS = "X-Mild-Holds-Original"
PICTURES: dict[int | str, dict[str, Any]] = {
    200: {
        "content": {media: {} for _, media in FORMATS.values()},
        "headers": {
            HOLDS: {
                "schema": {"type": "string", "enum": ["true", "false"]},
                "description": "Are the original photo, and whoever was erased, in this file?",
            }
        },
    }
}
#: A quiet connection is taken for dead by proxies after a minute or less.
HEARTBEAT = 15.0


class LayerInfo(BaseModel):
    """A layer of a finished job."""

    index: int = Field(description="0 is the rearmost.")
    kind: Literal["background", "person"]
    owner: int | None = Field(description="The person's number; null for the background.")
    name: str
    box: list[int] = Field(description="Its window x0, y0, x1, y1 in the photo.")
    hidden: bool
    generated: float = Field(description="Share of its pixels that the model made.")


class Layers(BaseModel):
    """The stack of a finished job, from back to front."""

    width: int
    height: int
    layers: list[LayerInfo]


@router.post(
    "/erase", openapi_extra=JOB_BODY, response_class=Response,
    responses={**PICTURES, 202: {"model": JobStatus, "description": "Not done in time: the job"},
               **responses(404, 415, 429, 503, 507)},
    summary="Erase people: the result, or the job if it takes long",
)  # fmt: skip
async def erase(request: Request, service: Held, format: Format = "png", flatten_hidden: Flatten = False) -> Response:
    return await _do(request, service, "erase", format, Choice(flatten_hidden=flatten_hidden))


@router.post(
    "/layers", openapi_extra=JOB_BODY, response_class=Response,
    responses={**PICTURES, 202: {"model": JobStatus, "description": "Not done in time: the job"},
               **responses(404, 415, 429, 503, 507)},
    summary="Take a photo apart: the layers, or the job if it takes long",
)  # fmt: skip
async def layers(request: Request, service: Held, format: Format = "zip") -> Response:
    return await _do(request, service, "layers", format, Choice())


@router.post(
    "/jobs", status_code=202, response_model=JobStatus, openapi_extra=JOB_BODY,
    responses=responses(404, 415, 429, 503, 507), summary="Queue a job",
)  # fmt: skip
async def create(request: Request, response: Response, service: Held) -> JobStatus:
    body = await job_of(request, service)
    job = await service.start(body.kind, body)
    response.headers["Location"] = f"/v1/jobs/{job.id}"
    return job.status


@router.get("/jobs/{job_id}", response_model=JobStatus, responses=responses(404), summary="A job's status")
async def status(job_id: JobId, service: Held) -> JobStatus:
    return service.job(job_id).status


@router.get(
    "/jobs/{job_id}/events", response_class=StreamingResponse,
    responses={200: {"content": {"text/event-stream": {}}}, **responses(404)},
    summary="Server-sent events: `status` with the job at every change, until it is over",
)  # fmt: skip
async def events(job_id: JobId, service: Held) -> Response:
    return StreamingResponse(_events(service.job(job_id)), media_type="text/event-stream")


@router.post(
    "/jobs/{job_id}/cancel", response_model=JobStatus, status_code=202, responses=responses(404),
    summary="Stop a job, at its next step if it runs",
)  # fmt: skip
async def cancel(job_id: JobId, service: Held) -> JobStatus:
    job = service.job(job_id)
    await asyncio.to_thread(service.queue.cancel, job)
    return job.status


@router.delete("/jobs/{job_id}", status_code=204, responses=responses(404, 409), summary="Forget a finished job")
async def delete(job_id: JobId, service: Held) -> None:
    job = service.job(job_id)
    if not job.status.state or not job.over:
        raise Problem(409, "The job is not over; cancel it first.")
    await asyncio.to_thread(service.drop, job)


@router.get(
    "/jobs/{job_id}/result", response_class=Response, responses={**PICTURES, **responses(404, 409, 410)},
    summary="The result in any format; with hide, show or front, another choice (no model is run)",
)  # fmt: skip
async def result(
    job_id: JobId,
    service: Held,
    format: Format = "png",
    hide: Ids = "",
    show: Ids = "",
    front: Ids = "",
    flatten_hidden: Flatten = False,
) -> Response:
    job = _done(service, job_id)
    return await _file(service, job, format, Choice(_ids(hide), _ids(show), _ids(front), flatten_hidden))


@router.get("/jobs/{job_id}/layers", response_model=Layers, responses=responses(404, 409, 410), summary="The layers")
async def layer_list(job_id: JobId, service: Held) -> dict[str, Any]:
    found: dict[str, Any] = await _printed(service, "layers", _done(service, job_id))
    return found


@router.get(
    "/jobs/{job_id}/layers/{index}.png", response_class=Response,
    responses={200: {"content": {"image/png": {}}}, **responses(404, 409, 410)}, summary="One layer as RGBA",
)  # fmt: skip
async def layer_picture(
    job_id: JobId,
    index: Annotated[int, Path(ge=0, le=10_000)],
    service: Held,
    full: Annotated[bool, Query(description="In the photo's frame rather than its own window.")] = False,
) -> Response:
    data = await _printed(service, "layer", _done(service, job_id), index, full)
    if data is None:
        raise Problem(404, f"The job has no layer {index}.")
    return Response(data, media_type="image/png")


async def _do(request: Request, service: Service, kind: Kind, format: Format, choice: Choice) -> Response:
    """Start a job and wait for it, as long as the settings and the client's patience allow."""
    job = await service.start(kind, await job_of(request, service))
    loop = asyncio.get_running_loop()
    deadline = loop.time() + service.settings.sync_seconds
    async for _ in _changes(job, 0.5):
        if job.over:
            break
        if await request.is_disconnected():
            await asyncio.to_thread(service.queue.cancel, job)
            raise Problem(400, "The client went away.")
        if loop.time() > deadline:
            headers = {"Location": f"/v1/jobs/{job.id}"}
            return JSONResponse(job.status.model_dump(mode="json"), 202, headers)
    if job.status.state != "done":
        problem = _failure(job)
        await asyncio.to_thread(service.drop, job)
        raise problem
    try:
        response = await _file(service, job, format, choice, then=lambda: service.drop(job))
    except BaseException:
        service.drop(job)
        raise
    response.headers["X-Mild-Erased"] = ",".join(str(n) for n in (job.status.report or {}).get("erased", ()))
    return response


def _failure(job: Job) -> Problem:
    """What became of a job that is not done."""
    sentence = job.status.error or "The job is not done."
    if job.status.state == "cancelled":
        return Problem(409, sentence)
    status = 503 if job.status.state == "interrupted" else FAULTS[job.status.fault or "request"]
    return Problem(status, sentence, {"Retry-After": "30"} if status in (503, 507) else None)


def _done(service: Service, job_id: str) -> Job:
    job = service.job(job_id)
    if job.status.state in ("queued", "running"):
        raise Problem(409, f"The job is {job.status.state}; wait until it is done.", {"Retry-After": "1"})
    if job.status.state != "done":
        raise Problem(409, job.status.error or "The job was not done.")
    return job


async def _file(service: Service, job: Job, format: str, choice: Choice, then: Any = None) -> Response:
    try:
        path, folder = await service.render(job, format, choice)
    except MildError as error:
        raise _of_result(error) from None

    def clean() -> None:
        discard(folder)
        if then is not None:
            with suppress(OSError):  # it goes with the others, in time
                then()

    headers = {HOLDS: "true" if format in LAYERED and not choice.flatten_hidden else "false"}
    return FileResponse(
        path, headers=headers, media_type=FORMATS[format][1], filename=f"mild{path.suffix}",
        background=BackgroundTask(clean),
        content_disposition_type="inline" if format in ("png", "jpeg", "webp") else "attachment",
    )  # fmt: skip


async def _printed(service: Service, task: str, job: Job, *arguments: Any) -> Any:
    try:
        return await service.result(task, job, *arguments)
    except MildError as error:
        raise _of_result(error) from None


def _of_result(error: MildError) -> Exception:
    """What the sender can mend is a UsageError; a MildError there means that the job's own files are damaged."""
    if type(error) is MildError:
        return Problem(410, "The job's result is damaged or gone; do the job again.")
    return error


def _ids(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(part) for part in text.split(",") if part)
    except ValueError:
        raise UsageError("People are named by whole numbers, like 1,3.") from None


async def _changes(job: Job, pause: float) -> AsyncIterator[None]:
    """Wakes at every change of the job, and at the latest after ``pause`` seconds."""
    loop = asyncio.get_running_loop()
    changed = asyncio.Event()

    def tell() -> None:
        loop.call_soon_threadsafe(changed.set)

    stop = job.listen(tell)
    try:
        while True:
            yield
            try:
                await asyncio.wait_for(changed.wait(), pause)
            except TimeoutError:
                continue
            changed.clear()
    finally:
        stop()


async def _events(job: Job) -> AsyncIterator[str]:
    last = None
    async for _ in _changes(job, HEARTBEAT):
        status = job.status
        if status is last:
            yield ": still here\n\n"
        else:
            last = status
            yield f"event: status\ndata: {status.model_dump_json()}\n\n"
        if status.state in ("done", "failed", "cancelled", "interrupted"):
            return
