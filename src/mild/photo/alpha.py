"""Transparency where somebody was: filled like any channel, from what lies around."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray


def filled_alpha(
    alpha: NDArray[np.uint8], erased: NDArray[np.bool_], shown: NDArray[np.bool_] | None = None
) -> NDArray[np.uint8]:
    """Alpha ``[H, W]`` with the erased place as transparent as the nearest ground around it.

    On a cut-out the ground is transparent, so the place becomes transparent; without this a silhouette would stay.

    Args:
        erased: bool ``[H, W]``, true where somebody was erased.
        shown: bool ``[H, W]``, people who stay: they are no ground, and where they are seen the photo is opaque.
    """
    if alpha.min() == 255 or not erased.any():
        return alpha
    people = np.zeros_like(erased) if shown is None else shown
    ground = ~erased & ~people
    if not ground.any():
        ground = ~erased
    if not ground.any():
        return alpha
    # The label of the nearest ground pixel, for every pixel.
    _, labels = cv2.distanceTransformWithLabels(
        (~ground).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_5, labelType=cv2.DIST_LABEL_PIXEL
    )
    of_label = np.zeros(int(labels.max()) + 1, np.uint8)
    of_label[labels[ground]] = alpha[ground]
    nearest = cv2.medianBlur(of_label[labels], 5)
    out = np.where(erased, nearest, alpha)
    if shown is not None:
        out = np.where(erased & shown, 255, out)
    return np.asarray(out, np.uint8)
