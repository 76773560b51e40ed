"""MoveNet MultiPose Lightning: people as centres with a box and 17 keypoints, run by onnxruntime.

The published model ends in a decoder that keeps six people of one input size. Here the net is cut at its six heads
(a CenterNet, arXiv:1904.07850, on MobileNetV2) and decoded in numpy: any number of people, any multiple of 32.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from mild.people.finders.blaze_nets import Picture, Window, sigmoid
from mild.people.finders.boxes import Rows, fitted
from mild.people.finders.onnx_net import OnnxNet

STRIDE, MULTIPLE, POINTS = 4, 32, 17
#: Long side of the net's input, and how many centres are looked at.
SIDE, MOST = 256, 40
#: A keypoint's place is its heat, weighted by a bell of this part of the box around where the centre expects it.
_BELL = 0.1
#: The output of the last layer before the heads, as the file names it.
_SHARED = "Relu_445"


class MoveNet:
    """The net in a file."""

    def __init__(self, path: Path) -> None:
        self._net = OnnxNet(path, (_SHARED,))

    def people(self, picture: Picture, least: float, side: int = SIDE) -> tuple[Rows, NDArray[np.float64]]:
        """People, best first: ``[n, 5]`` corners in pixels of the picture and score, ``[n, 17, 3]`` keypoints."""
        small, scale = fitted(picture.pixels, side)
        height, width = small.shape[:2]
        whole = np.zeros((-(-height // MULTIPLE) * MULTIPLE, -(-width // MULTIPLE) * MULTIPLE, 3), np.float32)
        whole[:height, :width] = small
        heads = self._heads(whole)
        rows, points = decode(heads, least)
        rows[:, :4] *= STRIDE / scale
        points[..., :2] = (points[..., :2] + 0.5) * (STRIDE / scale) - 0.5
        rows[:, [0, 2]] = rows[:, [0, 2]].clip(0, picture.width)
        rows[:, [1, 3]] = rows[:, [1, 3]].clip(0, picture.height)
        return rows, points

    def layers(self, picture: Picture, window: Window) -> dict[str, NDArray[np.float32]]:
        """What the heads say of each cell of a square window, ``[64, 64, …]`` as :func:`decode` takes them, and
        ``shared`` ``[64, 64, 24]``, the layer before them."""
        heads = self._heads(picture.window(window, SIDE).astype(np.float32))
        return {**heads, "shared": heads[_SHARED].transpose(1, 2, 0)}

    def _heads(self, pixels: NDArray[np.float32]) -> dict[str, NDArray[np.float32]]:
        return {name: values[0] for name, values in self._net({"input": pixels[None]}).items()}


def decode(heads: Mapping[str, NDArray[np.float32]], least: float) -> tuple[Rows, NDArray[np.float64]]:
    """People ``[n, 5]`` and their keypoints ``[n, 17, 3]`` in cells of the heads ``[h, w, …]``.

    Args:
        heads: ``centre`` (1: probability), ``scale`` (2: height, width of the box), ``offset`` (2: of the centre in its
            cell), ``points`` (34: where the centre expects each keypoint), ``heat`` (17: logits), ``shift`` (34: of a
            keypoint in its cell); pairs are y, x.
        least: of the centre's probability.
    """
    centre = heads["centre"][:, :, 0]
    top = (centre >= cv2.dilate(centre, np.ones((3, 3))) - 1e-6) & (centre > least)
    ys, xs = np.nonzero(top)
    best = np.argsort(-centre[ys, xs], kind="stable")[:MOST]
    heat = sigmoid(heads["heat"])
    rows, points = [], []
    for y, x in zip(ys[best], xs[best], strict=True):
        tall, wide = np.maximum(heads["scale"][y, x], 1.0)
        cy, cx = heads["offset"][y, x] + np.array((y, x))
        rows.append((cx - wide / 2, cy - tall / 2, cx + wide / 2, cy + tall / 2, centre[y, x]))
        expected = heads["points"][y, x].reshape(POINTS, 2) + np.array((y, x))
        shift = heads["shift"].reshape(*heat.shape, 2)
        spread = _BELL * max(tall, wide) + 0.5
        points.append([_nearest(heat[:, :, k], shift[:, :, k], expected[k], spread) for k in range(POINTS)])
    return np.array(rows, np.float64).reshape(-1, 5), np.array(points, np.float64).reshape(-1, POINTS, 3)


def _nearest(
    heat: NDArray[np.float32], shift: NDArray[np.float32], expected: NDArray[np.float32], spread: float
) -> tuple[float, float, float]:
    """x, y, score of the warmest cell near the place where a keypoint is expected (y, x)."""
    reach = int(np.ceil(2 * spread))
    y, x = (float(v) for v in expected)
    rows = np.arange(max(0, int(y) - reach), min(heat.shape[0], int(y) + reach + 1))
    columns = np.arange(max(0, int(x) - reach), min(heat.shape[1], int(x) + reach + 1))
    if not len(rows) or not len(columns):
        return x, y, 0.0
    away = (rows[:, None] - y) ** 2 + (columns - x) ** 2
    near = heat[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1] * np.exp(-away / (2 * spread**2))
    i, j = np.unravel_index(int(near.argmax()), near.shape)
    row, column = int(rows[i]), int(columns[j])
    return column + float(shift[row, column, 1]), row + float(shift[row, column, 0]), float(heat[row, column])
