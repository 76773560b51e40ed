"""The result: a stack of layers over the untouched photo, and how they compose.

Erasing, keeping, bringing back and moving to front are recompositions of one stack; no model is run for them.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass, field, replace
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from mild.errors import UsageError
from mild.people.scene import Box

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
    rgba: NDArray[np.uint8] = field(repr=False)
    generated: NDArray[np.bool_] = field(repr=False)
    matte: NDArray[np.uint8] | None = field(default=None, repr=False)


@dataclass(frozen=True)
class LayerStack:
    """The photo's own pixels and the layers made of it.

    Attributes:
        photo: uint8 ``[H, W, 3]``, the input's pixels, never altered.
        layers: from the back to the front; the first is the background.
        hidden: ids of the people whom the job erased; what :meth:`compose` hides when not told otherwise.
        raised: ids of the people moved in front of where they stood, the last the foremost; see :meth:`to_front`.
    """

    photo: NDArray[np.uint8] = field(repr=False)
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
        shown = [self.background, *(layer for layer in self.people if layer.owner not in hide)]
        for region in _bands(matte):
            window = out[region.slices]
            below = window.astype(np.float32)
            for layer in shown:
                alpha_over(below, region, layer.rgba, layer.box)
            part = matte[region.slices]
            below -= window
            below *= part.astype(np.float32)[..., None] / 255.0
            below += window
            # Only where the matte reaches: a round trip elsewhere would be harmless, but "identical" is a promise.
            window[...] = cv2.copyTo(rounded(below), part, window.copy())

    def without_hidden(self) -> LayerStack:
        """A stack to share: the same picture, without the layers of those who are hidden and without the original."""
        layers = tuple(layer for layer in self.layers if layer.owner not in self.hidden or layer.owner is None)
        return replace(self, photo=self.compose(), layers=layers, hidden=frozenset())

    def to_front(self, owner: int) -> LayerStack:
        """The same stack with this person in front of all others."""
        top = self.layer_of(owner)
        raised = (*(other for other in self.raised if other != owner), owner)
        return replace(self, layers=(*(layer for layer in self.layers if layer is not top), top), raised=raised)


#: Rows composed at a time: what is worked on stays in the processor's cache, and no large photo is held as floats.
BAND = 32


def _bands(matte: NDArray[np.uint8]) -> Iterator[Box]:
    """Boxes, from the top down, that hold all of ``matte [H, W]`` that is not zero, and little else."""
    rows = np.flatnonzero(matte.any(1))
    for top in range(int(rows[0]), int(rows[-1]) + 1, BAND):
        band = matte[top : top + BAND]
        columns = np.flatnonzero(band.any(0))
        if len(columns):
            yield Box(int(columns[0]), top, int(columns[-1]) + 1, top + len(band))


def rounded(colours: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Colours ``[h, w(, c)]`` as bytes: to the nearest (halves to even), cut at 0 and 255."""
    # OpenCV adds a number to every channel; its stubs know arrays only.
    return np.asarray(cv2.add(colours, 0.0, dtype=cv2.CV_8U))  # type: ignore[call-overload]


def alpha_over(canvas: NDArray[np.float32], frame: Box, rgba: NDArray[np.uint8], box: Box) -> None:
    """Alpha-over of a layer onto ``canvas`` (float32 ``[h, w, 3]``, the window ``frame``), in place."""
    common = frame.intersect(box)
    if common.area <= 0:
        return
    source = rgba[common.y0 - box.y0 : common.y1 - box.y0, common.x0 - box.x0 : common.x1 - box.x0].astype(np.float32)
    target = canvas[common.y0 - frame.y0 : common.y1 - frame.y0, common.x0 - frame.x0 : common.x1 - frame.x0]
    alpha = source[..., 3:] / 255.0
    target += (source[..., :3] - target) * alpha
