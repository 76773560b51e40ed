"""Photo in, Scene out: who is in the photo, and whom does the user mean.

One entry per backend in :data:`BACKENDS`, with provenance and licence. Find once, then select as often as you like:

    scene = find_people(photo, Finder())
    scene, ids = select(scene, Selection(people=(2,)))
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from mild.errors import MildError, UsageError
from mild.models import assets
from mild.models import registry as asset_registry
from mild.models.spec import ModelSpec
from mild.people import memory
from mild.people.overlay import draw_overlay
from mild.people.roles import with_roles
from mild.people.scene import Scene
from mild.people.selection import select
from mild.photo import Photo, PhotoLike
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


def _find_nanodet(photo: Photo, finder: Finder) -> Scene:
    from mild.people.finders import byboxes

    return byboxes.find(photo, "nanodet")


def _find_ssd(photo: Photo, finder: Finder) -> Scene:
    from mild.people.finders import byboxes

    return byboxes.find(photo, "ssd")


def _find_blazepose(photo: Photo, finder: Finder) -> Scene:
    from mild.people.finders import blazepose

    return blazepose.find(photo)


def _find_hub(photo: Photo, finder: Finder) -> Scene:
    from mild.people.finders import hub

    if finder.backend != "auto" or finder.model is not None:
        return hub.find(photo, finder.model, finder.allow_download)
    try:
        return hub.find(photo)
    except MildError as error:
        # Nobody asked for these by name: what cannot be used is said, and the offline finder does it.
        name = _offline()
        logging.getLogger("mild").warning("%s The finder '%s' is used.", error, name)
        return BACKENDS[name].find(photo, finder)


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
            "nanodet",
            "the offline finder: NanoDet and MoveNet say where, BlazePose's landmark net looks closely",
            "NanoDet-g (RangiLyu), MoveNet MultiPose and BlazePose (Google)",
            "Apache-2.0",
            _find_nanodet,
        ),
        Backend(
            "ssd",
            "as nanodet, with one weaker detector",
            "SSD MobileNet v2 of MediaPipe and BlazePose (Google)",
            "Apache-2.0",
            _find_ssd,
        ),
        Backend(
            "blazepose",
            "without any detector; misses many people at the edge, behind others, or far away",
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
REMEMBERED = ("nanodet", "ssd", "blazepose", "hub")


def resolve(finder: Finder) -> Backend:
    """The backend that a request means. ``auto``: coco when annotations are given, hub when its weights are on this
    machine (or a model is named), otherwise nanodet, ssd or blazepose, the first whose nets are here.

    Raises:
        UsageError: no backend of that name.
    """
    name = finder.backend
    if name == "auto":
        from mild.people.finders import hub

        if finder.annotations is not None:
            name = "coco"
        else:
            name = "hub" if finder.model is not None or hub.here() else _offline()
    try:
        return BACKENDS[name]
    except KeyError:
        raise UsageError(f"There is no finder '{name}' (known: auto, {', '.join(BACKENDS)}).") from None


def missing(finder: Finder) -> ModelSpec | None:
    """The weights that a search would need and that are not on this machine; None: it can be searched."""
    known = asset_registry.REGISTRY.get(resolve(finder).name)
    return known if known is not None and assets.locate(known.name) is None else None


def _offline() -> str:
    """The offline finder: the first whose nets are here."""
    return assets.finder_boxes() or "blazepose"


def find_people(photo: PhotoLike, finder: Finder | str | None = None) -> Scene:
    """The people in a photo, numbered from left to right, each with a role.

    A photo that was searched before, by its pixels' hash, is not searched again (see ``memory.py``): finding takes
    seconds, and people look for the same photo's people many times.

    Args:
        photo: a path, bytes, a Pillow image, a uint8 array or a photo.
        finder: how to search, or the name of a backend; None: as by default.

    Raises:
        UsageError: the photo is none, no such backend, or the annotations cannot be used.
        MildError: the photo cannot be read, or the backend's weights are not on this machine.
    """
    photo = Photo.of(photo)
    if not isinstance(finder, Finder):
        finder = Finder.model_validate({} if finder is None else {"backend": finder})
    backend = resolve(finder)
    if backend.name not in REMEMBERED:
        return with_roles(backend.find(photo, finder))
    key = decides(backend, finder)
    known = memory.recall(photo.sha256, key)
    if known is None:
        scene = backend.find(photo, finder)
        known = (scene.people, scene.order)
        memory.keep(photo.sha256, key, known)
    return with_roles(Scene(photo, *known))


#: Packages whose next version may find other people.
_DECIDING = ("ai-edge-litert", "numpy", "onnxruntime", "opencv-python-headless", "torch", "transformers")


def decides(backend: Backend, finder: Finder) -> tuple[str, ...]:
    """Everything but the photo that decides who is found: the finder, its weights, the pose model's, the libraries."""
    from mild.people.finders import hub

    if backend.name == "hub":
        names = [finder.model] if finder.model else hub.here()
        weights = [str(assets.locate_model(name) or name) for name in (*names, *hub.pose_models())]
    else:
        weights = [str(assets.cache_dir() / backend.name)]
    files = memory.stamps(*(place for place in weights if place))
    return backend.name, finder.model_dump_json(), *weights, *files, *(f"{p} {_version(p)}" for p in _DECIDING)


@lru_cache
def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "-"
