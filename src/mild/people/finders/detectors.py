"""The detectors behind the finders that go by boxes: NanoDet with MoveNet, or an SSD."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mild import machine
from mild.models import assets
from mild.people import memory
from mild.people.finders import nanodet
from mild.people.finders.blaze_nets import Picture, Window
from mild.people.finders.boxes import Corners, Detector, Judge, Layers, Place, Rows, merged
from mild.people.finders.movenet import MoveNet
from mild.people.finders.ssd import Ssd


class TwoDetectors:
    """NanoDet on the picture and its tiles, MoveNet on the picture; cues: MoveNet, NanoDet, NanoDet's best other class.

    The two see different people: MoveNet, a net for poses, is sure of near ones; NanoDet sees far ones, and says when
    something is rather a dog or a chair.
    """

    name = "nanodet"
    judge = Judge((4.341, 1.541, 4.989, -1.0, 0.579), -4.683, sure=0.5, maybe=0.35, first=0.62)
    _MOVENET, _NANODET = 0.15, 0.3
    _NEAR_MOVENET, _NEAR_NANODET = 0.07, 0.12

    def __init__(self, folder: Path) -> None:
        self._nanodet = nanodet.load(folder / "nanodet.onnx")
        self._movenet = MoveNet(folder / "movenet.onnx")
        self._key = ("boxes", self.name, *memory.stamps(folder))

    def places(self, picture: Picture) -> list[Place]:
        return self._merged(picture, self._MOVENET, self._NANODET)

    def places_near(self, picture: Picture, x: float, y: float) -> list[Place]:
        found = self._merged(picture, self._NEAR_MOVENET, self._NEAR_NANODET)
        return [place for place in found if holds(place, x, y)]

    def layers(self, picture: Picture, window: Window) -> Layers:
        bodies = self._movenet.layers(picture, window)
        things = self._nanodet.layer(picture, window)
        return Layers(bodies["shared"], bodies["heat"], bodies["centre"], bodies["points"], things)

    def _merged(self, picture: Picture, movenet: float, nanodet: float) -> list[Place]:
        rows, points, nanos = self._doubtful(picture)
        sure = rows[:, 4] > movenet
        bodies = zip(rows[sure], points[sure], strict=True)
        return merged(
            [Place(_corners(r), (0.0, float(r[4]), float(r[5]))) for r in nanos[nanos[:, 4] > nanodet]],
            [Place(_corners(r), (float(r[4]), 0.0, 0.0), p) for r, p in bodies],
        )

    def _doubtful(self, picture: Picture) -> tuple[Rows, NDArray[np.float64], Rows]:
        """MoveNet's rows and keypoints and NanoDet's rows, with less asked of them. Of a photo's working copy they are
        kept: whoever clicks into a photo that was searched need not wait for them again."""

        def seen() -> tuple[Rows, NDArray[np.float64], Rows]:
            return *self._movenet.people(picture, self._NEAR_MOVENET), self._nanodet.boxes(picture, self._NEAR_NANODET)

        return memory.answer(picture.photo, self._key, seen) if picture.photo else seen()


class OneDetector:
    """SSD on the picture and its tiles; cue: its score."""

    name = "ssd"
    judge = Judge((7.19, 3.0, 1.50), -5.79, sure=0.55, maybe=0.35, first=0.62)
    _LEAST, _NEAR = 0.3, 0.15

    def __init__(self, folder: Path) -> None:
        self._ssd = Ssd(folder / "ssd.tflite", machine.threads(most=2))

    def places(self, picture: Picture) -> list[Place]:
        return self._places(picture, self._LEAST)

    def places_near(self, picture: Picture, x: float, y: float) -> list[Place]:
        return [place for place in self._places(picture, self._NEAR) if holds(place, x, y)]

    def layers(self, picture: Picture, window: Window) -> None:
        return None

    def _places(self, picture: Picture, least: float) -> list[Place]:
        return [Place((r[0], r[1], r[2], r[3]), (float(r[4]),)) for r in self._ssd.boxes(picture, least)]


def _corners(row: NDArray[np.float64]) -> Corners:
    return float(row[0]), float(row[1]), float(row[2]), float(row[3])


def holds(place: Place, x: float, y: float) -> bool:
    """Does the place's box hold this pixel?"""
    x0, y0, x1, y1 = place.box
    return x0 <= x < x1 and y0 <= y < y1


def load(name: str) -> Detector:
    """The detector ``nanodet`` or ``ssd``, loaded once per process.

    Raises:
        MildError: its nets are not on this machine.
    """
    return _loaded(name, assets.ensure(name, download=False))


@lru_cache(maxsize=2)
def _loaded(name: str, folder: Path) -> Detector:
    made: Detector = TwoDetectors(folder) if name == TwoDetectors.name else OneDetector(folder)
    return made
