"""The net that sees a click's whole window, for bench/clicks_window.py: a small U-Net, joined with what a cell says."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn
from torch.nn import functional as f

from mild.people.view import GRID

#: Channels of a cell (``people/window.py``), and which of them is what the net of cells said, halved.
CHANNELS, SAID = 31, 29
#: Widths of the U-Net at 28, 14 and 7 cells along a side, of what it hands over, and of the layers that join both.
WIDE, OUT, HIDDEN = (32, 48, 64), 24, 24


def _block(a: int, b: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(a, b, 3, stride, 1, bias=False), nn.BatchNorm2d(b), nn.ReLU())


def _enlarged(x: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    return f.interpolate(x, size=like.shape[-2:], mode="bilinear", align_corners=False)


class WindowNet(nn.Module):
    """Cells ``[n, 31, h, w]`` and means of 4 x 4 of them ``[n, 31, 28, 28]`` to logits of both, without channels."""

    def __init__(self) -> None:
        super().__init__()
        a, b, c = WIDE
        self.first = nn.Sequential(_block(CHANNELS, a), _block(a, a))
        self.second = nn.Sequential(_block(a, b, 2), _block(b, b))
        self.third = nn.Sequential(_block(b, c, 2), _block(c, c), nn.Dropout2d(0.1))
        self.back = _block(b + c, b)
        self.out = _block(a + b, OUT)
        self.coarse = nn.Conv2d(OUT, 1, 1)
        layers = [nn.Conv2d(CHANNELS + OUT, HIDDEN, 1), nn.ReLU(), nn.Conv2d(HIDDEN, HIDDEN, 1), nn.ReLU()]
        self.join = nn.Sequential(*layers, last := nn.Conv2d(HIDDEN, 1, 1))
        # It begins with what the net of cells said.
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)

    def forward(self, cells: torch.Tensor, means: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        first = self.first(means)
        second = self.second(first)
        back = self.back(torch.cat([second, _enlarged(self.third(second), second)], 1))
        out = self.out(torch.cat([first, _enlarged(back, first)], 1))
        joined = self.join(torch.cat([cells, _enlarged(out, cells)], 1))
        return (2 * cells[:, SAID : SAID + 1] + joined)[:, 0], self.coarse(out)[:, 0]


class Shipped(nn.Module):
    """As it ships: cells ``[n, 31, 112, 112]`` to logits ``[n, 112, 112]``, the mean of it and its mirror image's."""

    def __init__(self, net: WindowNet) -> None:
        super().__init__()
        self.net = net

    def forward(self, cells: torch.Tensor) -> torch.Tensor:
        both = torch.cat([cells, cells.flip(-1)])
        straight, turned = self.net(both, f.avg_pool2d(both, 4))[0].chunk(2)
        return (straight + turned.flip(-1)) / 2


def soft_iou(likely: torch.Tensor, true: torch.Tensor, known: torch.Tensor) -> torch.Tensor:
    """Of each window ``[n]``, from probabilities and truth ``[n, h, w]``, where ``known`` is 1."""
    both, either = likely * true * known, (likely + true - likely * true) * known
    return (both.sum((1, 2)) + 1) / (either.sum((1, 2)) + 1)


def entropy(said: torch.Tensor, true: torch.Tensor, known: torch.Tensor) -> torch.Tensor:
    """Of each window ``[n]``, from logits and truth ``[n, h, w]``, where ``known`` is 1."""
    each = f.binary_cross_entropy_with_logits(said, true, reduction="none") * known
    return each.sum((1, 2)) / known.sum((1, 2))


def write(net: WindowNet, path: Path) -> None:
    """The ONNX file that ships."""
    torch.onnx.export(
        Shipped(net).eval(), (torch.zeros(1, CHANNELS, GRID, GRID),), str(path), dynamo=False, opset_version=17,
        input_names=["cells"], output_names=["says"],
    )  # fmt: skip
