"""Between the photo's crops and the denoiser's canvas; the one place that resizes layers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from mild.diffusion.plan import LayerPlan
from mild.diffusion.rows import LayerRows


@dataclass(frozen=True)
class LayerCrop:
    """One layer's pixels at the photo's resolution.

    Attributes:
        plan: where it is and what its regions are.
        photo: uint8 ``[h, w, 3]``, the photo in the crop.
        fill: uint8 ``[h, w, 3]``, the exemplar fill in the hole (the photo elsewhere); None without a prior.
    """

    plan: LayerPlan
    photo: NDArray[np.uint8]
    fill: NDArray[np.uint8] | None

    def on_canvas(self) -> tuple[NDArray[np.float32], ...]:
        """``(rgb, own, hole, fill)`` on the canvas, floats; colours in [-1, 1], ``[H, W, 3]``; masks ``[H, W, 1]``.

        A canvas pixel is hole if any part of it is, own if all of it is; foreign pixels are in neither average.
        """
        plan = self.plan
        hole = shrink(plan.hole.astype(np.float32), plan.content) > 1e-4
        own = (shrink(plan.own.astype(np.float32), plan.content) > 0.999) & ~hole
        rgb = self._average(self.photo, plan.own)
        fill = self._average(self.photo if self.fill is None else self.fill, plan.own | plan.hole)
        return tuple(_padded(a, plan.bucket) for a in (rgb, own.astype(np.float32), hole.astype(np.float32), fill))

    def _average(self, image: NDArray[np.uint8], where: NDArray[np.bool_]) -> NDArray[np.float32]:
        """Mean colour of the pixels ``where`` under each canvas pixel, in [-1, 1]; 0 where there is none."""
        weight = where.astype(np.float32)
        share = shrink(weight, self.plan.content)
        total = shrink((image.astype(np.float32) / 127.5 - 1) * weight[..., None], self.plan.content)
        return np.asarray(total / np.maximum(share, 1e-4)[..., None] * (share > 1e-4)[..., None], np.float32)


def shrink(image: NDArray[np.float32], size: tuple[int, int]) -> NDArray[np.float32]:
    """Area average to ``size = (h, w)``, not larger than the image."""
    if image.shape[:2] == size:
        return image
    return np.asarray(cv2.resize(image, (size[1], size[0]), interpolation=cv2.INTER_AREA), np.float32)


def _padded(image: NDArray[np.float32], bucket: tuple[int, int]) -> NDArray[np.float32]:
    if image.ndim == 2:
        image = image[..., None]
    h, w, c = image.shape
    out = np.zeros((*bucket, c), np.float32)
    out[:h, :w] = image
    return out


def stack_rows(crops: Sequence[LayerCrop]) -> LayerRows:
    """Layers of one bucket as a batch; those without a fill get none."""
    parts = [
        torch.from_numpy(np.stack(arrays)).permute(0, 3, 1, 2).contiguous()
        for arrays in zip(*(crop.on_canvas() for crop in crops), strict=True)
    ]
    rows = LayerRows.build([crop.plan.domain for crop in crops], *parts)
    has_prior = torch.tensor([crop.fill is not None for crop in crops]).view(-1, 1, 1, 1)
    return LayerRows(rows.domains, rows.visible, rows.own, rows.hole, torch.where(has_prior, rows.fill, rows.visible))


def content_of(image: torch.Tensor, plan: LayerPlan) -> NDArray[np.float32]:
    """The crop's part of one canvas ``[C, H, W]`` as ``[h, w, C]``."""
    h, w = plan.content
    return np.asarray(image[:, :h, :w].permute(1, 2, 0).float().cpu().numpy())
