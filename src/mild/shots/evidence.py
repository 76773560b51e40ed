"""What other shots saw where the photo has a hole: taken where they agree, in the photo's colours, without a seam.

The one place where the road meets it is :func:`gather`: it gives a plan whose background holes are only what no shot
saw, a scene in which the rest is painted in, and the way back to a stack (:meth:`Evidence.shown`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from mild.errors import MisfitError
from mild.layers import LayerStack
from mild.paint.detail import membrane
from mild.people.find import find_people
from mild.people.scene import Scene
from mild.photo import Photo
from mild.plan.planning import LayerPlan, Plan, dilate
from mild.request import Finder
from mild.shots.align import aligned, laid_over, refined

Float = NDArray[np.float32]
BoolMask = NDArray[np.bool_]

#: Everybody in another shot is blanked so much wider than found, as a part of their height: finders cut close.
WIDER = 0.06
#: Shots agree where their colours, evened out over this many pixels, differ by no more than so many levels.
EVEN, AGREE = 2.0, 22.0
#: Colours differ between shots up to this many levels, where both show the same; beyond it is something else.
SAME = 40.0
#: The ratio of two shots departs from that of its surroundings by so many medians of such departures, and by so much,
#: before it is not believed.
USUAL, USUAL_LEAST = 3.0, 0.04
#: A patch that one shot alone saw is not believed if so much of its rim lies at something that the photo does not show:
#: somebody in the shot whom the finder missed reaches into it.
INTRUDES = 0.12
#: Levels that are added before ratios are taken, so that noise in the dark is none.
DARK = 16.0
#: Patches of another shot smaller than this many pixels are not taken: they would be crumbs.
CRUMB = 5


@dataclass(frozen=True)
class Shot:
    """Another shot: its pixels ``[H, W, 3]``, where nobody is in it, and how it lies over the photo."""

    name: str
    pixels: NDArray[np.uint8]
    free: BoolMask
    matrix: NDArray[np.float64]


@dataclass(frozen=True)
class Evidence:
    """What was seen.

    Attributes:
        scene: the people, on a photo in which what was seen is painted into the holes.
        plan: the same layers; background holes are what no shot saw.
        share: of the background's hole, 0..1, that was seen.
    """

    scene: Scene
    plan: Plan
    share: float
    _original: Scene
    _seen: BoolMask

    def shown(self, stack: LayerStack) -> LayerStack:
        """The stack that was made of this plan, over the photo as it was, with what was seen in its background."""
        photo = self._original.photo.pixels
        layers = []
        for layer in stack.layers:
            rgba = layer.rgba.copy()
            if layer.kind == "background":
                seen = self._seen[layer.box.slices]
                rgba[seen] = np.dstack([self.scene.photo.pixels, np.full(seen_size(self._seen), 255, np.uint8)])[
                    layer.box.slices
                ][seen]
                layers.append(replace(layer, rgba=rgba, generated=layer.generated & ~seen))
                continue
            person = self._original.person(layer.owner or 0)
            window = rgba[person.box.inside(layer.box).slices]
            window[person.mask, :3] = photo[person.box.slices][person.mask]
            layers.append(replace(layer, rgba=rgba))
        return LayerStack(photo, tuple(layers), stack.hidden, stack.raised)


def seen_size(mask: BoolMask) -> tuple[int, int]:
    return int(mask.shape[0]), int(mask.shape[1])


def gather(also: Sequence[str], scene: Scene, plan: Plan, finder: Finder) -> Evidence:
    """What the other shots saw of the plan's background holes.

    Args:
        also: paths of other shots of the scene, or of a plate without people.

    Raises:
        MisfitError: a shot does not show the same scene.
        MildError: it cannot be read.
    """
    free = free_of(scene)
    shots = [_shot(path, scene, free, finder) for path in also]
    pixels = scene.photo.pixels.copy()
    known = np.zeros(scene.size, bool)
    hole = np.zeros(scene.size, bool)
    layers = []
    for layer in plan.layers:
        if layer.domain == "background":
            hole[layer.crop.slices] |= layer.hole
            painted, seen = _seen(scene, layer, shots)
            pixels[layer.crop.slices][seen] = painted[seen]
            known[layer.crop.slices] |= seen
            layer = replace(layer, own=layer.own | seen, hole=_left(layer.hole, seen))
        layers.append(layer)
    painted_scene = Scene(scene.photo.with_pixels(pixels), scene.people, scene.order)
    share = float((known & hole).sum() / max(1, hole.sum()))
    return Evidence(painted_scene, replace(plan, layers=tuple(layers)), share, scene, known)


def _left(hole: BoolMask, seen: BoolMask) -> BoolMask:
    """What still has to be made: never nothing, since a layer is made of something; what was seen is put over it."""
    left = hole & ~seen
    if not left.any():
        y, x = np.argwhere(hole)[0]
        left[y, x] = True
    return left


def _shot(path: str, scene: Scene, free: BoolMask, finder: Finder) -> Shot:
    photo = Photo.open(path)
    # Annotations and a mask by hand say nothing about another photo.
    other = finder if finder.backend not in ("coco", "none") else Finder.model_validate({})
    there = free_of(find_people(photo, other))
    matrix = aligned(scene.photo.pixels, photo.pixels, free, there, path)
    return Shot(path, photo.pixels, there, matrix)


def free_of(scene: Scene) -> BoolMask:
    """Where nobody is, sure or not, bool ``[H, W]``."""
    free = np.ones(scene.size, bool)
    for person in scene.people:
        reach = max(2, round(WIDER * person.box.height))
        around = person.box.grow(reach + 1, scene.size)
        free[around.slices] &= ~dilate(scene.mask_of([person.id], around), reach)
    return free


def _seen(scene: Scene, layer: LayerPlan, shots: Sequence[Shot]) -> tuple[NDArray[np.uint8], BoolMask]:
    """The crop with what was seen in its hole, uint8 ``[h, w, 3]``, and where, bool ``[h, w]``."""
    here = scene.photo.pixels[layer.crop.slices]
    looks: list[Float] = []
    there: list[BoolMask] = []
    strange: list[BoolMask] = []
    problems: list[MisfitError] = []
    for shot in shots:
        try:
            matrix = refined(here, shot.pixels, layer.own, shot.free, shot.matrix, layer.crop, shot.name)
        except MisfitError as problem:
            problems.append(problem)
            continue
        pixels, known = laid_over(shot.pixels, shot.free, matrix, layer.crop)
        if not (known & layer.hole).any():
            continue
        looks.append(_matched(pixels, here, known, layer))
        strange.append(_strange(looks[-1], here, known & layer.own))
        there.append(known)
    if not looks:
        if problems:
            raise problems[0]
        return here, np.zeros(layer.hole.shape, bool)
    _absolved(looks, there, strange)
    masks = [known & layer.hole & ~dilate(odd, 2 * CRUMB) for known, odd in zip(there, strange, strict=True)]
    _doubted(masks, strange, layer.own)
    return _agreed(looks, masks)


def _matched(pixels: NDArray[np.uint8], here: NDArray[np.uint8], known: BoolMask, layer: LayerPlan) -> Float:
    """Another shot's view in the photo's colours, float32 ``[h, w, 3]``.

    First a gain a channel, from what both show; then, in the hole, the ratio that is left at its rim
    (another light is a factor) is carried inwards smoothly, so that gradients are the shot's and the rim is the photo's
    (mean-value cloning: Farbman et al., "Coordinates for Instant Image Cloning", SIGGRAPH 2009; the interpolation is
    pull-push).
    """
    both = known & layer.own
    out = pixels.astype(np.float32)
    for channel in range(3):
        out[..., channel] = _levelled(out[..., channel], here[..., channel], both)
    trust = (both & (np.abs(here.astype(np.float32) - out).max(2) < SAME)).astype(np.float32)
    out = np.asarray(np.maximum(out, 0) + np.float32(DARK), np.float32)
    step = np.asarray(np.log((here.astype(np.float32) + DARK) / out), np.float32)
    trust = _usual(step, trust)
    # Evened out: noise and edges that are a pixel off must not run inwards as streaks.
    sigma = max(1.5, 0.004 * max(layer.crop.width, layer.crop.height))
    weight = cv2.GaussianBlur(trust, (0, 0), sigma)
    mean = cv2.GaussianBlur(step * trust[..., None], (0, 0), sigma) / np.maximum(weight, 1e-4)[..., None]
    near = np.minimum(1, weight * 2) * trust
    carried = membrane(np.asarray(mean * (near > 0)[..., None], np.float32), near)
    return np.asarray(out * np.exp(carried) - DARK, np.float32)


def _usual(step: Float, trust: Float) -> Float:
    """Trust, float32 ``[h, w]`` 0 or 1, without what departs from its surroundings: what is left of a person at the
    hole's rim, where the outline was cut close, would be carried inwards as a dark cloud."""
    sigma = max(8.0, 0.05 * max(step.shape[:2]))
    for _ in range(3):
        weight = cv2.GaussianBlur(trust, (0, 0), sigma)
        trend = cv2.GaussianBlur(step * trust[..., None], (0, 0), sigma) / np.maximum(weight, 1e-4)[..., None]
        apart = np.abs(step - trend).max(2)
        inside = apart[trust > 0]
        if inside.size < 64:
            break
        trust = np.asarray(trust * (apart <= max(USUAL_LEAST, USUAL * float(np.median(inside)))), np.float32)
    return trust


def _levelled(values: Float, wanted: NDArray[np.uint8], both: BoolMask) -> Float:
    """The gain that brings ``values`` to ``wanted`` where most agree on it."""
    x, y = values[both], wanted[both]
    usable = (x > 8) & (x < 250) & (y > 8) & (y < 250)
    if usable.sum() < 64:
        return values
    return np.asarray(values * np.clip(np.median(y[usable] / x[usable]), 0.25, 4.0), np.float32)


def _strange(look: Float, here: NDArray[np.uint8], both: BoolMask) -> BoolMask:
    """Where a shot shows something else than the photo, bool ``[h, w]``: somebody whom the finder missed, likely."""
    apart = cv2.GaussianBlur(look, (0, 0), EVEN) - cv2.GaussianBlur(here.astype(np.float32), (0, 0), EVEN)
    return without_crumbs(both & (np.abs(apart).max(2) > AGREE))


def _absolved(looks: list[Float], there: list[BoolMask], strange: list[BoolMask]) -> None:
    """Take away, in place, what is strange in a shot but the same in another one: the photo is the odd one, with what
    is left there of somebody whose outline was cut close."""
    even = [cv2.GaussianBlur(look, (0, 0), EVEN) for look in looks]
    for i, odd in enumerate(strange):
        for j, known in enumerate(there):
            if i != j:
                odd &= ~(known & (np.abs(even[i] - even[j]).max(2) <= AGREE / 2))


def _doubted(masks: list[BoolMask], strange: list[BoolMask], own: BoolMask) -> None:
    """Take away, in place, what one shot alone saw beside something strange in it."""
    alone = np.sum(masks, 0) == 1
    for mask, odd in zip(masks, strange, strict=True):
        if not odd.any():
            continue
        near = dilate(odd, 2 * CRUMB)
        count, pieces = cv2.connectedComponents((mask & alone).view(np.uint8), connectivity=8)
        for piece in range(1, count):
            inside = pieces == piece
            rim = dilate(inside, 3 * CRUMB) & own
            if (rim & near).sum() > INTRUDES * max(1, rim.sum()):
                mask &= ~inside


def _agreed(looks: list[Float], masks: list[BoolMask]) -> tuple[NDArray[np.uint8], BoolMask]:
    """Of each pixel what most shots agree upon, from one of them; and where there is such a thing."""
    even = [cv2.GaussianBlur(look, (0, 0), EVEN) for look in looks]
    count = np.sum(masks, 0)
    cost = np.full((len(looks), *masks[0].shape), np.inf, np.float32)
    for i, mask in enumerate(masks):
        apart = np.zeros(mask.shape, np.float32)
        for j, other in enumerate(masks):
            if i != j:
                # Beyond the limit it does not matter how far: something else is seen there.
                difference = np.minimum(np.abs(even[i] - even[j]).max(2), 2 * AGREE)
                apart += np.where(other, difference, 0)
        cost[i] = np.where(mask, apart / np.maximum(count - 1, 1), np.inf)
    # Taken in patches: the neighbourhood has a say, so that the choice does not flicker with the noise.
    sigma = 3 * EVEN
    for i, mask in enumerate(masks):
        weight = cv2.GaussianBlur(mask.astype(np.float32), (0, 0), sigma)
        smooth = cv2.GaussianBlur(np.where(mask, cost[i], 0).astype(np.float32), (0, 0), sigma)
        cost[i] = np.where(mask, smooth / np.maximum(weight, 1e-3), np.inf)
    choice = np.argmin(cost, 0)
    best = np.take_along_axis(cost, choice[None], 0)[0]
    # One shot alone is believed; of several, the chosen one must agree with the others, at least in the middle.
    seen = (count > 0) & ((count == 1) | (best <= AGREE))
    seen = without_crumbs(seen)
    shares = [
        cv2.GaussianBlur(((choice == i) & masks[i]).astype(np.float32), (0, 0), EVEN) * masks[i]
        for i in range(len(looks))
    ]
    total = np.maximum(np.sum(shares, 0), 1e-6)
    mixed = np.sum([look * (share / total)[..., None] for look, share in zip(looks, shares, strict=True)], 0)
    return np.clip(np.rint(mixed), 0, 255).astype(np.uint8), seen


def without_crumbs(seen: BoolMask) -> BoolMask:
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (CRUMB, CRUMB))
    return np.asarray(cv2.morphologyEx(seen.view(np.uint8), cv2.MORPH_OPEN, kernel)) > 0
