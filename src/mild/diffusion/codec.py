"""RGBA <-> latents without an autoencoder: an 8x pixel-unshuffle, exact and parameter-free.

The embedded model has no autoencoder: a small one would cost more than seven denoiser steps, and would shift the
colours at the border to the photo's own pixels. Predicting the clean image in such a space works: "Back to Basics: Let
Denoising Generative Models Denoise", arXiv 2511.13720.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from diffusers import ConfigMixin, ModelMixin
from diffusers.configuration_utils import register_to_config

from mild.diffusion.rows import LayerRows


class PixelCodec(ModelMixin, ConfigMixin):
    """Space-to-depth, and the conditions that go with it.

    Images are ``[B, C, H, W]`` in [-1, 1]; latents ``[B, C * factor², H / factor, W / factor]``.
    """

    config_name = "config.json"
    #: Channels of the layer that is denoised (RGBA), and of what it is conditioned on (see :meth:`condition`).
    LAYER_CHANNELS = 4
    CONDITION_CHANNELS = 8

    @register_to_config
    def __init__(self, factor: int = 8) -> None:
        super().__init__()
        self.factor = factor
        # A pipeline asks its components for device and dtype; a module without tensors has neither.
        self.register_buffer("anchor", torch.zeros(1), persistent=True)

    @property
    def latent_channels(self) -> int:
        return self.LAYER_CHANNELS * self.factor**2

    @property
    def input_channels(self) -> int:
        """What the UNet takes: noisy latents and conditions."""
        return (self.LAYER_CHANNELS + self.CONDITION_CHANNELS) * self.factor**2

    def encode(self, image: torch.Tensor) -> torch.Tensor:
        """Any number of channels; height and width must be multiples of ``factor``."""
        return F.pixel_unshuffle(image, self.factor)

    def decode(self, latents: torch.Tensor) -> torch.Tensor:
        return F.pixel_shuffle(latents, self.factor)

    def condition(self, rows: LayerRows) -> torch.Tensor:
        """Visible pixels, the regions (own, hole) and the exemplar fill, as extra input channels."""
        return self.encode(torch.cat([rows.visible, rows.own, rows.hole, rows.fill], 1))

    def base(self, rows: LayerRows) -> torch.Tensor:
        """Latents of the prior; the UNet predicts the clean layer as a correction of it."""
        return self.encode(rows.base)

    def masks(self, rows: LayerRows) -> tuple[torch.Tensor, torch.Tensor]:
        """``(hole, foreign)`` averaged to latent resolution, ``[B, 1, H / factor, W / factor]``."""
        return F.avg_pool2d(rows.hole, self.factor), F.avg_pool2d(rows.foreign, self.factor)
