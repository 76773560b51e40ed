"""From denoised rows to a layer stack: full-resolution colour, alpha, the photo's own pixels where they are known."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial

import cv2
import numpy as np
from numpy.typing import NDArray

from mild.fill.canvas import LayerCrop
from mild.layers import Layer, LayerStack, rounded
from mild.paint.detail import enlarge, match_ring, with_texture
from mild.paint.level import levelled
from mild.paint.rim import join_rim
from mild.paint.texture import synthesize
from mild.people.scene import Box, Person, Scene
from mild.plan.kept import Kept, digest
from mild.plan.planning import LayerPlan, Plan

Float = NDArray[np.float32]
Mattes = Mapping[int, tuple[Box, NDArray[np.uint8]]]

#: Width of the rim in which colours are compared, as a part of the hole's size.
REACH = 0.02
#: Up to so many times the canvas a person's colours are enlarged as they are.
ENLARGED = 2.0
#: Less than half there, a person goes on for so many pixels of the canvas around what is surely theirs, and fades over
#: as many.
BORDER = 2.0


def assemble(
    scene: Scene,
    plan: Plan,
    crops: list[LayerCrop],
    clean: Sequence[Float | None],
    *,
    detail: bool = True,
    texture: bool = True,
    tell: Callable[[float], None] = lambda fraction: None,
    kept: Kept | None = None,
) -> LayerStack:
    """The stack of one photo.

    Args:
        crops: one per ``plan.layers``.
        clean: what the denoiser made of each, float32 ``[h, w, 4]`` in [-1, 1] on the canvas (the crop's part of it);
            None where nothing was denoised (fill only).
        detail: the photo's own texture at its own resolution; off: the canvas's pixels, enlarged.
        texture: on the canvas the fill's texture takes the place of the denoiser's.
        tell: hears the fraction of the layers that is painted.
        kept: what was painted for earlier questions about this photo.
    """
    made = {}
    for number, (crop, layer) in enumerate(zip(crops, clean, strict=True)):
        tell(number / len(crops))
        paint = partial(_colour, crop, layer, plan.mattes, detail, texture)
        made[id(crop.plan)] = (
            paint() if kept is None else kept.get(_key(scene, crop, layer, plan, detail, texture), paint)
        )
    alphas = {id(crop.plan): _alpha(crop.plan, layer) for crop, layer in zip(crops, clean, strict=True)}
    layers = [_background(scene, [(c.plan, made[id(c.plan)]) for c in crops if c.plan.domain == "background"])]
    completed = {c.plan.owner: c.plan for c in crops if c.plan.domain == "person"}
    for number in scene.order:
        row = completed.get(number)
        if row is None and number not in plan.mattes:
            continue
        person = scene.person(number)
        generated = None if row is None else (row, made[id(row)], alphas[id(row)])
        layers.append(_person(scene, person, generated, plan.mattes.get(number)))
    tell(1.0)
    return LayerStack(scene.photo.pixels, tuple(layers), frozenset(plan.erased))


def _key(scene: Scene, crop: LayerCrop, clean: Float | None, plan: Plan, detail: bool, texture: bool) -> str:
    """All that decides what is painted of a layer."""
    mattes = [
        part for box, matte in plan.mattes.values() if box.intersect(crop.plan.crop).area for part in (box, matte)
    ]
    return digest("paint", scene.photo.sha256, crop.plan, crop.fill, clean, detail, texture, *mattes)


def _colour(crop: LayerCrop, clean: Float | None, mattes: Mattes, detail: bool, texture: bool) -> Float:
    """Colour of the layer in its focus, float32 ``[H, W, 3]`` 0..255; only its hole is of interest."""
    plan = crop.plan
    # A place has a texture, which the fill copies. A body has cloth and skin: what is copied from a small visible part
    # of it is noise.
    place = plan.domain == "background"
    fill = None if crop.fill is None else crop.fill.astype(np.float32)
    if clean is None:
        guide = crop.canvas.rgb.astype(np.float32) if fill is None else fill
        if detail and fill is not None and (seen := crop.searched) is not None:
            guide = levelled(fill, seen.rgb, seen.own, seen.hole)
    else:
        guide = np.clip(clean[..., :3], -1, 1) * 127.5 + 127.5
        if detail and texture and place and fill is not None:
            guide = with_texture(fill, guide, crop.canvas_fill.astype(np.float32), crop.canvas.hole)
    focus, size = plan.focus.inside(plan.crop), (plan.crop.height, plan.crop.width)
    box = Box.around(plan.hole)
    reach = REACH * min(box.width, box.height)
    window = focus.grow(math.ceil(3 * reach) + 1, size)
    # What the search finds of cloth and skin for so few pixels is speckles; of a larger one only it is sharp.
    large = max(size) > ENLARGED * max(guide.shape[:2])
    if detail and (place or large):
        colour = synthesize(crop.photo, plan.own, plan.hole, guide, window)
    else:
        colour = enlarge(guide, size)[window.slices]
    hole, own = plan.hole[window.slices], plan.own[window.slices]
    matched = match_ring(colour, crop.photo[window.slices], hole, own, reach)
    soft = _softness(plan, mattes, window) if place else None
    if soft is not None:
        matched = join_rim(matched, crop.photo[window.slices], hole, own, soft == 1)
    return matched[focus.inside(window).slices]


def _softness(plan: LayerPlan, mattes: Mattes, window: Box) -> Float:
    """How strongly the photo is replaced in a window of the crop, float32 ``[h, w]``, above 0 up to 1."""
    out = np.zeros((window.height, window.width), np.uint8)
    there = window.offset(plan.crop)
    for box, matte in mattes.values():
        common = box.intersect(there)
        if common.area:
            part = out[common.inside(there).slices]
            np.maximum(part, matte[common.inside(box).slices], out=part)
    return np.where(out > 0, out, 255).astype(np.float32) / np.float32(255)


def _alpha(plan: LayerPlan, clean: Float | None) -> Float:
    """Opacity of a person's generated part, float32 ``[H, W]`` 0..1; without a denoiser nothing is invented."""
    if plan.domain == "background" or clean is None:
        return np.zeros(plan.hole.shape, np.float32)
    soft = enlarge(np.ascontiguousarray(clean[..., 3]), plan.hole.shape)
    # The model's doubt is not translucency: people are opaque but for a thin border.
    alpha = np.clip(0.5 + 2.0 * soft, 0, 1) * plan.hole
    solid = alpha > 0.5
    count, labels = cv2.connectedComponents((solid | plan.own).view(np.uint8), connectivity=8)
    attached = np.zeros(count, bool)
    attached[labels[plan.own]] = True
    theirs = attached[labels]
    # What is less than half there is a border of theirs, or a doubt that would be seen as a smear.
    border = BORDER * max(plan.hole.shape) / max(clean.shape[:2])
    far = cv2.distanceTransform((~theirs).view(np.uint8), cv2.DIST_L2, 5)
    return np.asarray(alpha * np.where(solid, theirs, np.clip(2 - far / border, 0, 1)), np.float32)


def _background(scene: Scene, rows: list[tuple[LayerPlan, Float]]) -> Layer:
    box = rows[0][0].focus
    for plan, _ in rows[1:]:
        box = box.union(plan.focus)
    rgba = np.asarray(cv2.cvtColor(scene.photo.pixels[box.slices], cv2.COLOR_RGB2RGBA), np.uint8)
    rgba[..., 3] = 0
    for plan, colour in rows:
        _put(rgba[plan.focus.inside(box).slices], rounded(colour), plan.hole[plan.focus.inside(plan.crop).slices])
    return Layer("background", None, "background", box, rgba, rgba[..., 3] > 0)


def _person(
    scene: Scene,
    person: Person,
    generated: tuple[LayerPlan, Float, Float] | None,
    matte: tuple[Box, NDArray[np.uint8]] | None,
) -> Layer:
    box = person.box if matte is None else person.box.union(matte[0])
    if generated is not None:
        box = box.union(generated[0].focus)
    rgba = np.zeros((box.height, box.width, 4), np.uint8)
    made = np.zeros((box.height, box.width), bool)
    if generated is not None:
        plan, colour, alpha = generated
        inner, outer = plan.focus.inside(plan.crop), plan.focus.inside(box)
        rgba[outer.slices] = cv2.cvtColor(rounded(colour), cv2.COLOR_RGB2RGBA)
        rgba[outer.slices][..., 3] = rounded(255 * alpha[inner.slices])
        made[outer.slices] = rgba[outer.slices][..., 3] > 0
    own = person.box.inside(box)
    _put(rgba[own.slices], scene.photo.pixels[person.box.slices], person.mask)
    made[own.slices] &= ~person.mask
    np.copyto(rgba.view(np.uint32)[..., 0], 0, where=rgba[..., 3] == 0)
    full_matte = None
    if matte is not None:
        full_matte = np.zeros((box.height, box.width), np.uint8)
        full_matte[matte[0].inside(box).slices] = matte[1]
    return Layer("person", person.id, f"person {person.id}", box, rgba, made, full_matte)


def _put(rgba: NDArray[np.uint8], colours: NDArray[np.uint8], where: NDArray[np.bool_]) -> None:
    """Opaque colours ``[h, w, 3]`` into a window ``[h, w, 4]`` of a layer, in place, where the mask is."""
    rgba[...] = cv2.copyTo(cv2.cvtColor(colours, cv2.COLOR_RGB2RGBA), where.view(np.uint8), rgba.copy())
