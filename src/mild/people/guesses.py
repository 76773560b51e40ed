"""What a click may mean: soft outlines, none of them sure, each with how good it probably is.

One look at a place under a click is often wrong, and which one is right cannot be told surely. So all are kept: their
mean is the first answer, and every further point tells for some of them and against others.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from mild.people.scene import BoolMask, Box
from mild.photo.grid import fitted

Floats = NDArray[np.float32]
Points = Sequence[tuple[int, int]]

#: How much more a guess counts that is better by all: e to this.
_SHARP = 15.0
#: What a guess that contradicts a point surely counts still.
_DOUBT = 0.05
#: The long side of the grid on which guesses are averaged, and the heights at which the mean may be cut.
_GRID, _HEIGHTS = 512, np.arange(0.2, 0.75, 0.05)


@dataclass(frozen=True)
class Guesses:
    """Outlines that hold one pixel of a photo.

    Attributes:
        masks: uint8 ``[n, 256, 256]``, 0..255, each in a frame of its own.
        to_net: float64 ``[n, 2, 3]``, pixels of the photo to that frame.
        boxes: float64 ``[n, 4]``: left, top, right, lower edge, photo pixels; a mask counts inside alone.
        values: float64 ``[n]``: the IoU that it probably has.
    """

    masks: NDArray[np.uint8]
    to_net: NDArray[np.float64]
    boxes: NDArray[np.float64]
    values: NDArray[np.float64]

    @classmethod
    def none(cls) -> Guesses:
        """No outline at all."""
        return cls(np.zeros((0, 1, 1), np.uint8), np.zeros((0, 2, 3)), np.zeros((0, 4)), np.zeros(0))

    def __len__(self) -> int:
        return len(self.values)

    def best(self, count: int) -> Guesses:
        """So many of them at most, the best first."""
        order = np.argsort(-self.values, kind="stable")[:count]
        return Guesses(self.masks[order], self.to_net[order], self.boxes[order], self.values[order])

    def inside(self, window: Box, grid: tuple[int, int]) -> Floats:
        """The masks ``[n, h, w]``, 0..1, on a grid of ``(w, h)`` cells of a window of the photo."""
        step = np.array([window.width / grid[0], window.height / grid[1]])
        shift = step / 2 - 0.5 + (window.x0, window.y0)
        out = np.zeros((len(self), grid[1], grid[0]), np.float32)
        for mask, to_net, box, whole in zip(self.masks, self.to_net, self.boxes, out, strict=True):
            affine = np.concatenate([to_net[:, :2] * step, (to_net[:, :2] @ shift + to_net[:, 2])[:, None]], 1)
            seen = cv2.warpAffine(mask, affine, grid, flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP)
            x0, x1 = (max(0, round((v - window.x0) / step[0])) for v in box[[0, 2]])
            y0, y1 = (max(0, round((v - window.y0) / step[1])) for v in box[[1, 3]])
            whole[y0:y1, x0:x1] = seen[y0:y1, x0:x1] / np.float32(255)
        return out

    def weights(self, on: Points = (), off: Points = ()) -> NDArray[np.float64]:
        """How much each counts ``[n]``, all together 1, given pixels that are of it and pixels that are not."""
        if not len(self):
            return self.values
        much = np.exp(_SHARP * (self.values - self.values.max()))
        for x, y in on:
            much *= _DOUBT + self._at(x, y)
        for x, y in off:
            much *= _DOUBT + 1 - self._at(x, y)
        return np.asarray(much / much.sum())

    def outline(self, size: tuple[int, int], others: BoolMask | None = None) -> BoolMask | None:
        """All of them averaged, and cut where the IoU is the best to be expected: ``[H, W]``; None if nothing is left.

        Args:
            size: ``(height, width)`` of the photo.
            others: pixels ``[H, W]`` that are somebody else's.
        """
        if not len(self):
            return None
        frame = Box(0, 0, size[1], size[0])
        low, high = np.floor(self.boxes[:, :2].min(0)).astype(int), np.ceil(self.boxes[:, 2:].max(0)).astype(int)
        window = Box(int(low[0]), int(low[1]), int(high[0]), int(high[1])).intersect(frame)
        if window.width <= 0 or window.height <= 0:
            return None
        grid, _ = fitted(window.width, window.height, _GRID)
        mean = np.tensordot(self.weights().astype(np.float32), self.inside(window, grid), 1)
        if others is not None:
            mean = np.where(shrunk(others[window.slices], grid), 0, mean)

        def expected(height: float) -> float:
            """What is common to be expected, against what is in either."""
            above = mean > height
            return float(mean[above].sum() / max(1e-6, above.sum() + mean[~above].sum()))

        cut = max(_HEIGHTS, key=expected)
        out = np.zeros(size, bool)
        full = (window.width, window.height)
        out[window.slices] = cv2.resize(mean, full, interpolation=cv2.INTER_LINEAR) > cut
        if others is not None:
            out &= ~others
        return out if out.any() else None

    def _at(self, x: int, y: int) -> NDArray[np.float64]:
        """What each says of one pixel of the photo, 0..1 ``[n]``."""
        spots = np.rint(self.to_net[:, :, :2] @ (x, y) + self.to_net[:, :, 2]).astype(int)
        side = self.masks.shape[1]
        known = ((spots >= 0) & (spots < side)).all(1)
        known &= (self.boxes[:, 0] <= x) & (x < self.boxes[:, 2]) & (self.boxes[:, 1] <= y) & (y < self.boxes[:, 3])
        column, row = np.clip(spots, 0, side - 1).T
        return np.asarray(np.where(known, self.masks[np.arange(len(self)), row, column] / 255.0, 0.0))


def shrunk(mask: BoolMask, grid: tuple[int, int]) -> BoolMask:
    """A mask ``[H, W]`` on a grid of ``(w, h)`` cells, ``[h, w]``: the cells of which most is in it."""
    return np.asarray(cv2.resize(mask.astype(np.uint8) * 255, grid, interpolation=cv2.INTER_AREA) > 127)
