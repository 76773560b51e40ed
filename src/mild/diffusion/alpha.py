"""Opacity of a generated person for backbones whose autoencoder knows RGB only.

Such a backbone is asked for a person on an empty, neutral grey canvas. Untrained, what differs from the canvas is the
person (:func:`canvas_alpha`); a small :class:`AlphaDecoder`, trained beside the adapters on composites whose alpha is
known, reads it from the clean latents instead.
"""

from __future__ import annotations

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from diffusers import ConfigMixin, ModelMixin
from diffusers.configuration_utils import register_to_config
from torch import nn

#: Largest difference of a channel (colours in [-1, 1]) from neutral that still counts as canvas.
CANVAS_TOLERANCE = 0.14


def canvas_alpha(rgb: torch.Tensor, own: torch.Tensor, hole: torch.Tensor) -> torch.Tensor:
    """Opacity from the distance to the neutral canvas, inside the hole.

    A pixel is canvas when it is neutral *and* joins other canvas up to what lies outside the person (foreign or the
    hole's border): a grey belt inside a body stays opaque.

    Args:
        rgb: ``[B, 3, H, W]`` in [-1, 1], the clean layer; neutral is 0.
        own, hole: ``[B, 1, H, W]`` in [0, 1].

    Returns:
        ``[B, 1, H, W]`` in [-1, 1]: 1 on own pixels, -1 where foreign; in the hole rising with the distance through 0
        at :data:`CANVAS_TOLERANCE`.
    """
    # One noisy pixel is neither a hole in a body nor a speck of one.
    smooth = F.avg_pool2d(F.pad(rgb.float(), (1, 1, 1, 1), mode="replicate"), 3, stride=1)
    distance = smooth.abs().amax(1, keepdim=True)
    soft = (distance / CANVAS_TOLERANCE - 1).clamp(-1, 1)
    solid = [
        _inside_body(neutral, inside, visible)
        for neutral, inside, visible in zip(
            (soft[:, 0] < 0).cpu().numpy(), (hole[:, 0] > 0).cpu().numpy(), (own[:, 0] > 0).cpu().numpy(), strict=True
        )
    ]
    enclosed = torch.from_numpy(np.stack(solid))[:, None].to(rgb.device)
    soft = torch.where(enclosed, torch.ones_like(soft), soft)
    soft = torch.where(hole > 0, soft, torch.where(own > 0, torch.ones_like(soft), -torch.ones_like(soft)))
    return soft.to(rgb.dtype)


def _inside_body(neutral: np.ndarray, hole: np.ndarray, own: np.ndarray) -> np.ndarray:  # type: ignore[type-arg]
    """Neutral pixels of the hole that no path of canvas joins to the outside; bool ``[H, W]``."""
    canvas = np.pad((neutral & hole) | ~(hole | own), 1, constant_values=True)
    _, labels = cv2.connectedComponents(canvas.astype(np.uint8), connectivity=4)
    outside = np.pad(~(hole | own), 1, constant_values=True)
    joined = np.isin(labels, np.unique(labels[outside]))[1:-1, 1:-1]
    return np.asarray(neutral & hole & ~joined)


class AlphaDecoder(ModelMixin, ConfigMixin):  # type: ignore[misc]
    """Clean latents and the layer's regions to opacity: convolutions up from latent to pixel resolution.

    Args:
        latent_channels: of the autoencoder.
        width: channels throughout.
        doublings: log2 of the autoencoder's factor.
    """

    config_name = "config.json"

    @register_to_config  # type: ignore[untyped-decorator]
    def __init__(self, latent_channels: int = 4, width: int = 48, doublings: int = 3) -> None:
        super().__init__()
        self.first = nn.Conv2d(latent_channels + 2, width, 3, padding=1)
        self.stages = nn.ModuleList(nn.Conv2d(width + 2, width, 3, padding=1) for _ in range(doublings))
        self.last = nn.Conv2d(width, 1, 3, padding=1)

    def forward(self, latents: torch.Tensor, own: torch.Tensor, hole: torch.Tensor) -> torch.Tensor:
        """Opacity ``[B, 1, H, W]`` in [-1, 1].

        Args:
            latents: ``[B, C, h, w]``, clean.
            own, hole: ``[B, 1, H, W]`` in [0, 1], ``H = h * 2 ** doublings``.
        """
        regions = torch.cat([own, hole], 1).to(latents.dtype)
        x = F.silu(self.first(torch.cat([latents, _pooled(regions, latents)], 1)))
        for stage in self.stages:
            x = F.interpolate(x, scale_factor=2.0, mode="nearest")
            x = F.silu(stage(torch.cat([x, _pooled(regions, x)], 1)))
        answer: torch.Tensor = torch.tanh(self.last(x))
        return answer

    def loss(self, latents: torch.Tensor, own: torch.Tensor, hole: torch.Tensor, alpha: torch.Tensor) -> torch.Tensor:
        """Mean absolute error of the opacity in the hole; ``alpha [B, 1, H, W]`` in [-1, 1] is the truth."""
        error: torch.Tensor = (self(latents, own, hole) - alpha).abs() * hole
        return error.sum() / hole.sum().clamp(min=1)


def _pooled(regions: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    """Averaged to the grid of ``like``."""
    return F.adaptive_avg_pool2d(regions, (like.shape[-2], like.shape[-1]))
