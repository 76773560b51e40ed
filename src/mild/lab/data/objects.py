"""Things people hold: drawn, not photographed.

The ingredients hold no cut-out objects. So simple ones are drawn (a bag, a suitcase, an umbrella, a ball, a box, a
board) and covered with the texture of a close-up photo. They look like what they are; what they teach is that a thing
belongs to somebody, covers others, and goes when its owner goes.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from mild.lab.data.tone import from_lab, to_lab

#: How often each is drawn.
KINDS = {"bag": 0.27, "suitcase": 0.2, "umbrella": 0.22, "ball": 0.11, "box": 0.12, "board": 0.08}
#: Drawn this much larger, then averaged down: smooth borders.
_FINE = 3


@dataclass(frozen=True)
class Thing:
    """A drawn object.

    Attributes:
        kind: one of :data:`KINDS`.
        rgba: uint8 ``[h, w, 4]``.
        grip: ``(x, y)`` in it that goes to the hand (the bottom's middle for a suitcase).
    """

    kind: str
    rgba: NDArray[np.uint8]
    grip: tuple[float, float]


def draw(rng: Generator, kind: str, body: float, texture: NDArray[np.uint8], reach: float | None = None) -> Thing:
    """An object for somebody ``body`` pixels tall, covered with a piece of ``texture`` uint8 ``[h, w, 3]``.

    Args:
        reach: pixels from the hand up to where an umbrella's cloth begins.
    """
    wide, high = _SIZES[kind]
    if reach is not None:
        high = reach / body / (0.93 - 0.4)
    width = max(6, round(body * wide * float(rng.uniform(0.85, 1.15))))
    height = max(6, round(body * high * (1 if reach is not None else float(rng.uniform(0.85, 1.15)))))
    w, h = width * _FINE, height * _FINE
    mask, shade = np.zeros((h, w), np.uint8), np.full((h, w), 1.0, np.float32)
    grip = _SHAPES[kind](rng, mask, shade)
    small = np.asarray(cv2.resize(mask, (width, height), interpolation=cv2.INTER_AREA), np.uint8)
    light = cv2.resize(shade, (width, height), interpolation=cv2.INTER_AREA)
    rgb = _covered(rng, texture, (height, width))
    rgb = np.clip(rgb * light[..., None], 0, 255).astype(np.uint8)
    return Thing(kind, np.dstack([rgb, small]), (grip[0] * width, grip[1] * height))


#: Width and height in body heights.
_SIZES = {
    "bag": (0.2, 0.27),
    "suitcase": (0.22, 0.42),
    "umbrella": (0.62, 0.62),
    "ball": (0.13, 0.13),
    "box": (0.3, 0.2),
    "board": (0.34, 0.26),
}


def _covered(rng: Generator, texture: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.float32]:
    """A piece of the texture, its colours drawn together around one hue: cloth, leather or card, not a photo."""
    side = max(8, round(min(texture.shape[:2]) * float(rng.uniform(0.15, 0.4))))
    y, x = int(rng.integers(0, texture.shape[0] - side + 1)), int(rng.integers(0, texture.shape[1] - side + 1))
    piece = np.asarray(
        cv2.resize(texture[y : y + side, x : x + side], size[::-1], interpolation=cv2.INTER_AREA), np.uint8
    )
    lab = to_lab(piece)
    hue, chroma = float(rng.uniform(0, 2 * np.pi)), float(rng.choice([rng.uniform(0, 12), rng.uniform(15, 50)]))
    goal = np.asarray((rng.uniform(18, 75), chroma * np.cos(hue), chroma * np.sin(hue)), np.float32)
    lab = goal + (lab - lab.mean((0, 1))) * np.asarray((0.35, 0.3, 0.3), np.float32)
    return from_lab(np.asarray(lab, np.float32)).astype(np.float32)


def _rounded(mask: NDArray[np.uint8], box: tuple[float, float, float, float], radius: float) -> None:
    h, w = mask.shape
    x0, y0, x1, y1 = round(box[0] * w), round(box[1] * h), round(box[2] * w) - 1, round(box[3] * h) - 1
    r = max(1, min(round(radius * w), (x1 - x0) // 2, (y1 - y0) // 2))
    cv2.rectangle(mask, (x0 + r, y0), (x1 - r, y1), 255, -1)
    cv2.rectangle(mask, (x0, y0 + r), (x1, y1 - r), 255, -1)
    for cx in (x0 + r, x1 - r):
        for cy in (y0 + r, y1 - r):
            cv2.circle(mask, (cx, cy), r, 255, -1)


def _gradient(shade: NDArray[np.float32], left: float, right: float) -> None:
    shade *= np.linspace(left, right, shade.shape[1], dtype=np.float32)[None]


def _bag(rng: Generator, mask: NDArray[np.uint8], shade: NDArray[np.float32]) -> tuple[float, float]:
    h, w = mask.shape
    lean = float(rng.uniform(0, 0.1))
    corners = np.asarray([[lean * w, 0.38 * h], [(1 - lean) * w, 0.38 * h], [w - 1, h - 1], [0, h - 1]], np.int32)
    cv2.fillConvexPoly(mask, corners, 255)
    cv2.ellipse(mask, (w // 2, round(0.4 * h)), (round(0.26 * w), round(0.36 * h)), 0, 180, 360, 255, max(2, w // 18))
    _gradient(shade, 1.1, 0.8)
    shade[round(0.38 * h) : round(0.42 * h)] *= 0.75
    return 0.5, 0.06


def _suitcase(rng: Generator, mask: NDArray[np.uint8], shade: NDArray[np.float32]) -> tuple[float, float]:
    h, w = mask.shape
    _rounded(mask, (0, 0.3, 1, 0.95), 0.1)
    for x in (0.32, 0.68):
        cv2.line(mask, (round(x * w), round(0.02 * h)), (round(x * w), round(0.32 * h)), 255, max(2, w // 22))
    cv2.line(mask, (round(0.32 * w), round(0.03 * h)), (round(0.68 * w), round(0.03 * h)), 255, max(2, w // 14))
    for x in (0.16, 0.84):
        cv2.circle(mask, (round(x * w), round(0.955 * h)), max(2, round(0.045 * h)), 255, -1)
    for x in (0.25, 0.5, 0.75):
        shade[round(0.34 * h) : round(0.92 * h), round((x - 0.015) * w) : round((x + 0.015) * w)] *= 0.7
    shade[: round(0.3 * h)] *= 0.5
    shade[round(0.93 * h) :] *= 0.35
    _gradient(shade, 1.1, 0.8)
    return 0.5, 1.0


def _umbrella(rng: Generator, mask: NDArray[np.uint8], shade: NDArray[np.float32]) -> tuple[float, float]:
    h, w = mask.shape
    low = round(0.4 * h)
    cv2.ellipse(mask, (w // 2, low), (w // 2 - 1, round(0.38 * h)), 0, 180, 360, 255, -1)
    ribs = int(rng.integers(4, 7))
    for i in range(ribs):
        # Scallops: the cloth sags between the ribs.
        centre = (round((i + 0.5) * w / ribs), low)
        cv2.ellipse(mask, centre, (round(0.5 * w / ribs), round(0.045 * h)), 0, 0, 360, 0, -1)
        x0, x1 = round(i * w / ribs), round((i + 1) * w / ribs)
        shade[:low, x0:x1] *= 0.78 + 0.3 * (i % 2)
    cv2.line(mask, (w // 2, round(0.01 * h)), (w // 2, h - 1), 255, max(2, w // 60))
    shade[low:] *= 0.35
    _gradient(shade, 1.1, 0.85)
    return 0.5, 0.93


def _ball(rng: Generator, mask: NDArray[np.uint8], shade: NDArray[np.float32]) -> tuple[float, float]:
    h, w = mask.shape
    cv2.ellipse(mask, (w // 2, h // 2), (w // 2 - 1, h // 2 - 1), 0, 0, 360, 255, -1)
    y, x = np.mgrid[0:h, 0:w].astype(np.float32)
    shade *= 1.2 - 0.6 * np.hypot((x / w - 0.38), (y / h - 0.32))
    return 0.5, 0.35


def _box(rng: Generator, mask: NDArray[np.uint8], shade: NDArray[np.float32]) -> tuple[float, float]:
    h, w = mask.shape
    _rounded(mask, (0, 0, 1, 1), 0.02)
    shade[: round(0.28 * h)] *= 1.18
    shade[round(0.28 * h) : round(0.3 * h)] *= 0.75
    shade[:, round(0.44 * w) : round(0.56 * w)] *= 1.15
    return 0.5, 0.6


def _board(rng: Generator, mask: NDArray[np.uint8], shade: NDArray[np.float32]) -> tuple[float, float]:
    h, w = mask.shape
    _rounded(mask, (0, 0, 1, 1), 0.015)
    shade *= 1.15
    for _ in range(int(rng.integers(1, 4))):
        y, x = float(rng.uniform(0.15, 0.75)), float(rng.uniform(0.08, 0.3))
        shade[round(y * h) : round((y + 0.08) * h), round(x * w) : round((1 - x) * w)] *= 0.45
    return 0.5, 0.75


_SHAPES = {
    "bag": _bag, "suitcase": _suitcase, "umbrella": _umbrella, "ball": _ball, "box": _box, "board": _board,
}  # fmt: skip
