"""The library's short forms: calls with plain arguments, which build an :class:`~mild.request.EraseRequest`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from numpy.typing import NDArray
from PIL import Image

from mild.errors import UsageError
from mild.photo import Photo, PhotoLike
from mild.progress import Progress
from mild.request import EraseRequest, Finder, Method, Output, Region, Selection
from mild.result import EraseResult
from mild.runtimes import Models

#: What a mask may be given as: white (true, 255, 1.0) = erase; of the photo's size.
MaskLike = str | Path | bytes | Image.Image | NDArray[Any]


def erase(
    photo: PhotoLike,
    people: int | Iterable[int] = (),
    *,
    keep: int | Iterable[int] | None = None,
    everyone: bool = False,
    at: Iterable[tuple[int, int]] | tuple[int, int] = (),
    boxes: Iterable[tuple[int, int, int, int]] | tuple[int, int, int, int] = (),
    mask: MaskLike | None = None,
    seed: int = 0,
    finder: str = "auto",
    model: str = "mild-small",
    steps: int = 1,
    device: str = "auto",
    progress: Progress | None = None,
    models: Models | None = None,
    **options: Any,
) -> EraseResult:
    """Erase people from a photo; everybody else, and everything else, stays as it is.

    ::

        import mild

        mild.erase("group.jpg", people=[2]).save("out.png")
        mild.erase("group.jpg", keep=[1, 3])            # in a notebook the result shows itself
        mild.erase(array, mask=brush).image             # what a mask marks, a Pillow image back

    The choices add up: ``people=2, at=(310, 95)`` erases both. Whoever asks more than once about one photo uses
    :class:`mild.Session`, which finds its people once; whoever erases from many photos hands in ``models``.

    Args:
        photo: a path, the bytes of an image file, a Pillow image, a uint8 array ``[H, W, 3]`` (or ``[H, W]``,
            ``[H, W, 4]``), or a :class:`mild.Photo`.
        people: numbers of those who go, as :func:`mild.find_people` and ``mild people`` number them: 1, 2, … from left
            to right.
        keep: instead: everybody goes who was surely found, except these numbers.
        everyone: everybody goes who was surely found.
        at: pixels ``(x, y)``: whoever, or whatever, is there goes.
        boxes: boxes ``(x0, y0, x1, y1)`` around somebody who goes.
        mask: what goes, of the photo's size: a path, bytes, a Pillow image, or an array (bool, or numbers: from half
            of white on).
        seed: same seed, same pixels.
        finder: who looks for people: ``auto``, ``none``, … (``mild models`` lists them).
        model: the embedded model, or a folder or hub id of a :class:`mild.MildPipeline`.
        steps: denoising steps; 1 suits the embedded model.
        device: ``auto``, ``cpu``, ``cuda`` or ``mps``.
        progress: called with a stage's name and the fraction of it that is done; raising
            :class:`mild.Cancelled` in it stops the job.
        models: models in memory, see :class:`mild.Models`; None: loaded for this call alone.
        options: any other field of the request by its own name: ``dilate``, ``feather``, ``resolution``, ``runtime``,
            ``dtype``, ``denoise``, ``things``, ``prompt``, …

    Returns:
        The result: ``.image``, ``.photo``, ``.mask``, ``.layers``, ``.people``, ``.save(path)``.

    Raises:
        UsageError: something was asked for that cannot be; one sentence says what, and how to mend it.
        MildError: something could not be done.
    """
    from mild.road import run

    opened = Photo.of(photo)
    given = {"keep": keep, "everyone": everyone, "at": at, "boxes": boxes, "mask": mask}
    # `backend` is the request's own name of the finder; whoever says it by that name is understood, too.
    said = {"seed": seed, "backend": finder, "model": model, "steps": steps, "device": device} | options
    chosen = {name: value for name, value in given.items() if value is not None}
    request = build_request(people=people, **chosen, **said)
    if opened.path is not None:
        request = request.model_copy(update={"photo": str(opened.path)})
    return run(request, opened, progress=progress, models=models)


def flat(people: int | Iterable[int] | None, options: Mapping[str, Any]) -> dict[str, Any]:
    """A question's plain arguments (``at``, ``keep``, ``finder``, …) by the names of the request's fields."""
    fields = dict(options)
    if "at" in fields or "points" in fields:  # the request's own name adds up with the short one
        fields["points"] = _tuples("at", fields.pop("at", ()), 2) + _tuples("points", fields.get("points", ()), 2)
    if "boxes" in fields:
        fields["boxes"] = _tuples("boxes", fields["boxes"], 4)
    if fields.get("keep") is not None:
        fields["keep"] = _numbers(fields["keep"])
    if isinstance(fields.get("finder"), str):
        fields["backend"] = fields.pop("finder")
    numbers = () if people is None else _numbers(people)
    return {**fields, "people": numbers} if numbers else fields


def build_request(**options: Any) -> EraseRequest:
    """An :class:`EraseRequest` from the keywords of :func:`erase`; each goes to the part that has a field of its name.

    ``model`` is the denoiser's; the finder's own is ``finder_model``.

    Raises:
        UsageError: a field that there is not, or a value that it cannot have.
    """
    parts: dict[str, Any] = {}
    for name, value in flat(options.pop("people", ()), options).items():
        if name == "mask" and not isinstance(value, str | Path):
            name, value = "mask_rle", _encoded(value)
        part = _PART_OF.get(name)
        if part is None:
            parts[name] = {**parts.get(name, {}), **value} if isinstance(value, dict) else value
        else:
            parts.setdefault(part, {})[_RENAMED.get(name, name)] = str(value) if isinstance(value, Path) else value
    return EraseRequest.build(**parts)


#: Flat names that differ from the field's own.
_RENAMED = {"finder_model": "model"}
#: Flat name -> the request's part. What several parts have is the first's.
_PART_OF: dict[str, str] = {
    **dict.fromkeys(Finder.model_fields, "finder"),
    "finder_model": "finder",
    **dict.fromkeys(Region.model_fields, "region"),
    **dict.fromkeys(Output.model_fields, "output"),
    **dict.fromkeys(Selection.model_fields, "selection"),
    **{
        field: "method"
        for group in Method.model_fields.values()
        for field in getattr(group.annotation, "model_fields", ())
        if field != "name"
    },
    "model": "method",
}


def _encoded(mask: Any) -> dict[str, object]:
    from mild.people.finders.coco import encode_rle
    from mild.photo import mask_of

    return encode_rle(mask_of(mask))


def _numbers(given: int | Iterable[int]) -> tuple[int, ...]:
    if isinstance(given, str):
        raise UsageError(f"People are numbers, like 2 or [1, 3], not {given!r}.")
    return tuple(given) if isinstance(given, Iterable) else (given,)


def _tuples(name: str, given: Iterable[Any], length: int) -> tuple[tuple[Any, ...], ...]:
    """One tuple of numbers, or several of them, as several."""
    values = tuple(given) if isinstance(given, Iterable) and not isinstance(given, str) else (given,)
    if len(values) == length and not any(isinstance(value, Iterable) for value in values):
        return (values,)
    if not all(isinstance(value, Iterable) and not isinstance(value, str) for value in values):
        one = "(x, y)" if length == 2 else "(x0, y0, x1, y1)"
        raise UsageError(f"{name} takes {one}, or a list of such, not {given!r}.")
    return tuple(tuple(value) for value in values)
