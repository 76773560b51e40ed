"""Small samples made by hand, for tests of the format and of what reads it."""

from __future__ import annotations

import numpy as np

from mild.lab.data.sample import Sample, SampleLayer, Source, Subject, Tags, composed, visible_maps
from mild.people.scene import Box


def tiny_sample(key: str = "000000", seed: int = 0, size: tuple[int, int] = (48, 64), **changes) -> Sample:
    """Two people on noise: person 2 before person 1, who holds a bag and casts a shadow; person 2 is to go."""
    rng = np.random.default_rng(seed)
    background = rng.integers(60, 200, (*size, 3), np.uint8)

    def block(box: Box, colour: tuple[int, ...], alpha: int = 255) -> np.ndarray:
        out = np.empty((box.height, box.width, 4), np.uint8)
        out[...] = (*colour, alpha)
        out[0, :, 3] = 100
        return out

    boxes = {
        "shadow": Box(8, 40, 34, 46),
        "one": Box(10, 8, 26, 44),
        "bag": Box(22, 24, 32, 34),
        "two": Box(24, 6, 44, 48),
    }
    layers = (
        SampleLayer("shadow", 1, "shadow 1", boxes["shadow"], block(boxes["shadow"], (0, 0, 0), 90)),
        SampleLayer("person", 1, "person 1", boxes["one"], block(boxes["one"], (200, 30, 30))),
        SampleLayer("object", 1, "bag", boxes["bag"], block(boxes["bag"], (30, 30, 200))),
        SampleLayer("person", 2, "person 2", boxes["two"], block(boxes["two"], (30, 200, 30))),
    )
    index, belongings, shadow = visible_maps(size, layers)
    points = np.zeros((17, 3), np.float32)
    points[5] = (12.5, 14.25, 1.0)
    parts = np.where(index == 1, 3, 0).astype(np.uint8)
    fields = {
        "key": key,
        "photo": composed(background, layers),
        "index": index,
        "people": (
            Subject(1, False, points, "people/a.webp", hidden=0.0556),
            Subject(2, True, np.zeros((17, 3), np.float32), "people/b.webp"),
        ),
        "order": (1, 2),
        "background": background,
        "layers": layers,
        "parts": parts,
        "belongings": belongings,
        "shadow": shadow,
        "truth": "layers",
        "tags": Tags("human-human", 0.0556, 2, 0.1, 50.0, 0.05),
        "sources": (
            Source("b/field.webp", "background", "CC0-1.0", "", "web", "field"),
            Source("people/a.webp", "person", "CC-BY-2.0", "A. Author", "web", "a.jpg"),
            Source("people/b.webp", "person", "CC-BY-2.0", "B. Author", "web", "b.jpg"),
        ),
        "seed": seed,
        "split": "train",
        "made_by": "test",
    }
    return Sample(**{**fields, **changes})
