"""The rows of a batch as tensors: what the denoiser knows of each layer.

Whatever a layer may not see is blanked here, before any codec: foreign pixels are neutral grey and never reach the
latents (``method.md``, "foreign (must not leak)").
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from mild.fill.canvas import LayerCrop


@dataclass(frozen=True)
class LayerRows:
    """A batch of layers at one canvas size.

    Attributes:
        domains: per row, the name of its adapter.
        visible: float ``[B, 3, h, w]`` in [-1, 1]: the layer's own pixels, 0 (neutral grey) elsewhere.
        own, hole: float ``[B, 1, h, w]`` in [0, 1]; what is neither is foreign.
        fill: float ``[B, 3, h, w]`` in [-1, 1]: the exemplar fill in the hole, ``visible`` elsewhere; equal to
            ``visible`` throughout when there is no prior.
    """

    domains: tuple[str, ...]
    visible: torch.Tensor
    own: torch.Tensor
    hole: torch.Tensor
    fill: torch.Tensor

    @classmethod
    def build(
        cls, domains: Sequence[str], rgb: torch.Tensor, own: torch.Tensor, hole: torch.Tensor, fill: torch.Tensor
    ) -> LayerRows:
        """From raw crops: blanks everything that a row may not see. ``own`` loses what it shares with ``hole``."""
        own = own * (1 - hole)
        visible = rgb * own
        return cls(tuple(domains), visible, own, hole, visible + fill * hole)

    @classmethod
    def of(cls, crops: Sequence[LayerCrop]) -> LayerRows:
        """Layers of one canvas size as a batch."""
        columns = zip(*(crop.on_canvas() for crop in crops), strict=True)
        rgb, own, hole, fill = (torch.from_numpy(np.stack(column)) for column in columns)
        return cls.build([crop.plan.domain for crop in crops], rgb, own, hole, fill)

    @property
    def foreign(self) -> torch.Tensor:
        return (1 - self.own - self.hole).clamp(0, 1)

    @property
    def base(self) -> torch.Tensor:
        """The prior that the denoiser corrects, RGBA ``[B, 4, h, w]``: known values outside the hole, the fill inside.

        Alpha in [-1, 1]: 1 everywhere for a background; for a person 1 where visible, 0 (undecided) in the hole,
        -1 where they cannot be.
        """
        person = torch.tensor([float(d != "background") for d in self.domains], device=self.own.device)
        alpha = self.own - self.foreign
        alpha = torch.where(person.view(-1, 1, 1, 1) > 0, alpha, torch.ones_like(alpha))
        return torch.cat([self.fill, alpha.to(self.fill.dtype)], 1)

    def without_prior(self) -> LayerRows:
        """The same rows with no exemplar fill."""
        return replace(self, fill=self.visible)

    def to(self, device: torch.device | str, dtype: torch.dtype) -> LayerRows:
        moved = {name: getattr(self, name).to(device, dtype) for name in ("visible", "own", "hole", "fill")}
        return replace(self, **moved)

    def __len__(self) -> int:
        return len(self.domains)
