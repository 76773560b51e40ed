"""People at their size and place in the frame, and the things they hold."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from mild.lab.data.cutouts import placed_keypoints, scaled
from mild.lab.data.layout import Figure
from mild.lab.data.library import Library
from mild.lab.data.objects import KINDS, Thing, draw
from mild.lab.data.sample import Scenario
from mild.people.scene import Box


@dataclass
class Actor:
    """One person while a sample is made.

    Attributes:
        id: 1 for the one at the back.
        figure: where they stand.
        box: their window in the frame.
        rgb, alpha: uint8 in that window; colours go on past the outline.
        points: keypoints ``[17, 3]`` in the frame, or None.
        thing, thing_box, thing_rgba, thing_source: what they hold, its window, its pixels, its texture's manifest line.
        erase: whether they go.
        camouflaged: whether their clothes were recoloured.
    """

    id: int
    figure: Figure
    box: Box
    rgb: NDArray[np.uint8]
    alpha: NDArray[np.uint8]
    points: NDArray[np.float32] | None
    thing: Thing | None = None
    thing_box: Box | None = None
    thing_rgba: NDArray[np.uint8] | None = None
    thing_source: dict[str, Any] | None = None
    erase: bool = False
    camouflaged: bool = False


def rendered(id: int, figure: Figure, size: int) -> Actor | None:
    """The person at their size, cut at the frame; None when hardly anything is inside."""
    cutout, factor = figure.cutout, figure.scale(size)
    rgba = scaled(cutout.rgba, factor)
    if figure.flip:
        rgba = rgba[:, ::-1]
    x, y = figure.corner(size)
    whole = Box(x, y, x + rgba.shape[1], y + rgba.shape[0])
    box = whole.intersect(Box(0, 0, size, size))
    if box.area <= 0 or box.width < 4 or box.height < 8:
        return None
    window = rgba[box.y0 - y : box.y1 - y, box.x0 - x : box.x1 - x]
    points = placed_keypoints(cutout.points, cutout.rgba.shape[1], figure.flip, (factor, x, y))
    if points is not None:
        inside = (points[:, :2] >= 0).all(1) & (points[:, :2] < size).all(1)
        points[~inside, 2] = 0
    return Actor(id, figure, box, np.ascontiguousarray(window[..., :3]), np.ascontiguousarray(window[..., 3]), points)


def equip(rng: Generator, library: Library, cast: list[Actor], size: int, scenario: Scenario) -> None:
    """Things into hands: somebody who goes first, then by chance others."""
    order = sorted(cast, key=lambda a: (not a.erase, rng.random()))
    for rank, actor in enumerate(order):
        if rank and rng.random() > (0.35 if scenario == "human-object" else 0.0):
            continue
        kinds = {kind: share for kind, share in KINDS.items() if kind != "suitcase" or not actor.figure.cut}
        shares = np.asarray(list(kinds.values())) / sum(kinds.values())
        for kind in rng.choice(list(kinds), 3, replace=False, p=shares):
            if _hold(rng, library, actor, str(kind), size):
                break


def _hold(rng: Generator, library: Library, actor: Actor, kind: str, size: int) -> bool:
    body = actor.figure.height * size
    entry = library.textures[int(rng.integers(len(library.textures)))]
    hand = _hand(rng, actor, size, central=kind in ("box", "board"))
    if hand is None:
        return False
    x, y = hand
    # An umbrella reaches from the hand to above the head.
    reach = y - (actor.figure.feet - actor.figure.height) * size + 0.02 * body if kind == "umbrella" else None
    if reach is not None and reach < 0.2 * body:
        return False
    thing = draw(rng, kind, body, library.background(entry), reach)
    if kind == "suitcase":
        side = 1 if x >= (actor.box.x0 + actor.box.x1) / 2 else -1
        x, y = x + side * 0.45 * thing.rgba.shape[1], actor.figure.feet * size + 0.004 * body
    x0, y0 = round(x - thing.grip[0]), round(y - thing.grip[1])
    whole = Box(x0, y0, x0 + thing.rgba.shape[1], y0 + thing.rgba.shape[0])
    box = whole.intersect(Box(0, 0, size, size))
    if box.area < 0.5 * whole.area:
        return False
    rgba = thing.rgba[box.y0 - y0 : box.y1 - y0, box.x0 - x0 : box.x1 - x0].copy()
    if kind in ("bag", "umbrella", "ball"):
        _grip(rgba, box, actor, hand, radius=max(1.2, 0.022 * body))
    actor.thing, actor.thing_box, actor.thing_rgba, actor.thing_source = thing, box, rgba, entry
    return True


def _hand(rng: Generator, actor: Actor, size: int, central: bool) -> tuple[float, float] | None:
    """Where a hand is: a wrist that is known, else the outline's side half way down the body."""
    body, top = actor.figure.height * size, (actor.figure.feet - actor.figure.height) * size
    solid = actor.alpha > 127
    if central:
        row = round(top + 0.42 * body) - actor.box.y0
        if not 0 <= row < actor.box.height or not solid[row].any():
            return None
        columns = np.flatnonzero(solid[row])
        return float(columns.mean() + actor.box.x0), float(row + actor.box.y0)
    if actor.points is not None:
        wrists = [i for i in (9, 10) if actor.points[i, 2] >= 0.3]
        if wrists:
            i = int(rng.choice(wrists))
            elbow = actor.points[i - 2]
            reach = 0.25 * (actor.points[i, :2] - elbow[:2]) if elbow[2] > 0 else np.zeros(2)
            x, y = actor.points[i, :2] + reach
            return float(x), float(y)
    row = round(top + 0.5 * body) - actor.box.y0
    if not 0 <= row < actor.box.height or not solid[row].any():
        return None
    columns = np.flatnonzero(solid[row])
    side = columns[0] if rng.random() < 0.5 else columns[-1]
    inward = 0.025 * body * (1 if side == columns[0] else -1)
    return float(side + inward + actor.box.x0), float(row + actor.box.y0)


def _grip(rgba: NDArray[np.uint8], box: Box, actor: Actor, hand: tuple[float, float], radius: float) -> None:
    """The fingers stay in front of what they hold."""
    y, x = np.mgrid[box.y0 : box.y1, box.x0 : box.x1].astype(np.float32)
    near = np.clip(radius + 0.5 - np.hypot(x - hand[0], y - hand[1]), 0, 1)
    common = box.intersect(actor.box)
    if common.area <= 0:
        return
    person = np.zeros((box.height, box.width), np.float32)
    person[common.y0 - box.y0 : common.y1 - box.y0, common.x0 - box.x0 : common.x1 - box.x0] = (
        actor.alpha[
            common.y0 - actor.box.y0 : common.y1 - actor.box.y0, common.x0 - actor.box.x0 : common.x1 - actor.box.x0
        ]
        / 255
    )
    rgba[..., 3] = np.rint(rgba[..., 3] * (1 - near * person)).astype(np.uint8)
