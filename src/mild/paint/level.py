"""The light of a copied place, drawn a little towards that of the hole's surroundings, where no eye sees it (ours).

What was copied brings the light of another place. A smooth interpolation of the surroundings knows the hole's own light
better, but where light and shade meet in the hole it is a haze. So the fill's coarse colours go a third of the way at
most, and by less than the texture there varies by itself (``docs/decisions/0017-free-figures.md``).
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from mild.paint.detail import membrane, smooth

Rgb = NDArray[np.uint8]
BoolMask = NDArray[np.bool_]
Float = NDArray[np.float32]

#: So far towards the surroundings.
SHARE = 1 / 3
#: Coarser than this many pixels is light; finer is texture.
COARSE = 3.0
#: By this many levels at most, and by this part of the texture's deviation.
MOST, UNSEEN = 8.0, 0.7
#: Edges alone are no texture: its least deviation within a square of so many pixels counts.
ALONE = 9


def levelled(fill: Float, seen: Rgb, own: BoolMask, hole: BoolMask) -> Float:
    """A fill with its coarse colours drawn towards those of the surroundings.

    Args:
        fill: ``[h, w, 3]``, 0..255.
        seen: uint8 ``[h, w, 3]``, of which ``own`` pixels are read.
        own, hole: bool ``[h, w]``.

    Returns:
        float32 ``[h, w, 3]``; ``fill`` outside the hole, and everywhere where nothing is own.
    """
    if not own.any() or not hole.any():
        return fill
    inside = hole.astype(np.float32)
    around = membrane(seen.astype(np.float32) * own[..., None], own.astype(np.float32))
    change = smooth(np.ascontiguousarray((around - fill) * inside[..., None]), COARSE)
    change *= np.float32(SHARE) / np.maximum(smooth(inside, COARSE), 1e-3)[..., None]
    grey = fill.mean(2)
    mean = cv2.GaussianBlur(grey, (0, 0), COARSE)
    texture = np.sqrt(np.maximum(cv2.GaussianBlur(grey * grey, (0, 0), COARSE) - mean * mean, 0))
    texture = cv2.erode(texture, np.ones((ALONE, ALONE), np.uint8))
    bound = np.minimum(np.float32(MOST), UNSEEN * cv2.GaussianBlur(texture, (0, 0), COARSE))
    change *= (np.minimum(1, bound / np.maximum(np.abs(change).max(2), 1e-3)) * inside)[..., None]
    return np.asarray(fill + change, np.float32)
