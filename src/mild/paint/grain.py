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

from mild.paint.detail import membrane, smooth
from mild.people.scene import Box

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
ROWS = 256


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
    rim = max(2.0, RIM * reach)
    away = cv2.distanceTransform((~hole).view(np.uint8), cv2.DIST_L2, 5)
    # Right beside the hole the blur has seen both sides.
    ring = own & (away <= rim) & (away > 1)
    del away
    fine, strength = _fine(made, photo, hole, own, hole | ring)
    gain = _gain(strength, hole, ring, rim)
    for top in range(0, len(made), ROWS):
        rows = slice(top, top + ROWS)
        factor = gain[rows]
        if share != 1:
            factor **= share
        if soft is not None:
            mixed = np.flatnonzero(soft[rows] < 1)
            factor.ravel()[mixed] *= in_mixture(soft[rows].ravel()[mixed])
        factor -= 1
        factor = np.asarray(cv2.copyTo(factor, hole[rows].view(np.uint8)), np.float32)
        fine[rows] *= cv2.merge([factor] * 3)
        fine[rows] += made[rows]
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


def _fine(made: Float, photo: NDArray[Any], hole: BoolMask, own: BoolMask, wanted: BoolMask) -> tuple[Float, Float]:
    """What a Gaussian blur takes away, ``[H, W, 3]``, and its strength ``[H, W]``, the mean of the channels' sizes.

    Nobody's colours beside the layer are in the mean. Where it is not ``wanted``, it may be 0.
    """
    out, strength = np.zeros(made.shape, np.float32), np.zeros(hole.shape, np.float32)
    margin = round(4 * FINE) + 1
    for top in range(0, len(made), ROWS):
        columns = np.flatnonzero(wanted[top : top + ROWS].any(0))
        if not len(columns):
            continue
        here = Box(int(columns[0]), top, int(columns[-1]) + 1, min(top + ROWS, len(made)))
        around = here.grow(margin, hole.shape)
        part = around.slices
        image = np.asarray(cv2.copyTo(made[part], hole[part].view(np.uint8)), np.float32)
        image = np.asarray(cv2.copyTo(photo[part].astype(np.float32), own[part].view(np.uint8), image), np.float32)
        known = (own[part] | hole[part]).astype(np.float32)
        mean = np.asarray(cv2.GaussianBlur(image, (0, 0), FINE), np.float32)
        mean /= cv2.merge([np.maximum(cv2.GaussianBlur(known, (0, 0), FINE), 1e-3)] * 3)
        inner = here.inside(around).slices
        fine = np.subtract(image[inner], mean[inner], out=out[here.slices])
        # One channel after the other, as numpy is slow at three at once.
        size = np.abs(fine[..., 0], out=strength[here.slices])
        size += np.abs(fine[..., 1])
        size += np.abs(fine[..., 2])
        size /= 3
    return out, strength


def _gain(strength: Float, hole: BoolMask, ring: BoolMask, rim: float) -> Float:
    """Factor ``[H, W]`` for the detail of every hole pixel, as in the ring; found on a small picture."""
    factor = max(1, int(rim / 4))
    size = (-(-hole.shape[0] // factor), -(-hole.shape[1] // factor))

    # New memory is slow: what is shrunk is made in the same place each time.
    large = np.empty(hole.shape, np.float32)

    def shrunk(image: Float) -> Float:
        return np.asarray(cv2.resize(image, size[::-1], interpolation=cv2.INTER_AREA), np.float32)

    def shares(where: BoolMask) -> Float:
        large[...] = where
        return shrunk(large)

    def mean_near(where: BoolMask, share: Float) -> Float:
        np.multiply(strength, where, out=large)
        share = smooth(share, rim / factor / 2)
        return np.asarray(smooth(shrunk(large), rim / factor / 2) / np.maximum(share, 1e-4), np.float32)

    ring_share = shares(ring)
    trust = (ring_share > 0.1).astype(np.float32)
    if not trust.any():
        return np.ones(hole.shape, np.float32)
    expected = membrane(np.ascontiguousarray(mean_near(ring, ring_share)[..., None]), trust)[..., 0]
    gain = np.clip((expected + UNSEEN) / (mean_near(hole, shares(hole)) + UNSEEN), LEAST, MOST)
    return np.asarray(cv2.resize(gain, hole.shape[::-1], interpolation=cv2.INTER_LINEAR), np.float32)
