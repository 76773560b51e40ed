"""One forward of all layers: conditions in, clean layers out. The trainer and the pipeline share it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from diffusers import UNet2DConditionModel

from mild.diffusion.adapters import DomainAdapters
from mild.diffusion.attention import AttentionProbe, RegionTokens, SmaTerms, sma_installed
from mild.diffusion.codec import Codec, PixelCodec
from mild.diffusion.morphology import MorphologyGuidance
from mild.diffusion.morphology_rows import MorphologyRows
from mild.diffusion.prompts import DomainText
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

    ``with denoiser.installed(rows) as predict: predict(noisy, timestep, signal)`` gives clean latents ``[B, C, h, w]``.

    Attributes:
        text: encoded words per domain, for backbones that take them; None: a single zero token.
        guidance: classifier-free guidance (Ho and Salimans, arXiv 2207.12598); 1 = off, one row per layer. Above 1
            every row runs twice, and adapters, regions and amplitudes with it.
        morphology: what tells the UNet of the rows' bodies.
    """

    unet: Any
    codec: Codec
    adapters: DomainAdapters | None = None
    modulation: Any = None
    sma: SmaTerms = "on"
    probe: AttentionProbe | None = None
    text: Mapping[str, DomainText] | None = None
    guidance: float = 1.0
    morphology: MorphologyGuidance | None = None

    @contextmanager
    def installed(self, rows: LayerRows, bodies: MorphologyRows | None = None) -> Iterator[BatchDenoiser]:
        """Adapters and attention processors in place for these rows; all gone afterwards, whatever happens."""
        hole, foreign = self.codec.masks(rows)
        regions = RegionTokens(hole, foreign)
        with ExitStack() as stack:
            if self.adapters is not None:
                gate = self.adapters.gate(rows.domains)
                stack.enter_context(self.adapters.attached(self.unet, gate))
            if self.modulation is not None or self.probe is not None:
                stack.enter_context(sma_installed(self.unet, regions, self.sma, self.probe))
            if self.morphology is not None and bodies is not None:
                stack.enter_context(self.morphology.attached(self.unet, bodies))
            yield BatchDenoiser(self, rows, regions)


class BatchDenoiser:
    """The denoiser for one batch of rows; conditions are computed once and serve every timestep."""

    def __init__(self, parts: Denoiser, rows: LayerRows, regions: RegionTokens) -> None:
        self.parts, self.rows, self.regions = parts, rows, regions
        self.known = parts.codec.known(rows)
        self.tokens, self.added = self._words()

    def __call__(self, noisy: torch.Tensor, timestep: torch.Tensor, signal: torch.Tensor) -> torch.Tensor:
        """Clean latents from noisy ones; outside the hole: the known values.

        Args:
            noisy: ``[B, C, h, w]`` = ``signal * clean + sqrt(1 - signal²) * noise``.
            timestep: ``[B]``.
            signal: ``[B]``, the scheduler's ``sqrt(alpha_bar)``.
        """
        parts, codec = self.parts, self.parts.codec
        if self.parts.modulation is not None:
            self.regions.amplitudes = self.parts.modulation(timestep)
        if self.parts.probe is not None:
            self.parts.probe.at(timestep)
        inputs = codec.unet_input(noisy, signal, self.known).to(parts.unet.dtype)
        if self.guided:
            inputs, timestep = torch.cat([inputs, inputs]), torch.cat([timestep, timestep])
        output = parts.unet(
            inputs, timestep, encoder_hidden_states=self.tokens, added_cond_kwargs=self.added
        ).sample.to(noisy.dtype)
        if self.guided:
            told, without = output.chunk(2)
            output = without + parts.guidance * (told - without)
        return codec.clean(output, noisy, signal, self.known)

    @property
    def guided(self) -> bool:
        return self.parts.text is not None and self.parts.guidance > 1

    def _words(self) -> tuple[torch.Tensor, dict[str, torch.Tensor] | None]:
        """``encoder_hidden_states [B or 2B, n, D]`` (negative rows last) and what SDXL wants beside them."""
        text, count = self.parts.text, len(self.rows)
        if text is None:
            unet = self.parts.unet
            return self.known.base.new_zeros(count, 1, unet.config.cross_attention_dim, dtype=unet.dtype), None
        words = [text[domain] for domain in self.rows.domains]
        tokens = torch.cat([w.tokens for w in words] + [w.no_tokens for w in words if self.guided])
        if words[0].pooled is None:
            return tokens, None
        pooled = [w.pooled for w in words] + [w.no_pooled for w in words if self.guided]
        # SDXL's size conditions: original size, crop corner, target size; the canvas is all three.
        size = [float(side) for side in self.rows.hole.shape[-2:]]
        sizes = tokens.new_tensor([*size, 0.0, 0.0, *size]).expand(len(tokens), -1)
        return tokens, {"text_embeds": torch.cat([p for p in pooled if p is not None]), "time_ids": sizes}
