"""A road without a model: people at fixed places, a fill that depends on the photo and the seed."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

from mild.layers import Layer, LayerStack
from mild.people.find import select
from mild.people.scene import Box, Person, Scene
from mild.people.things import Thing
from mild.photo import Photo
from mild.request import EraseRequest, Finder, Selection
from stacks import ellipse


@dataclass
class FakeResult:
    photo: Photo
    scene: Scene
    erased: tuple[int, ...]
    stack: LayerStack

    def report(self) -> dict[str, Any]:
        return {"erased": list(self.erased), "people": self.scene.summary()}


class FakeRoad:
    """``steps`` steps of ``pause`` seconds; ``fail`` is raised in the middle, if given."""

    def __init__(self, steps: int = 2, pause: float = 0.0, fail: BaseException | None = None) -> None:
        self.steps, self.pause, self.fail = steps, pause, fail
        self.found = self.ran = self.unloaded = self.prepared = 0

    def find(self, photo: Photo, finder: Finder) -> Scene:
        self.found += 1
        height, width = photo.size
        if finder.backend == "none" or min(height, width) < 8:
            return Scene(photo)
        people = [
            Person.from_mask(
                k + 1, ellipse(height, width, width * x, height * 0.6, width * 0.1, height * 0.3), score=0.9
            )
            for k, x in enumerate((0.25, 0.55, 0.8))
        ]
        return Scene(photo, tuple(people))

    def things(self, scene: Scene) -> tuple[Thing, ...]:
        whole = np.ones((6, 6), bool)
        racket = Thing(1, "tennis racket", 0.7, Box(2, 3, 8, 9), (5, 6), whole)
        return racket, Thing(2, "umbrella", 0.8, Box(30, 3, 36, 9), (33, 6), whole, held=True)

    def select(self, scene: Scene, selection: Selection) -> tuple[Scene, tuple[int, ...]]:
        return select(scene, selection)

    def further(self, scene: Scene, selection: Selection) -> Iterator[None]:
        for step in range(self.steps if selection.points else 0):
            time.sleep(self.pause)
            self.prepared = step + 1
            yield

    def run(self, request: EraseRequest, photo: Photo, progress: Callable[[str, float], None]) -> FakeResult:
        scene, erased = self.select(self.find(photo, request.finder), request.selection)
        return self._make(request, photo, scene, erased, frozenset(erased), progress)

    def decompose(self, request: EraseRequest, photo: Photo, progress: Callable[[str, float], None]) -> FakeResult:
        scene = self.find(photo, request.finder)
        everyone = tuple(person.id for person in scene.people)
        return self._make(request, photo, scene, everyone, frozenset(), progress)

    def unload(self) -> None:
        self.unloaded += 1

    def forget(self, pixels: str) -> None:
        self.forgotten = pixels

    def _make(
        self,
        request: EraseRequest,
        photo: Photo,
        scene: Scene,
        owners: tuple[int, ...],
        hidden: frozenset[int],
        progress: Callable[[str, float], None],
    ) -> FakeResult:
        self.ran += 1
        for step in range(self.steps):
            progress("fill", step / self.steps)
            time.sleep(self.pause)
        if self.fail is not None:
            raise self.fail
        size = photo.size
        layers = []
        union = np.zeros(size, np.uint8)
        for owner in owners:
            person = scene.person(owner)
            matte = cv2.dilate(person.full_mask(size).astype(np.uint8) * 255, np.ones((5, 5), np.uint8))
            union = np.maximum(union, matte)
            box = Box.around(matte > 0)
            alpha = np.where(person.full_mask(size), 255, 0).astype(np.uint8)
            rgba = np.dstack([photo.pixels, alpha])[box.slices].copy()
            made = np.zeros(rgba.shape[:2], bool)
            layers.append(Layer("person", owner, f"person {owner}", box, rgba, made, matte[box.slices].copy()))
        box = Box.around(union > 0) if union.any() else Box(0, 0, 1, 1)
        # The mean colour and the seed: a result that went to the wrong client would show.
        fill = np.full((box.height, box.width, 4), 255, np.uint8)
        fill[..., :3] = (photo.pixels.reshape(-1, 3).mean(0) + request.seed) % 256
        back = Layer("background", None, "background", box, fill, np.ones(fill.shape[:2], bool))
        stack = LayerStack(photo.pixels, (back, *layers), hidden)
        return FakeResult(photo.with_pixels(stack.compose()), scene, owners if hidden else (), stack)
