"""A stack as an image editor draws it: named groups of opaque-over sheets.

:meth:`~mild.layers.LayerStack.compose` weighs the layers with mattes; an editor only knows alpha-over. The sheets
bridge the two, so that what an editor shows is what ``compose`` gives, and toggling an eye does what one expects:

* ``original`` (hidden): the untouched photo;
* ``background``: the photo without anybody who has a layer;
* one group per shown person, back to front: the cut-out as the method made it, and above it ``surroundings``, the soft
  edge, shadow and contact that the cut-out alone would not give back;
* ``erased`` (hidden): the same groups for the erased; with all of them shown the photo is whole again.

Every ``surroundings`` sheet is solved against what lies below it: the smallest alpha (at least the matte's) and the
colour for which alpha-over gives the composition of that step.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from mild.layers import Layer, LayerStack
from mild.people.scene import Box

ORIGINAL, BACKGROUND, ERASED = "original", "background", "erased"


@dataclass(frozen=True)
class Sheet:
    """One raster layer of the editor: uint8 RGBA ``[h, w, 4]`` (straight alpha) in the window ``box``."""

    name: str
    box: Box
    rgba: NDArray[np.uint8]
    visible: bool = True
    #: Index in ``stack.layers`` when the pixels are exactly that layer's.
    layer: int | None = None


@dataclass(frozen=True)
class Group:
    """A folder of the editor; children from the back to the front."""

    name: str
    children: tuple[Sheet | Group, ...]
    visible: bool = True


def sheets_of(stack: LayerStack) -> tuple[Sheet | Group, ...]:
    """The tree of sheets, from the back to the front."""
    frame = Box(0, 0, stack.size[1], stack.size[0])
    owners = [layer.owner for layer in stack.people if layer.owner is not None]
    shown = [owner for owner in owners if owner not in stack.hidden]
    canvas = stack.compose(hide=owners)
    background = _opaque(canvas)
    away = set(owners)

    def bring(owner: int) -> Group:
        away.discard(owner)
        return _person(stack, owner, frozenset(away), canvas)

    kept = [bring(owner) for owner in shown]
    erased = [bring(owner) for owner in owners if owner in stack.hidden]
    tree: list[Sheet | Group] = [
        Sheet(ORIGINAL, frame, _opaque(stack.photo), visible=False),
        Group(BACKGROUND, (Sheet(BACKGROUND, frame, background),)),
        *kept,
    ]
    if erased:
        tree.append(Group(ERASED, tuple(erased), visible=False))
    return tuple(tree)


def flatten(tree: tuple[Sheet | Group, ...], *, hidden: bool = False) -> Iterator[Sheet]:
    """The visible sheets from the back to the front (``hidden``: all of them)."""
    for node in tree:
        if node.visible or hidden:
            if isinstance(node, Group):
                yield from flatten(node.children, hidden=hidden)
            else:
                yield node


def title(layer: Layer, width: int) -> str:
    """What the editor calls a person: ``"person 2, left"``."""
    x = (layer.box.x0 + layer.box.x1) / 2 / max(width, 1)
    return f"{layer.name}, {'left' if x < 0.4 else 'right' if x > 0.6 else 'middle'}"


def _person(stack: LayerStack, owner: int, away: frozenset[int], canvas: NDArray[np.uint8]) -> Group:
    """The group of one person brought onto ``canvas`` (altered in place) while ``away`` stay hidden."""
    layer = stack.layer_of(owner)
    name = title(layer, stack.size[1])
    index = next(i for i, other in enumerate(stack.layers) if other is layer)
    cutout = Sheet(name, layer.box, layer.rgba, layer=index)
    view = canvas[layer.box.slices]
    paint(view, layer.rgba)
    crop = _crop(stack, layer.box)
    target = crop.compose(hide=away)
    after = crop.change_matte(away)
    before = crop.change_matte(away | {owner})
    difference = np.abs(target.astype(np.int16) - view).max(2)
    # Half a level of rounding is no reason for a sheet, except where the promise is "identical to the photo".
    wrong = (difference > 1) | ((difference > 0) & (after == 0))
    if not wrong.any():
        return Group(name, (cutout,))
    tight = Box.around(wrong)
    at = tight.slices
    rgba = _solve(view[at], target[at], (before - np.minimum(after, before))[at], wrong[at])
    paint(view[at], rgba)
    box = Box(layer.box.x0 + tight.x0, layer.box.y0 + tight.y0, layer.box.x0 + tight.x1, layer.box.y0 + tight.y1)
    return Group(name, (cutout, Sheet(f"{layer.name}, surroundings", box, rgba)))


def _solve(
    below: NDArray[np.uint8], target: NDArray[np.uint8], weight: NDArray[np.uint8], where: NDArray[np.bool_]
) -> NDArray[np.uint8]:
    """RGBA ``[h, w, 4]`` which, painted over ``below``, gives ``target`` in ``where`` and nothing elsewhere.

    Alpha is ``weight`` or, where no colour of 0..255 reaches the target with that little, the least that does.
    """
    b, t = below.astype(np.float32), target.astype(np.float32)
    step = t - b
    room = np.where(step > 0, 255.0 - b, b)
    least = np.ceil(np.divide(np.abs(step) * 255.0, room, out=np.zeros_like(step), where=room > 0).max(2))
    alpha = np.maximum(np.minimum(least, 255.0), weight)
    alpha[~where] = 0
    colour = b + step * (255.0 / np.maximum(alpha, 1.0))[..., None]
    colour[alpha == 0] = 0
    out = np.empty((*alpha.shape, 4), np.uint8)
    out[..., :3] = np.clip(np.rint(colour), 0, 255)
    out[..., 3] = alpha
    return out


def paint(canvas: NDArray[np.uint8], rgba: NDArray[np.uint8]) -> None:
    """Alpha-over in 8 bits, in place: ``rgba`` ``[h, w, 4]`` onto ``canvas`` ``[h, w, 3]``."""
    alpha = rgba[..., 3:].astype(np.float32) / 255.0
    below = canvas.astype(np.float32)
    canvas[...] = np.rint(below + (rgba[..., :3].astype(np.float32) - below) * alpha)


def _opaque(rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.dstack([rgb, np.full(rgb.shape[:2], 255, np.uint8)])


def _crop(stack: LayerStack, box: Box) -> LayerStack:
    """The stack seen through the window ``box``: a person is composed without touching the rest of a big photo."""
    layers = []
    for layer in stack.layers:
        common = layer.box.intersect(box)
        if common.area <= 0:
            common = Box(box.x0, box.y0, box.x0, box.y0)
            inner = (slice(0, 0), slice(0, 0))
        else:
            inner = Box(*_minus(common, layer.box)).slices
        layers.append(
            replace(
                layer,
                box=_minus(common, box),
                rgba=layer.rgba[inner],
                generated=layer.generated[inner],
                matte=None if layer.matte is None else layer.matte[inner],
            )
        )
    return replace(stack, photo=stack.photo[box.slices], layers=tuple(layers))


def _minus(box: Box, origin: Box) -> Box:
    return Box(box.x0 - origin.x0, box.y0 - origin.y0, box.x1 - origin.x0, box.y1 - origin.y0)
