"""Errors as problem documents (https://www.rfc-editor.org/rfc/rfc9457), each with one clear sentence."""

from __future__ import annotations

import json
import logging
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException
from starlette.routing import Match

from mild.errors import MildError

log = logging.getLogger("mild.app.server")

#: Failures of a task by their name: of the processes (``hands.py``), and of the disk.
_TASKS = {"Late": 503, "Ended": 503, "Broken": 500, "NoMemory": 413, "NoSpace": 507}
#: What a job's fault answers to whoever waited for it.
FAULTS = {"request": 422, "memory": 413, "time": 503, "process": 503, "disk": 507, "server": 500}
MEDIA_TYPE = "application/problem+json"
UNUSABLE = "The server cannot use its folder of photos and jobs now; its operator must look after it."


class Problem(Exception):
    """A refusal with its HTTP status and one sentence."""

    def __init__(self, status: int, detail: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(detail)
        self.status, self.detail, self.headers = status, detail, headers


class ProblemDocument(BaseModel):
    """RFC 9457."""

    type: str = "about:blank"
    title: str = Field(examples=["Unprocessable Content"])
    status: int = Field(examples=[422])
    detail: str = Field(examples=["There is no person 7 in this photo (people found: 1, 2)."])


def document(status: int, detail: str, headers: dict[str, str] | None = None) -> Response:
    """The response; ASCII only, so that a stray surrogate quoted from a request cannot break it."""
    try:
        title = HTTPStatus(status).phrase
    except ValueError:
        title = "Error"
    body = {"type": "about:blank", "title": title, "status": status, "detail": " ".join(detail.split())}
    return Response(json.dumps(body), status, headers, MEDIA_TYPE)


def responses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """What a route may answer besides success, for the OpenAPI document."""
    schema = {"$ref": "#/components/schemas/ProblemDocument"}
    return {
        status: {"description": HTTPStatus(status).phrase, "content": {MEDIA_TYPE: {"schema": schema}}}
        for status in sorted({*statuses, 400, 401, 403, 413, 422})
    }


def _methods(app: FastAPI, request: Request) -> list[str]:
    """What this address does take: all its routes', where the framework names the first one's alone."""
    scope = request.scope
    found: set[str] = set()
    for route in app.routes:
        for method in ("GET", "POST", "DELETE"):
            if route.matches({**scope, "method": method})[0] == Match.FULL:
                found.add(method)
    return sorted(found)


def install(app: FastAPI) -> None:
    """Every error of the app leaves as a problem document."""

    @app.exception_handler(Problem)
    async def _problem(request: Request, error: Problem) -> Response:
        return document(error.status, error.detail, error.headers)

    @app.exception_handler(MildError)
    async def _mild(request: Request, error: MildError) -> Response:
        status = _TASKS.get(type(error).__name__, 422)
        detail = "The server's disk is full; nothing was kept." if status == 507 else str(error)
        return document(status, detail, {"Retry-After": "30"} if status in (503, 507) else None)

    @app.exception_handler(OSError)
    async def _system(request: Request, error: OSError) -> Response:
        log.error("the state folder: %s", error)
        return document(503, UNUSABLE, {"Retry-After": "60"})

    @app.exception_handler(HTTPException)
    async def _http(request: Request, error: HTTPException) -> Response:
        known = {404: "There is nothing at this address.", 405: "This address does not take this method."}
        detail = known.get(error.status_code, f"{error.detail}".rstrip(".") + ".")
        headers = dict(error.headers or {})
        if error.status_code == 405:
            headers["Allow"] = ", ".join(_methods(app, request))
        return document(error.status_code, detail, headers)

    @app.exception_handler(RequestValidationError)
    async def _invalid(request: Request, error: RequestValidationError) -> Response:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"] if part not in ("query", "path", "body"))
        return document(422, f"{where or 'The request'}: {first['msg']}.")

    @app.exception_handler(Exception)
    async def _unexpected(request: Request, error: Exception) -> Response:
        log.exception("unexpected", exc_info=error)
        return document(500, "The server failed unexpectedly; its log says where.")
