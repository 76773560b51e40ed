"""Request bodies: multipart or JSON with base64, checked before anything is queued."""

from __future__ import annotations

import base64
import binascii
import json
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar

from fastapi import Request
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException
from starlette.requests import ClientDisconnect

from mild.app.server.problems import Problem
from mild.app.server.settings import Settings
from mild.errors import UsageError
from mild.request import EraseRequest, Finder, explain

#: A form field that is not a file: the request's JSON, which may hold a mask as run-length code.
FIELD_BYTES = 16 * 2**20

_EXAMPLE: dict[str, Any] = {"selection": {"people": [2]}, "seed": 0}
M = TypeVar("M", bound=BaseModel)

_ID = "5f70bf18a086007016e948b04aed3b82"


class JobBody(BaseModel):
    """A job as JSON; ``photo`` and ``mask`` are files in base64."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"photo_id": _ID, "request": _EXAMPLE}]}
    )  # fmt: skip
    kind: Literal["erase", "layers"] = Field("erase", description="Only for /v1/jobs.")
    photo: str | None = Field(None, description="The photo's file in base64.")
    photo_id: str | None = Field(None, description="Instead of `photo`: the id of a photo uploaded before.")
    mask: str | None = Field(None, description="A mask picture in base64, of the photo's size; white = erase.")
    request: EraseRequest = Field(default_factory=lambda: EraseRequest.model_validate({}))


class PhotoBody(BaseModel):
    """A photo as JSON."""

    model_config = ConfigDict(extra="forbid")
    photo: str = Field(description="The photo's file in base64.")


@dataclass
class Body:
    """What a request holds, decoded."""

    photo: bytes | None = None
    photo_id: str | None = None
    mask: bytes | None = None
    kind: Literal["erase", "layers"] = "erase"
    request: EraseRequest = field(default_factory=lambda: EraseRequest.build())


async def read_body(request: Request) -> Body:
    """The body of a job or of an upload.

    Raises:
        Problem: 415 for another content type, 400 for a body that is cut or malformed, 422 for wrong values.
    """
    kind = request.headers.get("content-type", "").split(";")[0].strip().lower()
    if kind == "multipart/form-data":
        return await _multipart(request)
    if kind == "application/json":
        return await _json(request)
    raise Problem(415, "Send multipart/form-data or application/json.")


def check_http(request: EraseRequest, settings: Settings, *, erase: bool) -> None:
    """Refuse what must not come from afar: paths, downloads, models the operator did not name.

    Raises:
        UsageError: with the sentence for the sender.
    """
    if request.photo is not None:
        raise UsageError("request.photo is a path, which the server does not read; upload the photo.")
    if request.selection.mask is not None:
        raise UsageError("selection.mask is a path, which the server does not read; upload the mask or send mask_rle.")
    check_finder(request.finder)
    if request.method.model not in settings.models:
        raise UsageError(f"This server offers no such model (it has: {', '.join(settings.models)}).")
    if erase and request.selection.empty:
        raise UsageError("Nobody is chosen: name people by number, say everyone, or mark a point, a box or a mask.")


def check_finder(finder: Finder) -> None:
    """As :func:`check_http`, of the finder alone."""
    if finder.annotations is not None or finder.backend == "coco":
        raise UsageError("finder.annotations is a path, which the server does not read; send a mask instead.")
    if finder.model is not None:
        raise UsageError("finder.model cannot be chosen over HTTP.")
    if finder.allow_download:
        raise UsageError("The server fetches no weights on request; leave out finder.allow_download.")


def parse(model: type[M], text: str | bytes) -> M:
    """JSON to a model, strictly (false is not 0): what the OpenAPI document forbids is refused, in one sentence.

    Raises:
        Problem: 400 when it is not JSON.
        UsageError: a wrong value.
    """
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        raise Problem(400, "The body, or its part `request`, is not JSON.") from None
    try:
        return model.model_validate_json(text, strict=True)
    except ValidationError as error:
        raise UsageError(_sentence(error)) from None


async def read_json(request: Request, model: type[M]) -> M:
    """A JSON body as a model; errors as :func:`parse`."""
    try:
        return parse(model, await request.body())
    except ClientDisconnect:
        raise Problem(400, "The upload was cut short.") from None


def _sentence(error: ValidationError) -> str:
    return explain(error).replace("..", ".")


async def _multipart(request: Request) -> Body:
    body = Body()
    try:
        form = await request.form(max_files=2, max_fields=4, max_part_size=FIELD_BYTES)
    except (MultiPartException, ValueError, KeyError, UnicodeError) as error:
        raise Problem(400, f"The form cannot be read: {error}.") from None
    except ClientDisconnect:
        raise Problem(400, "The upload was cut short.") from None
    try:
        for name, value in form.multi_items():
            content = await value.read() if isinstance(value, UploadFile) else value
            _fill(body, name, content)
    finally:
        await form.close()
    return body


def _fill(body: Body, name: str, content: bytes | str) -> None:
    """Put one part of a form where it belongs; clients may send the request as a field or as a file."""
    if name in ("photo", "mask"):
        if isinstance(content, str):
            raise UsageError(f"The form's part {name} must be a file.")
        setattr(body, name, content)
    elif name == "request":
        body.request = parse(EraseRequest, content)
    elif name == "photo_id" and isinstance(content, str):
        body.photo_id = content
    elif name == "kind" and isinstance(content, str):
        body.kind = _kind(content)
    else:
        raise UsageError(f"The form has an unknown part {name!r}; it takes photo, photo_id, mask, request and kind.")


async def _json(request: Request) -> Body:
    data = await read_json(request, JobBody)
    return Body(
        photo=_base64("photo", data.photo),
        photo_id=data.photo_id,
        mask=_base64("mask", data.mask),
        kind=data.kind,
        request=data.request,
    )


def _base64(name: str, text: str | None) -> bytes | None:
    if text is None:
        return None
    # A data URL is what a browser's canvas gives.
    if text.startswith("data:"):
        text = text.partition(",")[2]
    try:
        return base64.b64decode("".join(text.split()), validate=True)
    except (binascii.Error, ValueError):
        raise UsageError(f"{name} is not base64.") from None


def _kind(value: str) -> Literal["erase", "layers"]:
    if value not in ("erase", "layers"):
        raise UsageError("kind must be erase or layers.")
    return "erase" if value == "erase" else "layers"
