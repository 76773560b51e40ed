"""The first fill of a layer: a place is continued by its texture, a person by the colours of their own visible part.

What is copied from a small visible part of a body is noise: on the hidden parts of people a diffusion of their own
colours is nearer to the truth than an exemplar fill, and takes a fiftieth of the time (``docs/method.md`` has figures).
"""

from __future__ import annotations

from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from mild.fill.prior import PATCH_RADIUS, exemplar_fill

Rgb = NDArray[np.uint8]
BoolMask = NDArray[np.bool_]

#: How far around a pixel known ones are averaged, pixels.
DIFFUSION_RADIUS = 5


def first_fill(
    domain: Literal["background", "person"],
    rgb: Rgb,
    own: BoolMask,
    hole: BoolMask,
    *,
    seed: int = 0,
    patch_radius: int = PATCH_RADIUS,
) -> Rgb:
    """``hole`` filled from ``own``, uint8 ``[h, w, 3]``; arguments as of :func:`mild.fill.prior.exemplar_fill`."""
    if domain == "person":
        return diffused_fill(rgb, own, hole)
    return exemplar_fill(rgb, own, hole, seed=seed, patch_radius=patch_radius)


def diffused_fill(rgb: Rgb, own: BoolMask, hole: BoolMask) -> Rgb:
    """The colours of ``own`` carried into ``hole``; foreign pixels (neither own nor hole) are never read.

    Telea, "An Image Inpainting Technique Based on the Fast Marching Method", Journal of Graphics Tools 9(1), 2004.

    Args:
        rgb: uint8 ``[h, w, 3]``.
        own, hole: bool ``[h, w]``; ``hole`` wins where they overlap.

    Returns:
        uint8 ``[h, w, 3]``: ``rgb`` outside the hole. With nothing to carry on: neutral grey in the hole.
    """
    own = own & ~hole
    out = rgb.copy()
    if not hole.any():
        return out
    if not own.any():
        out[hole] = 127
        return out
    ys, xs = np.flatnonzero((own | hole).any(1)), np.flatnonzero((own | hole).any(0))
    window = slice(int(ys[0]), int(ys[-1]) + 1), slice(int(xs[0]), int(xs[-1]) + 1)
    # What is foreign is unknown here, and is filled on the way like the hole.
    unknown = (~own[window]).view(np.uint8)
    seen = np.where(own[window][..., None], rgb[window], np.uint8(0))
    filled = np.asarray(cv2.inpaint(seen, unknown, DIFFUSION_RADIUS, cv2.INPAINT_TELEA), np.uint8)
    out[window][hole[window]] = filled[hole[window]]
    return out
