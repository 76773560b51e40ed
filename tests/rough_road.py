"""A road on which things go wrong, for the server's processes; the request's seed says what."""

from __future__ import annotations

import ctypes
import errno
import time
from collections.abc import Callable

from fake_road import FakeResult, FakeRoad
from mild.people.scene import Scene
from mild.photo import Photo
from mild.request import EraseRequest, Finder

CRASH, HOG, STUCK, FULL, UNFORESEEN, SLOW = 1, 2, 3, 4, 5, 6


class RoughRoad(FakeRoad):
    def find(self, photo: Photo, finder: Finder) -> Scene:
        if finder.backend == "hub":
            time.sleep(60)
        return super().find(photo, finder)

    def run(self, request: EraseRequest, photo: Photo, progress: Callable[[str, float], None]) -> FakeResult:
        progress("fill", 0.5)
        if request.seed == CRASH:
            ctypes.string_at(0)
        elif request.seed == HOG:
            bytearray(3 * 2**30)
        elif request.seed == STUCK:
            time.sleep(60)  # says nothing, hears nothing
        elif request.seed == FULL:
            raise OSError(errno.ENOSPC, "No space left on device")
        elif request.seed == UNFORESEEN:
            raise RuntimeError("secret")
        elif request.seed == SLOW:
            for step in range(600):
                progress("denoise", step / 600)
                time.sleep(0.1)
        return super().run(request, photo, progress)
