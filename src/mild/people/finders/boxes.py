"""Places where a person may be, as detectors give them: boxes with scores.

A detector looks at the whole picture and at overlapping tiles of it; what the landmark net then says of each place
is decided elsewhere (``looks.py``, ``search.py``).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from mild.people.finders.blaze_nets import Picture, Window, sigmoid

#: Left, top, right, lower edge in pixels of the picture.
Corners = tuple[float, float, float, float]
Rows = NDArray[np.float64]

#: Of two boxes of one detector that overlap by more (IoU) the worse goes; boxes of two detectors that do may be joined.
SAME_PLACE, JOINED = 0.6, 0.5
#: A tile is this much larger than its share of the picture; a box that ends this close to an inner edge is cut off.
TILE_OVERLAP, TILE_EDGE = 1.35, 4


@dataclass(frozen=True)
class Place:
    """A box that may hold a person.

    Attributes:
        box: where.
        scores: what the detectors say, 0..1 each, in the order of :attr:`Detector.cues`.
        points: COCO keypoints ``[17, 3]`` (x, y in pixels of the picture, score 0..1), or None.
    """

    box: Corners
    scores: tuple[float, ...]
    points: NDArray[np.float64] | None = None


@dataclass(frozen=True)
class Judge:
    """How sure a place is: logistic regression on the mean heat-map peak of the landmark net, the detectors' scores,
    and the fit of the mask to the box. ``bench/finder_fit.py`` makes the numbers.

    Attributes:
        weights: one per cue: peak, the detectors' scores, fit.
        bias: of the sum.
        sure: from here on a find counts.
        maybe: from here on it is listed.
        first: nobody in a photo counts unless its surest find reaches this. Who looks a little like a person among
            people is one more often than in a photo without anybody. At least ``sure``.
    """

    weights: tuple[float, ...]
    bias: float
    sure: float
    maybe: float
    first: float

    def least(self, scores: Iterable[float]) -> float:
        """From which score on the finds of one photo count, given all of them."""
        return self.sure if max(scores, default=0.0) >= self.first else self.first

    def __call__(self, peak: float, place: Place, fit: float) -> float:
        """Probability 0..1 that the place holds a person with about this mask."""
        cues = (peak, *place.scores, fit)
        return float(sigmoid(np.array(np.dot(self.weights, cues) + self.bias)))


class Layers(NamedTuple):
    """What detectors' own layers say of a square window.

    Attributes:
        shared: MoveNet's last layer before its heads ``[64, 64, 24]``.
        heat: its logits of each of COCO's keypoints ``[64, 64, 17]``.
        centre: its probability of the middle of a person ``[64, 64, 1]``.
        points: where each cell, if it were the middle of a person, expects the keypoints: y, x in cells from there
            ``[64, 64, 34]``.
        things: NanoDet's finest layer before its heads ``[52, 52, 128]``.
    """

    shared: NDArray[np.float32]
    heat: NDArray[np.float32]
    centre: NDArray[np.float32]
    points: NDArray[np.float32]
    things: NDArray[np.float32]


class Detector(Protocol):
    """One way to propose places.

    Attributes:
        name: of the finder that it makes, as in ``Finder.backend``.
        judge: fitted for this detector's scores.
    """

    name: str
    judge: Judge

    def places(self, picture: Picture) -> list[Place]:
        """Where people may be, best first."""
        ...

    def places_near(self, picture: Picture, x: float, y: float) -> list[Place]:
        """Boxes that hold the point, with less asked of them, best first."""
        ...

    def layers(self, picture: Picture, window: Window) -> Layers | None:
        """What is to be seen in a window, for who draws outlines; None: nothing that would help."""
        ...


def tiles(height: int, width: int, level: int) -> list[tuple[int, int, int, int]]:
    """Windows x0, y0, x1, y1 that cover a picture: squares of 1 / ``level`` of the long side and more, half
    overlapping; level 1 is the whole picture."""
    if level == 1:
        return [(0, 0, width, height)]
    side = round(max(height, width) / level * TILE_OVERLAP)
    return [
        (x, y, min(width, x + side), min(height, y + side)) for y in _starts(height, side) for x in _starts(width, side)
    ]


def _starts(length: int, side: int) -> list[int]:
    if side >= length:
        return [0]
    return [round(v) for v in np.linspace(0, length - side, int(np.ceil((length - side) / (side / 2))) + 1)]


def whole_in(rows: Rows, tile: Sequence[int], height: int, width: int) -> Rows:
    """The boxes ``[n, 4 + …]`` that no inner edge of the tile cuts off."""
    x0, y0, x1, y1 = tile
    cut = (rows[:, 0] < x0 + TILE_EDGE) & (x0 > 0) | (rows[:, 1] < y0 + TILE_EDGE) & (y0 > 0)
    cut |= (rows[:, 2] > x1 - TILE_EDGE) & (x1 < width) | (rows[:, 3] > y1 - TILE_EDGE) & (y1 < height)
    return rows[~cut]


def fitted(pixels: NDArray[np.uint8], side: int) -> tuple[NDArray[np.uint8], float]:
    """Pixels ``[h, w, 3]`` with their long side scaled to ``side``, and the factor."""
    scale = side / max(pixels.shape[:2])
    size = (max(1, round(pixels.shape[1] * scale)), max(1, round(pixels.shape[0] * scale)))
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(np.ascontiguousarray(pixels), size, interpolation=how), np.uint8), scale


def iou(a: Sequence[float] | Rows, b: Sequence[float] | Rows) -> float:
    """Intersection over union of two boxes, 0..1."""
    width, height = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    if width <= 0 or height <= 0:
        return 0.0
    common = width * height
    return float(common / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - common))


def suppressed(rows: Rows, limit: float = SAME_PLACE) -> Rows:
    """Boxes ``[n, 5 + …]`` (corners, score, …), best first, without those that a better one covers by ``limit``."""
    kept: list[NDArray[np.float64]] = []
    for row in rows[np.argsort(-rows[:, 4], kind="stable")]:
        if all(iou(row, other) <= limit for other in kept):
            kept.append(row)
    return np.array(kept).reshape(-1, rows.shape[1])


def merged(first: Sequence[Place], second: Sequence[Place]) -> list[Place]:
    """The places of two detectors as one list, best first.

    Pairs that overlap best are joined, each place once, so that of two people who embrace each keeps what is theirs:
    the first detector's box, the points of whoever has them, and the better of each score.
    """
    pairs = [(iou(a.box, b.box), i, j) for i, a in enumerate(first) for j, b in enumerate(second)]
    partner: dict[int, int] = {}
    for overlap, i, j in sorted(pairs, key=lambda p: (-p[0], p[1], p[2])):
        if overlap > JOINED and i not in partner and j not in partner.values():
            partner[i] = j
    out = []
    for i, place in enumerate(first):
        if i in partner:
            other = second[partner[i]]
            scores = tuple(max(pair) for pair in zip(place.scores, other.scores, strict=True))
            place = replace(place, scores=scores, points=other.points if place.points is None else place.points)
        out.append(place)
    out += [place for j, place in enumerate(second) if j not in partner.values()]
    return sorted(out, key=lambda p: -sum(p.scores))
