"""What is difficult about a sample, measured on its layers: who hides whom, what is held, who blends in."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from mild.lab.data.sample import SampleLayer, Scenario, Tags
from mild.lab.data.tone import to_lab
from mild.people.scene import Box


@dataclass(frozen=True)
class Covers:
    """Complete bodies, and what hides how much of them.

    Attributes:
        bodies: id to bool ``[H, W]``, the complete person.
        things: id to bool ``[H, W]``, what they hold.
        by: ``(hidden, hider)`` to the share of the first that the second (and their things) cover.
    """

    bodies: dict[int, NDArray[np.bool_]]
    things: dict[int, NDArray[np.bool_]]
    by: dict[tuple[int, int], float]

    def tags(
        self,
        scenario: Scenario,
        gone: dict[int, bool],
        index: NDArray[np.uint8],
        photo: NDArray[np.uint8],
        background: NDArray[np.uint8],
        shadow: NDArray[np.uint8],
    ) -> Tags:
        """The tags of a sample; ``gone`` says of each person, from the back to the front, whether they go."""
        across = [share for (a, b), share in self.by.items() if gone[a] != gone[b]]
        entangled = 0.0
        for owner, thing in self.things.items():
            over = np.zeros_like(thing)
            for body in self.bodies.values():
                over |= thing & body
            entangled = max(entangled, float(over.sum() / max(1, self.bodies[owner].sum())))
        contrast = min(
            (_contrast(index == person, index == 0, photo, background) for person, goes in gone.items() if goes),
            default=100.0,
        )
        return Tags(
            scenario,
            round(max(across, default=0.0), 4),
            _longest(list(gone), self.by),
            round(entangled, 4),
            round(contrast, 2),
            round(float((shadow > 40).mean()), 4),
        )


def covers(size: tuple[int, int], layers: tuple[SampleLayer, ...]) -> Covers:
    """Measure the layers of a photo of ``size = (height, width)``."""
    bodies: dict[int, NDArray[np.bool_]] = {}
    things: dict[int, NDArray[np.bool_]] = {}
    by: dict[tuple[int, int], float] = {}
    for layer in layers:
        if layer.kind == "shadow":
            continue
        mask = np.zeros(size, bool)
        mask[layer.box.slices] = layer.rgba[..., 3] > 127
        for other, body in bodies.items():
            if other != layer.owner and body.any():
                share = float((body & mask).sum() / body.sum())
                if share:
                    by[other, layer.owner] = min(1.0, by.get((other, layer.owner), 0.0) + share)
        if layer.kind == "person":
            bodies[layer.owner] = mask
        else:
            things[layer.owner] = mask
    return Covers(bodies, things, by)


def _longest(order: list[int], by: dict[tuple[int, int], float]) -> int:
    """People in the longest chain in which each, from the back to the front, hides 2 % or more of the one before."""
    best: dict[int, int] = {}
    for i, person in enumerate(order):
        best[person] = 1 + max((best[back] for back in order[:i] if by.get((back, person), 0.0) >= 0.02), default=0)
    return max(best.values(), default=1)


def _contrast(
    person: NDArray[np.bool_], free: NDArray[np.bool_], photo: NDArray[np.uint8], background: NDArray[np.uint8]
) -> float:
    """CIELAB distance between the mean colour along the inside of a person's outline and just outside it."""
    if not person.any():
        return 100.0
    box = Box.around(person).grow(8, (person.shape[0], person.shape[1]))
    mask = person[box.slices].astype(np.uint8)
    reach = max(2, round(0.03 * box.height))
    kernel = np.ones((2 * reach + 1, 2 * reach + 1), np.uint8)
    inside = (mask > 0) & (cv2.erode(mask, kernel) == 0)
    outside = (cv2.dilate(mask, kernel) > 0) & free[box.slices]
    if inside.sum() < 10 or outside.sum() < 10:
        return 100.0
    own = to_lab(photo[box.slices])[inside].mean(0)
    other = to_lab(background[box.slices])[outside].mean(0)
    return float(np.linalg.norm(own - other))
