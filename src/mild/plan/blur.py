"""How blurred a photo is along an outline: there a person's border is as wide as the blur (ours).

A person who moved, or who stands out of focus, fades into what is behind them. An outline runs through the middle of
that, and what is left outside would be a thin line in their shape.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from mild.people.scene import Person
from mild.photo.grid import fitted

#: Least difference of the two sides of an outline that tells how sharp it is, levels of 255.
CLEAR = 24.0
#: Up to so many pixels (standard deviation) a border spreads in a sharp photo; cameras and JPEG make it about one.
SHARP = 1.35
#: So many places of an outline are enough, and so few are needed.
MOST, LEAST = 2000, 12
#: Longest side, pixels, of what is looked at: the blur of a large photo is measured in a smaller one.
LOOKED_AT = 768


def edge_spread(photo: NDArray[np.uint8], person: Person, reach: int) -> float:
    """The standard deviation, pixels, of the blur across a person's outline; 0 where it is sharp, or nothing tells.

    Of a step that a Gaussian has blurred, height over steepest slope is ``sqrt(2 * pi)`` times its deviation. Both are
    taken within ``reach`` of the outline, wherever inside and outside differ clearly; the median of these places
    counts. Texture is steep, too, so that a sharp surrounding speaks for a sharp outline, never for a blurred one.

    Args:
        photo: uint8 ``[H, W, 3]``.
        reach: pixels, how far the border may be from the outline.
    """
    size = (photo.shape[0], photo.shape[1])
    box = person.box.grow(3 * reach + 2, size)
    shape, scale = fitted(box.width, box.height, LOOKED_AT)
    seen = np.asarray(cv2.cvtColor(photo[box.slices], cv2.COLOR_RGB2GRAY))
    mask: NDArray[np.uint8] = np.zeros((box.height, box.width), np.uint8)
    mask[person.box.inside(box).slices] = person.mask
    if scale < 1:
        seen = np.asarray(cv2.resize(seen, shape, interpolation=cv2.INTER_AREA))
        mask = np.asarray(cv2.resize(mask * np.uint8(255), shape, interpolation=cv2.INTER_AREA) > 127).view(np.uint8)
    radius = max(3, round(reach * scale))
    tone = seen.astype(np.float32)
    inner = cv2.erode(mask, np.ones((3, 3), np.uint8), borderType=cv2.BORDER_CONSTANT, borderValue=1)
    places = np.flatnonzero((mask > 0) & (inner == 0))
    if not len(places):
        return 0.0
    places = places[:: -(-len(places) // MOST)]
    window = np.ones((2 * radius + 1,) * 2, np.uint8)
    height = cv2.dilate(tone, window).ravel()[places] - cv2.erode(tone, window).ravel()[places]
    dx, dy = (cv2.Sobel(tone, cv2.CV_32F, *d, ksize=3, scale=1 / 8) for d in ((1, 0), (0, 1)))
    slope = cv2.dilate(np.hypot(dx, dy), window).ravel()[places]
    clear = height >= CLEAR
    if clear.sum() < LEAST:
        return 0.0
    spread = float(np.median(height[clear] / slope[clear])) / float(np.sqrt(2 * np.pi))
    return spread / scale if spread > SHARP else 0.0
