"""Rows of people that need no whole people: part of whatever is visible is covered, and is to be given back.

Whole cut-outs are few. But of every visible person, however cut off or hidden, a part can be covered by somebody else's
outline, and what was covered is known: the training of partial completion in Zhan et al., "Self-Supervised Scene
De-occlusion", CVPR 2020 (arXiv 2004.02788), here with colour. Where a person really ends is then known too, but for the
sides at which the picture (or a straight cut) ends: beyond those there is nothing to be made.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from mild.lab.data.cutouts import clean_cutout, placed_keypoints, read_keypoints, scaled, tight, without_crumbs
from mild.lab.data.ingredients import Ingredients, Split, of_split, read_manifest
from mild.lab.data.rows import FOREIGN, HOLE, OWN, Row
from mild.people.scene import Box
from mild.plan.planning import dilate, person_hole, reach_box

#: Least height and width of a person worth learning from, pixels.
LEAST = (48, 24)
#: A side of a person's box of which so much is covered is where they were cut off.
CUT = 0.3
#: Of a row's rows: nothing is hidden at all, and the right answer is nothing.
NOTHING = 0.06
#: Of a severely covered person this share is hidden; outlines tried for it. Half of them are whole bodies.
SEVERE, TRIES = (0.3, 0.8), 12


@dataclass(frozen=True)
class Visible:
    """What can be seen of one person.

    Attributes:
        rgba: uint8 ``[h, w, 4]``; colours go on past the outline.
        blocked: bool ``[h, w]``, where somebody else is seen: it may hide more of the person, nobody knows.
        keypoints: ``[17, 3]`` in pixels of ``rgba``, or None.
        cut: left, top, right, bottom: does the picture end there?
        neighbours: boxes of others, in pixels of ``rgba``.
    """

    rgba: NDArray[np.uint8]
    blocked: NDArray[np.bool_]
    keypoints: NDArray[np.float32] | None
    cut: tuple[bool, bool, bool, bool]
    neighbours: tuple[Box, ...] = ()


@dataclass
class VisiblePeople:
    """Every person of a split of which a part can be covered: cut-outs, whole or not, and the instances of scenes.

    Attributes:
        cutouts: manifest lines. scenes: manifest lines, and the number of one person in their mask.
        whole: numbers of the cut-outs that show a whole body.
    """

    photos: Ingredients
    cutouts: tuple[dict[str, Any], ...]
    scenes: tuple[tuple[dict[str, Any], int], ...]
    whole: tuple[int, ...] = ()
    _kept: dict[int, Visible] = field(default_factory=dict)

    @classmethod
    def open(cls, root: str | Path, split: Split) -> VisiblePeople:
        photos = Ingredients.open(root, split)
        lines = of_split(read_manifest(Path(root))[0], split)
        scenes = []
        for line in (line for line in lines if line["kind"] == "scene" and line.get("mask")):
            numbers, areas = np.unique(_mask(photos, line), return_counts=True)
            wanted = LEAST[0] * LEAST[1] // 2
            scenes += [(line, int(n)) for n, a in zip(numbers, areas, strict=True) if 0 < n < 255 and a >= wanted]
        whole = tuple(i for i, line in enumerate(photos.occluders) if _is_whole(line))
        return cls(photos, photos.occluders, tuple(scenes), whole)

    def __len__(self) -> int:
        return len(self.cutouts) + len(self.scenes)

    def person(self, number: int) -> Visible | None:
        """Person ``number``; None when there is too little of them."""
        if number not in self._kept:
            first = len(self.cutouts)
            made = self._cutout(self.cutouts[number]) if number < first else self._seen(*self.scenes[number - first])
            self._kept[number] = made
        found = self._kept[number]
        return found if min(found.rgba.shape[0] - LEAST[0], found.rgba.shape[1] - LEAST[1]) >= 0 else None

    def line(self, number: int) -> dict[str, Any]:
        """The manifest's line of person ``number``."""
        first = len(self.cutouts)
        return self.cutouts[number] if number < first else self.scenes[number - first][0]

    def _cutout(self, line: dict[str, Any]) -> Visible:
        rgba, points = tight(
            without_crumbs(clean_cutout(self.photos.rgba(line))), read_keypoints(line.get("keypoints"))
        )
        cut = (False,) * 4 if _is_whole(line) else cut_sides(rgba[..., 3] > 127)
        return Visible(rgba, np.zeros(rgba.shape[:2], bool), points, cut)

    def _seen(self, line: dict[str, Any], number: int) -> Visible:
        mask, rgb = _mask(self.photos, line), self.photos.rgb(line)
        frame = Box(0, 0, mask.shape[1], mask.shape[0])
        around = Box.around(mask == number).grow(2, mask.shape)
        here = mask[around.slices]
        alpha = np.where(here == number, np.uint8(255), np.uint8(0))
        rgba = without_crumbs(clean_cutout(np.dstack([rgb[around.slices], alpha])))
        points = _scene_keypoints(line, number)
        if points is not None:
            points = points - np.asarray([around.x0, around.y0, 0], np.float32)
        edges = (around.x0 <= frame.x0, around.y0 <= frame.y0, around.x1 >= frame.x1, around.y1 >= frame.y1)
        others = [n for n in np.unique(mask) if n not in (0, 255, number)]
        boxes = [Box.around(mask == n) for n in others]
        moved = tuple(
            Box(b.x0 - around.x0, b.y0 - around.y0, b.x1 - around.x0, b.y1 - around.y0) for b in boxes if b.area
        )
        return Visible(rgba, (here != 0) & (here != number), points, edges, moved)


def partial_row(
    rng: Generator, people: VisiblePeople, size: int, chosen: list[int] | None = None, severe: float = 0.0
) -> tuple[Row, Sequence[tuple[Box, bool]]]:
    """One person, partly behind somebody else's outline; and the others: a box, and whether they stand in front.

    ``chosen`` is told the people's numbers that were tried; the last one is this row's. ``severe``: the share of rows
    in which much of the person is covered.
    """
    much = severe > 0 and bool(rng.random() < severe)
    while True:
        number = int(rng.integers(len(people)))
        if much and people.whole and rng.random() < 0.5:
            number = people.whole[rng.integers(len(people.whole))]
        found = people.person(number)
        if chosen is not None:
            chosen.append(number)
        row = None if found is None else _covered(rng, people.photos, found, size, much)
        if row is not None:
            return row


def _covered(
    rng: Generator, photos: Ingredients, person: Visible, size: int, much: bool
) -> tuple[Row, Sequence[tuple[Box, bool]]] | None:
    flip = bool(rng.random() < 0.5)
    high, wide = person.rgba.shape[:2]
    # At most a little larger than life: enlarged photos are blurred, and blur is not to be learned.
    factor = min(size * rng.uniform(0.25, 0.92) / max(high, wide), 1.25)
    rgba, blocked = person.rgba, person.blocked.view(np.uint8) * np.uint8(255)
    cut = person.cut
    if flip:
        rgba, blocked = np.ascontiguousarray(rgba[:, ::-1]), np.ascontiguousarray(blocked[:, ::-1])
        cut = (cut[2], cut[1], cut[0], cut[3])
    rgba, blocked = scaled(rgba, factor), scaled(blocked, factor)
    h, w = rgba.shape[:2]
    y, x = int(rng.integers(0, size - h + 1)), int(rng.integers(0, size - w + 1))
    box = Box(x, y, x + w, y + h)
    canvas, other = np.zeros((size, size, 4), np.uint8), np.zeros((size, size), bool)
    canvas[box.slices], other[box.slices] = rgba, blocked > 64
    whole = canvas[..., 3] > 127
    other &= ~whole
    frame = np.zeros((size, size), bool)
    frame[
        y if cut[1] else 0 : y + h if cut[3] else size,
        x if cut[0] else 0 : x + w if cut[2] else size,
    ] = True
    least, most = SEVERE if much else (0.0, 0.75)
    for _ in range(TRIES if much else 1):
        front, boxes, radius = _in_front(rng, photos, box, size)
        hidden = (whole & front).sum() / max(1, whole.sum())
        if least <= hidden <= most:
            break
    visible = whole & ~front
    fits = least <= hidden <= most
    if visible.sum() < 150 or not fits or (hidden < 0.03 and rng.random() > NOTHING):
        return None
    points = None
    if person.keypoints is not None:
        points = placed_keypoints(person.keypoints, wide, flip, (w / wide, x, y))
    guess = _guess(rng, points, Box.around(whole))
    reach = reach_box(Box.around(visible), guess, (size, size))
    erased = dilate(front, radius) & ~visible & ~other & frame
    hole = person_hole(visible, erased, reach)
    if hole.sum() < 16:
        return None
    regions = np.full((size, size), FOREIGN, np.uint8)
    regions[visible], regions[hole] = OWN, HOLE
    told = [(b, True) for b in boxes]
    for near in person.neighbours:
        x0, x1 = (wide - near.x1, wide - near.x0) if flip else (near.x0, near.x1)
        told.append((_scaled(x0, near.y0, x1, near.y1, factor, x, y), bool(rng.random() < 0.5)))
    for _ in range(int(rng.choice([0, 1, 2, 4], p=[0.4, 0.3, 0.2, 0.1]))):
        # Others who have nothing to do with it.
        cx, cy, tall = rng.uniform(-0.3, 1.3) * size, rng.uniform(0.2, 0.9) * size, rng.uniform(0.3, 1) * size
        told.append((_scaled(-1 / 6, -1 / 2, 1 / 6, 1 / 2, tall, cx, cy), False))
    # In the upper left corner, as a crop lies on its canvas: most fit into half the side then.
    here = Box.around(visible | hole)
    right, down = max(0, here.x0 - 8), max(0, here.y0 - 8)
    if points is not None:
        points = points - np.asarray([right, down, 0], np.float32)
    moved = [(Box(b.x0 - right, b.y0 - down, b.x1 - right, b.y1 - down), f) for b, f in told]
    return Row("person", _moved(canvas, right, down), _moved(regions, right, down), points), moved


def _moved(image: NDArray[np.uint8], right: int, down: int) -> NDArray[np.uint8]:
    """The image without its first columns and rows, zeros (foreign, nothing) after the last ones."""
    out = np.zeros_like(image)
    out[: image.shape[0] - down, : image.shape[1] - right] = image[down:, right:]
    return out


def _scaled(x0: float, y0: float, x1: float, y1: float, factor: float, x: float, y: float) -> Box:
    return Box(round(x + x0 * factor), round(y + y0 * factor), round(x + x1 * factor), round(y + y1 * factor))


def _in_front(rng: Generator, photos: Ingredients, body: Box, size: int) -> tuple[NDArray[np.bool_], list[Box], int]:
    """One or two outlines in front of ``body``: their pixels, their boxes, and by how much a mask of them is wider."""
    front, boxes, radius = np.zeros((size, size), bool), list[Box](), 1
    for _ in range(int(rng.choice([1, 2], p=[0.8, 0.2]))):
        outline = _outline(rng, photos, body, size)
        if outline.any():
            front |= outline
            boxes.append(Box.around(outline))
            radius = max(radius, int(np.ceil(rng.uniform(0.005, 0.03) * boxes[-1].height)))
    return front, boxes, radius


def _outline(rng: Generator, photos: Ingredients, body: Box, size: int) -> NDArray[np.bool_]:
    """Somebody in front of ``body``: of its size more or less, on the same ground or anywhere across it."""
    alpha = photos.rgba(photos.occluders[rng.integers(len(photos.occluders))])[..., 3]
    if rng.random() < 0.5:
        alpha = np.ascontiguousarray(alpha[:, ::-1])
    mask = scaled(alpha, max(body.height, body.width) * rng.uniform(0.6, 1.6) / max(alpha.shape)) > 127
    h, w = mask.shape
    centre = (body.x0 + body.x1) / 2 + rng.normal(0, 0.5) * max(body.width, 0.4 * body.height)
    if rng.random() < 0.6:
        bottom = body.y1 + rng.normal(0.03, 0.12) * body.height
    else:
        bottom = body.y0 + rng.uniform(0.2, 1.3) * body.height
    out = np.zeros((size, size), bool)
    x0, y0 = int(centre - w / 2), int(bottom - h)
    box = Box(x0, y0, x0 + w, y0 + h).intersect(Box(0, 0, size, size))
    if box.width > 0 and box.height > 0:
        out[box.slices] = mask[box.y0 - y0 : box.y1 - y0, box.x0 - x0 : box.x1 - x0]
    return out


def _guess(rng: Generator, points: NDArray[np.float32] | None, whole: Box) -> Box | None:
    """What the planner takes for the body: the box of its joints where they are known, else mostly nothing."""
    if points is not None and (points[:, 2] > 0.05).sum() >= 4:
        xy = points[points[:, 2] > 0.05, :2]
        xy = xy + (rng.normal(0, 0.02, xy.shape) * whole.height).astype(np.float32)
        (x0, y0), (x1, y1) = np.floor(xy.min(0)), np.ceil(xy.max(0)) + 1
        return Box(int(x0), int(y0), int(x1), int(y1))
    return None


def cut_sides(mask: NDArray[np.bool_]) -> tuple[bool, bool, bool, bool]:
    """Left, top, right, bottom: which sides of a tight mask ``[h, w]`` look cut off, for much of them is covered."""
    h, w = mask.shape
    band = max(2, round(0.015 * max(h, w)))
    lines = (mask[:, :band].any(1), mask[:band].any(0), mask[:, -band:].any(1), mask[-band:].any(0))
    left, top, right, bottom = (float(line.mean()) >= CUT for line in lines)
    return left, top, right, bottom


def _is_whole(line: dict[str, Any]) -> bool:
    return bool(line.get("full_body") and not line.get("truncated") and not line.get("occluded"))


def _mask(photos: Ingredients, line: dict[str, Any]) -> NDArray[np.uint8]:
    """The index mask of a scene, uint8 ``[H, W]``: 0 nobody, k person k, 255 a crowd."""
    entry = {"file": line["mask"], "shard": line.get("mask_shard", line.get("shard"))}
    return np.asarray(photos.image(entry).convert("L"), np.uint8)


def _scene_keypoints(line: dict[str, Any], number: int) -> NDArray[np.float32] | None:
    """Joints of person ``number`` of a scene: COCO's flat list of 51 numbers each, in the mask's order."""
    known = line.get("keypoints") or []
    if number > len(known) or known[number - 1] is None or len(known[number - 1]) != 51:
        return None
    points = np.asarray(known[number - 1], np.float32).reshape(17, 3)
    return read_keypoints(points.tolist()) if (points[:, 2] > 0).any() else None
