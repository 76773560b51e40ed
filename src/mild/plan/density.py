"""How finely each layer is denoised: canvas pixels per photo pixel, and the canvas that its crop fills.

A job with several layers shares a budget, so that it costs about what one pass over the whole photo would, however many
people are completed. Cost is counted in canvas pixels: the work of a denoiser grows with them (attention's faster).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from mild.people.scene import Box

#: Canvases come in multiples of this, so that equal ones share a batch and every UNet can halve them.
BUCKET = 64
#: A crop that would start another bucket by less than this part of one is shrunk into those it fills.
SLACK = 0.25
#: Layers are never coarser than this part of the density at which one pass would see the whole photo.
FLOOR = 0.75

Size = tuple[int, int]


def densities(crops: Sequence[Box], size: Size, resolution: int, budget: float | None) -> list[tuple[Size, float]]:
    """Canvas ``(height, width)`` and scale (canvas pixels per photo pixel, at most 1) of each crop.

    Args:
        crops: of all layers of a job.
        size: ``(height, width)`` of the photo.
        resolution: longest side of a canvas.
        budget: all canvases together have at most so many times the pixels of the whole photo's own canvas, as far as
            :data:`FLOOR` allows; all layers are then about equally fine. None, or a single crop: each layer is as fine
            as ``resolution`` lets it be.
    """
    finest = [min(1.0, resolution / max(crop.height, crop.width)) for crop in crops]
    if budget is None or len(crops) < 2:
        return [canvas(crop, scale, 0.0) for crop, scale in zip(crops, finest, strict=True)]
    frame = Box(0, 0, size[1], size[0])
    whole = min(1.0, resolution / max(size))
    allowed = budget * math.prod(canvas(frame, whole, 0.0)[0])
    # One density for all: a layer finer than its neighbours would show as a seam of sharpness.
    density = min(finest)
    while True:
        chosen = [canvas(crop, density, SLACK) for crop in crops]
        if sum(math.prod(bucket) for bucket, _ in chosen) <= allowed or density <= FLOOR * whole:
            return chosen
        density = max(0.98 * density, FLOOR * whole)


def canvas(crop: Box, scale: float, slack: float) -> tuple[Size, float]:
    """The canvas for a crop at about ``scale``, and the scale at which the crop fills it in one direction."""
    height, width = (
        BUCKET * max(1, math.ceil(round(side * scale) / BUCKET - slack)) for side in (crop.height, crop.width)
    )
    return (height, width), min(1.0, height / crop.height, width / crop.width)


def fill_canvas(crop: Box, bucket: Size, scale: float, size: Size) -> Box:
    """The crop enlarged to what its canvas has room for, inside the photo of ``size``.

    The canvas is there anyway: let the photo's own pixels fill it rather than blank padding.
    """
    y0, y1 = _stretch(crop.y0, crop.y1, bucket[0] / scale, size[0])
    x0, x1 = _stretch(crop.x0, crop.x1, bucket[1] / scale, size[1])
    return Box(x0, y0, x1, y1)


def _stretch(low: int, high: int, want: float, limit: int) -> tuple[int, int]:
    """Grow ``[low, high)`` to at most ``want`` inside ``[0, limit)``, evenly where there is room."""
    length = max(high - low, min(int(want), limit))
    start = min(max(0, low - (length - (high - low)) // 2), limit - length)
    return start, start + length
