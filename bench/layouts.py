"""Simulated group photos for the cost benchmark: outlines of people who stand in front of each other, no pixels."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "src"))

from mild.people.scene import Person, Scene
from mild.photo import Photo

Mask = NDArray[np.bool_]
#: A kept person counts as touched when an erased one in front covers at least this part of their whole body.
TOUCHED = 0.03


def group(rng: Generator, size: tuple[int, int], touched: int) -> tuple[Scene, tuple[int, ...]]:
    """A scene of ``size = (height, width)`` and whom to erase.

    One or two erased people in front (more when more are touched than they can cover), exactly ``touched`` kept people
    whom they cover in part, and up to two kept bystanders whom nobody covers. Bodies are 35 to 85 % of the photo's
    height; people in one photo are of similar height, as in a group that stands together. Every person has keypoints
    over the whole body, hidden parts too, with a pose net's error of 4 % of the height.
    """
    while True:
        seed = int(rng.integers(2**32))
        # Most draws are not what was asked for; a small picture of them tells so sixteen times as fast.
        if _drawn(np.random.default_rng(seed), (size[0] // 4, size[1] // 4), touched) is None:
            continue
        found = _drawn(np.random.default_rng(seed), size, touched)
        if found is not None:
            return found


def _drawn(rng: Generator, size: tuple[int, int], touched: int) -> tuple[Scene, tuple[int, ...]] | None:
    """One draw; None if it is not as meant."""
    height = size[0] * rng.uniform(0.35, 0.85)
    going = int(rng.integers(1, 3)) if touched <= 4 else int(rng.integers(2, 4))
    spots = np.sort(rng.uniform(0.15, 0.85, going)) * size[1]
    bodies: list[tuple[Mask, NDArray[np.float32], str]] = []
    for _ in range(int(rng.integers(0, 3))):
        bodies.append((*_body(rng, size, rng.uniform(0.05, 0.95) * size[1], height, 0.0), "bystander"))
    for i in range(touched):
        beside = spots[i % going] + rng.choice([-1, 1]) * rng.uniform(0.08, 0.3) * height
        bodies.append((*_body(rng, size, beside, height, 0.01), "touched"))
    for spot in spots:
        bodies.append((*_body(rng, size, spot, height, 0.05), "erased"))
    scene, erased = _scene(size, bodies)
    return (scene, erased) if scene is not None and _as_meant(bodies, scene) else None


def _as_meant(bodies: list[tuple[Mask, NDArray[np.float32], str]], scene: Scene) -> bool:
    front = np.logical_or.reduce([mask for mask, _, role in bodies if role == "erased"])
    for (mask, _, role), person in zip(bodies, scene.people, strict=True):
        covered = (mask & front).sum() / max(1, mask.sum())
        if role == "touched" and (covered < TOUCHED or person.area < 0.15 * mask.sum()):
            return False
        if role == "bystander" and covered > 0:
            return False
    return True


def _scene(
    size: tuple[int, int], bodies: list[tuple[Mask, NDArray[np.float32], str]]
) -> tuple[Scene | None, tuple[int, ...]]:
    """People from whole bodies, back to front: each is visible where nobody in front is."""
    taken = np.zeros(size, bool)
    people = []
    for number in range(len(bodies), 0, -1):
        mask, points, _ = bodies[number - 1]
        visible = mask & ~taken
        taken |= mask
        if visible.sum() < 10:
            return None, ()
        people.append(Person.from_mask(number, visible, keypoints=points))
    photo = Photo.of(np.full((*size, 3), 127, np.uint8))
    order = tuple(range(1, len(bodies) + 1))
    erased = tuple(i + 1 for i, (_, _, role) in enumerate(bodies) if role == "erased")
    return Scene(photo, tuple(reversed(people)), order), erased


def _body(
    rng: Generator, size: tuple[int, int], x: float, height: float, nearer: float
) -> tuple[Mask, NDArray[np.float32]]:
    """The outline ``[H, W]`` of a standing person of about this height at column ``x``, and 17 keypoints."""
    height *= rng.uniform(0.88, 1.08) * (1 + nearer)
    feet = size[0] * (0.93 + nearer) + rng.normal(0, 0.01) * size[0]
    ys, xs = np.indices(size, dtype=np.float32)
    v, u = (ys - (feet - height)) / height, (xs - x) / height
    arms, stance = rng.uniform(0.11, 0.17), rng.uniform(0.04, 0.07)
    mask = (u / 0.06) ** 2 + ((v - 0.075) / 0.075) ** 2 < 1
    mask |= (np.abs(u) < 0.115 - 0.06 * np.abs(v - 0.3)) & (v > 0.13) & (v < 0.55)
    mask |= (np.abs(np.abs(u) - stance) < 0.045) & (v > 0.5) & (v < 1)
    mask |= (np.abs(np.abs(u) - arms) < 0.028) & (v > 0.17) & (v < 0.58)
    rows = [0.06, 0.05, 0.05, 0.06, 0.06, 0.18, 0.18, 0.37, 0.37, 0.55, 0.55, 0.52, 0.52, 0.74, 0.74, 0.97, 0.97]
    columns = [0, 0.02, -0.02, 0.04, -0.04, 0.1, -0.1, arms, -arms, arms, -arms, 0.05, -0.05, *([stance, -stance] * 2)]
    points = np.stack([x + np.array(columns) * height, feet - height + np.array(rows) * height, np.ones(17)], 1)
    points[:, :2] += rng.normal(0, 0.04 * height, 2) + rng.normal(0, 0.01 * height, (17, 2))
    return mask, points.astype(np.float32)
