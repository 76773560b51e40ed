"""Ten photos of each kind that is hard in a way of its own, for ``real.py --kind``: the recipe, photo by photo.

Skies, fences (anything that repeats) and lettering: photos chosen by eye, and where in them a hole in the shape of
somebody is cut; nobody stood there, so no fringe decides. Dark places, night, blurred backgrounds, JPEG blocks: the
first ten photos of ``own``, spoilt before anybody is erased.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

Rgb = NDArray[np.uint8]
BoolMask = NDArray[np.bool_]

#: Photos of each kind.
TEN = 10
#: Whose outlines the holes have: the largest person of these scenes.
STANDING, PLAYING, WALKING = "000000033368", "000000213171", "000000252219"
#: Kind -> photo, whose outline, middle (x) and feet (y) of the hole, its height; pixels.
PLACED: dict[str, tuple[tuple[str, str, int, int, int], ...]] = {
    "sky": (
        ("000000352760", STANDING, 440, 620, 240), ("000000389532", PLAYING, 280, 400, 290),
        ("000000128654", STANDING, 420, 175, 160), ("000000297698", PLAYING, 140, 330, 260),
        ("000000349860", WALKING, 180, 370, 260), ("000000165518", PLAYING, 130, 560, 330),
        ("000000161875", STANDING, 350, 400, 280), ("000000576566", WALKING, 75, 420, 300),
        ("000000007511", PLAYING, 240, 440, 330), ("000000130586", STANDING, 380, 600, 300),
    ),
    "fence": (
        ("000000270474", STANDING, 70, 330, 280), ("000000119445", PLAYING, 120, 350, 190),
        ("000000237071", STANDING, 530, 400, 260), ("000000085772", PLAYING, 500, 410, 310),
        ("000000566436", STANDING, 420, 320, 190), ("000000340451", PLAYING, 130, 360, 250),
        ("000000094326", WALKING, 300, 340, 270), ("000000213171", STANDING, 300, 270, 210),
        ("000000456496", PLAYING, 420, 330, 240), ("000000019432", STANDING, 350, 260, 240),
    ),
    "text": (
        ("000000090284", PLAYING, 250, 240, 230), ("000000000885", STANDING, 190, 330, 260),
        ("000000261732", PLAYING, 90, 230, 210), ("000000252219", STANDING, 190, 330, 250),
        ("000000229849", PLAYING, 190, 545, 130), ("000000143572", STANDING, 450, 400, 180),
        ("000000448076", PLAYING, 400, 360, 240), ("000000553990", STANDING, 430, 390, 200),
        ("000000033368", WALKING, 320, 540, 200), ("000000273715", STANDING, 60, 330, 200),
    ),
}  # fmt: skip


def placed(outline: BoolMask, x: int, feet: int, height: int, size: tuple[int, int]) -> BoolMask:
    """An outline ``[h, w]`` without a border, so many pixels tall, standing at ``(x, feet)`` of a photo of ``size``."""
    width = max(1, round(height * outline.shape[1] / outline.shape[0]))
    shape = cv2.resize(outline.astype(np.uint8) * 255, (width, height), interpolation=cv2.INTER_AREA) > 127
    out = np.zeros(size, bool)
    top, left = feet - height, x - width // 2
    y0, x0, y1, x1 = max(0, top), max(0, left), min(size[0], feet), min(size[1], left + width)
    out[y0:y1, x0:x1] = shape[y0 - top : y1 - top, x0 - left : x1 - left]
    return out


def dark(photo: Rgb, people: BoolMask, rng: np.random.Generator) -> Rgb:
    """A sixth of the light, and a sensor's noise of 2 levels."""
    light = np.square(photo / np.float32(255)) / 6 + 0.004
    return levels(255 * np.sqrt(light) + rng.normal(0, 2, photo.shape))


def night(photo: Rgb, people: BoolMask, rng: np.random.Generator) -> Rgb:
    """A quarter of the light, and noise of 14 levels, half of it in blots of three pixels, as a phone leaves it."""
    light = np.square(photo / np.float32(255)) / 4 + 0.01
    blots = cv2.GaussianBlur(rng.normal(0, 1, photo.shape).astype(np.float32), (0, 0), 1.2)
    return levels(255 * np.sqrt(light) + 10 * rng.normal(0, 1, photo.shape) + 10 * blots / blots.std())


def blurred(photo: Rgb, people: BoolMask, rng: np.random.Generator) -> Rgb:
    """Everything but the people out of focus, with a soft edge; their colours do not bleed into it."""
    from mild.paint.detail import membrane

    spread = cv2.dilate(people.view(np.uint8), np.ones((9, 9), np.uint8)) > 0
    behind = np.where(spread[..., None], membrane(photo.astype(np.float32), (~spread).astype(np.float32)), photo)
    soft = cv2.GaussianBlur(behind.astype(np.float32), (0, 0), 7) + rng.normal(0, 1.5, photo.shape)
    share = cv2.GaussianBlur(people.astype(np.float32), (0, 0), 1.0)[..., None]
    return levels(share * photo + (1 - share) * soft)


def jpeg(photo: Rgb, people: BoolMask, rng: np.random.Generator) -> Rgb:
    """Saved at quality 20."""
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(photo).save(buffer, "JPEG", quality=20)
    return np.asarray(Image.open(buffer).convert("RGB"))


def levels(values: NDArray[Any]) -> Rgb:
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)


#: Kind -> what is done to a photo, its people and chance.
HARMS: dict[str, Callable[[Rgb, BoolMask, np.random.Generator], Rgb]] = {
    "dark": dark, "night": night, "blurred": blurred, "jpeg": jpeg,
}  # fmt: skip
