"""The three BlazePose nets and how their outputs are read.

* pose detector: BlazePose, arXiv:2006.10204 section 2: an SSD on 224 x 224 whose anchors predict the middle of the
  hips and a point on the circle around the whole body, so that one box is a rotated square (a :class:`Square`);
* pose landmarks: same paper, section 3: 39 points (33 of the body, 6 auxiliary), a mask and heat maps, 256 x 256;
* face detector: BlazeFace, arXiv:1907.05047, the full-range variant on 192 x 192.

Coordinates are pixels of the picture handed in, x to the right, y down. The nets are run by ai-edge-litert, on the CPU.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from mild import machine
from mild.models import assets

Floats = NDArray[np.float32]

POSE_INPUT, FACE_INPUT, LANDMARK_INPUT = 224, 192, 256
#: The body circle's radius is the distance of the detector's two points; the square region holds it with a margin.
REGION_PER_RADIUS = 2.5
#: Points of the landmark net beyond the 33 of the body: the centre and the rim of the region to look at next.
CENTRE_POINT, RIM_POINT, BODY_POINTS = 33, 34, 33
HEAD_POINTS = slice(0, 11)


class Window(NamedTuple):
    """An upright square of the picture: left, top, side. May reach beyond the picture (black there)."""

    x: float
    y: float
    side: float


class Square(NamedTuple):
    """A turned square around one body: centre, side, angle in radians (0: head up, clockwise positive)."""

    x: float
    y: float
    side: float
    angle: float

    def mirrored(self, width: int) -> Square:
        """The same region in the left-right mirrored picture."""
        return Square(width - 1 - self.x, self.y, self.side, -self.angle)

    def near(self, other: Square, shift: float, ratio: float) -> bool:
        """Is the centre closer than ``shift`` of the other's side, and the size within a factor ``ratio``?"""
        apart = np.hypot(self.x - other.x, self.y - other.y)
        return bool(apart < shift * other.side and 1 / ratio < self.side / other.side < ratio)


class Seed(NamedTuple):
    """A region where a body may be, and the detector's score 0..1."""

    region: Square
    score: float


class Face(NamedTuple):
    """Centre and mean side of a face in pixels, unit vector from mouth to eyes, score 0..1."""

    x: float
    y: float
    size: float
    up: tuple[float, float]
    score: float


@dataclass(frozen=True)
class Landmarks:
    """What the landmark net says of one region.

    Attributes:
        points: float32 ``[39, 2]``, picture pixels.
        visibility: float32 ``[39]``, 0..1: is the point in sight?
        presence: 0..1: is there a body at all?
        peak: 0..1: mean over the body points of the heat maps' maxima.
        mask: float32 ``[256, 256]``, 0..1, in the net's frame.
        to_net: float64 ``[2, 3]``, picture pixels to the net's frame.
        region: where the net looked.
    """

    points: Floats
    visibility: Floats
    presence: float
    peak: float
    mask: Floats
    to_net: NDArray[np.float64]
    region: Square

    @property
    def head_centre(self) -> tuple[float, float]:
        """Middle of eyes, ears, nose and mouth."""
        x, y = self.points[HEAD_POINTS].mean(0)
        return float(x), float(y)

    @property
    def head_size(self) -> float:
        """Extent of the head's points in pixels; at least a twentieth of the region, for heads seen from behind."""
        head = self.points[HEAD_POINTS]
        return max(float(np.ptp(head[:, 0])), float(np.ptp(head[:, 1])), 0.05 * self.region.side)

    @property
    def next_region(self) -> Square:
        """Where the net itself says that the body is; looking there again sharpens everything."""
        centre, rim = self.points[CENTRE_POINT], self.points[RIM_POINT]
        return _region(centre, rim - centre)


class Picture:
    """uint8 ``[H, W, 3]`` pixels with halved copies, so that a large region is not sampled with gaps.

    ``photo`` is the fingerprint of the photo whose working copy this is; empty: of none.
    """

    def __init__(self, pixels: NDArray[np.uint8], photo: str = "") -> None:
        self.pixels, self.photo = np.ascontiguousarray(pixels), photo
        self._levels = [self.pixels]

    @property
    def height(self) -> int:
        return int(self.pixels.shape[0])

    @property
    def width(self) -> int:
        return int(self.pixels.shape[1])

    @cached_property
    def mirrored(self) -> Picture:
        return Picture(self.pixels[:, ::-1])

    def window(self, window: Window, side: int) -> NDArray[np.uint8]:
        """An upright square scaled to ``[side, side, 3]``, black outside the picture."""
        scale = side / window.side
        if scale >= 1:
            move = (scale - 1) / 2
            affine = np.array([[scale, 0, move - window.x * scale], [0, scale, move - window.y * scale]])
            return _warp(self.pixels, affine, (side, side))
        out = np.zeros((side, side, 3), np.uint8)
        x0, y0 = max(0, int(window.x)), max(0, int(window.y))
        x1, y1 = min(self.width, int(window.x + window.side)), min(self.height, int(window.y + window.side))
        if x1 <= x0 or y1 <= y0:
            return out
        left, top = max(0, round((x0 - window.x) * scale)), max(0, round((y0 - window.y) * scale))
        width = min(side - left, max(1, round((x1 - x0) * scale)))
        height = min(side - top, max(1, round((y1 - y0) * scale)))
        if width > 0 and height > 0:
            part = self.pixels[y0:y1, x0:x1]
            small = cv2.resize(part, (width, height), interpolation=cv2.INTER_AREA)
            out[top : top + height, left : left + width] = small
        return out

    def turned(self, region: Square, side: int) -> tuple[NDArray[np.uint8], NDArray[np.float64]]:
        """A turned square scaled to ``[side, side, 3]``, and the map ``[2, 3]`` from picture pixels to it."""
        scale = side / region.side
        turn = np.array(
            [[np.cos(region.angle), np.sin(region.angle)], [-np.sin(region.angle), np.cos(region.angle)]], np.float64
        )
        affine = np.empty((2, 3))
        affine[:, :2] = turn * scale
        affine[:, 2] = side / 2 - affine[:, :2] @ np.array([region.x, region.y])
        level = 0
        while region.side / 2**level > 2.5 * side and min(self.height, self.width) >= 2 ** (level + 2):
            level += 1
        pixels = self._level(level)
        # Pixel p of the picture lies at (p + 1/2) r - 1/2 of the reduced copy, per axis (odd sides round).
        ratio = np.array([pixels.shape[1] / self.width, pixels.shape[0] / self.height])
        reduced = affine.copy()
        reduced[:, :2] = affine[:, :2] / ratio
        reduced[:, 2] = affine[:, 2] + affine[:, :2] @ ((0.5 / ratio) - 0.5)
        return _warp(pixels, reduced, (side, side)), affine

    def _level(self, level: int) -> NDArray[np.uint8]:
        while len(self._levels) <= level:
            last = self._levels[-1]
            size = (max(1, last.shape[1] // 2), max(1, last.shape[0] // 2))
            self._levels.append(np.asarray(cv2.resize(last, size, interpolation=cv2.INTER_AREA), np.uint8))
        return self._levels[level]


class BlazeNets:
    """The nets of one folder. One run at a time per net; safe to share between threads.

    Args:
        folder: holds the ``.tflite`` files, see :data:`mild.models.known.finders.BLAZEPOSE`.
        threads: CPU threads per net. The result does not depend on it.
    """

    def __init__(self, folder: Path, threads: int = 2) -> None:
        self._pose = TfliteNet(folder / "pose_detection.tflite", threads)
        self._landmark = TfliteNet(folder / "pose_landmark_full.tflite", threads)
        self._face = TfliteNet(folder / "face_detection_full_range_sparse.tflite", threads)

    def bodies(self, picture: Picture, window: Window, threshold: float) -> list[Seed]:
        """Bodies that the detector sees in a window, best first, near-duplicates dropped."""
        out = self._pose(picture.window(window, POSE_INPUT).astype(np.float32) / 127.5 - 1)
        return decode_bodies(out[(2254, 12)], out[(2254, 1)][:, 0], window, threshold)

    def faces(self, picture: Picture, window: Window, threshold: float) -> list[Face]:
        """Faces in a window, best first, near-duplicates dropped."""
        out = self._face(picture.window(window, FACE_INPUT).astype(np.float32) / 127.5 - 1)
        return decode_faces(out[(2304, 16)], out[(2304, 1)][:, 0], window, threshold)

    def landmarks(self, picture: Picture, region: Square) -> Landmarks:
        """The body in a region, whether or not there is one (see :attr:`Landmarks.presence`)."""
        crop, affine = picture.turned(region, LANDMARK_INPUT)
        out = self._landmark(crop.astype(np.float32) / np.float32(255))
        points = out[(195,)].reshape(39, 5)
        back = cv2.invertAffineTransform(affine)
        peaks = out[(64, 64, 39)].reshape(-1, 39).max(0)[:BODY_POINTS]
        return Landmarks(
            points=(points[:, :2] @ back[:, :2].T + back[:, 2]).astype(np.float32),
            visibility=sigmoid(points[:, 3]),
            presence=float(out[(1,)][0]),
            peak=float(sigmoid(peaks).mean()),
            mask=sigmoid(out[(256, 256, 1)][:, :, 0]),
            to_net=affine,
            region=region,
        )


@lru_cache(maxsize=1)
def _loaded(folder: Path, threads: int) -> BlazeNets:
    return BlazeNets(folder, threads)


def load_nets() -> BlazeNets:
    """The nets in the cache, loaded once per process; they gain nothing from more than two threads.

    Raises:
        MildError: the nets are not on this machine.
    """
    folder = assets.ensure("blazepose", download=False)
    return _loaded(folder, machine.threads(most=2))


@contextmanager
def _hushed() -> Iterator[None]:
    """Without what the runtime tells programmers: it writes past Python, so the process's own stderr is turned away."""
    with _stderr:
        try:
            kept = os.dup(2)
        except OSError:  # there is none, as under a windowed program
            yield
            return
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, 2)
        try:
            yield
        finally:
            os.dup2(kept, 2)
            os.close(kept)
            os.close(nowhere)


_stderr = threading.Lock()


class TfliteNet:
    """One ``.tflite`` file: an array in, arrays out, named by their shapes (which differ within every net)."""

    def __init__(self, path: Path, threads: int) -> None:
        from ai_edge_litert.interpreter import Interpreter

        with _hushed():
            self._interpreter: Any = Interpreter(str(path), num_threads=threads)
            self._interpreter.allocate_tensors()
        self._input = self._interpreter.get_input_details()[0]["index"]
        self._outputs = [(tuple(d["shape"][1:]), d["index"]) for d in self._interpreter.get_output_details()]
        self._lock = threading.Lock()

    def __call__(self, array: Floats) -> dict[tuple[int, ...], Floats]:
        with self._lock:
            self._interpreter.set_tensor(self._input, np.ascontiguousarray(array[None], np.float32))
            self._interpreter.invoke()
            return {shape: self._interpreter.get_tensor(index)[0] for shape, index in self._outputs}


def anchors(side: int, grids: tuple[tuple[int, int], ...]) -> Floats:
    """Anchor centres ``[n, 2]`` in input pixels, for grids of (stride, anchors per cell)."""
    parts = []
    for stride, count in grids:
        cells = side // stride
        y, x = np.mgrid[:cells, :cells]
        parts.append(np.repeat(np.stack([x.ravel() + 0.5, y.ravel() + 0.5], 1) * stride, count, 0))
    return np.concatenate(parts).astype(np.float32)


POSE_ANCHORS = anchors(POSE_INPUT, ((8, 2), (16, 2), (32, 6)))
FACE_ANCHORS = anchors(FACE_INPUT, ((4, 1),))


def decode_bodies(values: Floats, logits: Floats, window: Window, threshold: float) -> list[Seed]:
    """Detector outputs ``[2254, 12]`` (box, then 4 points, relative to the anchor) and ``[2254]`` to seeds."""
    scores = sigmoid(logits)
    chosen = np.flatnonzero(scores > threshold)
    scale = window.side / POSE_INPUT
    points = (values[chosen, 4:8].reshape(-1, 2, 2) + POSE_ANCHORS[chosen][:, None]) * scale + window[:2]
    seeds: list[Seed] = []
    for i in np.argsort(-scores[chosen], kind="stable"):
        region = _region(points[i, 0], points[i, 1] - points[i, 0])
        if region.side > 0 and not any(region.near(s.region, 0.14, 1.7) for s in seeds):
            seeds.append(Seed(region, float(scores[chosen][i])))
    return seeds


def decode_faces(values: Floats, logits: Floats, window: Window, threshold: float) -> list[Face]:
    """Detector outputs ``[2304, 16]`` (box, then 6 points: eyes, nose, mouth, ears) and ``[2304]`` to faces."""
    scores = sigmoid(logits)
    chosen = np.flatnonzero(scores > threshold)
    scale = window.side / FACE_INPUT
    centres = (values[chosen, :2] + FACE_ANCHORS[chosen]) * scale + window[:2]
    sizes = values[chosen, 2:4].mean(1) * scale
    points = values[chosen, 4:].reshape(-1, 6, 2)
    faces: list[Face] = []
    for i in np.argsort(-scores[chosen], kind="stable"):
        x, y = (float(v) for v in centres[i])
        if all(np.hypot(x - f.x, y - f.y) > 0.5 * f.size for f in faces):
            up = points[i, :2].mean(0) - points[i, 3]
            up = up / (np.hypot(*up) + 1e-6)
            faces.append(Face(x, y, float(sizes[i]), (float(up[0]), float(up[1])), float(scores[chosen][i])))
    return faces


def sigmoid(x: NDArray[Any]) -> Floats:
    """Logistic function, float32; saturates instead of overflowing."""
    return (1 / (1 + np.exp(-np.clip(x.astype(np.float32), -60, 60)))).astype(np.float32)


def _region(centre: NDArray[Any], radius: NDArray[Any]) -> Square:
    """The region of a body circle: centre and the vector to the rim above the head."""
    side = REGION_PER_RADIUS * float(np.hypot(*radius))
    return Square(float(centre[0]), float(centre[1]), side, float(np.arctan2(radius[0], -radius[1])))


def _warp(pixels: NDArray[np.uint8], affine: NDArray[np.float64], size: tuple[int, int]) -> NDArray[np.uint8]:
    return np.asarray(cv2.warpAffine(pixels, affine, size, flags=cv2.INTER_LINEAR), np.uint8)
