"""Nets of a fixed size on photos of any size: a window around the hole goes in, the same window comes back."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray

from mild.people.scene import Box

Net = Callable[[NDArray[np.uint8], NDArray[np.bool_]], NDArray[np.float32]]


def window_of(mask: NDArray[np.bool_], context: float) -> Box:
    """A window around the mask's box, nearly square; ``context``: its margin, as a share of the longer side."""
    height, width = mask.shape
    box = Box.around(mask)
    side = round(max(box.width, box.height) * (1 + 2 * context))

    def span(low: int, high: int, limit: int) -> tuple[int, int]:
        length = min(max(side, high - low), limit)
        start = min(max(0, (low + high - length) // 2), limit - length)
        return start, start + length

    x0, x1 = span(box.x0, box.x1, width)
    y0, y1 = span(box.y0, box.y1, height)
    return Box(x0, y0, x1, y1)


def through_window(
    photo: NDArray[np.uint8],
    mask: NDArray[np.bool_],
    net: Net,
    size: tuple[int, int] | None,
    multiple: int,
    context: float,
) -> NDArray[np.float32]:
    """Run ``net`` on a window around the hole.

    Args:
        photo, mask: ``[H, W, 3]`` uint8, ``[H, W]`` bool.
        net: (uint8 ``[h, w, 3]``, bool ``[h, w]``) -> float ``[h, w, 3]`` in 0..1.
        size: ``(h, w)`` that the net wants, or None: the window's own, padded by reflection to ``multiple``.
        context: see :func:`window_of`.

    Returns:
        float32 ``[H, W, 3]`` in 0..1: the photo with the whole window replaced by what the net gave.
    """
    window = window_of(mask, context)
    rgb, hole = photo[window.slices], mask[window.slices]
    h, w = hole.shape
    if size is None:
        pad = ((0, -h % multiple), (0, -w % multiple))
        out = net(np.pad(rgb, (*pad, (0, 0)), mode="symmetric"), np.pad(hole, pad, mode="symmetric"))[:h, :w]
    else:
        shrinks = size[0] * size[1] < h * w
        method = cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC
        small = np.asarray(cv2.resize(rgb, size[::-1], interpolation=method), np.uint8)
        # Every pixel that holds some of the hole is hole, so that nothing of the erased person is evidence.
        small_hole = cv2.resize(hole.astype(np.float32), size[::-1], interpolation=cv2.INTER_AREA) > 0
        back = cv2.INTER_CUBIC if shrinks else cv2.INTER_AREA
        out = np.asarray(cv2.resize(net(small, small_hole), (w, h), interpolation=back), np.float32)
    result: NDArray[np.float32] = photo.astype(np.float32) / np.float32(255)
    result[window.slices] = out
    return result
