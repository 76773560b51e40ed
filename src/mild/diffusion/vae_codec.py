"""RGBA layers <-> the latents of an RGB autoencoder: SD 1.5 and SDXL inpainting backbones.

The UNet takes, in diffusers' order, ``[noisy latents, mask, latents of the masked image]``: nine channels for four
latent ones. What a layer may not see is neutral grey in the masked image (``rows.visible``), which is how such models
were trained. The mask says what is made up: for a background everything but its own pixels (where somebody who stays
will stand again it does not matter what is made, but a grey silhouette would be read as a thing); for a person only
the hole, so that the rest is a known, empty, neutral canvas.

The exemplar prior is where sampling starts (see :attr:`starts_at_prior`), of backgrounds only: a person's hole filled
with their own texture would say that they are there. It is not composed into the masked image, which these backbones
expect to be empty under the mask.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
import torch.nn.functional as F

from mild.diffusion.alpha import canvas_alpha
from mild.diffusion.codec import Known
from mild.diffusion.rows import LayerRows
from mild.diffusion.schedule import clean_from


class VaeCodec:
    """Layers in the latents of ``vae``.

    Args:
        vae: an ``AutoencoderKL`` (or ``AutoencoderTiny``); never altered.
        prediction: what the UNet predicts: epsilon, v_prediction or sample.
        alpha_decoder: a trained :class:`mild.diffusion.alpha.AlphaDecoder`; None: a person's opacity is the distance
            to the neutral canvas.
    """

    starts_at_prior = True
    borrows_texture = False

    def __init__(self, vae: Any, prediction: str = "epsilon", alpha_decoder: Any = None) -> None:
        self.vae, self.prediction, self.alpha_decoder = vae, prediction, alpha_decoder
        self.factor = 2 ** (len(vae.config.block_out_channels) - 1)

    @property
    def latent_channels(self) -> int:
        return int(self.vae.config.latent_channels)

    @property
    def input_channels(self) -> int:
        return 2 * self.latent_channels + 1

    def encode(self, image: torch.Tensor) -> torch.Tensor:
        """RGB, or RGBA over the neutral canvas, ``[B, 3 or 4, H, W]`` -> latents ``[B, C, h, w]`` (the mode)."""
        rgb = image[:, :3]
        if image.shape[1] == 4:
            rgb = rgb * ((image[:, 3:] + 1) / 2).clamp(0, 1)
        with _precise(self.vae) as vae:
            encoded = vae.encode(rgb.to(vae.dtype))
        latents = encoded.latent_dist.mode() if hasattr(encoded, "latent_dist") else encoded.latents
        mean, std = self._statistics(latents)
        scaled: torch.Tensor = ((latents - mean) / std).to(image.dtype)
        return scaled

    def decode(self, latents: torch.Tensor, rows: LayerRows | None = None) -> torch.Tensor:
        """RGBA ``[B, 4, H, W]``. Backgrounds are opaque; so is everything when ``rows`` is None."""
        mean, std = self._statistics(latents)
        with _precise(self.vae) as vae:
            rgb = vae.decode((latents * std + mean).to(vae.dtype)).sample.to(latents.dtype)
        alpha = torch.ones_like(rgb[:, :1])
        if rows is None or all(domain == "background" for domain in rows.domains):
            return torch.cat([rgb, alpha], 1)
        person = torch.tensor([domain != "background" for domain in rows.domains], device=rgb.device)
        if self.alpha_decoder is not None:
            made = self.alpha_decoder(latents.to(self.alpha_decoder.dtype), rows.own, rows.hole).to(rgb.dtype)
        else:
            made = canvas_alpha(rgb, rows.own, rows.hole)
        return torch.cat([rgb, torch.where(person.view(-1, 1, 1, 1), made, alpha)], 1)

    def known(self, rows: LayerRows) -> Known:
        # Any part of a latent's pixels that is made up makes all of it so.
        mask = F.max_pool2d(self._made_up(rows), self.factor)
        evidence = self.encode(rows.visible)
        return Known(torch.cat([mask, evidence], 1), evidence, mask.expand_as(evidence))

    def base(self, rows: LayerRows) -> torch.Tensor:
        """Where a background's sampling starts: the exemplar fill, its colours run on into what is foreign."""
        return self.encode(_spread(rows.fill, rows.own + rows.hole))

    def masks(self, rows: LayerRows) -> tuple[torch.Tensor, torch.Tensor]:
        return F.avg_pool2d(rows.hole, self.factor), F.avg_pool2d(rows.foreign, self.factor)

    def unet_input(self, noisy: torch.Tensor, signal: torch.Tensor, known: Known) -> torch.Tensor:
        return torch.cat([noisy, known.condition.to(noisy.dtype)], 1)

    def clean(self, output: torch.Tensor, noisy: torch.Tensor, signal: torch.Tensor, known: Known) -> torch.Tensor:
        return clean_from(output, noisy, signal, self.prediction)

    @staticmethod
    def _made_up(rows: LayerRows) -> torch.Tensor:
        background = torch.tensor([d == "background" for d in rows.domains], device=rows.own.device)
        return torch.where(background.view(-1, 1, 1, 1), 1 - rows.own, rows.hole)

    def _statistics(self, latents: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Mean and standard deviation of the raw latents, to broadcast against ``latents``."""
        config = self.vae.config
        scale = latents.new_tensor(1.0 / config.scaling_factor)
        mean, std = getattr(config, "latents_mean", None), getattr(config, "latents_std", None)
        if mean is not None and std is not None:
            shape = (1, -1, 1, 1)
            return latents.new_tensor(mean).view(shape), latents.new_tensor(std).view(shape) * scale
        return latents.new_tensor(getattr(config, "shift_factor", None) or 0.0), scale


@contextmanager
def _precise(vae: Any) -> Iterator[Any]:
    """SDXL's autoencoder overflows in half precision and says so in its config: 32 bits while open, then as before."""
    before = vae.dtype
    upcast = before == torch.float16 and bool(getattr(vae.config, "force_upcast", False))
    try:
        yield vae.to(torch.float32) if upcast else vae
    finally:
        if upcast:
            vae.to(before)


def _spread(colour: torch.Tensor, known: torch.Tensor) -> torch.Tensor:
    """Known colours ``[B, 3, H, W]`` run smoothly into the unknown: coarse to fine, each level fills what it can."""
    if bool((known > 0).all()) or not bool((known > 0).any()):
        return colour
    weight = known.clamp(0, 1)
    levels = [(colour * weight, weight)]
    while min(levels[-1][1].shape[-2:]) > 1:
        levels.append((F.avg_pool2d(levels[-1][0], 2, ceil_mode=True), F.avg_pool2d(levels[-1][1], 2, ceil_mode=True)))
    total, share = levels[-1]
    out = (total.sum((2, 3), keepdim=True) / share.sum((2, 3), keepdim=True).clamp(min=1e-4)).expand_as(total)
    for total, share in reversed(levels):
        below = F.interpolate(out, size=total.shape[-2:], mode="bilinear")
        out = torch.where(share > 0, total / share.clamp(min=1e-4), below)
    return out
