"""The net that draws outlines, for bench/outline.py: a U-Net on 64 cells along a side, and a finer end on 128."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn import functional as f

from mild.people.finders.outline import CELLS, COARSE

#: Channels of ``people/finders/outline.py``: of a cell, of MoveNet, of NanoDet, whose are first brought to fewer.
CELL, BODIES, THINGS, FEWER = 13, 45, 128, 64
#: Where a cell says that the picture is.
TOLD, WIDE, OUT, FINE = 28, (36, 56, 72, 80), 24, 16


def _block(a: int, b: int, size: int = 3, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(a, b, size, stride, size // 2, bias=False), nn.BatchNorm2d(b), nn.ReLU())


def _enlarged(x: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    return f.interpolate(x, size=like.shape[-2:], mode="bilinear", align_corners=False)


class OutlineNet(nn.Module):
    """Cells ``[n, 13, 128, 128]``, bodies ``[n, 45, 64, 64]`` and things ``[n, 128, 52, 52]`` to logits
    ``[n, 128, 128]``, and the coarser ones ``[n, 64, 64]`` from which they are drawn."""

    def __init__(self) -> None:
        super().__init__()
        a, b, c, d = WIDE
        # What NanoDet says is brought to its principal components, which are not learned.
        self.fewer = nn.Conv2d(THINGS, FEWER, 1).requires_grad_(False)
        self.bodies = nn.Sequential(nn.Conv2d(BODIES, TOLD, 1), nn.ReLU(), nn.Dropout2d(0.3))
        self.things = nn.Sequential(nn.Conv2d(FEWER, TOLD, 1), nn.ReLU(), nn.Dropout2d(0.3))
        self.first = nn.Sequential(_block(CELL + 2 * TOLD, a, 1), _block(a, a), _block(a, a))
        self.second = nn.Sequential(_block(a, b, stride=2), _block(b, b))
        self.third = nn.Sequential(_block(b, c, stride=2), _block(c, c))
        self.fourth = nn.Sequential(_block(c, d, stride=2), _block(d, d), nn.Dropout2d(0.1))
        self.back_third = nn.Sequential(_block(c + d, c, 1), _block(c, c))
        self.back_second = nn.Sequential(_block(b + c, b, 1), _block(b, b))
        self.back_first = nn.Sequential(_block(a + b, OUT, 1), _block(OUT, OUT))
        self.coarse = nn.Conv2d(OUT, 1, 1)
        self.fine = nn.Sequential(_block(CELL + OUT, FINE, 1), _block(FINE, FINE), _block(FINE, FINE))
        self.last = nn.Conv2d(FINE, 1, 1)
        nn.init.zeros_(self.last.weight)
        nn.init.zeros_(self.last.bias)

    def forward(
        self, cells: torch.Tensor, bodies: torch.Tensor, things: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        small = f.avg_pool2d(cells, CELLS // COARSE)
        things = self.things(_enlarged(self.fewer(things), small))
        first = self.first(torch.cat([small, self.bodies(bodies), things], 1))
        second = self.second(first)
        third = self.third(second)
        fourth = self.fourth(third)
        back = self.back_third(torch.cat([third, _enlarged(fourth, third)], 1))
        back = self.back_second(torch.cat([second, _enlarged(back, second)], 1))
        back = self.back_first(torch.cat([first, _enlarged(back, first)], 1))
        coarse = self.coarse(back)
        fine = self.last(self.fine(torch.cat([cells, _enlarged(back, cells)], 1)))
        return (_enlarged(coarse, cells) + fine)[:, 0], coarse[:, 0]


def set_components(net: OutlineNet, things: np.ndarray) -> None:
    """The principal components of what NanoDet says ``[n, 128, h, w]``, each brought to a spread of one (but for those
    that hardly vary)."""
    rows = things.astype(np.float32).transpose(0, 2, 3, 1).reshape(-1, THINGS)[::16]
    mean = rows.mean(0)
    _, spread, axes = np.linalg.svd(rows - mean, full_matrices=False)
    weights = axes[:FEWER] / (spread[:FEWER, None] / np.sqrt(len(rows))).clip(0.05)
    net.fewer.weight.data = torch.from_numpy(weights[:, :, None, None].astype(np.float32))
    net.fewer.bias.data = torch.from_numpy((-weights @ mean).astype(np.float32))


def loss_of(said: torch.Tensor, coarse: torch.Tensor, true: torch.Tensor, known: torch.Tensor) -> torch.Tensor:
    """Cross-entropy at both sizes and the soft IoU, where it is ``known`` ``[n, 128, 128]`` whose a cell is."""
    likely = said.sigmoid()
    both, either = likely * true * known, (likely + true - likely * true) * known
    met = (both.sum((1, 2)) + 1) / (either.sum((1, 2)) + 1)
    smaller = [f.avg_pool2d(one[:, None], CELLS // COARSE)[:, 0] for one in (true, known)]
    return _entropy(said, true, known) + 0.5 * (1 - met).mean() + 0.4 * _entropy(coarse, *smaller)


def _entropy(said: torch.Tensor, true: torch.Tensor, known: torch.Tensor) -> torch.Tensor:
    each = f.binary_cross_entropy_with_logits(said, true, reduction="none") * known
    return (each.sum((1, 2)) / known.sum((1, 2)).clamp(min=1)).mean()


class _Shipped(nn.Module):
    def __init__(self, net: OutlineNet) -> None:
        super().__init__()
        self.net = net

    def forward(self, cells: torch.Tensor, bodies: torch.Tensor, things: torch.Tensor) -> torch.Tensor:
        return self.net(cells, bodies, things)[0]


def write(net: OutlineNet, path: Path) -> None:
    """The ONNX file that ships."""
    told = (torch.zeros(1, CELL, CELLS, CELLS), torch.zeros(1, BODIES, COARSE, COARSE), torch.zeros(1, THINGS, 52, 52))
    torch.onnx.export(
        _Shipped(net).eval(), told, str(path), dynamo=False, opset_version=17,
        input_names=["cells", "bodies", "things"], output_names=["says"],
    )  # fmt: skip
