"""One forward of all layers: conditions in, clean layers out. The trainer and the pipeline share it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from diffusers import UNet2DConditionModel

from mild.diffusion.adapters import DomainAdapters
from mild.diffusion.attention import RegionTokens, SmaTerms, sma_installed
from mild.diffusion.codec import PixelCodec
from mild.diffusion.rows import LayerRows


def small_unet(codec: PixelCodec, channels: tuple[int, ...] = (128, 192, 256), layers: int = 1) -> UNet2DConditionModel:
    """The architecture of ``mild-small``: convolutions at the top, transformers below, nothing predicted at first."""
    unet = UNet2DConditionModel(
        sample_size=32,
        in_channels=codec.input_channels,
        out_channels=codec.latent_channels,
        block_out_channels=channels,
        layers_per_block=layers,
        down_block_types=("DownBlock2D", *("CrossAttnDownBlock2D",) * (len(channels) - 1)),
        up_block_types=(*("CrossAttnUpBlock2D",) * (len(channels) - 1), "UpBlock2D"),
        cross_attention_dim=32,
        attention_head_dim=4,
        norm_num_groups=32,
    )
    # A correction of zero: before any training the model's answer is the exemplar fill.
    torch.nn.init.zeros_(unet.conv_out.weight)
    torch.nn.init.zeros_(unet.conv_out.bias)
    return unet


@dataclass
class Denoiser:
    """The UNet with everything that is installed around it for the rows of one batch.

    ``with denoiser.installed(rows): denoiser(noisy, timestep)`` predicts the clean latents ``[B, C, h, w]``.
    """

    unet: Any
    codec: PixelCodec
    adapters: DomainAdapters | None = None
    modulation: Any = None
    sma: SmaTerms = "on"
    probe: Any = None

    @contextmanager
    def installed(self, rows: LayerRows) -> Iterator[BatchDenoiser]:
        """Adapters and attention processors in place for these rows; all gone afterwards, whatever happens."""
        hole, foreign = self.codec.masks(rows)
        regions = RegionTokens(hole, foreign)
        with ExitStack() as stack:
            if self.adapters is not None:
                gate = self.adapters.gate(rows.domains)
                stack.enter_context(self.adapters.attached(self.unet, gate))
            if self.modulation is not None or self.probe is not None:
                stack.enter_context(sma_installed(self.unet, regions, self.sma, self.probe))
            yield BatchDenoiser(self, rows, regions)


class BatchDenoiser:
    """The denoiser for one batch of rows; conditions are computed once and serve every timestep."""

    def __init__(self, parts: Denoiser, rows: LayerRows, regions: RegionTokens) -> None:
        self.parts, self.rows, self.regions = parts, rows, regions
        self.condition = parts.codec.condition(rows)
        self.base = parts.codec.base(rows)
        self.hole = parts.codec.encode(rows.hole.expand(-1, PixelCodec.LAYER_CHANNELS, -1, -1))
        width = parts.unet.config.cross_attention_dim
        self.tokens = self.base.new_zeros(len(rows), 1, width)

    def __call__(self, noisy: torch.Tensor, timestep: torch.Tensor, signal: torch.Tensor) -> torch.Tensor:
        """Clean latents from noisy ones; outside the hole: the known values.

        Args:
            noisy: ``[B, C, h, w]`` = ``signal * clean + sqrt(1 - signal²) * noise``.
            timestep: ``[B]``.
            signal: ``[B]``, the scheduler's ``sqrt(alpha_bar)``.

        What the UNet sees of ``noisy`` is its evidence about the correction, ``signal * (noisy - signal * base)``:
        the shrinkage of a linear estimator. It vanishes where there is no signal, so that the first step, which
        starts from pure noise, need not learn to ignore it.
        """
        if self.parts.modulation is not None:
            self.regions.amplitudes = self.parts.modulation(timestep)
        if self.parts.probe is not None:
            self.parts.probe.at(timestep)
        weight = signal.view(-1, 1, 1, 1).to(noisy.dtype)
        evidence = weight * (noisy - weight * self.base)
        correction = self.parts.unet(
            torch.cat([evidence, self.condition], 1), timestep, encoder_hidden_states=self.tokens
        ).sample
        # Known values outside the hole, so that noise there is always exactly what the scheduler expects.
        return self.base + correction * (self.hole > 0)
