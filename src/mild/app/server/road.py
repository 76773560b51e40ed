"""What the server's processes need of the program: a seam, so that its tests need no model."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Protocol

from mild.layers import LayerStack
from mild.people.scene import Scene
from mild.photo import Photo
from mild.progress import Progress
from mild.request import EraseRequest, Finder, Selection

if TYPE_CHECKING:
    from mild.people.things import Thing
    from mild.plan.kept import Kept
    from mild.runtimes import Models

#: Bytes of fills and paintings kept in a worker.
KEPT_BYTES = 128 * 2**20


class Result(Protocol):
    """The part of :class:`mild.road.EraseResult` that the server uses."""

    @property
    def photo(self) -> Photo: ...
    @property
    def scene(self) -> Scene: ...
    @property
    def erased(self) -> tuple[int, ...]: ...
    @property
    def stack(self) -> LayerStack: ...
    def report(self) -> Any: ...


class Road(Protocol):
    """Finds, erases, takes apart; each process has its own."""

    def find(self, photo: Photo, finder: Finder) -> Scene: ...

    def things(self, scene: Scene) -> tuple[Thing, ...]: ...
    def select(self, scene: Scene, selection: Selection) -> tuple[Scene, tuple[int, ...]]: ...
    def further(self, scene: Scene, selection: Selection) -> Iterator[None]:
        """Prepare, a piece at a time, for a further point of a click that was answered."""

    def run(self, request: EraseRequest, photo: Photo, progress: Progress) -> Result: ...
    def decompose(self, request: EraseRequest, photo: Photo, progress: Progress) -> Result: ...
    def unload(self) -> None: ...
    def forget(self, pixels: str) -> None:
        """Let go of what was made of the photo with this fingerprint (:attr:`mild.photo.Photo.sha256`)."""


class MildRoad:
    """The real one; the heavy imports happen on the first job.

    Models stay loaded, and fills and paintings of the last photo are kept: another choice on it costs what changed.
    """

    def __init__(self) -> None:
        self._models: Models | None = None
        self._kept: tuple[str, Kept] | None = None

    def find(self, photo: Photo, finder: Finder) -> Scene:
        from mild.people.find import find_people

        return find_people(photo, finder)

    def things(self, scene: Scene) -> tuple[Thing, ...]:
        from mild.people.things import things_with

        return things_with(scene)

    def select(self, scene: Scene, selection: Selection) -> tuple[Scene, tuple[int, ...]]:
        from mild.people.find import select

        return select(scene, selection)

    def further(self, scene: Scene, selection: Selection) -> Iterator[None]:
        from mild.people.selection import further

        return further(scene, selection)

    def run(self, request: EraseRequest, photo: Photo, progress: Progress) -> Result:
        from mild.road import run

        return run(request, photo, progress=progress, **self._held(photo))

    def decompose(self, request: EraseRequest, photo: Photo, progress: Progress) -> Result:
        from mild.road import decompose

        return decompose(request, photo, progress=progress, **self._held(photo))

    def unload(self) -> None:
        if self._models is not None:
            self._models.unload()
        self._kept = None
        gc.collect()

    def forget(self, pixels: str) -> None:
        if self._kept is not None and self._kept[0] == pixels:
            self._kept = None

    def _held(self, photo: Photo) -> dict[str, Any]:
        """What is kept for a job on this photo, as arguments of the road."""
        from mild.plan.kept import Kept
        from mild.runtimes import Models

        if self._models is None:
            self._models = Models()
        if self._kept is None or self._kept[0] != photo.sha256:
            self._kept = photo.sha256, Kept(KEPT_BYTES)
        return {"models": self._models, "kept": self._kept[1]}
