"""RGBA <-> latents, and how a UNet is asked for a clean layer: the interface, and the embedded model's codec.

A codec is all that the pipeline knows of a backbone's latents. There are two: :class:`PixelCodec` here, and
:class:`mild.diffusion.vae_codec.VaeCodec` for backbones with an autoencoder.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
import torch.nn.functional as F
from diffusers import ConfigMixin, ModelMixin
from diffusers.configuration_utils import register_to_config

from mild.diffusion.rows import LayerRows


@dataclass(frozen=True)
class Known:
    """What is known of a batch of rows, in latents; computed once, serves every timestep.

    Attributes:
        condition: ``[B, C', h, w]``, the UNet's extra input channels.
        base: ``[B, C, h, w]``: known values outside the hole; inside what the codec starts its prediction from.
        hole: ``[B, C, h, w]``, above 0 where something is to be generated.
    """

    condition: torch.Tensor
    base: torch.Tensor
    hole: torch.Tensor


class Codec(Protocol):
    """What the pipeline asks of a codec. Images ``[B, C, H, W]`` in [-1, 1]; masks ``[B, 1, H, W]`` in [0, 1].

    Attributes:
        factor: pixels per latent.
        latent_channels: of the layer that is denoised.
        input_channels: what the UNet takes: noisy latents and conditions.
        starts_at_prior: may sampling of backgrounds start from the noised prior? Otherwise always from pure noise.
        borrows_texture: is the result to get the prior's texture at the photo's resolution?
    """

    factor: int
    starts_at_prior: bool
    borrows_texture: bool

    @property
    def latent_channels(self) -> int: ...

    @property
    def input_channels(self) -> int: ...

    def encode(self, image: torch.Tensor) -> torch.Tensor:
        """RGBA (or RGB) layers to latents."""

    def decode(self, latents: torch.Tensor, rows: LayerRows | None = None) -> torch.Tensor:
        """Clean latents to RGBA ``[B, 4, H, W]``; ``rows``: what is known of the layers."""

    def known(self, rows: LayerRows) -> Known:
        """What the UNet is told of the rows."""

    def base(self, rows: LayerRows) -> torch.Tensor:
        """Latents of the prior ``[B, C, h, w]``: known values outside the hole, the exemplar fill inside."""

    def masks(self, rows: LayerRows) -> tuple[torch.Tensor, torch.Tensor]:
        """``(hole, foreign)`` averaged to latent resolution, ``[B, 1, H / factor, W / factor]``."""

    def unet_input(self, noisy: torch.Tensor, signal: torch.Tensor, known: Known) -> torch.Tensor:
        """What the UNet sees; ``noisy = signal * clean + sqrt(1 - signal²) * noise``, ``signal [B]``."""

    def clean(self, output: torch.Tensor, noisy: torch.Tensor, signal: torch.Tensor, known: Known) -> torch.Tensor:
        """Clean latents from the UNet's output."""


class PixelCodec(ModelMixin, ConfigMixin):  # type: ignore[misc]
    """No autoencoder: an 8x pixel-unshuffle, exact and parameter-free. The UNet predicts a correction of the prior.

    A small autoencoder would cost more than seven denoiser steps, and would shift the colours at the border to the
    photo's own pixels. Predicting the clean image in such a space works: "Back to Basics: Let Denoising Generative
    Models Denoise", arXiv 2511.13720.

    Images are ``[B, C, H, W]`` in [-1, 1]; latents ``[B, C * factor², H / factor, W / factor]``.
    """

    config_name = "config.json"
    #: Channels of the layer that is denoised (RGBA), and of what it is conditioned on (see :meth:`condition`).
    LAYER_CHANNELS = 4
    CONDITION_CHANNELS = 8
    starts_at_prior = False
    borrows_texture = True

    @register_to_config  # type: ignore[untyped-decorator]
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

    def decode(self, latents: torch.Tensor, rows: LayerRows | None = None) -> torch.Tensor:
        return F.pixel_shuffle(latents, self.factor)

    def condition(self, rows: LayerRows) -> torch.Tensor:
        """Visible pixels, the regions (own, hole) and the exemplar fill, as extra input channels."""
        return self.encode(torch.cat([rows.visible, rows.own, rows.hole, rows.fill], 1))

    def base(self, rows: LayerRows) -> torch.Tensor:
        """Latents of the prior; the UNet predicts the clean layer as a correction of it."""
        return self.encode(rows.base)

    def known(self, rows: LayerRows) -> Known:
        hole = self.encode(rows.hole.expand(-1, self.LAYER_CHANNELS, -1, -1))
        return Known(self.condition(rows), self.base(rows), hole)

    def masks(self, rows: LayerRows) -> tuple[torch.Tensor, torch.Tensor]:
        return F.avg_pool2d(rows.hole, self.factor), F.avg_pool2d(rows.foreign, self.factor)

    def unet_input(self, noisy: torch.Tensor, signal: torch.Tensor, known: Known) -> torch.Tensor:
        """The evidence about the correction, ``signal * (noisy - signal * base)``, and the conditions.

        The evidence has the shrinkage of a linear estimator. It vanishes where there is no signal, so that the first
        step, which starts from pure noise, need not learn to ignore it.
        """
        weight = signal.view(-1, 1, 1, 1).to(noisy.dtype)
        evidence = weight * (noisy - weight * known.base)
        return torch.cat([evidence, known.condition], 1)

    def clean(self, output: torch.Tensor, noisy: torch.Tensor, signal: torch.Tensor, known: Known) -> torch.Tensor:
        """The corrected prior; known values outside the hole, so that noise there is what the scheduler expects."""
        return known.base + output * (known.hole > 0)
