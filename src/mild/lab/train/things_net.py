"""A small net for what goes with a person: their alpha, the things they hold or wear, the light they take away.

A U-Net (arXiv:1505.04597) of depthwise separable convolutions (arXiv:1704.04861) on crops of 192 pixels around one
person. It is meant for one core: half of its work is done at a quarter of the crop's pixels or less.
"""

from __future__ import annotations

from itertools import pairwise
from typing import cast

import torch
from torch import nn

#: Side of a crop; what goes in (colours, the person's mask, other people's, hands and feet) and what comes out.
SIDE, INPUTS = 192, 6
OUTPUTS = ("alpha", "things", "shadow")


class _Block(nn.Module):
    """Depthwise 5x5, then pointwise, twice narrow to wide; its input is added where the widths agree."""

    def __init__(self, inputs: int, outputs: int, stride: int = 1) -> None:
        super().__init__()
        self.same = inputs == outputs and stride == 1
        self.layers = nn.Sequential(
            nn.Conv2d(inputs, inputs, 5, stride, 2, groups=inputs, bias=False),
            nn.BatchNorm2d(inputs),
            nn.Conv2d(inputs, 2 * outputs, 1),
            nn.Hardswish(),
            nn.Conv2d(2 * outputs, outputs, 1, bias=False),
            nn.BatchNorm2d(outputs),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = cast(torch.Tensor, self.layers(x))
        return x + y if self.same else y


class ThingsNet(nn.Module):
    """From ``[n, 6, 192, 192]`` (colours and maps, 0..1) to logits ``[n, 3, 192, 192]``, see :data:`OUTPUTS`.

    Args:
        widths: channels at 1/2, 1/4, 1/8, 1/16 and 1/32 of the side.
    """

    def __init__(self, widths: tuple[int, ...] = (24, 40, 72, 128, 192)) -> None:
        super().__init__()
        self.widths = tuple(widths)
        self.stem = nn.Sequential(
            nn.Conv2d(INPUTS, widths[0], 3, 2, 1, bias=False), nn.BatchNorm2d(widths[0]), nn.Hardswish()
        )
        self.down = nn.ModuleList(nn.Sequential(_Block(a, b, 2), _Block(b, b)) for a, b in pairwise(widths))
        self.up = nn.ModuleList(_Block(b + a, a) for a, b in pairwise(widths))
        # The last layer sees the crop itself: outlines are drawn at its resolution.
        self.fine = nn.Sequential(
            nn.Conv2d(widths[0] + INPUTS, 16, 3, 1, 1, bias=False), nn.BatchNorm2d(16), nn.Hardswish(),
            nn.Conv2d(16, len(OUTPUTS), 3, 1, 1),
        )  # fmt: skip

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        seen = [self.stem(x)]
        for step in self.down:
            seen.append(step(seen[-1]))
        y = seen.pop()
        for step in reversed(self.up):  # type: ignore[call-overload]
            y = step(torch.cat([nn.functional.interpolate(y, scale_factor=2.0), seen.pop()], 1))
        y = nn.functional.interpolate(y, scale_factor=2.0, mode="bilinear", align_corners=False)
        return cast(torch.Tensor, self.fine(torch.cat([y, x], 1)))


def loss_of(logits: torch.Tensor, truth: torch.Tensor) -> dict[str, torch.Tensor]:
    """Cross entropy per output, and what things and shadows share with the truth (a soft Dice over the batch).

    Args:
        logits, truth: ``[n, 3, h, w]``; the truth 0..1.
    """
    crossed = nn.functional.binary_cross_entropy_with_logits(logits, truth, reduction="none").mean((0, 2, 3))
    # A shadow's truth is a strength: its entropy is no error.
    least = nn.functional.binary_cross_entropy(truth, truth, reduction="none").mean((0, 2, 3))
    chance = logits.sigmoid()
    both = 2 * (chance * truth).sum((0, 2, 3)) + 1
    shared = both / (chance.square().sum((0, 2, 3)) + truth.square().sum((0, 2, 3)) + 1)
    out = {name: crossed[k] - least[k] for k, name in enumerate(OUTPUTS)}
    return out | {f"{name}_shared": 1 - shared[k] for k, name in enumerate(OUTPUTS) if k}
