"""SSD MobileNet v2 of MediaPipe, trained on Open Images: boxes on 300 x 300 pixels, run by ai-edge-litert.

The anchors are those of the TensorFlow object detection API (SSD, arXiv:1512.02325, section 2.2): six grids, scales
from .2 to .95, five shapes and one between two scales per cell; the first grid has three.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from mild.people.finders.blaze_nets import Picture, TfliteNet, sigmoid
from mild.people.finders.boxes import Rows, suppressed, tiles, whole_in

SIDE, CLASSES = 300, 24
_STRIDES = (16, 32, 64, 128, 256, 512)
_LOWEST, _HIGHEST = 0.2, 0.95
_RATIOS = (1.0, 2.0, 0.5, 3.0, 0.3333)
_PERSON = 4
#: The net's numbers are multiples of the anchor's size by these: centre, logarithm of the size.
_CENTRE_SCALE, _SIZE_SCALE = 10, 5


class Ssd:
    """The net in a file."""

    def __init__(self, path: Path, threads: int) -> None:
        self._net = TfliteNet(path, threads)

    def boxes(self, picture: Picture, least: float, levels: tuple[int, ...] = (1, 2)) -> Rows:
        """People ``[n, 5]``: corners in pixels of the picture and score, best first."""
        found = []
        for level in levels:
            for tile in tiles(picture.height, picture.width, level):
                x0, y0, x1, y1 = tile
                window = np.ascontiguousarray(picture.pixels[y0:y1, x0:x1])
                how = cv2.INTER_AREA if min(window.shape[:2]) > SIDE else cv2.INTER_LINEAR
                small = cv2.resize(window, (SIDE, SIDE), interpolation=how)
                out = self._net(small.astype(np.float32) / np.float32(127.5) - 1)
                rows = decode(out[(len(ANCHORS), 4)], out[(len(ANCHORS), CLASSES)], least)
                rows[:, [0, 2]] = rows[:, [0, 2]].clip(0, 1) * (x1 - x0) + x0
                rows[:, [1, 3]] = rows[:, [1, 3]].clip(0, 1) * (y1 - y0) + y0
                found.append(whole_in(rows, tile, picture.height, picture.width))
        return suppressed(np.concatenate(found))


def anchors() -> NDArray[np.float32]:
    """Centre x, centre y, width, height of each anchor ``[1917, 4]``, as fractions of the input."""
    steps = len(_STRIDES) - 1
    scales = [_LOWEST + (_HIGHEST - _LOWEST) * k / steps for k in range(steps + 1)] + [1.0]
    rows = []
    for k, stride in enumerate(_STRIDES):
        cells = -(-SIDE // stride)
        shapes = [(ratio, scales[k]) for ratio in _RATIOS] + [(1.0, (scales[k] * scales[k + 1]) ** 0.5)]
        if k == 0:
            shapes = [(1.0, 0.1), (2.0, scales[0]), (0.5, scales[0])]
        for y in range(cells):
            for x in range(cells):
                rows += [((x + 0.5) / cells, (y + 0.5) / cells, s * r**0.5, s / r**0.5) for r, s in shapes]
    return np.array(rows, np.float32)


ANCHORS = anchors()


def decode(values: NDArray[Any], logits: NDArray[Any], least: float) -> Rows:
    """Outputs ``[1917, 4]`` (centre y, x, height, width, relative to the anchors) and ``[1917, 24]`` to people
    ``[n, 5]``: corners as fractions of the input, score."""
    scores = sigmoid(logits[:, _PERSON])
    chosen = np.flatnonzero(scores > least)
    y, x, tall, wide = values[chosen].astype(np.float64).T
    anchor = ANCHORS[chosen].T
    x, y = x / _CENTRE_SCALE * anchor[2] + anchor[0], y / _CENTRE_SCALE * anchor[3] + anchor[1]
    wide, tall = np.exp(wide / _SIZE_SCALE) * anchor[2], np.exp(tall / _SIZE_SCALE) * anchor[3]
    return suppressed(np.stack([x - wide / 2, y - tall / 2, x + wide / 2, y + tall / 2, scores[chosen]], 1))
