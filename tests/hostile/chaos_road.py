"""The road of the server under load: without a model, and some of its jobs end their process, hang, or take memory."""

from __future__ import annotations

import ctypes
import io
import time
from collections.abc import Callable

from PIL import Image

from fake_road import FakeResult, FakeRoad
from mild.photo import Photo
from mild.request import EraseRequest
from stacks import make_photo

CRASH, HANG, HOG = 101, 102, 103


class ChaosRoad(FakeRoad):
    def __init__(self) -> None:
        super().__init__(steps=3, pause=0.02)

    def run(self, request: EraseRequest, photo: Photo, progress: Callable[[str, float], None]) -> FakeResult:
        if request.seed == CRASH:
            ctypes.string_at(0)
        elif request.seed == HANG:
            time.sleep(60)
        elif request.seed == HOG:
            bytearray(4 * 2**30)
        return super().run(request, photo, progress)


def photo(k: int) -> bytes:
    out = io.BytesIO()
    Image.fromarray(make_photo(64, 96, k)).save(out, "PNG")
    return out.getvalue()


def expected(k: int, seed: int) -> bytes:
    """The pixels of a job that ends well."""
    request = EraseRequest.build(selection={"people": (1,)}, seed=seed)
    made = FakeRoad().run(request, Photo.from_array(make_photo(64, 96, k)), lambda stage, share: None)
    return made.photo.pixels.tobytes()
