"""Routes of photos and of the people in them."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Query, Request, Response
from pydantic import BaseModel, Field
from starlette.requests import ClientDisconnect

from mild.app.server.inputs import Body, check_finder, check_http, read_body, read_json
from mild.app.server.openapi import JOB_BODY, PHOTO_BODY, SELECTION_BODY
from mild.app.server.photos import Known
from mild.app.server.problems import Problem, responses
from mild.app.server.service import Service
from mild.request import Finder, Selection

router = APIRouter(prefix="/v1", tags=["photos and people"])


async def service_of(request: Request) -> Service:  # else the framework sends every request through a thread for it
    service = request.app.state.service
    assert isinstance(service, Service)
    return service


Held = Annotated[Service, Depends(service_of)]
PhotoId = Annotated[str, Path(description="As given by the upload.", examples=["5f70bf18a086007016e948b04aed3b82"])]
Backend = Annotated[str, Query(description="How people are found: auto, nanodet, ssd, blazepose, hub or none.")]
Masks = Annotated[bool, Query(description="Add each person's mask as COCO run-length code.")]


class PhotoInfo(BaseModel):
    """An uploaded photo."""

    id: str = Field(description="Hash of the file: the same file has the same id.")
    width: int
    height: int


class PersonInfo(BaseModel):
    """A person of the photo."""

    id: int = Field(description="Number, from left to right.")
    box: list[int] = Field(description="x0, y0, x1, y1 in pixels.")
    area: int
    score: float
    sure: bool = Field(description="False: listed, but only erased when named.")
    role: str = Field(description="subject, bystander or unsure: is the photo of this person?")
    things: list[str] = Field(description="Kinds of things that go along with them and are in the mask.")
    depth: int = Field(description="0 is the rearmost.")
    source: str
    keypoints: list[list[float]] | None = Field(description="17 COCO keypoints: x, y, confidence.")
    mask: dict[str, Any] | None = Field(None, description="COCO run-length code, when asked for.")


class People(BaseModel):
    """Who is in a photo."""

    photo: PhotoInfo
    people: list[PersonInfo]


class ThingInfo(BaseModel):
    """Something that may go with a person."""

    person: int = Field(description="Whose it may be.")
    kind: str = Field(examples=["tennis racket"])
    score: float
    box: tuple[int, int, int, int]
    at: tuple[int, int] = Field(description="A pixel of it: named in a selection's `also`, it goes with that person.")
    held: bool = Field(description="Surely theirs: it goes along by itself, unless the selection's `leave` names `at`.")


class Things(BaseModel):
    """What may go with the people in a photo."""

    things: list[ThingInfo]


class Chosen(People):
    """The people after a selection: a click or box where nobody was found adds a region of its own."""

    selected: list[int] = Field(description="Whom this selection erases.")


def finder_of(backend: str) -> Finder:
    finder = Finder.model_validate({"backend": backend})
    check_finder(finder)
    return finder


@router.post(
    "/photos", status_code=201, response_model=PhotoInfo, openapi_extra=PHOTO_BODY, responses=responses(415),
    summary="Upload a photo once, to use it often",
)  # fmt: skip
async def upload(request: Request, service: Held) -> dict[str, Any]:
    body = await body_of(request, service)
    if body.photo is None:
        raise Problem(422, "Send the photo, as the form's file `photo` or in base64.")
    return _info(*await service.add(body.photo))


@router.get("/photos/{photo_id}", response_model=PhotoInfo, responses=responses(404), summary="A photo's size")
async def info(photo_id: PhotoId, service: Held) -> dict[str, Any]:
    return _info(photo_id, service.photos.known(photo_id))


@router.delete("/photos/{photo_id}", status_code=204, responses=responses(404), summary="Forget a photo")
async def forget(photo_id: PhotoId, service: Held) -> None:
    await asyncio.to_thread(service.forget, photo_id)


@router.get(
    "/photos/{photo_id}/picture", responses={200: {"content": {"image/png": {}, "image/jpeg": {}}}, **responses(404)},
    response_class=Response, summary="The photo, upright; smaller (as JPEG) if asked",
)  # fmt: skip
async def picture(
    photo_id: PhotoId,
    service: Held,
    max_side: Annotated[int | None, Query(ge=16, le=16384, description="Long side at most; JPEG then.")] = None,
) -> Response:
    data, media = await service.printer.call("picture", str(service.photos.path(photo_id)), max_side)
    return Response(data, media_type=media)


@router.get(
    "/photos/{photo_id}/things", response_model=Things, responses=responses(404, 429),
    summary="What may go with the people in a photo: a racket, a bag, a bicycle",
)  # fmt: skip
async def things(photo_id: PhotoId, service: Held, backend: Backend = "auto") -> dict[str, Any]:
    service.photos.known(photo_id)
    return {"things": await service.things(photo_id, finder_of(backend))}


@router.get(
    "/photos/{photo_id}/people", response_model=People, responses=responses(404, 429),
    summary="Find the people in a photo; the answer is remembered",
)  # fmt: skip
async def people(photo_id: PhotoId, service: Held, backend: Backend = "auto", masks: Masks = False) -> dict[str, Any]:
    known = service.photos.known(photo_id)
    return {"photo": _info(photo_id, known), "people": await service.people(photo_id, finder_of(backend), masks)}


@router.get(
    "/photos/{photo_id}/people.png", responses={200: {"content": {"image/png": {}}}, **responses(404, 429)},
    response_class=Response, summary="Whose pixel is it: a grey PNG of the photo's size, the person's number or 0",
)  # fmt: skip
async def label_map(photo_id: PhotoId, service: Held, backend: Backend = "auto") -> Response:
    path = str(service.photos.path(photo_id))
    return Response(await service.finder.call("labels", path, finder_of(backend)), media_type="image/png")


@router.post(
    "/photos/{photo_id}/select", response_model=Chosen, openapi_extra=SELECTION_BODY, responses=responses(404, 429),
    summary="Whom does a click, a box or a mask mean? Nothing is erased",
)  # fmt: skip
async def choose(
    photo_id: PhotoId, request: Request, service: Held, backend: Backend = "auto", masks: Masks = False
) -> dict[str, Any]:
    selection = await read_json(request, Selection, service.settings)
    if selection.mask is not None:
        raise Problem(422, "selection.mask is a path, which the server does not read; send mask_rle.")
    known = service.photos.known(photo_id)
    people, ids = await service.select(photo_id, finder_of(backend), selection, masks)
    return {"photo": _info(photo_id, known), "people": people, "selected": ids}


@router.post(
    "/people", response_model=People, openapi_extra=JOB_BODY, responses=responses(404, 415, 429),
    summary="Upload a photo and find the people in it",
)  # fmt: skip
async def people_once(request: Request, service: Held, masks: Masks = False) -> dict[str, Any]:
    body = await body_of(request, service)
    check_http(body.request, service.settings, erase=False)
    photo_id = await service.photo_id(body)
    people = await service.people(photo_id, body.request.finder, masks)
    return {"photo": _info(photo_id, service.photos.known(photo_id)), "people": people}


async def job_of(request: Request, service: Service) -> Body:
    """The body of a job; where the queue is full, what is sent is let pass by and not looked at."""
    try:
        service.queue.check()
    except Problem:
        with suppress(ClientDisconnect):
            async for _ in request.stream():
                pass
        raise
    return await body_of(request, service)


async def body_of(request: Request, service: Service) -> Body:
    """The request's body; a long one is parsed in another process."""

    async def unpack(text: bytes, fields: tuple[str, ...]) -> tuple[bytes, dict[str, bytes | None]]:
        found: tuple[bytes, dict[str, bytes | None]] = await service.reader.call("parse", text, fields)
        return found

    return await read_body(request, service.settings, unpack)


def _info(id: str, known: Known) -> dict[str, Any]:
    return {"id": id, "width": known.width, "height": known.height}
