"""NanoDet-g (https://github.com/RangiLyu/nanodet): boxes of people on 416 x 416 pixels, run by onnxruntime.

Each cell of three grids says, for 80 classes, how likely it is the middle of one, and how far the box reaches to the
left, up, right and down: not as a number but as a distribution over eleven distances (Generalized Focal Loss,
arXiv:2006.04388, section 3).
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mild.people.finders.blaze_nets import Picture, Window
from mild.people.finders.boxes import Rows, fitted, suppressed, tiles, whole_in
from mild.people.finders.onnx_net import OnnxNet

SIDE, STRIDES, DISTANCES = 416, (8, 16, 32), 11
#: Mean and spread of the blue, green and red values that the net was trained with.
_MEAN = np.array((103.53, 116.28, 123.675), np.float32)
_SPREAD = np.array((57.375, 57.12, 58.395), np.float32)
_PERSON = 0
#: The output of the finest layer before the heads, as the file names it.
_FINEST = "Add_336"


class NanoDet:
    """The net in a file."""

    def __init__(self, path: Path) -> None:
        self._net = OnnxNet(path, (_FINEST,))

    def boxes(self, picture: Picture, least: float, levels: tuple[int, ...] = (1, 2)) -> Rows:
        """People ``[n, 6]``: corners in pixels of the picture, score, best score of another class there; best first.

        Args:
            least: of the score.
            levels: see :func:`tiles`.
        """
        found = []
        for level in levels:
            for tile in tiles(picture.height, picture.width, level):
                rows = self._in_tile(picture.pixels, tile, least)
                found.append(whole_in(rows, tile, picture.height, picture.width))
        return suppressed(np.concatenate(found))

    def things(self, picture: Picture, window: tuple[int, int, int, int], kinds: Iterable[int], least: float) -> Rows:
        """Things ``[n, 7]`` in a window (x0, y0, x1, y1) of the picture: as :meth:`boxes`, and the kind; best first.

        Args:
            kinds: COCO classes, 1 to 79.
        """
        return self._in_tile(picture.pixels, window, least, tuple(kinds))

    def layer(self, picture: Picture, window: Window) -> NDArray[np.float32]:
        """What the net's finest layer before its heads says of a square window, ``[52, 52, 128]``."""
        return self._run(picture.window(window, SIDE))[_FINEST][0].transpose(1, 2, 0)

    def _run(self, pixels: NDArray[np.uint8]) -> dict[str, NDArray[np.float32]]:
        values = (pixels[:, :, ::-1] - _MEAN) / _SPREAD
        return self._net({"input_1": np.ascontiguousarray(values.transpose(2, 0, 1)[None])})

    def _in_tile(
        self, pixels: NDArray[np.uint8], tile: tuple[int, int, int, int], least: float, kinds: tuple[int, ...] = ()
    ) -> Rows:
        x0, y0, x1, y1 = tile
        small, scale = fitted(pixels[y0:y1, x0:x1], SIDE)
        height, width = small.shape[:2]
        letter = np.zeros((SIDE, SIDE, 3), np.uint8)
        letter[:height, :width] = small
        out = self._run(letter)
        found = []
        for kind in kinds or (_PERSON,):
            grids = [decode(out[f"class{s}"][0], out[f"box{s}"][0], s, least, kind) for s in STRIDES]
            rows = suppressed(np.concatenate(grids))
            found.append(np.column_stack([rows, np.full(len(rows), kind)]) if kinds else rows)
        rows = np.concatenate(found)
        rows = rows[np.argsort(-rows[:, 4], kind="stable")] if kinds else rows
        rows[:, :4] /= scale
        rows[:, [0, 2]] = rows[:, [0, 2]].clip(0, x1 - x0) + x0
        rows[:, [1, 3]] = rows[:, [1, 3]].clip(0, y1 - y0) + y0
        return rows


@lru_cache(maxsize=2)
def load(path: Path) -> NanoDet:
    """The net in a file, one for all who ask in this process."""
    return NanoDet(path)


def decode(
    classes: NDArray[np.float32], reach: NDArray[np.float32], stride: int, least: float, kind: int = _PERSON
) -> Rows:
    """What is of one kind, people for example, in one grid.

    ``[n, 6]`` in pixels of the net's input: corners, score, best score of another class.

    Args:
        classes: probabilities ``[cells, 80]``.
        reach: logits ``[cells, 4 * 11]`` of the distances to the left, top, right and lower edge, in strides.
        stride: side of a cell.
        least: of the score.
        kind: COCO class, 0 to 79; 0 is a person.
    """
    scores = classes[:, kind].astype(np.float64)
    chosen = np.flatnonzero(scores > least)
    row, column = np.divmod(chosen, SIDE // stride)
    x, y = (column + 0.5) * stride, (row + 0.5) * stride
    logits = reach[chosen].reshape(-1, 4, DISTANCES).astype(np.float64)
    chance = np.exp(logits - logits.max(2, keepdims=True))
    left, top, right, lower = ((chance / chance.sum(2, keepdims=True)) @ np.arange(DISTANCES) * stride).T
    others = np.delete(classes[chosen], kind, 1).max(1, initial=0.0)
    return np.stack([x - left, y - top, x + right, y + lower, scores[chosen], others], 1)
