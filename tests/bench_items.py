"""Small jobs with a known truth for the tests of the benchmark, and methods that go wrong on purpose."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from mild.lab.bench.items import Item, Truth
from mild.people.scene import Person, Scene
from mild.photo import Photo
from stacks import ellipse

RED, BLUE, GREEN = (200, 30, 30), (30, 40, 200), (40, 150, 60)


def meadow(height: int, width: int, seed: int = 0) -> NDArray[np.uint8]:
    """Soft green noise."""
    noise = np.random.default_rng(seed).normal(0, 12, (height // 4 + 1, width // 4 + 1, 3)).astype(np.float32)
    soft = cv2.resize(noise, (width, height), interpolation=cv2.INTER_CUBIC)
    return np.clip(np.asarray(GREEN, np.float32) + soft, 0, 255).astype(np.uint8)


def two_people(id: str = "a", height: int = 96, width: int = 128, seed: int = 0, gap: float = 0.0) -> Item:
    """A blue person (1, stays) partly behind a red one (2, goes), on a meadow; ``gap`` moves the red one away."""
    background = meadow(height, width, seed)
    blue = ellipse(height, width, width * 0.38, height * 0.55, width * 0.13, height * 0.35)
    red = ellipse(height, width, width * (0.52 + gap), height * 0.58, width * 0.12, height * 0.36)
    layers = {}
    for number, mask, colour in ((1, blue, BLUE), (2, red, RED)):
        rgb = np.clip(
            np.asarray(colour) + np.random.default_rng(seed + number).normal(0, 4, (height, width, 3)), 0, 255
        )
        layers[number] = np.dstack([rgb.astype(np.uint8), mask.astype(np.uint8) * np.uint8(255)])
    without = np.where(blue[..., None], layers[1][..., :3], background)
    photo = np.where(red[..., None], layers[2][..., :3], without)
    people = (Person.from_mask(1, blue & ~red), Person.from_mask(2, red))
    scene = Scene(Photo.from_array(photo), people, (1, 2))
    truth = Truth(without, background, layers, (1, 2))
    return Item(id, scene, (2,), truth, {"scenario": "human-human"})


def triples(folder: Path, count: int = 4, size: tuple[int, int] = (96, 128)) -> Path:
    """A folder of photos, masks and truths as :mod:`mild.lab.bench.sets.triples` reads it."""
    for name in ("img", "mask", "gt"):
        (folder / name).mkdir(parents=True)
    for i in range(count):
        item = two_people(str(i), *size, seed=i, gap=0.05 * i)
        assert item.truth is not None
        pictures = {"img": item.photo, "gt": item.truth.photo, "mask": item.scene.mask_of((2,)).astype(np.uint8) * 255}
        for name, pixels in pictures.items():
            cv2.imwrite(str(folder / name / f"p{i}.png"), pixels[..., ::-1] if pixels.ndim == 3 else pixels)
    return folder


# Methods, as `python:bench_items:NAME`; each is (photo, mask, seed) -> photo.


def grey(photo: NDArray[np.uint8], mask: NDArray[np.bool_], seed: int) -> NDArray[np.uint8]:
    return np.where(mask[..., None], np.uint8(128), photo)


def noisy(photo: NDArray[np.uint8], mask: NDArray[np.bool_], seed: int) -> NDArray[np.uint8]:
    values = np.random.default_rng(seed).integers(0, 256, photo.shape, dtype=np.uint8)
    return np.where(mask[..., None], values, photo)


def mean(photo: NDArray[np.uint8], mask: NDArray[np.bool_], seed: int) -> NDArray[np.uint8]:
    return np.where(mask[..., None], photo[~mask].mean(0).astype(np.uint8), photo)


def brighter(photo: NDArray[np.uint8], mask: NDArray[np.bool_], seed: int) -> NDArray[Any]:
    """Touches the whole photo, as autoencoders do; answers in floats."""
    return np.clip(photo / 255 + 0.05, 0, 1)


def size(photo: NDArray[np.uint8], mask: NDArray[np.bool_], seed: int) -> NDArray[np.uint8]:
    return photo[:-1]


def nan(photo: NDArray[np.uint8], mask: NDArray[np.bool_], seed: int) -> NDArray[Any]:
    values = photo / 255
    values[mask] = np.nan
    return values


def flat(photo: NDArray[np.uint8], mask: NDArray[np.bool_], seed: int) -> NDArray[np.uint8]:
    return photo[..., 0]


def raises(photo: NDArray[np.uint8], mask: NDArray[np.bool_], seed: int) -> NDArray[np.uint8]:
    raise ValueError("no luck")


def dies(photo: NDArray[np.uint8], mask: NDArray[np.bool_], seed: int) -> NDArray[np.uint8]:
    os._exit(3)


def sleeps(photo: NDArray[np.uint8], mask: NDArray[np.bool_], seed: int) -> NDArray[np.uint8]:
    time.sleep(1000)
    return photo


def once_bad(photo: NDArray[np.uint8], mask: NDArray[np.bool_], seed: int) -> NDArray[np.uint8]:
    """Dies on the darkest of the photos only; the others must be answered all the same."""
    if os.environ.get("BENCH_DIES_BELOW") and photo[mask].mean() < float(os.environ["BENCH_DIES_BELOW"]):
        os._exit(9)
    return mean(photo, mask, seed)
