"""Between the photo's crops and the denoiser's canvas; the one place that shrinks layers. Knows no tensors."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from mild.fill.fillers import Filler, shown_size
from mild.fill.first import first_fill
from mild.people.scene import Scene
from mild.plan.kept import Kept, digest
from mild.plan.planning import LayerPlan, Plan

Float = NDArray[np.float32]
BoolMask = NDArray[np.bool_]


@dataclass(frozen=True)
class View:
    """A crop at a smaller size ``(h, w)``; foreign pixels are in no average.

    Attributes:
        rgb: uint8 ``[h, w, 3]``, the mean colour of the own pixels under each pixel; 0 where there are none.
        own, hole: bool ``[h, w]``; a pixel is hole if any part of it is, own if all of it is.
    """

    rgb: NDArray[np.uint8]
    own: BoolMask
    hole: BoolMask

    @classmethod
    def of(cls, visible: NDArray[np.uint8], own: BoolMask, hole: BoolMask, size: tuple[int, int]) -> View:
        """From the crop's own pixels, uint8 ``[H, W, 3]``, 0 elsewhere, and its regions, bool ``[H, W]``."""
        share = shrink(own, size)
        small_hole = shrink(hole, size) > 1e-4
        total = shrink(visible, size)
        mean = np.clip(np.rint(total / np.maximum(share, 1e-4)[..., None]), 0, 255).astype(np.uint8)
        rgb = np.where((share > 1e-4)[..., None], mean, np.uint8(0))
        return cls(rgb, (share > 0.999) & ~small_hole, small_hole)


@dataclass(frozen=True)
class LayerCrop:
    """One layer's pixels: the photo's in its crop, and the crop on its canvas.

    Attributes:
        plan: where it is and what its regions are; ``sizes.content = (h, w)`` is the crop's size on the canvas.
        photo: uint8 ``[H, W, 3]``, the photo in the crop.
        canvas: the crop at ``content``.
        fill: uint8 ``[h', w', 3]``, the first fill in the hole, at the size at which it was searched; elsewhere the
            layer's own pixels. None without a prior.
        searched: the crop as the built-in search saw it, where the fill was copied by it; None of all other fills.
    """

    plan: LayerPlan
    photo: NDArray[np.uint8]
    canvas: View
    fill: NDArray[np.uint8] | None
    searched: View | None = None

    @classmethod
    def cut(
        cls, photo: NDArray[np.uint8], plan: LayerPlan, seed: int | None, filler: Filler | None = None
    ) -> LayerCrop:
        """From the crop of the photo, uint8 ``[H, W, 3]``; ``seed`` of the exemplar search, None: no prior; ``filler``
        of backgrounds, None: the built-in (people are completed from themselves)."""
        visible = np.asarray(cv2.copyTo(photo, plan.own.view(np.uint8)), np.uint8)
        canvas = View.of(visible, plan.own, plan.hole, plan.sizes.content)
        fill, searched = None, None
        if seed is not None:
            theirs = filler if plan.domain == "background" else None
            size = plan.sizes.searched if theirs is None else shown_size(plan.crop, theirs.side)
            view = View.of(visible, plan.own, plan.hole, size)
            if theirs is None:
                fill = first_fill(plan.domain, view.rgb, view.own, view.hole, seed=seed)
                searched = view if plan.domain == "background" else None
            else:
                fill = theirs(view.rgb, view.own, view.hole, seed=seed)
        return cls(plan, photo, canvas, fill, searched)

    @property
    def canvas_fill(self) -> NDArray[np.uint8]:
        """The fill as the denoiser sees it, uint8 ``[h, w, 3]``; without a prior: ``canvas.rgb``."""
        if self.fill is None:
            return self.canvas.rgb
        seen = np.rint(shrink(self.fill, self.plan.sizes.content)).astype(np.uint8)
        return np.where(self.canvas.hole[..., None], seen, self.canvas.rgb)

    def mirrored(self) -> LayerCrop:
        """What the denoiser is given of it, left and right exchanged; nothing can be painted from that."""
        rgb, own, hole = self.canvas.rgb, self.canvas.own, self.canvas.hole
        canvas = View(rgb[:, ::-1].copy(), own[:, ::-1].copy(), hole[:, ::-1].copy())
        fill = None if self.fill is None else self.fill[:, ::-1].copy()
        return replace(self, canvas=canvas, fill=fill, searched=None)

    def on_canvas(self) -> tuple[Float, Float, Float, Float]:
        """``(rgb, own, hole, fill)`` for the denoiser: colours ``[3, bucket]`` in [-1, 1], masks ``[1, bucket]`` in
        {0, 1}. What the crop does not reach is neutral grey and foreign. Without a prior the fill is grey."""
        rgb, fill = (image.astype(np.float32) / 127.5 - 1 for image in (self.canvas.rgb, self.canvas_fill))
        if self.fill is None:
            fill = np.zeros_like(rgb)
        masks = (self.canvas.own, self.canvas.hole)
        own, hole = (_padded(mask, self.plan.bucket) for mask in masks)
        return _padded(rgb, self.plan.bucket), own, hole, _padded(fill, self.plan.bucket)


def cut_layers(
    scene: Scene,
    plan: Plan,
    seed: int | None,
    tell: Callable[[float], None] = lambda fraction: None,
    kept: Kept | None = None,
    filler: Filler | None = None,
) -> list[LayerCrop]:
    """Every layer's crop, its hole filled from its own pixels.

    Args:
        seed: of the exemplar search; None: no prior.
        tell: hears the fraction that is done.
        kept: fills of earlier questions about this photo.
        filler: of backgrounds; None: the built-in.
    """
    crops = []
    for number, row in enumerate(plan.layers):
        tell(number / len(plan.layers))
        cut = partial(LayerCrop.cut, scene.photo.pixels[row.crop.slices], row, seed, filler)
        key = ("cut", scene.photo.sha256, row, seed, "" if filler is None else filler.key)
        crops.append(cut() if kept is None else replace(kept.get(digest(*key), cut), plan=row))
    tell(1.0)
    return crops


def batched(items: list[Any], key: Callable[[Any], Any], most: int) -> list[list[Any]]:
    """Items of one key together, at most ``most`` at a time."""
    groups: dict[Any, list[Any]] = {}
    for item in items:
        groups.setdefault(key(item), []).append(item)
    return [group[i : i + most] for group in groups.values() for i in range(0, len(group), most)]


def shrink(image: NDArray[Any], size: tuple[int, int]) -> Float:
    """Area average of bytes, floats or a mask to ``size = (h, w)``, not larger than the image, as float32."""
    if image.shape[:2] == size:
        return np.asarray(image, np.float32)
    if image.dtype == bool:
        image = image.view(np.uint8) * np.uint8(255)
        return shrink(image, size) / np.float32(255)
    if image.dtype == np.uint8 and image.shape[0] > 8 * size[0] and image.shape[1] > 8 * size[1]:
        # Far larger than what it becomes: as floats it would be the largest thing in memory.
        image = np.asarray(cv2.resize(image, (4 * size[1], 4 * size[0]), interpolation=cv2.INTER_AREA))
    return np.asarray(cv2.resize(image.astype(np.float32), size[::-1], interpolation=cv2.INTER_AREA), np.float32)


def _padded(image: NDArray[np.float32] | BoolMask, bucket: tuple[int, int]) -> Float:
    """``[h, w(, C)]`` to ``[C, *bucket]``, the image in the top left corner of zeros."""
    planes = image[None] if image.ndim == 2 else np.moveaxis(image, 2, 0)
    out = np.zeros((len(planes), *bucket), np.float32)
    out[:, : image.shape[0], : image.shape[1]] = planes
    return out


def content_of(image: Float, plan: LayerPlan) -> Float:
    """The crop's part of one canvas ``[C, *bucket]`` as ``[h, w, C]``."""
    h, w = plan.sizes.content
    return np.ascontiguousarray(np.moveaxis(image[:, :h, :w], 0, 2), np.float32)
