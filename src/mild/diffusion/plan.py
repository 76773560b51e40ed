"""Which layers must be made, from what, and where: the three regions of every layer and the crop it needs.

``method.md``: for a layer, every pixel is *own* (visible evidence), *hole* (to generate) or *foreign* (must not
leak). The background's hole is what the erased people cover; a kept person's hole is the part of it where they may
continue behind those who stood in front of them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from mild.errors import UsageError
from mild.request import Region
from mild.scene import Box, Person, Scene

BoolMask = NDArray[np.bool_]
#: Crops come in multiples of this at the denoiser's resolution, so that equal ones share a batch.
BUCKET = 64


@dataclass(frozen=True)
class LayerPlan:
    """One row of the denoiser's batch.

    Attributes:
        domain: ``"background"`` or ``"person"``; names the adapter.
        owner: the person's id, None for the background.
        crop: the window of the photo that the layer is made from.
        own, hole, foreign: bool ``[crop.height, crop.width]``; each pixel is in exactly one.
        focus: the part of the crop whose result counts; the rest is context.
        bucket: ``(height, width)`` of the denoiser's canvas, multiples of :data:`BUCKET`.
        scale: canvas pixels per photo pixel, at most 1. The crop fills the canvas from its top left corner; what
            remains is foreign.
    """

    domain: Literal["background", "person"]
    owner: int | None
    crop: Box
    focus: Box
    own: BoolMask
    hole: BoolMask
    bucket: tuple[int, int]
    scale: float

    @property
    def foreign(self) -> BoolMask:
        return ~(self.own | self.hole)

    @property
    def content(self) -> tuple[int, int]:
        """``(height, width)`` in canvas pixels of the part that holds the crop."""
        return (
            min(self.bucket[0], max(1, round(self.crop.height * self.scale))),
            min(self.bucket[1], max(1, round(self.crop.width * self.scale))),
        )


@dataclass(frozen=True)
class Plan:
    """All layers of one job.

    Attributes:
        layers: background rows first (one per cluster of holes), then the touched kept people, back to front.
        mattes: for each hidden person's id, the feathered matte in a window: ``(box, uint8 [h, w])``.
        erased: ids whose pixels the background layer replaces.
    """

    layers: tuple[LayerPlan, ...]
    mattes: dict[int, tuple[Box, NDArray[np.uint8]]]
    erased: tuple[int, ...]


def dilate(mask: BoolMask, radius: int) -> BoolMask:
    """Disc dilation of ``mask [h, w]`` by ``radius`` pixels."""
    if radius < 1:
        return mask
    # A distance threshold costs the same whatever the radius; a 60-pixel structuring element would not.
    return np.asarray(cv2.distanceTransform((~mask).astype(np.uint8), cv2.DIST_L2, 5) <= radius)


def reach_box(visible: Box, guess: Box | None, size: tuple[int, int]) -> Box:
    """Where a person may continue: the visible box a little enlarged, and the body that the keypoints suggest."""
    grown = visible.grow(max(2, round(0.06 * max(visible.width, visible.height))), size)
    if guess is None or guess.area <= 0:
        # Nothing is known of the hidden part: a body's width to the sides, half a height up and down.
        side = round(0.35 * visible.height)
        return Box(visible.x0 - side, visible.y0 - side, visible.x1 + side, visible.y1 + side).intersect(
            Box(0, 0, size[1], size[0])
        )
    return grown.union(guess.grow(max(2, round(0.08 * guess.height)), size)).intersect(Box(0, 0, size[1], size[0]))


def person_hole(visible: BoolMask, erased: BoolMask, reach: Box) -> BoolMask:
    """The part of the erased region ``[h, w]`` where the person may continue: inside ``reach``, connected to them."""
    allowed = np.zeros_like(erased)
    allowed[reach.slices] = erased[reach.slices]
    allowed &= ~visible
    count, labels = cv2.connectedComponents(allowed.astype(np.uint8), connectivity=8)
    if count <= 1:
        return allowed
    touching = np.unique(labels[dilate(visible, 2) & allowed])
    return np.isin(labels, touching[touching > 0])


def plan_layers(
    scene: Scene,
    erase: tuple[int, ...],
    region: Region,
    *,
    resolution: int = 256,
    people_layers: bool = True,
    complete: tuple[int, ...] | None = None,
) -> Plan:
    """What to make so that the people ``erase`` can leave ``scene``.

    Args:
        resolution: long side of the denoiser's canvas, pixels.
        people_layers: also complete the kept people whom an erased one may have covered.
        complete: whom to complete, when it is not the sure people who stay (a decomposition completes everybody).

    Raises:
        UsageError: nobody is to be erased, or nothing of the photo would be left.
    """
    if not erase:
        raise UsageError("Nobody is chosen: say whom to erase, for example with --person 1.")
    going = [scene.person(i) for i in erase]
    staying = [p for p in scene.people if p.id not in erase]
    kept = scene.mask_of(p.id for p in staying)
    mattes: dict[int, tuple[Box, NDArray[np.uint8]]] = {}
    hole = np.zeros(scene.size, bool)
    for person in going:
        box, matte = _matte(person, kept, region)
        mattes[person.id] = (box, matte)
        hole[box.slices] |= matte > 0
    if not hole.any():
        raise UsageError("What is to be erased lies wholly inside people who stay; choose them instead.")
    if hole.all():
        raise UsageError("The mask covers the whole photo: leave some of it visible to fill from.")
    halo = max((_pixels(region.dilate, p) for p in staying), default=0)
    own = ~(dilate(kept, halo) | hole) if staying else ~hole
    layers = [
        _row("background", None, own, hole, box, region, resolution, scene.size)
        for box in _clusters(hole, region, scene.size)
    ]
    if people_layers:
        wanted = [p for p in staying if p.sure] if complete is None else [scene.person(i) for i in complete]
        for person in sorted(wanted, key=lambda p: scene.order.index(p.id)):
            row = _person_row(scene, person, going, hole, region, resolution)
            if row is not None:
                layers.append(row)
    return Plan(tuple(layers), mattes, tuple(erase))


def _person_row(
    scene: Scene, person: Person, going: list[Person], hole: BoolMask, region: Region, resolution: int
) -> LayerPlan | None:
    """The row of a person whom one of ``going`` may have covered; None when there is nothing to complete."""
    # Only those in front: behind a person further back there is nothing of this one.
    covering = [p for p in going if p.id != person.id and scene.in_front(p.id, person.id)]
    reach = reach_box(person.box, _body_guess(person, scene.size), scene.size)
    near = [p for p in covering if p.box.grow(_pixels(region.dilate, p) + 2, scene.size).intersect(reach).area > 0]
    if not near:
        return None
    front = dilate(scene.mask_of(p.id for p in near), max(_pixels(region.dilate, p) for p in near))
    visible = person.full_mask(scene.size)
    others = scene.mask_of(p.id for p in scene.people if p.id != person.id and p not in near)
    part = person_hole(visible, front & hole & ~others, reach)
    if part.sum() < max(16, 0.01 * person.area):
        return None
    return _row("person", person.id, visible, part, Box.around(visible | part), region, resolution, scene.size)


def _body_guess(person: Person, size: tuple[int, int]) -> Box | None:
    """Box of all keypoints, hidden ones too: a pose net guesses where covered limbs are."""
    points = person.landmarks if person.landmarks is not None else person.keypoints
    if points is None:
        return None
    xy = points[(points[:, 2] > 0.05), :2]
    if len(xy) < 4:
        return None
    (x0, y0), (x1, y1) = np.floor(xy.min(0)), np.ceil(xy.max(0)) + 1
    box = Box(int(x0), int(y0), int(x1), int(y1)).intersect(Box(0, 0, size[1], size[0]))
    # A pose far larger than the visible person is a wrong pose.
    return box if box.area > 0 and box.height <= 3 * person.box.height + 8 else None


def _pixels(fraction: float, person: Person) -> int:
    """A fraction of the person's height in whole pixels; wide, low regions count by their shape's mean size."""
    extent = min(person.box.height, 2.5 * person.box.width)
    return math.ceil(fraction * extent)


def _matte(person: Person, kept: BoolMask, region: Region) -> tuple[Box, NDArray[np.uint8]]:
    """How strongly the photo is replaced around an erased person: 255 on the dilated mask, falling over the feather.

    Visible pixels of those who stay are 0: they are never touched.
    """
    solid, soft = _pixels(region.dilate, person), _pixels(region.feather, person)
    box = person.box.grow(solid + soft + 1, (kept.shape[0], kept.shape[1]))
    mask = np.zeros((box.height, box.width), np.uint8)
    mask[person.box.y0 - box.y0 : person.box.y1 - box.y0, person.box.x0 - box.x0 : person.box.x1 - box.x0] = person.mask
    distance = cv2.distanceTransform(1 - mask, cv2.DIST_L2, 5)
    falling = 1.0 - (distance - solid) / (soft + 1)
    matte = np.rint(255 * np.clip(falling, 0, 1)).astype(np.uint8)
    matte[kept[box.slices]] = 0
    return box, matte


def _clusters(hole: BoolMask, region: Region, size: tuple[int, int]) -> list[Box]:
    """Boxes around groups of holes whose context windows meet."""
    _, _, stats, _ = cv2.connectedComponentsWithStats(hole.astype(np.uint8), connectivity=8)
    boxes = [Box(int(x), int(y), int(x + w), int(y + h)) for x, y, w, h, _ in stats[1:]]
    merged = True
    while merged:
        merged = False
        for i, a in enumerate(boxes):
            for j in range(i + 1, len(boxes)):
                if _with_context(a, region, size).intersect(boxes[j]).area > 0 or (
                    _with_context(boxes[j], region, size).intersect(a).area > 0
                ):
                    boxes[i] = a.union(boxes.pop(j))
                    merged = True
                    break
            if merged:
                break
    return sorted(boxes)


def _with_context(box: Box, region: Region, size: tuple[int, int]) -> Box:
    return box.grow(max(8, math.ceil(region.context * max(box.width, box.height) / 2)), size)


def _row(
    domain: Literal["background", "person"],
    owner: int | None,
    own: BoolMask,
    hole: BoolMask,
    box: Box,
    region: Region,
    resolution: int,
    size: tuple[int, int],
) -> LayerPlan:
    """Cut the crop for a hole (background: with context; person: as it is, a small margin) and choose its bucket."""
    crop = _with_context(box, region, size) if domain == "background" else box.grow(8, size)
    scale = min(1.0, resolution / max(crop.height, crop.width))
    bucket = tuple(BUCKET * max(1, math.ceil(round(side * scale) / BUCKET)) for side in (crop.height, crop.width))
    # The canvas is there anyway: let the photo's own pixels fill it rather than blank padding.
    crop = _fill_canvas(crop, (bucket[0] / scale, bucket[1] / scale), size)
    # Holes of other clusters that reach into this crop are not evidence; they are generated here too.
    return LayerPlan(
        domain, owner, crop, box, own[crop.slices].copy(), hole[crop.slices].copy(), (bucket[0], bucket[1]), scale
    )


def _fill_canvas(crop: Box, canvas: tuple[float, float], size: tuple[int, int]) -> Box:
    y0, y1 = _stretch(crop.y0, crop.y1, canvas[0], size[0])
    x0, x1 = _stretch(crop.x0, crop.x1, canvas[1], size[1])
    return Box(x0, y0, x1, y1)


def _stretch(low: int, high: int, want: float, limit: int) -> tuple[int, int]:
    """Grow ``[low, high)`` to at most ``want`` inside ``[0, limit)``, evenly where there is room."""
    length = max(high - low, min(int(want), limit))
    start = min(max(0, low - (length - (high - low)) // 2), limit - length)
    return start, start + length
