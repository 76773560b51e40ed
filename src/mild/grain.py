"""Grain and sharpness of a painted region, matched to the photo around it (ours).

What is finer than a few pixels (grain, the edge of a leaf) becomes as strong in the region as it is around it. How
strong that would be inside is carried in from the rim as smoothly as it can be, and the region's own fine detail is
made stronger or weaker accordingly, within bounds; none is invented. All arrays are those of one layer's window.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from mild.detail import membrane, smooth

Float = NDArray[np.float32]
BoolMask = NDArray[np.bool_]

#: Gaussian width, pixels, below which detail is fine.
FINE = 3.0
#: Detail is made weaker or stronger by these factors at most.
LEAST, MOST = 0.8, 2.5
#: Strength of detail, levels, that does not show; added to both sides of the comparison.
UNSEEN = 0.25
#: Width of the rim that is measured, in units of ``reach``.
RIM = 4.0
#: Rows that are handled at once; bounds the memory.
ROWS = 512


def match_grain(
    made: Float,
    photo: NDArray[Any],
    hole: BoolMask,
    own: BoolMask,
    reach: float,
    *,
    share: float = 1.0,
    soft: Float | None = None,
) -> Float:
    """Make the fine detail of ``made`` in ``hole`` as strong as that of ``photo`` in ``own`` around it.

    Args:
        made: ``[H, W, 3]``, 0..255; only its hole is read.
        photo: ``[H, W, 3]``, 0..255; only ``own`` pixels are read.
        hole, own: bool ``[H, W]``.
        reach: pixels; the rim is :data:`RIM` times as wide.
        share: how much of the difference is made up for: 1 = all of it, 0 = nothing, in between the gain to this power.
        soft: ``[H, W]``, 0..1: how strongly the result will replace the photo; None: wholly.

    Returns:
        ``[H, W, 3]``: ``made``, changed in its hole alone.
    """
    own = own & ~hole
    if not own.any() or not hole.any():
        return made
    fine = _fine(made, photo, hole, own)
    gain = _gain(_strength(fine), hole, own, max(2.0, RIM * reach))
    if share != 1:
        gain **= share
    if soft is not None:
        mixed = np.flatnonzero(soft < 1)
        gain.ravel()[mixed] *= in_mixture(soft.ravel()[mixed])
    gain -= 1
    gain *= hole
    fine *= cv2.merge([gain] * 3)
    fine += made
    return fine


def in_mixture(soft: Float) -> Float:
    """Factor for the detail of what is mixed with the photo in the shares ``soft``, so that the mixture is as strong.

    Details that know nothing of each other add by their squares: of equal strength 1 the mixture has
    ``sqrt(m² + (1 - m)²)``, .71 in the middle, and a soft edge shows as a blurred line. With the new detail times
    ``sqrt((2 - m) / m)`` it is 1 again, and the photo's, where a fringe of the person may be left, is not strengthened.
    (Heitz and Neyret, "High-Performance By-Example Noise using a Histogram-Preserving Blending Operator", HPG 2018,
    strengthen both.)
    """
    m = np.clip(soft, 1e-3, 1)
    return np.asarray(np.minimum(np.sqrt((2 - m) / m), MOST), np.float32)


def _fine(made: Float, photo: NDArray[Any], hole: BoolMask, own: BoolMask) -> Float:
    """What a Gaussian blur takes away, ``[H, W, 3]``; nobody's colours beside the layer are in the mean."""
    out = np.empty(made.shape, np.float32)
    margin = round(4 * FINE)
    for top in range(0, len(made), ROWS):
        first = max(0, top - margin)
        rows = slice(first, top + ROWS + margin)
        image = np.asarray(cv2.copyTo(made[rows], hole[rows].view(np.uint8)), np.float32)
        image = np.asarray(cv2.copyTo(photo[rows].astype(np.float32), own[rows].view(np.uint8), image), np.float32)
        known = (own[rows] | hole[rows]).astype(np.float32)
        mean = np.asarray(cv2.GaussianBlur(image, (0, 0), FINE), np.float32)
        mean /= cv2.merge([np.maximum(cv2.GaussianBlur(known, (0, 0), FINE), 1e-3)] * 3)
        part = slice(top - first, top - first + ROWS)
        np.subtract(image[part], mean[part], out=out[top : top + ROWS])
    return out


def _strength(fine: Float) -> Float:
    """Mean absolute detail ``[H, W]`` of the three channels; one after the other, as numpy is slow at three at once."""
    out = np.abs(fine[..., 0])
    out += np.abs(fine[..., 1])
    out += np.abs(fine[..., 2])
    out /= 3
    return out


def _gain(strength: Float, hole: BoolMask, own: BoolMask, rim: float) -> Float:
    """Factor ``[H, W]`` for the detail of every hole pixel, found on a picture of a few pixels per rim."""
    factor = max(1, int(rim / 4))
    size = (-(-hole.shape[0] // factor), -(-hole.shape[1] // factor))

    def shrunk(image: Float) -> Float:
        return np.asarray(cv2.resize(image, size[::-1], interpolation=cv2.INTER_AREA), np.float32)

    def mean_near(where: BoolMask) -> Float:
        share = smooth(shrunk(where.astype(np.float32)), rim / factor / 2)
        there = np.asarray(cv2.copyTo(strength, where.view(np.uint8)), np.float32)
        return np.asarray(smooth(shrunk(there), rim / factor / 2) / np.maximum(share, 1e-4), np.float32)

    away = cv2.distanceTransform((~hole).view(np.uint8), cv2.DIST_L2, 5)
    # Right beside the hole the blur has seen both sides.
    ring = own & (away <= rim) & (away > 1)
    trust = (shrunk(ring.astype(np.float32)) > 0.1).astype(np.float32)
    if not trust.any():
        return np.ones(hole.shape, np.float32)
    expected = membrane(np.ascontiguousarray(mean_near(ring)[..., None]), trust)[..., 0]
    gain = np.clip((expected + UNSEEN) / (mean_near(hole) + UNSEEN), LEAST, MOST)
    return np.asarray(cv2.resize(gain, hole.shape[::-1], interpolation=cv2.INTER_LINEAR), np.float32)
