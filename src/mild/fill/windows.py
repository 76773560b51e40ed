"""Windows around holes, for nets that see a picture of limited size: holes far apart get windows of their own."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray

from mild.people.scene import Box

BoolMask = NDArray[np.bool_]
Net = Callable[[NDArray[np.uint8], BoolMask], NDArray[np.float32]]


def square(box: Box, frame: tuple[int, int], context: float, least: int = 1) -> Box:
    """A window around a box, nearly square, inside a frame ``(h, w)``.

    Args:
        context: margin, as a share of the box's longer side.
        least: shortest side, pixels, where the frame allows.
    """
    side = max(least, round(max(box.width, box.height) * (1 + 2 * context)))

    def span(low: int, high: int, limit: int) -> tuple[int, int]:
        length = min(max(side, high - low), limit)
        start = min(max(0, (low + high - length) // 2), limit - length)
        return start, start + length

    x0, x1 = span(box.x0, box.x1, frame[1])
    y0, y1 = span(box.y0, box.y1, frame[0])
    return Box(x0, y0, x1, y1)


def windows_of(hole: BoolMask, context: float, least: int = 1) -> list[tuple[Box, BoolMask]]:
    """Windows that together hold every pixel of a hole ``[h, w]``, each with its part of it.

    Pieces share a window if either's window would reach into the other's piece.
    """
    count, labels, stats, _ = cv2.connectedComponentsWithStats(hole.astype(np.uint8), connectivity=8)
    size = (hole.shape[0], hole.shape[1])
    groups = [
        (Box(int(x), int(y), int(x + w), int(y + h)), {number})
        for number, (x, y, w, h, _) in enumerate(stats[1:], 1)
        if number < count
    ]
    merged = True
    while merged:
        merged = False
        for i, (one, numbers) in enumerate(groups):
            for j in range(i + 1, len(groups)):
                other, more = groups[j]
                if _meet(one, other, size, context, least) or _meet(other, one, size, context, least):
                    groups[i] = one.union(other), numbers | more
                    del groups[j]
                    merged = True
                    break
            if merged:
                break
    found = []
    for box, numbers in groups:
        window = square(box, size, context, least)
        part = labels[window.slices]
        found.append((window, np.isin(part, list(numbers)) if len(groups) > 1 else part > 0))
    return found


def _meet(one: Box, other: Box, size: tuple[int, int], context: float, least: int) -> bool:
    common = square(one, size, context, least).intersect(other)
    return common.width > 0 and common.height > 0


def through_window(
    photo: NDArray[np.uint8], mask: BoolMask, net: Net, size: tuple[int, int] | None, multiple: int, context: float
) -> NDArray[np.float32]:
    """Run ``net`` on one window around all of the hole.

    Args:
        photo, mask: ``[H, W, 3]`` uint8, ``[H, W]`` bool.
        net: (uint8 ``[h, w, 3]``, bool ``[h, w]``) -> float ``[h, w, 3]`` in 0..1.
        size: ``(h, w)`` that the net wants, or None: the window's own, padded by reflection to ``multiple``.
        context: see :func:`square`.

    Returns:
        float32 ``[H, W, 3]`` in 0..1: the photo with the whole window replaced by what the net gave.
    """
    window = square(Box.around(mask), (mask.shape[0], mask.shape[1]), context)
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
