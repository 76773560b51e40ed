"""The sizes of one layer, from the photo's pixels down to the denoiser's canvas: all of them, in this one place."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Self

Size = tuple[int, int]

#: Longest side, pixels, of what is searched for exemplars: at least (lines are still lines, and it takes a second or
#: two), and at most, where the hole has no more pixels than HOLE there.
SEARCHED, FINEST, HOLE = 384, 768, 60_000


@dataclass(frozen=True)
class Sizes:
    """``(height, width)`` of a layer at every stage.

    Attributes:
        photo: the crop, in the photo's own pixels; the hole is painted at this size.
        searched: the crop as exemplars are searched in it: finer than the canvas, but bounded.
        content: the crop as the denoiser sees it.
        canvas: what the denoiser works on; the content is its top left corner.
    """

    photo: Size
    searched: Size
    content: Size
    canvas: Size

    @classmethod
    def of(cls, photo: Size, canvas: Size, scale: float, hole: int, *, background: bool) -> Self:
        """From the crop's size, the canvas that was chosen for it, and canvas pixels per photo pixel.

        Args:
            hole: pixels of the hole, in the photo. A background is searched as fine as its hole is small, since the
                search takes about as long as the hole has pixels.
        """
        longest = max(photo)
        small = math.sqrt(HOLE / max(1, hole)) if background else 0.0
        searched = min(1.0, FINEST / longest, max(SEARCHED / longest, small))
        height, width = _scaled(photo, scale)
        return cls(photo, _scaled(photo, searched), (min(canvas[0], height), min(canvas[1], width)), canvas)


def _scaled(size: Size, factor: float) -> Size:
    return max(1, round(size[0] * factor)), max(1, round(size[1] * factor))
