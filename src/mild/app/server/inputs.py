"""Request bodies: multipart or JSON with base64, checked before anything is queued."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar

from fastapi import Request
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.formparsers import MultiPartException
from starlette.requests import ClientDisconnect

from mild.app.server.encoded import unbase64
from mild.app.server.problems import Problem
from mild.app.server.settings import Settings
from mild.errors import UsageError
from mild.fill import fillers
from mild.request import EraseRequest, Finder, explain

#: A JSON body up to so many bytes is parsed beside the event loop, a longer one in another process.
_INLINE = 256 * 1024
_MOST_PEOPLE = _MOST_FURTHER = 1000

_EXAMPLE: dict[str, Any] = {"selection": {"people": [2]}, "seed": 0}
M = TypeVar("M", bound=BaseModel)
Unpack = Callable[[bytes, tuple[str, ...]], Awaitable[tuple[bytes, dict[str, bytes | None]]]]

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


async def read_body(request: Request, settings: Settings, unpack: Unpack) -> Body:
    """The body of a job or of an upload.

    Args:
        unpack: takes the files named out of a long JSON body, in another process.

    Raises:
        Problem: 415 for another content type, 400 for a body that is cut or malformed, 422 for wrong values.
    """
    kind = request.headers.get("content-type", "").split(";")[0].strip().lower()
    if kind == "multipart/form-data":
        return await _multipart(request, settings)
    if kind == "application/json":
        return await _json(request, settings, unpack)
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
    if request.also:
        raise UsageError("request.also holds paths, which the server does not read; leave it out.")
    if request.output.sign_cert is not None:
        raise UsageError("output.sign_cert and private_key are paths, which the server does not read; sign at home.")
    check_finder(request.finder)
    if request.method.model.name not in settings.models:
        raise UsageError(f"This server offers no such model (it has: {', '.join(settings.models)}).")
    offered = fillers.choices()
    if request.method.parts.fill not in offered:
        raise UsageError(f"This server offers no such filler (it has: {', '.join(offered)}).")
    check_request(request, settings)
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


def check_request(request: EraseRequest, settings: Settings) -> None:
    """Refuse what would cost more than this server gives to one request, before any of it is done.

    Raises:
        UsageError: with the sentence for the sender.
    """
    selection, method = request.selection, request.method
    marks = len(selection.points) + len(selection.boxes) + len(selection.clicks) + len(selection.also)
    further = sum(len(click.on) + len(click.off) for click in selection.clicks) + len(selection.leave)
    named = len(selection.people) + len(selection.keep or ())
    for given, most, what in (
        (marks, settings.max_marks, "points and boxes in a request"),
        (further, _MOST_FURTHER, "further points of clicks in a request"),
        (named, _MOST_PEOPLE, "people named in a request"),
        (method.sampling.steps, settings.max_steps, "denoising steps"),
        (method.sampling.resolution, settings.max_resolution, "pixels of resolution"),
    ):
        if given > most:
            raise UsageError(f"This server takes at most {most} {what}, not {given}.")
    for code in (selection.mask_rle, selection.spare_rle):
        counts = None if code is None else code.get("counts")
        if isinstance(counts, str | list | tuple) and len(counts) > settings.max_request:
            raise UsageError(f"A run-length mask may have at most {settings.max_request} counts; send a picture.")


def parse(model: type[M], text: str | bytes) -> M:
    """JSON to a model, strictly (false is not 0): what the OpenAPI document forbids is refused, in one sentence.

    Raises:
        Problem: 400 when it is not JSON.
        UsageError: a wrong value.
    """
    try:
        made = model.model_validate_json(text, strict=True)
        # A NUL or half a character in a text is JSON, but no file and no log could take it.
        if b"\\u0000" in (again := made.model_dump_json().encode()) or b"\0" in again:
            raise UsageError("A text in the request holds a NUL character.")
        return made
    except ValidationError as error:
        if error.errors(include_input=False, include_url=False)[0]["type"] == "json_invalid":
            raise Problem(400, "The body, or its part `request`, is not JSON.") from None
        raise UsageError(_sentence(error, model)) from None
    except (ValueError, RecursionError):
        raise Problem(400, "The body, or its part `request`, is not JSON.") from None


async def read_json(request: Request, model: type[M], settings: Settings) -> M:
    """A JSON body without files as a model; errors as :func:`parse`, and 413 when it is too long."""
    return await asyncio.to_thread(parse, model, _short(await _whole(request), settings))


async def _whole(request: Request) -> bytes:
    try:
        return await request.body()
    except ClientDisconnect:
        raise Problem(400, "The upload was cut short.") from None


def _short(text: bytes | str, settings: Settings) -> bytes | str:
    if len(text) > settings.max_request:
        raise Problem(
            413, f"The request, without its files, is longer than the {settings.max_request} bytes taken here."
        )
    return text


def _sentence(error: ValidationError, model: type[BaseModel]) -> str:
    first, sentence = error.errors()[0], explain(error).replace("..", ".")
    if first["type"] == "extra_forbidden" and len(first["loc"]) == 1:
        inside = model is JobBody and first["loc"][0] in EraseRequest.model_fields
        where = "it belongs inside `request`" if inside else f"there are {', '.join(model.model_fields)}"
        return f"{sentence.removesuffix('.')}; {where}."
    return sentence


async def _multipart(request: Request, settings: Settings) -> Body:
    body = Body()
    try:
        form = await request.form(max_files=2, max_fields=4, max_part_size=settings.max_request)
    except (MultiPartException, ValueError, KeyError, UnicodeError) as error:
        raise Problem(400, f"The form cannot be read: {f'{error}'.rstrip('.')}.") from None
    except HTTPException as error:
        # How the framework tells of a malformed form by itself.
        raise Problem(error.status_code, f"The form cannot be read: {error.detail.rstrip('.')}.") from None
    except ClientDisconnect:
        raise Problem(400, "The upload was cut short.") from None
    try:
        for name, value in form.multi_items():
            content = await value.read() if isinstance(value, UploadFile) else value
            await _fill(body, name, content, settings)
    finally:
        await form.close()
    return body


async def _fill(body: Body, name: str, content: bytes | str, settings: Settings) -> None:
    """Put one part of a form where it belongs; clients may send the request as a field or as a file."""
    if name in ("photo", "mask"):
        if isinstance(content, str):
            raise UsageError(f"The form's part {name} must be a file.")
        setattr(body, name, content)
    elif name == "request":
        body.request = await asyncio.to_thread(parse, EraseRequest, _short(content, settings))
    elif name == "photo_id" and isinstance(content, str):
        body.photo_id = content
    elif name == "kind" and isinstance(content, str):
        body.kind = _kind(content)
    else:
        raise UsageError(f"The form has an unknown part {name!r}; it takes photo, photo_id, mask, request and kind.")


async def _json(request: Request, settings: Settings, unpack: Unpack) -> Body:
    """Files in base64 are taken out of a long body elsewhere: parsing it here would hold up everybody."""
    text = await _whole(request)
    files: dict[str, bytes | None] = {}
    if len(text) > _INLINE:
        text, files = await unpack(text, ("photo", "mask"))
    data = await asyncio.to_thread(parse, JobBody, _short(text, settings))
    return Body(
        photo=files.get("photo") or _base64("photo", data.photo),
        photo_id=data.photo_id,
        mask=files.get("mask") or _base64("mask", data.mask),
        kind=data.kind,
        request=data.request,
    )


def _base64(name: str, text: str | None) -> bytes | None:
    return None if text is None else unbase64(name, text)


def _kind(value: str) -> Literal["erase", "layers"]:
    if value not in ("erase", "layers"):
        raise UsageError("kind must be erase or layers.")
    return "erase" if value == "erase" else "layers"
