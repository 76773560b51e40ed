"""The result: a stack of layers over the untouched photo, and how they compose.

Erasing, keeping, bringing back and moving to front are recompositions of one stack; no model is run for them.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from mild.errors import UsageError
from mild.scene import Box

LayerKind = Literal["background", "person"]


@dataclass(frozen=True)
class Layer:
    """One layer, in the window ``box`` of the photo.

    Attributes:
        kind: what the layer shows.
        owner: the person's id, or None for the background.
        name: what an editor shows, e.g. ``"person 2"``.
        box: the window in photo pixels.
        rgba: uint8 ``[h, w, 4]``, straight (not premultiplied) alpha. Background: the fill, alpha 255 where it
            was generated. Person: colour and alpha, visible pixels as in the photo, hidden parts generated.
        generated: bool ``[h, w]``, true where the model made the pixel.
        matte: uint8 ``[h, w]`` or None. Person layers only: how strongly (0..255) the photo is replaced around
            this person when they are hidden: the dilated mask with its feather; 0 on visible pixels of others.
    """

    kind: LayerKind
    owner: int | None
    name: str
    box: Box
    rgba: NDArray[np.uint8]
    generated: NDArray[np.bool_]
    matte: NDArray[np.uint8] | None = None


@dataclass(frozen=True)
class LayerStack:
    """The photo's own pixels and the layers made of it.

    Attributes:
        photo: uint8 ``[H, W, 3]``, the input's pixels, never altered.
        layers: from the back to the front; the first is the background.
        hidden: ids of the people whom the job erased; what :meth:`compose` hides when not told otherwise.
        raised: ids of the people moved in front of where they stood, the last the foremost; see :meth:`to_front`.
    """

    photo: NDArray[np.uint8]
    layers: tuple[Layer, ...]
    hidden: frozenset[int] = frozenset()
    raised: tuple[int, ...] = ()

    @property
    def size(self) -> tuple[int, int]:
        return int(self.photo.shape[0]), int(self.photo.shape[1])

    @property
    def background(self) -> Layer:
        return next(layer for layer in self.layers if layer.kind == "background")

    @property
    def people(self) -> tuple[Layer, ...]:
        return tuple(layer for layer in self.layers if layer.kind == "person")

    def layer_of(self, owner: int) -> Layer:
        for layer in self.people:
            if layer.owner == owner:
                return layer
        known = ", ".join(str(layer.owner) for layer in self.people) or "none"
        raise UsageError(f"The stack has no layer of person {owner} (it has: {known}).")

    def change_matte(self, hide: Collection[int]) -> NDArray[np.uint8]:
        """Where and how strongly ``[H, W]`` the photo is replaced when these people are hidden."""
        out = np.zeros(self.size, np.uint8)
        for owner in hide:
            layer = self.layer_of(owner)
            if layer.matte is not None:
                window = out[layer.box.slices]
                np.maximum(window, layer.matte, out=window)
        return out

    def compose(self, hide: Collection[int] | None = None) -> NDArray[np.uint8]:
        """The picture ``[H, W, 3]`` uint8 without the people in ``hide`` (default: those the job erased).

        Where no hidden person's matte reaches, the result is the photo, bit for bit. Inside: the background, then
        every shown person's layer from back to front, alpha-over. Whoever was moved to the front and is shown is
        painted whole at the end, also where nobody was hidden.
        """
        hide = self.hidden if hide is None else frozenset(hide)
        out = self.photo.copy()
        matte = self.change_matte(hide)
        if matte.any():
            self._replace(out, matte, hide)
        for layer in (self.layer_of(owner) for owner in self.raised if owner not in hide):
            window = out[layer.box.slices]
            painted = window.astype(np.float32)
            alpha_over(painted, layer.box, layer.rgba, layer.box)
            window[...] = np.rint(painted)
        return out

    def _replace(self, out: NDArray[np.uint8], matte: NDArray[np.uint8], hide: Collection[int]) -> None:
        """Put background and shown people where the matte reaches, in place in ``out`` ``[H, W, 3]``."""
        region = Box.around(matte > 0)
        below = out[region.slices].astype(np.float32)
        back = self.background
        alpha_over(below, region, back.rgba, back.box)
        for layer in self.people:
            if layer.owner not in hide:
                alpha_over(below, region, layer.rgba, layer.box)
        weight = matte[region.slices].astype(np.float32)[..., None] / 255.0
        window = out[region.slices]
        blended = window + (below - window) * weight
        # Only where the matte reaches: a float round trip elsewhere would be harmless, but "identical" is a promise.
        touched = matte[region.slices] > 0
        window[touched] = np.clip(np.rint(blended), 0, 255).astype(np.uint8)[touched]

    def to_front(self, owner: int) -> LayerStack:
        """The same stack with this person in front of all others."""
        top = self.layer_of(owner)
        raised = (*(other for other in self.raised if other != owner), owner)
        return replace(self, layers=(*(layer for layer in self.layers if layer is not top), top), raised=raised)


def alpha_over(canvas: NDArray[np.float32], frame: Box, rgba: NDArray[np.uint8], box: Box) -> None:
    """Alpha-over of a layer onto ``canvas`` (float32 ``[h, w, 3]``, the window ``frame``), in place."""
    common = frame.intersect(box)
    if common.area <= 0:
        return
    source = rgba[common.y0 - box.y0 : common.y1 - box.y0, common.x0 - box.x0 : common.x1 - box.x0].astype(np.float32)
    target = canvas[common.y0 - frame.y0 : common.y1 - frame.y0, common.x0 - frame.x0 : common.x1 - frame.x0]
    alpha = source[..., 3:] / 255.0
    target += (source[..., :3] - target) * alpha
