"""The rim of a hole without a soft edge: the painting meets the photo there, pixel by pixel (ours).

Where a soft edge mixes painting and photo, no step is left between them. A hard mask has none: every pixel is either
the photo's or painted. So it is done inside: the painting keeps its own gradients and is drawn towards the photo's
pixels beside it, less and less within a few pixels.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

Float = NDArray[np.float32]
BoolMask = NDArray[np.bool_]
Index = NDArray[np.int64]

#: Width of the rim, pixels, across and down: nothing further inside changes.
WIDTH = 16
#: Weight of leaving the painting as it is; a correction as long as the rim fades over ``1 / sqrt(STAY)`` pixels.
STAY = 0.03
#: Weight of a step across the border, where 1 is that of a change inside: neighbours are alike, not equal. Without
#: the limit of ``EDGE`` the border is then as even as an outline in an untouched photo (measured: .97 against .99).
MEET = 0.6
#: Steps across the border up to this many levels count whole, from twice as many not at all: they are edges of the
#: photo, or a fringe that the mask left of what is erased, which must not be drawn into the fill.
EDGE = 24.0
#: Steps of the solver. The fading bounds how far anything is felt, so they do not depend on the photo's size.
STEPS = 24


def join_rim(made: Float, photo: NDArray[Any], hole: BoolMask, own: BoolMask, hard: BoolMask) -> Float:
    """Draw a painted region towards the photo's pixels beside it, where nothing mixes the two.

    The correction ``u`` that is added to the rim makes least::

        sum over neighbours in the hole |u_p - u_q|² + STAY * sum |u_p|² + MEET * sum over the border |m_p + u_p - f_q|²

    with ``m`` the painting and ``f`` the photo, large steps left out: a screened Poisson equation (Bhat et al.,
    "Fourier Analysis of the 2D Screened Poisson Equation for Gradient Domain Problems", ECCV 2008).
    What is short along the border fades as fast as it is short, so fine texture leaves no streaks. Solved by conjugate
    gradients.

    Args:
        made: ``[H, W, 3]``, 0..255.
        photo: ``[H, W, 3]``, 0..255; only ``own`` pixels are read.
        hole, own: bool ``[H, W]``.
        hard: bool ``[H, W]``: where the result replaces the photo wholly.

    Returns:
        ``[H, W, 3]``: ``made``, changed in the hole's rim alone; ``made`` itself where there is no hard border.
    """
    own = own & ~hole
    cross = cv2.getStructuringElement(cv2.MORPH_CROSS, (3, 3))
    beside = cv2.dilate(own.view(np.uint8), cross, borderType=cv2.BORDER_CONSTANT, borderValue=0) > 0
    border = beside & hole & hard
    if not border.any():
        return made
    # A square around every border pixel: at its edge next to nothing is left, and a disc would take ten times as long.
    around = np.ones((2 * WIDTH + 1, 2 * WIDTH + 1), np.uint8)
    rim = np.flatnonzero(hole & (cv2.dilate(border.view(np.uint8), around) > 0))
    height, width = hole.shape
    # A frame of one pixel, so that nobody's neighbour is at the other end of a row; its pixels are in nothing.
    y, x = np.divmod(rim, width)
    at = (y + 1) * (width + 2) + x + 1
    number = np.full((height + 2) * (width + 2), len(rim), np.int32)
    number[at] = np.arange(len(rim), dtype=np.int32)
    inside, known = (np.pad(mask, 1).ravel() for mask in (hole, own))
    met = hard.ravel()[rim]
    colours, painted = photo.reshape(-1, 3), made.reshape(-1, 3)[rim].T
    diagonal, wanted = np.full(len(rim), STAY, np.float32), np.zeros((3, len(rim)), np.float32)
    neighbours: list[Index] = []
    for dy, dx in ((0, -1), (0, 1), (-1, 0), (1, 0)):
        there = at + dy * (width + 2) + dx
        neighbours.append(number[there].astype(np.int64))
        diagonal += inside[there]
        meets = np.flatnonzero(known[there] & met)
        jump = colours[rim[meets] + dy * width + dx].T - painted[:, meets]
        weight = np.float32(MEET) * np.clip(2 - np.abs(jump).max(0) / np.float32(EDGE), 0, 1)
        diagonal[meets] += weight
        wanted[:, meets] += weight * jump
    out = made.copy()
    for channel in range(3):
        out.reshape(-1, 3)[rim, channel] += _solved(diagonal, neighbours, wanted[channel])
    return out


def _solved(diagonal: Float, neighbours: list[Index], wanted: Float) -> Float:
    """The ``u [N]`` with ``diagonal_p u_p - sum over the neighbours u_q = wanted_p``.

    Args:
        neighbours: per direction, the number of every pixel's neighbour there, or ``N``, which stands for zero.
    """
    step = np.zeros(len(wanted) + 1, np.float32)
    solution, rest = np.zeros_like(wanted), wanted.copy()
    scaled = rest / diagonal
    step[:-1] = scaled
    size = float(rest @ scaled)
    for _ in range(STEPS):
        # It is as good as done: of a flat picture, at once.
        if size <= 1e-6 * len(wanted):
            break
        image = diagonal * step[:-1]
        for numbers in neighbours:
            image -= step.take(numbers)
        length = size / float(step[:-1] @ image)
        solution += length * step[:-1]
        rest -= length * image
        scaled = rest / diagonal
        size, before = float(rest @ scaled), size
        step[:-1] *= size / before
        step[:-1] += scaled
    return solution
