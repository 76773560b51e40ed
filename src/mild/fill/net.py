"""An inpainter of one pass as a filler: shown a layer's own pixels alone, in windows, composited with our mask."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mild.fill.prior import MIN_EXEMPLAR, exemplar_fill
from mild.fill.windows import windows_of
from mild.models.fill_nets import open_inpainter
from mild.models.inpainter import Inpainter

Rgb = NDArray[np.uint8]
BoolMask = NDArray[np.bool_]

#: Longest side of what such nets are shown: they were trained at 256 or 512, and a dynamic size does not mean that a
#: large hole is filled well at full size.
SIDE = 512
#: Margin around a hole, as a share of its longer side, and least side of a window.
CONTEXT, LEAST = 0.5, 128


class NetFiller:
    """See :class:`mild.fill.fillers.Filler`; the same pixels for every seed."""

    side: int = SIDE

    def __init__(self, name: str, net: Inpainter) -> None:
        self.name, self.correct, self._net = name, net.contract.correct, net
        self.key = f"{name} {net.stamp} {net.contract}"

    @classmethod
    def open(cls, name: str) -> NetFiller:
        """A registered inpainter or a file; errors as of :func:`open_inpainter`."""
        return cls(name, open_inpainter(name))

    def __call__(self, rgb: Rgb, own: BoolMask, hole: BoolMask, *, seed: int) -> Rgb:
        own = own & ~hole
        out = rgb.copy()
        for window, part in windows_of(hole, CONTEXT, LEAST):
            seen, known = rgb[window.slices], own[window.slices]
            if known.sum() < MIN_EXEMPLAR:
                # Nothing to go by in reach: whatever the rest of the crop has.
                out[window.slices][part] = exemplar_fill(rgb, own, hole, seed=seed)[window.slices][part]
                continue
            answer = self._net(seen, ~known)
            out[window.slices][part] = np.rint(answer[part]).astype(np.uint8)
        return out
