"""Ask many times about one photo: people are found once, and what one answer made serves the next."""

from __future__ import annotations

from collections.abc import Iterable
from types import TracebackType
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from mild.library import build_request, flat
from mild.people.find import find_people, select
from mild.people.scene import Scene
from mild.photo import Photo, PhotoLike
from mild.photo.grid import fitted
from mild.plan.kept import Kept
from mild.plan.planning import plan_layers
from mild.progress import Progress
from mild.request import EraseRequest
from mild.result import EraseResult
from mild.runtimes import Models

if TYPE_CHECKING:
    from PIL import Image

#: Longest side, pixels, at which a preview's holes are filled.
PREVIEWED = 256


class Session:
    """One photo, and everything about it that does not change from question to question.

    ::

        session = mild.Session("group.jpg")
        session.people                      # who is there
        session.preview(people=[2])         # at once, roughly
        session.erase(people=[2]).save("out.png")
        session.erase(people=[2, 3])        # costs only what changed
        session.layers().stack              # the photo taken apart

    An answer has the same pixels as :func:`mild.erase`'s to the same question. A session may be used from several
    threads, one question at a time in each.

    Args:
        photo: as of :func:`mild.erase`.
        models: models in memory; sessions may share them. None: the session's own.
        options: fields of the request that hold for every question: ``backend``, ``model``, ``dilate``, ``seed``, …

    Raises:
        MildError: the photo cannot be read.
    """

    def __init__(self, photo: PhotoLike, *, models: Models | None = None, **options: Any) -> None:
        self.photo = Photo.of(photo)
        self.models = Models() if models is None else models
        self._options = options
        self._kept = Kept()
        self._found: dict[str, Scene] = {}

    @property
    def scene(self) -> Scene:
        """The people, found when first asked for."""
        return self._scene(build_request(**self._options))

    @property
    def people(self) -> tuple[Any, ...]:
        """Everybody who was found, by number from left to right; see :class:`mild.Person`."""
        return self.scene.people

    def erase(
        self, people: int | Iterable[int] = (), *, progress: Progress | None = None, **options: Any
    ) -> EraseResult:
        """As :func:`mild.erase`, of this photo; options as there, or as fields of the request."""
        return self.run(self.request(people, **options), progress=progress)

    def layers(
        self, people: int | Iterable[int] = (), *, progress: Progress | None = None, **options: Any
    ) -> EraseResult:
        """The photo taken apart: the background without anybody, and every sure (or named) person complete."""
        from mild.road import decompose

        request = self.request(people, **options)
        return decompose(
            request, self.photo, scene=self._scene(request), progress=progress, models=self.models, kept=self._kept
        )

    def preview(self, people: int | Iterable[int] = (), **options: Any) -> Image.Image:
        """Roughly what erasing would give, in a fraction of a second: holes filled from their rims, no model run."""
        request = self.request(people, **options)
        scene, erased = select(self._scene(request), request.selection)
        plan = plan_layers(scene, erased, request.region, people_layers=False)
        pixels = self.photo.pixels.copy()
        for layer in plan.layers:
            window = pixels[layer.crop.slices]
            size, _ = fitted(window.shape[1], window.shape[0], PREVIEWED)
            small = cv2.resize(window, size, interpolation=cv2.INTER_AREA)
            unknown = cv2.resize((~layer.own).view(np.uint8) * 255, size, interpolation=cv2.INTER_AREA) > 0
            filled = cv2.inpaint(small, unknown.view(np.uint8), 3, cv2.INPAINT_TELEA)
            large = cv2.resize(filled, (window.shape[1], window.shape[0]), interpolation=cv2.INTER_LINEAR)
            window[layer.hole] = large[layer.hole]
        return self.photo.with_pixels(pixels).to_pil()

    def run(self, request: EraseRequest, *, progress: Progress | None = None) -> EraseResult:
        """Answer a whole request about this photo (its ``photo`` is not read again)."""
        from mild.road import run

        return run(
            request, self.photo, scene=self._scene(request), progress=progress, models=self.models, kept=self._kept
        )

    def request(self, people: int | Iterable[int] = (), **options: Any) -> EraseRequest:
        """The request that a question makes, the session's own options included."""
        request = build_request(**{**flat((), self._options), **flat(people, options)})
        return request if self.photo.path is None else request.model_copy(update={"photo": str(self.photo.path)})

    def close(self) -> None:
        """Let go of everything that is kept; models that were handed in stay loaded."""
        self._kept.clear()
        self._found.clear()

    def __enter__(self) -> Session:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def _scene(self, request: EraseRequest) -> Scene:
        key = request.finder.model_dump_json()
        if key not in self._found:
            self._found[key] = find_people(self.photo, request.finder)
        return self._found[key]
