"""From the denoiser's resolution back to the photo's: structure from the model, texture from the exemplar fill.

All arrays are those of one layer's crop. Colours are float32 0..255 unless said otherwise.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

Float = NDArray[np.float32]
BoolMask = NDArray[np.bool_]

#: Gaussian width, canvas pixels, below which the texture is the fill's and above which the colour is the model's.
CROSSOVER = 2.0
#: Steps of colour at the ring up to this many levels are left alone.
UNSEEN = 8.0


def with_texture(fill: Float, coarse: Float, coarse_fill: Float, coarse_hole: BoolMask) -> Float:
    """The fill, corrected by what the model changed in its low frequencies.

    Args:
        fill: ``[H, W, 3]``, the exemplar fill at the photo's resolution.
        coarse: ``[h, w, 3]``, the model's clean layer at its own resolution.
        coarse_fill: ``[h, w, 3]``, the same fill as the model saw it.
        coarse_hole: bool ``[h, w]``, where ``coarse`` is a prediction.

    Returns:
        ``[H, W, 3]``; equal to ``fill`` where the model changed nothing.
    """
    weight = coarse_hole.astype(np.float32)
    correction = (coarse - coarse_fill) * weight[..., None]
    # Normalised: what is outside the hole is known and must not pull the correction towards zero.
    blurred = cv2.GaussianBlur(correction, (0, 0), CROSSOVER)
    share = cv2.GaussianBlur(weight, (0, 0), CROSSOVER)
    correction = np.asarray(blurred / np.maximum(share, 1e-3)[..., None], np.float32)
    return fill + enlarge(correction, (fill.shape[0], fill.shape[1]))


def enlarge(image: Float, size: tuple[int, int]) -> Float:
    """Resize ``[h, w(, c)]`` to ``size = (H, W)``; smooth, as the source has no more to give."""
    if image.shape[:2] == size:
        return image
    return np.asarray(cv2.resize(image, (size[1], size[0]), interpolation=cv2.INTER_CUBIC), np.float32)


def match_ring(made: Float, photo: Float, hole: BoolMask, own: BoolMask, reach: float) -> Float:
    """Shift the colours of a generated region so that they meet the photo's along the border.

    The mean colours just outside (``photo`` in ``own``) and just inside (``made`` in ``hole``) are compared all along
    the border, and their difference is added inside, fading over ``reach`` pixels. Texture is not touched.

    Returns:
        ``[H, W, 3]``: ``made`` with its hole shifted.
    """
    if not own.any() or not hole.any():
        return made
    depth = cv2.distanceTransform(hole.astype(np.uint8), cv2.DIST_L2, 5)
    away = cv2.distanceTransform((~hole).astype(np.uint8), cv2.DIST_L2, 5)
    sigma = max(1.0, reach / 2)
    inside = (hole & (depth <= sigma)).astype(np.float32)
    outside = (own & ~hole & (away <= sigma)).astype(np.float32)

    def mean_near(image: Float, where: Float) -> tuple[Float, Float]:
        share = cv2.GaussianBlur(where, (0, 0), sigma)
        return np.asarray(cv2.GaussianBlur(image * where[..., None], (0, 0), sigma)), np.asarray(share)

    inner, inner_share = mean_near(made, inside)
    outer, outer_share = mean_near(photo, outside)
    known = np.minimum(inner_share, outer_share)
    jump = outer / np.maximum(outer_share, 1e-4)[..., None] - inner / np.maximum(inner_share, 1e-4)[..., None]
    trust = np.clip(known / 0.02, 0, 1) * np.exp(-depth / max(1.0, reach))
    # Small steps are texture, which the eye forgives and a shift would spoil; large ones are often a real edge of the
    # photo that runs along the border, so the shift is bounded.
    size = np.abs(jump).max(2, keepdims=True)
    jump = np.clip(jump, -24, 24) * np.clip((size - UNSEEN) / (2 * UNSEEN), 0, 1)
    out = made.copy()
    out[hole] += (jump * trust[..., None])[hole]
    return out
