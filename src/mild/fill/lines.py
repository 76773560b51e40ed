"""Straight lines that go on behind a hole: a horizon, the foot of a wall, the edge of a table.

A fill of patches follows texture, but a line that leaves the hole at another height than it entered is the first thing
an eye sees. Where the same line is seen on both sides of the hole, patches near it are asked to come from the same
distance to it. The idea of guiding exemplars by structure is that of Huang, Kang, Ahuja and Kopf, "Image Completion
using Planar Structure Guidance", SIGGRAPH 2014; theirs are planes, ours are single lines. Segments: LSD (Grompone von
Gioi et al., PAMI 2010), by OpenCV.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import cv2
import numpy as np
from numpy.typing import NDArray

Rgb = NDArray[np.uint8]
BoolMask = NDArray[np.bool_]
Float = NDArray[np.float32]

#: Shorter segments are no evidence: this part of the picture's long side, and so many pixels.
SHORTEST, SHORTEST_PIXELS = 0.05, 10.0
#: So far, pixels, may the ends of two segments lie from the line that joins them.
OFF = 1.5
#: Parts of the picture's size at which lines are looked for, and the least long side
#: there, and how much they are softened first, pixels.
SIZES, SMALLEST, SOFTER = (1.0, 0.63, 0.5, 0.4), 192, 0.8
#: On either side of the line: the least step across it, and how far both segments' colours may differ, levels.
CONTRAST, ALIKE = 8.0, 30.0
#: Up to this distance from a line, as a part of the long side, patches are asked to keep theirs.
NEAR = 1 / 16
#: The guide's range: how much that distance counts beside the patches' colours.
AMOUNT = 0.1


@dataclass(frozen=True)
class Line:
    """``normal · (x, y) = offset``, a unit normal.

    Attributes:
        gap: float ``[N, 2]``, its places (x, y) between the two segments, a pixel apart.
        colours: float ``[2, 3]``, seen on the side of the normal and on the other, levels.
        weight: its length in evidence times its contrast.
    """

    normal: NDArray[np.float64]
    offset: float
    gap: NDArray[np.float64]
    colours: NDArray[np.float64]
    weight: float

    def distance(self, x: NDArray[np.float32], y: NDArray[np.float32]) -> NDArray[np.float32]:
        """Signed, pixels."""
        return np.asarray(self.normal[0] * x + self.normal[1] * y - self.offset, np.float32)

    @property
    def evidence(self) -> float:
        """Pixels of it that are seen."""
        return self.weight / float(np.abs(self.colours[0] - self.colours[1]).mean())

    def larger(self, factor: float) -> Line:
        """The same line of a picture that is larger by 1 / ``factor``."""
        count = max(2, round(len(self.gap) / factor))
        gap = np.linspace(self.gap[0], self.gap[-1], count) / factor
        return Line(self.normal, self.offset / factor, gap, self.colours, self.weight)

    def continued(self, rgb: Rgb, hole: BoolMask) -> float:
        """The share of its places in the hole where a fill ``[h, w, 3]`` has its colours on both sides; 1 if none."""
        right = np.ones(len(self.gap), bool)
        inside = right.copy()
        for side, colour in zip((1, -1), self.colours, strict=True):
            seen = np.zeros((len(self.gap), 3))
            for off in (2.0, 3.0, 4.0):
                x, y = np.rint(self.gap + side * off * self.normal).astype(int).T
                x, y = x.clip(0, hole.shape[1] - 1), y.clip(0, hole.shape[0] - 1)
                seen += rgb[y, x] / 3.0
                inside &= hole[y, x]
            right &= np.abs(seen - colour).mean(1) < ALIKE
        return float(right[inside].mean()) if inside.any() else 1.0


def line_guide(lines: Sequence[Line], size: tuple[int, int]) -> Float:
    """Three coordinates that a patch and its source should share, float32 ``[h, w, 3]``; the third is 0.

    Each of the first two is the distance to a line: linear near it, constant beyond, so that what is far from the line
    may come from anywhere on its side.
    """
    y, x = np.mgrid[: size[0], : size[1]].astype(np.float32)
    near = max(4.0, NEAR * max(size))
    guide = np.zeros((*size, 3), np.float32)
    for i, line in enumerate(lines[:2]):
        guide[..., i] = AMOUNT * np.clip(line.distance(x, y) / near, -1, 1)
    return guide


def lines_through(rgb: Rgb, own: BoolMask, hole: BoolMask, most: int = 2) -> list[Line]:
    """The strongest lines that are seen on two sides of the hole, at most ``most``, of different courses.

    LSD sees a line whole at one size and in pieces at another, so it is asked at smaller ones, too, until it sees one.
    There a line must be seen over as many pixels as it is not: false ones are many.

    Args:
        rgb: uint8 ``[h, w, 3]``. own, hole: bool ``[h, w]``.
    """
    for factor in SIZES:
        size = max(1, round(rgb.shape[1] * factor)), max(1, round(rgb.shape[0] * factor))
        if factor == 1:
            found = _lines_at(rgb, own, hole, most)
        elif max(size) < SMALLEST:
            break
        else:
            share = _shrunk(own, size)
            mean = _shrunk(np.where(own[..., None], rgb, np.uint8(0)), size) / np.maximum(share, 1e-3)[..., None]
            small = np.clip(np.rint(cv2.GaussianBlur(mean, (0, 0), SOFTER)), 0, 255).astype(np.uint8)
            at = _lines_at(small, share > 0.999, _shrunk(hole, size) > 1e-4, most)
            found = [line.larger(factor) for line in at if line.evidence >= len(line.gap)]
        if found:
            return found
    return []


def _shrunk(image: Rgb | BoolMask, size: tuple[int, int]) -> Float:
    return np.asarray(cv2.resize(image.astype(np.float32), size, interpolation=cv2.INTER_AREA), np.float32)


def _lines_at(rgb: Rgb, own: BoolMask, hole: BoolMask, most: int) -> list[Line]:
    seen = [(end, sides) for end in _segments(rgb, own) if (sides := _sides(rgb, own, end)) is not None]
    found = [
        line for (a, (over, along)), (b, (under, other)) in combinations(seen, 2)
        # A segment's direction is LSD's and says nothing.
        if (line := _joined(a, b, over, under if along @ other > 0 else under[::-1], along, hole)) is not None
    ]  # fmt: skip
    out: list[Line] = []
    for line in sorted(found, key=lambda line: -line.weight):
        middle = line.gap[len(line.gap) // 2]
        again = any(
            abs(line.normal @ old.normal) > 0.97 and abs(old.normal @ middle - old.offset) < 0.03 * max(hole.shape)
            for old in out
        )
        if len(out) < most and not again:
            out.append(line)
    return out


def _segments(rgb: Rgb, own: BoolMask) -> NDArray[np.float32]:
    """Ends ``[N, 4]`` (x0, y0, x1, y1) of segments that are long enough, the longest hundred."""
    grey = np.where(own, cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY), np.uint8(0))
    found = cv2.createLineSegmentDetector(cv2.LSD_REFINE_STD).detect(grey)[0]
    if found is None:
        return np.zeros((0, 4), np.float32)
    ends = np.asarray(found, np.float32).reshape(-1, 4)
    lengths = np.hypot(ends[:, 2] - ends[:, 0], ends[:, 3] - ends[:, 1])
    long = lengths >= max(SHORTEST_PIXELS, SHORTEST * max(own.shape))
    order = np.argsort(-lengths[long], kind="stable")[:100]
    return ends[long][order]


def _sides(rgb: Rgb, own: BoolMask, end: NDArray[np.float32]) -> tuple[NDArray[np.float64], NDArray[np.float64]] | None:
    """Mean colours ``[2, 3]`` on the two sides of a segment, and the normal towards the first; None where it is not
    wholly in what may be seen (the border of a mask is a line, too)."""
    start, stop = end[:2].astype(np.float64), end[2:].astype(np.float64)
    along = (stop - start) / np.hypot(*(stop - start))
    normal = np.asarray([-along[1], along[0]])
    points = np.linspace(start, stop, max(8, int(np.hypot(*(stop - start)))))
    colours = []
    for side in (1, -1):
        x, y = np.rint(np.concatenate([points + side * off * normal for off in (2.0, 3.0, 4.0)])).astype(int).T
        inside = (x >= 0) & (y >= 0) & (x < own.shape[1]) & (y < own.shape[0])
        there = own[y[inside], x[inside]]
        if inside.mean() < 0.6 or there.mean() < 0.9:
            return None
        colours.append(rgb[y[inside][there], x[inside][there]].mean(0))
    return np.asarray(colours, np.float64), normal


def _joined(
    a: NDArray[np.float32], b: NDArray[np.float32], over: NDArray[np.float64], under: NDArray[np.float64],
    side: NDArray[np.float64], hole: BoolMask,
) -> Line | None:  # fmt: skip
    """The line of two segments with the colours ``over`` and ``under``, if they are one and a hole is between them."""
    if np.abs(over - under).mean(1).max() >= ALIKE or np.abs(over[0] - over[1]).mean() < CONTRAST:
        return None
    points = np.concatenate([a.reshape(2, 2), b.reshape(2, 2)]).astype(np.float64)
    apart = np.hypot(*(points[:2, None] - points[None, 2:]).transpose(2, 0, 1))
    i, j = np.unravel_index(int(apart.argmax()), (2, 2))
    start, stop = points[i], points[2 + j]
    along = (stop - start) / max(float(apart.max()), 1e-6)
    normal = np.asarray([-along[1], along[0]])
    if normal @ side < 0:
        normal = -normal
    if np.abs((points - start) @ normal).max() > OFF:
        return None
    first, second = np.sort((points[:2] - start) @ along), np.sort((points[2:] - start) @ along)
    length, evidence = float(second[0] - first[1]), float(np.ptp(first) + np.ptp(second))
    # Two short ends far apart are a coincidence.
    if length < 2 or evidence < 0.25 * length:
        return None
    gap = start + np.arange(first[1], second[0], 1.0)[:, None] * along
    x, y = np.rint(gap).astype(int).T
    if hole[y.clip(0, hole.shape[0] - 1), x.clip(0, hole.shape[1] - 1)].mean() < 0.4:
        return None
    colours = (over + under) / 2
    return Line(normal, float(normal @ start), gap, colours, evidence * float(np.abs(colours[0] - colours[1]).mean()))
