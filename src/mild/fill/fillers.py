"""What may fill a background's hole: the built-in search, or an inpainter that the user brings.

A filler is shown a layer's own pixels and nothing else: whatever is not the layer's own evidence is hole to it, so that
nobody can be copied into a background. To add a kind, write it in a file beside this one and add a line to
:data:`FILLERS`; registered inpainters and ONNX files need none.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from mild.models import assets

if TYPE_CHECKING:
    from mild.people.scene import Box

Rgb = NDArray[np.uint8]
BoolMask = NDArray[np.bool_]

BUILT_IN = "patchmatch"


class Filler(Protocol):
    """Fills a background's hole.

    Attributes:
        name: as the request has it.
        correct: does the denoiser go over the answer, when the request does not say?
        side: longest side, pixels, of what it is shown.
        key: changes with anything that changes its answers.
    """

    name: str
    correct: bool
    side: int
    key: str

    def __call__(self, rgb: Rgb, own: BoolMask, hole: BoolMask, *, seed: int) -> Rgb:
        """Fill.

        Args:
            rgb: uint8 ``[h, w, 3]``; only its own pixels mean anything.
            own, hole: bool ``[h, w]``: what may be seen, and what is to be filled; the rest belongs to somebody else.
            seed: the same seed gives the same pixels.

        Returns:
            uint8 ``[h, w, 3]``: ``rgb`` outside the hole, the fill inside.
        """
        ...


def _net(name: str) -> Filler:
    from mild.fill.net import NetFiller

    return NetFiller.open(name)


#: Name -> what makes the filler. Any other name is a registered inpainter's, or a file's.
FILLERS: dict[str, Callable[[str], Filler | None]] = {BUILT_IN: lambda name: None}


def load(name: str) -> Filler | None:
    """The filler of a request; None for the built-in first fill of every layer (``first.py``).

    Raises:
        UsageError: there is none of that name, and no such file.
        MildError: it is not on this machine, damaged, or fails its test.
    """
    return FILLERS.get(name, _net)(name)


def choices() -> list[str]:
    """The names that can be said on this machine, the built-in first."""
    return [*FILLERS, *assets.installed("filler")]


def shown_size(crop: Box, side: int) -> tuple[int, int]:
    """``(height, width)`` of a layer's crop as a filler of this longest side is shown it; never enlarged."""
    scale = min(1.0, side / max(crop.height, crop.width))
    return max(1, round(crop.height * scale)), max(1, round(crop.width * scale))
