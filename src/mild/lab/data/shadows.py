"""Shadows on the ground: a cast one, all of a scene in one direction, and a dark line of contact under the feet."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from mild.lab.data.tone import Tone

Alpha = NDArray[np.float32]


@dataclass(frozen=True)
class Light:
    """One light for a whole scene.

    Attributes:
        side: where shadows fall, from left (-1) to right (1), in body heights.
        depth: how far they go away from the camera (> 0) or towards it (< 0), in body heights of picture rows.
        strength: darkness of the cast shadow, 0..1.
        softness: blur at the far end, in body heights.
        reach: how much of the body's height still casts, 0..1; diffuse light blurs the rest away.
        contact: darkness under the feet, 0..1.
    """

    side: float
    depth: float
    strength: float
    softness: float
    reach: float
    contact: float

    @classmethod
    def drawn(cls, rng: Generator, tone: Tone, strong: bool) -> Light:
        """A light that the scene could have; ``strong`` asks for a shadow that is hard to miss."""
        side = float(rng.choice([-1.0, 1.0]))
        if tone.sunny or strong:
            return cls(
                side * float(rng.uniform(0.35, 0.95)),
                float(rng.uniform(-0.05, 0.2)),
                float(rng.uniform(0.42, 0.6) if strong else rng.uniform(0.34, 0.52)),
                float(rng.uniform(0.012, 0.03)),
                float(rng.uniform(0.75, 1.0)),
                float(rng.uniform(0.55, 0.75)),
            )
        return cls(
            side * float(rng.uniform(0.15, 0.5)),
            float(rng.uniform(-0.02, 0.1)),
            float(rng.uniform(0.18, 0.32)),
            float(rng.uniform(0.035, 0.07)),
            float(rng.uniform(0.3, 0.6)),
            float(rng.uniform(0.5, 0.7)),
        )


def shadow_of(outline: Alpha, feet: float, height: float, floor: float, light: Light) -> Alpha:
    """The shadow of one person on the ground, ``[H, W]`` 0..1.

    Args:
        outline: float32 ``[H, W]`` 0..1, the person (and what they hold) in the frame.
        feet: row of the feet.
        height: of the body, pixels.
        floor: row from which on there is ground; nothing falls above it.
        light: the scene's.
    """
    size = outline.shape[0], outline.shape[1]
    rows = np.arange(size[0], dtype=np.float32)[:, None]
    # A body point z above the feet throws its shadow at (x + z * side, feet - z * depth).
    up = np.clip((feet - rows) / height, 0, 1.2)
    weight = np.clip(1 - up / light.reach, 0, 1) ** 0.6
    source = outline * weight
    flat = 0.16 if abs(light.depth) < 0.04 else abs(light.depth)
    depth = flat if light.depth >= 0 else -flat
    # The far end stays on the ground that is seen.
    depth = min(depth, max(0.02, 0.85 * (feet - floor) / max(1.0, height * light.reach)))
    affine = np.asarray([[1, -light.side, light.side * feet], [0, depth, feet - depth * feet]], np.float32)
    cast = cv2.warpAffine(source, affine, (size[1], size[0]), flags=cv2.INTER_LINEAR)
    near = cv2.GaussianBlur(cast, (0, 0), max(0.6, 0.25 * light.softness * height))
    far = cv2.GaussianBlur(cast, (0, 0), max(0.8, light.softness * height))
    distance = np.clip(np.abs(feet - rows) / max(1.0, abs(depth) * height * light.reach), 0, 1)
    cast = light.strength * (near * (1 - distance) + far * distance)
    shadow = 1 - (1 - cast) * (1 - light.contact * _contact(outline, feet, height))
    edge = np.clip((rows - floor) / max(1.0, 0.02 * height), 0, 1)
    return np.asarray(shadow * edge, np.float32)


def _contact(outline: Alpha, feet: float, height: float) -> Alpha:
    """A soft dark patch below whatever of the outline comes near the ground."""
    out = np.zeros_like(outline)
    band = max(2, round(0.045 * height))
    y1 = min(outline.shape[0], round(feet) + 1)
    y0 = max(0, y1 - band)
    strip = outline[y0:y1]
    if not strip.size:
        return out
    # Each column's lowest point, where it is near the ground, as a flat ellipse around it.
    solid = strip > 0.5
    columns = np.flatnonzero(solid.any(0))
    lowest = y1 - 1 - np.argmax(solid[::-1], 0)[columns]
    thick = max(1, round(0.010 * height))
    for row, column in zip(lowest, columns, strict=True):
        out[max(0, row - thick) : row + thick + 1, column] = 1.0
    close = cv2.GaussianBlur(out, (0, 0), sigmaX=max(1.0, 0.014 * height), sigmaY=max(0.7, 0.007 * height))
    # Light from the sky is missing further around too.
    wide = cv2.GaussianBlur(out, (0, 0), sigmaX=max(1.5, 0.05 * height), sigmaY=max(0.8, 0.015 * height))
    return np.asarray(np.minimum(1.0, close + 1.6 * wide), np.float32)
