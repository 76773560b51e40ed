"""Which layers must be made, from what, and where: the three regions of every layer and the crop it needs.

``method.md``: for a layer, every pixel is *own* (visible evidence), *hole* (to generate) or *foreign* (must not
leak). The background's hole is what the erased people cover; a kept person's hole is the part of it where they may
continue behind those who stood in front of them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from mild.errors import UsageError
from mild.people.body import checked_keypoints
from mild.people.scene import DRAWN, SAME_BOX, Box, Person, Scene
from mild.plan.beside import MOVED, moved
from mild.plan.blur import edge_spread
from mild.plan.crossing import crossing
from mild.plan.cutoff import cut_off
from mild.plan.density import densities, fill_canvas
from mild.plan.margin import Margin, by_hand, things, widened
from mild.plan.sizes import Sizes
from mild.request import Region

BoolMask = NDArray[np.bool_]

#: Least side of a background's crop, pixels.
LEAST_CROP = 256
#: A find in the box of somebody who goes with less than this part of their pixels is scraps around them, and nobody.
SCRAPS = 0.25


@dataclass(frozen=True)
class LayerPlan:
    """One row of the denoiser's batch.

    Attributes:
        domain: ``"background"`` or ``"person"``; names the adapter.
        owner: the person's id, None for the background.
        crop: the window of the photo that the layer is made from.
        own, hole, foreign: bool ``[crop.height, crop.width]``; each pixel is in exactly one.
        focus: the part of the crop whose result counts; the rest is context.
        bucket: ``(height, width)`` of the denoiser's canvas, multiples of :data:`mild.plan.density.BUCKET`.
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

    @cached_property
    def sizes(self) -> Sizes:
        """The crop's size at every stage, from the photo's pixels to the canvas."""
        photo = self.crop.height, self.crop.width
        hole = int(np.count_nonzero(self.hole))
        return Sizes.of(photo, self.bucket, self.scale, hole, background=self.domain == "background")


@dataclass(frozen=True)
class Plan:
    """All layers of one job.

    Attributes:
        layers: backgrounds first (one per cluster of holes), then the touched kept people, back to front.
        mattes: for each hidden person's id, the feathered matte in a window: ``(box, uint8 [h, w])``.
        erased: ids whose pixels the background layer replaces.
    """

    layers: tuple[LayerPlan, ...]
    mattes: dict[int, tuple[Box, NDArray[np.uint8]]]
    erased: tuple[int, ...]


@dataclass(frozen=True)
class _Window:
    """A layer before its canvas is chosen.

    Masks are in the frame of ``box`` (sixty megapixels for each of ten people would not be small); nothing of the
    layer's own or hole lies outside it.
    """

    domain: Literal["background", "person"]
    owner: int | None
    box: Box
    own: BoolMask
    hole: BoolMask
    focus: Box
    crop: Box

    def layer(self, bucket: tuple[int, int], scale: float, size: tuple[int, int]) -> LayerPlan:
        crop = fill_canvas(self.crop, bucket, scale, size)
        own, hole = (np.zeros((crop.height, crop.width), bool) for _ in range(2))
        common = crop.intersect(self.box)
        here, there = common.inside(crop).slices, common.inside(self.box).slices
        # Holes of other clusters that reach into this crop are not evidence; they are generated here too.
        own[here], hole[here] = self.own[there], self.hole[there]
        return LayerPlan(self.domain, self.owner, crop, self.focus, own, hole, bucket, scale)


def dilate(mask: BoolMask, radius: int) -> BoolMask:
    """Disc dilation of ``mask [h, w]`` by ``radius`` pixels."""
    if radius < 1 or not mask.any():
        return mask
    out = np.zeros_like(mask)
    # Only around the mask: most of a large photo is far from it.
    window = Box.around(mask).grow(radius + 1, (mask.shape[0], mask.shape[1])).slices
    # A distance threshold costs the same whatever the radius; a 60-pixel structuring element would not.
    outside = (~mask[window]).view(np.uint8)
    np.less_equal(cv2.distanceTransform(outside, cv2.DIST_L2, 5), radius, out=out[window])
    return out


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
    out = np.zeros_like(erased)
    allowed = erased[reach.slices] & ~visible[reach.slices]
    count, labels = cv2.connectedComponents(allowed.view(np.uint8), connectivity=8)
    connected = np.zeros(count, bool)
    connected[labels[dilate(visible, 2)[reach.slices] & allowed]] = True
    out[reach.slices] = connected[labels]
    return out


def plan_layers(
    scene: Scene,
    erase: tuple[int, ...],
    region: Region,
    *,
    resolution: int = 256,
    people_layers: bool = True,
    complete: tuple[int, ...] | None = None,
    budget: float | None = 1.1,
) -> Plan:
    """What to make so that the people ``erase`` can leave ``scene``.

    Args:
        resolution: long side of the denoiser's canvas, pixels.
        people_layers: also complete the kept people whom an erased one may have covered.
        complete: whom to complete, when it is not the sure people who stay (a decomposition completes everybody).
        budget: a job with people layers is denoised on at most so many times the pixels of one pass over the whole
            photo (see :func:`mild.plan.density.densities`). A decomposition, whose layers are wanted for
            themselves, has none.

    Raises:
        UsageError: nobody is to be erased, or nothing of the photo would be left.
        MildError: somebody's keypoints are not numbers.
    """
    if not erase:
        raise UsageError("Nobody is chosen: say who goes, by number, point, box or mask.")
    for person in scene.people:
        checked_keypoints(person.keypoints, scene.size, f"person {person.id}")
    going = [scene.person(i) for i in erase]
    staying = [p for p in scene.people if p.id not in erase]
    kept = scene.mask_of(p.id for p in staying)
    mattes: dict[int, tuple[Box, NDArray[np.uint8]]] = {}
    hole = np.zeros(scene.size, bool)
    for person in going:
        box, matte = _matte(scene, person, kept, region)
        mattes[person.id] = (box, matte)
        hole[box.slices] |= matte > 0
    if not hole.any():
        raise UsageError("What is to be erased lies wholly inside people who stay; choose them instead.")
    if hole.all():
        raise UsageError("The mask covers the whole photo: leave some of it visible to fill from.")
    halo = max((Margin.of(p, region).sure for p in staying), default=0)
    own = ~hole
    for person in staying:
        # One by one: the box around all of them may be the whole photo.
        around = person.box.grow(halo + 1, scene.size)
        own[around.slices] &= ~dilate(scene.mask_of([person.id], around), halo)
    frame = Box(0, 0, scene.size[1], scene.size[0])
    clusters = _clusters(hole, region, scene.size)
    if not staying and all(person.source in DRAWN for person in going):
        for box in clusters:
            around, things_there = crossing(scene.photo.pixels, hole, box)
            own[around.slices] &= ~things_there
    windows = [
        _Window("background", None, frame, own, hole, box, _with_context(box, region, scene.size)) for box in clusters
    ]
    people: list[_Window] = []
    if people_layers:
        wanted = [p for p in staying if p.sure] if complete is None else [scene.person(i) for i in complete]
        for person in sorted(wanted, key=lambda p: scene.order.index(p.id)):
            window = _person_window(scene, person, going, hole, region)
            if window is not None:
                people.append(window)
    shared = budget if people and complete is None else None
    windows += people
    canvases = densities([w.crop for w in windows], scene.size, resolution, shared)
    layers = [w.layer(bucket, scale, scene.size) for w, (bucket, scale) in zip(windows, canvases, strict=True)]
    return Plan(tuple(layers), mattes, tuple(erase))


def _person_window(scene: Scene, person: Person, going: list[Person], hole: BoolMask, region: Region) -> _Window | None:
    """The layer of a person whom one of ``going`` may have covered; None when there is nothing to complete."""
    # Only those in front: behind a person further back there is nothing of this one.
    covering = [p for p in going if p.id != person.id and scene.in_front(p.id, person.id)]
    reach = reach_box(person.box, _body_guess(person, scene.size), scene.size)
    near = [p for p in covering if p.box.grow(Margin.of(p, region).whole + 2, scene.size).intersect(reach).area > 0]
    # Completed, whoever goes would be back.
    scraps = any(p.box.shared(person.box) >= SAME_BOX and person.area < SCRAPS * p.area for p in near)
    if not near or scraps:
        return None
    radius = max(Margin.of(p, region).whole for p in near)
    # From here on in a window: nothing further away reaches into ``reach``, which holds all of the person.
    window = reach.grow(radius + 1, scene.size)
    front = dilate(scene.mask_of((p.id for p in near), window), radius)
    visible = scene.mask_of([person.id], window)
    others = scene.mask_of((p.id for p in scene.people if p.id != person.id and p not in near), window)
    part = person_hole(visible, front & hole[window.slices] & ~others, reach.inside(window))
    if part.sum() < max(16, 0.01 * person.area):
        return None
    inner = Box.around(visible | part)
    # The whole person: a body's hidden half is to be guessed from the other, and a narrower crop saves next to nothing.
    own, hidden = visible[inner.slices].copy(), part[inner.slices].copy()
    box = inner.offset(window)
    return _Window("person", person.id, box, own, hidden, box, box.grow(8, scene.size))


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


def _matte(scene: Scene, person: Person, kept: BoolMask, region: Region) -> tuple[Box, NDArray[np.uint8]]:
    """How strongly the photo is replaced around an erased person: 255 on the widened mask, falling over the feather.

    Visible pixels of those who stay are 0: they are never touched.
    """
    found: list[tuple[Box, NDArray[np.uint8]]] = []
    if region.dilate is None and (more := cut_off(scene.photo.pixels, person)) is not None:
        found.append(_matte_of(scene, more, kept, _margin(scene, person, region)))
    for thing in things(person, region):
        margin = _margin(scene, thing, region)
        beside = None
        if region.dilate is None and by_hand(thing):
            beside = moved(scene.photo.pixels, thing, MOVED * margin.reach)
        if beside is not None:
            # What is drawn goes in any case, but more is taken only around where the outline belongs.
            found.append(_matte_of(scene, beside, kept, _margin(scene, beside, region)))
            margin = Margin(0, 0, 0)
        found.append(_matte_of(scene, thing, kept, margin))
    if len(found) == 1:
        return found[0]
    box = Box(
        min(b.x0 for b, _ in found), min(b.y0 for b, _ in found),
        max(b.x1 for b, _ in found), max(b.y1 for b, _ in found),
    )  # fmt: skip
    matte = np.zeros((box.height, box.width), np.uint8)
    for at, part in found:
        window = matte[at.inside(box).slices]
        np.maximum(window, part, out=window)
    return box, matte


def _margin(scene: Scene, thing: Person, region: Region) -> Margin:
    margin = Margin.of(thing, region)
    if region.dilate is not None:
        return margin
    return margin.blurred(edge_spread(scene.photo.pixels, thing, max(margin.reach, 6)))


def _matte_of(scene: Scene, thing: Person, kept: BoolMask, margin: Margin) -> tuple[Box, NDArray[np.uint8]]:
    box, mask, alike = widened(scene.photo.pixels, thing, margin, kept)
    falling = np.asarray(cv2.distanceTransform((~alike).view(np.uint8), cv2.DIST_L2, 5), np.float32)
    # 1 - (distance - sure) / (feather + 1), in place: the person may be ten megapixels.
    falling -= margin.sure
    falling /= -(margin.feather + 1)
    falling += 1
    np.clip(falling, 0, 1, out=falling)
    falling *= 255
    matte = np.rint(falling, out=falling).astype(np.uint8)
    matte[mask] = 255
    matte[kept[box.slices]] = 0
    return box, matte


def _clusters(hole: BoolMask, region: Region, size: tuple[int, int]) -> list[Box]:
    """Boxes around groups of holes whose context windows meet."""
    around = Box.around(hole)
    part = np.ascontiguousarray(hole[around.slices]).view(np.uint8)
    _, _, stats, _ = cv2.connectedComponentsWithStats(part, connectivity=8)
    boxes = [Box(int(x), int(y), int(x + w), int(y + h)).offset(around) for x, y, w, h, _ in stats[1:]]
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
    longest = max(box.width, box.height)
    # A tiny hole is filled from what a larger one would see: a crop of its own size holds next to no texture.
    around = max(8, math.ceil(region.context * longest / 2), math.ceil((LEAST_CROP - longest) / 2))
    return box.grow(around, size)
