"""Made-up stacks and a road without a model, for the tests of what comes after the method."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from mild.layers import Layer, LayerStack
from mild.people.scene import Box


def make_photo(height: int = 96, width: int = 160, seed: int = 0) -> NDArray[np.uint8]:
    """A smooth, coloured, slightly noisy picture ``[H, W, 3]``."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (6, 8, 3)).astype(np.uint8)
    smooth = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC).astype(np.int16)
    return np.clip(smooth + rng.integers(-6, 7, smooth.shape), 0, 255).astype(np.uint8)


def ellipse(height: int, width: int, x: float, y: float, rx: float, ry: float) -> NDArray[np.bool_]:
    ys, xs = np.mgrid[:height, :width]
    return ((xs - x) / rx) ** 2 + ((ys - y) / ry) ** 2 <= 1


def make_stack(
    height: int = 96, width: int = 160, hidden: tuple[int, ...] = (2,), seed: int = 0, people: int = 3
) -> LayerStack:
    """People in a row, each standing partly before the one to the left, with mattes, soft edges and hidden parts."""
    rng = np.random.default_rng(seed + 1)
    photo = make_photo(height, width, seed)
    fill = make_photo(height, width, seed + 2)
    whole = [
        ellipse(height, width, width * (k + 1) / (people + 1), height * 0.55, width / (2.4 * people), height * 0.35)
        for k in range(people)
    ]
    taken = np.zeros((height, width), bool)
    visible = []
    for mask in reversed(whole):
        visible.insert(0, mask & ~taken)
        taken |= mask
    for k, mask in enumerate(visible):
        photo[mask] = photo[mask] // 3 + np.array([60 * k % 256, 200 - 50 * k % 200, 90], np.uint8)
    layers = []
    union = np.zeros((height, width), bool)
    for k in range(people):
        others = np.logical_or.reduce([visible[j] for j in range(people) if j != k] or [np.zeros_like(taken)])
        wide = cv2.dilate(whole[k].astype(np.uint8) * 255, np.ones((7, 7), np.uint8))
        matte = np.maximum(cv2.GaussianBlur(wide, (9, 9), 2.0), wide)
        matte[others] = 0
        union |= matte > 0
        box = Box.around((matte > 0) | whole[k])
        colour = np.where(visible[k][..., None], photo, rng.integers(0, 256, photo.shape).astype(np.uint8))
        alpha = cv2.GaussianBlur(whole[k].astype(np.uint8) * 255, (3, 3), 0.8)
        alpha[visible[k]] = 255
        rgba = np.dstack([colour.astype(np.uint8), alpha])[box.slices]
        made = (whole[k] & ~visible[k])[box.slices]
        layers.append(
            Layer("person", k + 1, f"person {k + 1}", box, np.ascontiguousarray(rgba), made, matte[box.slices].copy())
        )
    box = Box.around(union)
    rgba = np.dstack([fill, np.where(union, 255, 0).astype(np.uint8)])[box.slices]
    back = Layer("background", None, "background", box, np.ascontiguousarray(rgba), union[box.slices].copy())
    return LayerStack(photo, (back, *layers), frozenset(hidden))


def equal(a: LayerStack, b: LayerStack) -> bool:
    """Are two stacks the same, pixel for pixel?"""

    def same(x: Layer, y: Layer) -> bool:
        mattes = (x.matte is None and y.matte is None) or (
            x.matte is not None and y.matte is not None and np.array_equal(x.matte, y.matte)
        )
        return (
            (x.kind, x.owner, x.name, x.box) == (y.kind, y.owner, y.name, y.box)
            and np.array_equal(x.rgba, y.rgba)
            and np.array_equal(x.generated, y.generated)
            and mattes
        )

    return (
        np.array_equal(a.photo, b.photo)
        and a.hidden == b.hidden
        and a.raised == b.raised
        and len(a.layers) == len(b.layers)
        and all(same(x, y) for x, y in zip(a.layers, b.layers, strict=True))
    )
