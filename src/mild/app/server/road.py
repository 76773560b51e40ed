"""What the server's processes need of the program: a seam, so that its tests need no model."""

from __future__ import annotations

import gc
from typing import TYPE_CHECKING, Any, Protocol

from mild.layers import LayerStack
from mild.people.scene import Scene
from mild.photo import Photo
from mild.progress import Progress
from mild.request import EraseRequest, Finder, Selection

if TYPE_CHECKING:
    from mild.runtimes import Models


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
    def select(self, scene: Scene, selection: Selection) -> tuple[Scene, tuple[int, ...]]: ...
    def run(self, request: EraseRequest, photo: Photo, progress: Progress) -> Result: ...
    def decompose(self, request: EraseRequest, photo: Photo, progress: Progress) -> Result: ...
    def unload(self) -> None: ...


class MildRoad:
    """The real one; the heavy imports happen on the first job."""

    def __init__(self) -> None:
        self._models: Models | None = None

    def find(self, photo: Photo, finder: Finder) -> Scene:
        from mild.people.find import find_people

        return find_people(photo, finder)

    def select(self, scene: Scene, selection: Selection) -> tuple[Scene, tuple[int, ...]]:
        from mild.people.find import select

        return select(scene, selection)

    def run(self, request: EraseRequest, photo: Photo, progress: Progress) -> Result:
        from mild.road import run

        return run(request, photo, progress=progress, models=self._kept())

    def decompose(self, request: EraseRequest, photo: Photo, progress: Progress) -> Result:
        from mild.road import decompose

        return decompose(request, photo, progress=progress, models=self._kept())

    def unload(self) -> None:
        if self._models is not None:
            self._models.unload()
        gc.collect()

    def _kept(self) -> Models:
        if self._models is None:
            from mild.runtimes import Models

            self._models = Models()
        return self._models
