"""Photo in, Scene out: who is in the photo, and whom does the user mean.

One entry per backend in :data:`BACKENDS`, with provenance and licence. Find once, then select as often as you like:

    scene = find_people(photo, Finder())
    scene, ids = select(scene, Selection(people=(2,)))
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from mild.errors import UsageError
from mild.models import registry as asset_registry
from mild.people import memory
from mild.people.overlay import draw_overlay
from mild.people.scene import Person, Scene
from mild.people.selection import select
from mild.photo import Photo
from mild.request import Finder

__all__ = ["BACKENDS", "Backend", "draw_overlay", "find_people", "resolve", "select"]


@dataclass(frozen=True)
class Backend:
    """One way to find people.

    Attributes:
        name: as in ``Finder.backend``.
        summary: one line for help texts.
        provenance: who made the weights or the data.
        licence: of the weights.
        find: the function; heavy imports happen inside.
    """

    name: str
    summary: str
    provenance: str
    licence: str
    find: Callable[[Photo, Finder], Scene]


def _find_blazepose(photo: Photo, finder: Finder) -> Scene:
    from mild.people.finders import blazepose

    return blazepose.find(photo)


def _find_hub(photo: Photo, finder: Finder) -> Scene:
    from mild.people.finders import hub

    return hub.find(photo, finder.model, finder.allow_download)


def _find_coco(photo: Photo, finder: Finder) -> Scene:
    from mild.people.finders import coco

    if finder.annotations is None:
        raise UsageError("The finder 'coco' needs a COCO instances file (annotations).")
    return coco.read_people(photo, Path(finder.annotations))


def _find_none(photo: Photo, finder: Finder) -> Scene:
    return Scene(photo)


BACKENDS: dict[str, Backend] = {
    backend.name: backend
    for backend in (
        Backend(
            "blazepose",
            "basic offline finder; may miss people at the edge, behind others, or far away",
            "BlazePose and BlazeFace nets of mediapipe 0.10.21 (Google)",
            "Apache-2.0",
            _find_blazepose,
        ),
        Backend(
            "hub",
            "instance segmentation through transformers; better, needs weights of the hub",
            "the model's own card; by default " + asset_registry.REGISTRY["rf-detr-seg"].source,
            "the model's own",
            _find_hub,
        ),
        Backend("coco", "people from a COCO instances file", "the file's author", "the file's own", _find_coco),
        Backend("none", "finds nobody: everything is marked by hand", "-", "-", _find_none),
    )
}


#: Backends that depend on nothing but the pixels.
REMEMBERED = ("blazepose", "hub")
#: Photos whose people are kept in mind; masks live in windows, so this is little memory.
MOST_REMEMBERED = 8
_found: dict[tuple[str, str, str], tuple[tuple[Person, ...], tuple[int, ...]]] = {}
_lock = threading.Lock()


def resolve(finder: Finder) -> Backend:
    """The backend that a request means. ``auto``: coco when annotations are given, hub when its weights are on this
    machine (or a model is named), otherwise blazepose.

    Raises:
        UsageError: no backend of that name.
    """
    name = finder.backend
    if name == "auto":
        from mild.people.finders.hub import default_model

        if finder.annotations is not None:
            name = "coco"
        else:
            name = "hub" if finder.model is not None or default_model() is not None else "blazepose"
    try:
        return BACKENDS[name]
    except KeyError:
        raise UsageError(f"There is no finder '{name}' (known: auto, {', '.join(BACKENDS)}).") from None


def find_people(photo: Photo, finder: Finder | None = None) -> Scene:
    """The people in a photo, numbered from left to right.

    A photo that was searched before, by its pixels' hash, is not searched again (see ``memory.py``): finding takes
    seconds, and people look for the same photo's people many times.

    Raises:
        UsageError: no such backend, or the annotations cannot be used.
        MildError: the backend's weights are not on this machine.
    """
    finder = finder or Finder.model_validate({})
    backend = resolve(finder)
    if backend.name not in REMEMBERED:
        return backend.find(photo, finder)
    key = (photo.sha256, backend.name, finder.model_dump_json())
    with _lock:
        known = _found.get(key)
    if known is None:
        known = memory.recall(key)
        if known is None:
            scene = backend.find(photo, finder)
            known = (scene.people, scene.order)
            memory.keep(key, known)
        with _lock:
            _found[key] = known
            while len(_found) > MOST_REMEMBERED:
                _found.pop(next(iter(_found)))
    return Scene(photo, *known)
