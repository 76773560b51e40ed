"""Between the photo's crops and the denoiser's canvas; the one place that shrinks layers. Knows no tensors."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from mild.diffusion.plan import LayerPlan, Plan
from mild.diffusion.prior import exemplar_fill
from mild.scene import Scene

Float = NDArray[np.float32]
BoolMask = NDArray[np.bool_]


@dataclass(frozen=True)
class LayerCrop:
    """One layer's pixels: the photo's in its crop, and the crop on its canvas.

    A canvas pixel is hole if any part of it is, own if all of it is; foreign pixels are in no average.

    Attributes:
        plan: where it is and what its regions are; ``content = (h, w)`` is the crop's size on the canvas.
        photo: uint8 ``[H, W, 3]``, the photo in the crop.
        rgb: uint8 ``[h, w, 3]``, the mean colour of the own pixels under each canvas pixel; 0 where there are none.
        own, hole: bool ``[h, w]``.
        fill: uint8 ``[h, w, 3]``, the exemplar fill in the hole, ``rgb`` elsewhere; None without a prior.
    """

    plan: LayerPlan
    photo: NDArray[np.uint8]
    rgb: NDArray[np.uint8]
    own: BoolMask
    hole: BoolMask
    fill: NDArray[np.uint8] | None

    @classmethod
    def cut(cls, photo: NDArray[np.uint8], plan: LayerPlan, seed: int | None) -> LayerCrop:
        """From the crop of the photo, uint8 ``[H, W, 3]``; ``seed`` of the exemplar search, None: no prior."""
        hole = shrink(plan.hole, plan.content) > 1e-4
        share = shrink(plan.own, plan.content)
        own = (share > 0.999) & ~hole
        total = shrink(np.where(plan.own[..., None], photo, 0), plan.content)
        mean = np.clip(np.rint(total / np.maximum(share, 1e-4)[..., None]), 0, 255).astype(np.uint8)
        rgb = np.where((share > 1e-4)[..., None], mean, 0).astype(np.uint8)
        fill = None if seed is None else exemplar_fill(rgb, own, hole, seed=seed)
        return cls(plan, photo, rgb, own, hole, fill)

    def on_canvas(self) -> tuple[Float, Float, Float, Float]:
        """``(rgb, own, hole, fill)`` for the denoiser: colours ``[3, bucket]`` in [-1, 1], masks ``[1, bucket]`` in
        {0, 1}. What the crop does not reach is neutral grey and foreign. Without a prior the fill is ``rgb``."""
        fill = self.rgb if self.fill is None else self.fill
        colours = [image.astype(np.float32) / 127.5 - 1 for image in (self.rgb, fill)]
        rgb, own, hole, filled = (
            _padded(image, self.plan.bucket) for image in (colours[0], self.own, self.hole, colours[1])
        )
        return rgb, own, hole, filled


def cut_layers(
    scene: Scene, plan: Plan, seed: int | None, tell: Callable[[float], None] = lambda fraction: None
) -> list[LayerCrop]:
    """Every layer's crop, its hole filled from its own pixels; ``tell`` hears the fraction that is done."""
    crops = []
    for number, row in enumerate(plan.layers):
        tell(number / len(plan.layers))
        crops.append(LayerCrop.cut(scene.photo.pixels[row.crop.slices], row, seed))
    tell(1.0)
    return crops


def shrink(image: NDArray[np.uint8] | BoolMask | Float, size: tuple[int, int]) -> Float:
    """Area average to ``size = (h, w)``, not larger than the image, as float32."""
    if image.dtype == np.uint8 and image.shape[0] * image.shape[1] > 16 * size[0] * size[1]:
        # Far larger than what it becomes: a float copy of it would be the largest thing in memory.
        steps = (max(size[0], image.shape[0] // 4), max(size[1], image.shape[1] // 4))
        image = cv2.resize(image, steps[::-1], interpolation=cv2.INTER_AREA)
    image = image.astype(np.float32)
    if image.shape[:2] == size:
        return image
    return np.asarray(cv2.resize(image, (size[1], size[0]), interpolation=cv2.INTER_AREA), np.float32)


def _padded(image: NDArray[np.float32] | BoolMask, bucket: tuple[int, int]) -> Float:
    """``[h, w(, C)]`` to ``[C, *bucket]``, the image in the top left corner of zeros."""
    planes = image[None] if image.ndim == 2 else np.moveaxis(image, 2, 0)
    out = np.zeros((len(planes), *bucket), np.float32)
    out[:, : image.shape[0], : image.shape[1]] = planes
    return out


def content_of(image: Float, plan: LayerPlan) -> Float:
    """The crop's part of one canvas ``[C, *bucket]`` as ``[h, w, C]``."""
    h, w = plan.content
    return np.ascontiguousarray(np.moveaxis(image[:, :h, :w], 0, 2), np.float32)
