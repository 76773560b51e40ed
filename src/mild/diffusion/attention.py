"""Spatially-Modulated Attention (SMA): mask priors move the logits of self-attention.

Our formulation (``method.md``; the paper's own equation is not known to us), per layer l, head h, timestep t:

    S[q, k] = <q, k> / sqrt(d) - beta_h(t) * foreign_l(k) - gamma_h(t) * hole_l(q) * hole_l(k)

``foreign`` and ``hole`` in [0, 1] are the masks averaged over each token's area; beta, gamma >= 0. Both terms are low
rank, so no ``[Q, K]`` tensor is ever built: they ride in extra channels of q and k, and the fused kernels stay usable.
With gamma = 0 a broadcast ``[B, H, 1, K]`` mask does the same and is simpler on a CPU.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal, Protocol, Self

import torch
import torch.nn.functional as F
from diffusers import ConfigMixin, ModelMixin
from diffusers.configuration_utils import register_to_config
from diffusers.models.attention_dispatch import dispatch_attention_fn
from torch import nn

#: |bias| beyond this gains nothing and hurts half precision.
MAX_AMPLITUDE = 30.0
SmaTerms = Literal["on", "off", "beta", "gamma"]
Amplitudes = Mapping[str, tuple[torch.Tensor, torch.Tensor]]


def self_attentions(unet: nn.Module) -> dict[str, int]:
    """Dotted path -> number of heads of every self-attention of a UNet, in forward order of definition."""
    return {
        path: module.heads
        for path, module in unet.named_modules()
        if path.endswith("attn1") and hasattr(module, "heads") and hasattr(module, "to_q")
    }


class SpatialModulation(ModelMixin, ConfigMixin):  # type: ignore[misc]
    """Learned amplitudes beta_h(t), gamma_h(t) of every self-attention: a small MLP on the timestep embedding.

    ``softplus(. - 4)`` keeps them positive and starts training from (nearly) plain attention: both are 0.02.
    """

    config_name = "config.json"

    @register_to_config  # type: ignore[untyped-decorator]
    def __init__(self, heads: dict[str, int] | None = None, width: int = 32, frequencies: int = 16) -> None:
        """``heads``: as :func:`self_attentions` returns it."""
        super().__init__()
        self.heads = dict(heads or {})
        self.frequencies = frequencies
        total = sum(self.heads.values())
        self.hidden = nn.Linear(2 * frequencies, width)
        self.out = nn.Linear(width, 2 * total)
        nn.init.zeros_(self.out.weight)
        nn.init.constant_(self.out.bias, -4.0)

    @classmethod
    def for_unet(cls, unet: nn.Module, **kwargs: Any) -> Self:
        made: Self = cls(heads=self_attentions(unet), **kwargs)
        return made

    def forward(self, timestep: torch.Tensor) -> Amplitudes:
        """``timestep [B]`` in 0..1000 -> ``{path: (beta [B, heads], gamma [B, heads])}``."""
        rates = torch.exp(-math.log(1e4) * torch.arange(self.frequencies, device=timestep.device) / self.frequencies)
        angles = timestep[:, None].float() * rates
        features = torch.cat([angles.sin(), angles.cos()], 1).to(self.hidden.weight.dtype)
        raw = F.softplus(self.out(F.silu(self.hidden(features)))).clamp(max=MAX_AMPLITUDE)
        beta, gamma = raw.chunk(2, 1)
        sizes = list(self.heads.values())
        pairs = zip(torch.split(beta, sizes, 1), torch.split(gamma, sizes, 1), strict=True)
        return dict(zip(self.heads, pairs, strict=True))


class FixedModulation(nn.Module):
    """A schedule for backbones without trained SMA: strong against foreign keys early, fading as detail forms.

    ``beta(t) = strength * t / 1000``; ``gamma(t)`` a quarter of it: a hole should look at evidence before itself.
    """

    def __init__(self, unet: nn.Module, strength: float = 8.0) -> None:
        super().__init__()
        self.heads, self.strength = self_attentions(unet), strength

    def forward(self, timestep: torch.Tensor) -> Amplitudes:
        beta = self.strength * timestep.float()[:, None] / 1000.0
        return {path: (beta.expand(-1, n), 0.25 * beta.expand(-1, n)) for path, n in self.heads.items()}


def token_averages(maps: torch.Tensor, tokens: int) -> torch.Tensor:
    """Maps ``[B, C, h, w]`` at latent resolution averaged over each token's area, ``[B, C, tokens]``, in 32 bits.

    Raises:
        ValueError: no grid of so many tokens comes of halving (rounding up, as UNets do) the latents.
    """
    pooled = maps.float()
    while pooled.shape[-2] * pooled.shape[-1] > tokens:
        pooled = F.avg_pool2d(pooled, 2, ceil_mode=True, count_include_pad=False)
    if pooled.shape[-2] * pooled.shape[-1] != tokens:
        raise ValueError(f"no token grid of {tokens} fits latents of {tuple(maps.shape[-2:])}")
    return pooled.flatten(2)


class RegionTokens:
    """The masks of a batch at every token grid of the UNet, and the amplitudes of the current timestep.

    Args:
        hole, foreign: ``[B, 1, h, w]`` in [0, 1] at latent resolution.
    """

    def __init__(self, hole: torch.Tensor, foreign: torch.Tensor) -> None:
        self.maps = torch.cat([hole, foreign], 1)
        self.amplitudes: Amplitudes = {}
        self._pooled: dict[int, torch.Tensor] = {}

    def at(self, tokens: int) -> tuple[torch.Tensor, torch.Tensor]:
        """``(hole, foreign)``, each ``[B, tokens]``, averaged over each token's area."""
        if tokens not in self._pooled:
            self._pooled[tokens] = token_averages(self.maps, tokens)
        hole, foreign = self._pooled[tokens].unbind(1)
        return hole, foreign


def fused_attention(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    mask: torch.Tensor | None = None,
    scale: float | None = None,
) -> torch.Tensor:
    """``[B, H, N, d]`` through the attention backend of diffusers that is active (its default is torch's own)."""
    out: torch.Tensor = dispatch_attention_fn(
        query.transpose(1, 2), key.transpose(1, 2), value.transpose(1, 2), attn_mask=mask, scale=scale
    )
    return out.transpose(1, 2)


def modulated_attention(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    beta: torch.Tensor | None,
    gamma: torch.Tensor | None,
    hole: torch.Tensor,
    foreign: torch.Tensor,
) -> torch.Tensor:
    """Fused attention with the SMA terms.

    Args:
        query, key, value: ``[B, H, N, d]``.
        beta, gamma: ``[B, H]`` or None (term off).
        hole, foreign: ``[B, N]``.

    Returns:
        ``[B, H, N, d]``, equal to the dense form (tested in fp64, gradients too).
    """
    if beta is None and gamma is None:
        return fused_attention(query, key, value)
    if gamma is None and query.device.type == "cpu":
        assert beta is not None
        bias = -beta[:, :, None, None] * foreign[:, None, None, :]
        return fused_attention(query, key, value, bias.to(query.dtype))
    batch, heads, tokens, _ = query.shape
    dim = int(query.shape[-1])  # a constant of the model, also in an exported graph
    left, right = [], []
    if beta is not None:
        left.append(torch.ones_like(hole)[:, None].expand(-1, heads, -1))
        right.append(-beta[:, :, None] * foreign[:, None])
    if gamma is not None:
        left.append(hole[:, None].expand(-1, heads, -1))
        right.append(-gamma[:, :, None] * hole[:, None])
    scale = dim**-0.5
    width = -(-(dim + len(left)) // 8) * 8
    blank = query.new_zeros(batch, heads, tokens, width - dim - len(left))
    q_extra = torch.stack(left, -1).to(query.dtype) / scale
    k_extra = torch.stack(right, -1).to(key.dtype)
    out = fused_attention(
        torch.cat([query, q_extra, blank], -1),
        torch.cat([key, k_extra, blank], -1),
        F.pad(value, (0, width - dim)),
        scale=scale,
    )
    return out[..., :dim]


@dataclass(frozen=True)
class SeenAttention:
    """One self-attention before its product, as a probe is shown it.

    Attributes:
        path: of the block.
        query, key: ``[B, H, N, d]``; B may be a multiple of the rows (classifier-free guidance).
        beta, gamma: SMA amplitudes ``[B, H]`` or None.
        hole, foreign: ``[B, N]``, the masks as the *model's* bias has them.
    """

    path: str
    query: torch.Tensor
    key: torch.Tensor
    beta: torch.Tensor | None
    gamma: torch.Tensor | None
    hole: torch.Tensor
    foreign: torch.Tensor


class AttentionProbe(Protocol):
    """Looks at the attention while a model runs; what the model makes is the same without it."""

    def at(self, timestep: torch.Tensor) -> None:
        """The next forward is at this timestep ``[B]``."""

    def __call__(self, seen: SeenAttention) -> None:
        """One self-attention of the forward."""


class SmaProcessor:
    """diffusers attention processor: plain for cross-attention, modulated for self-attention."""

    def __init__(
        self, path: str, regions: RegionTokens, terms: SmaTerms = "on", probe: AttentionProbe | None = None
    ) -> None:
        self.path, self.regions, self.terms, self.probe = path, regions, terms, probe

    def __call__(
        self,
        attn: Any,
        hidden_states: torch.Tensor,
        encoder_hidden_states: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
        temb: torch.Tensor | None = None,
        *args: Any,
        **kwargs: Any,
    ) -> torch.Tensor:
        crossed = encoder_hidden_states is not None
        source = encoder_hidden_states if encoder_hidden_states is not None else hidden_states
        batch, tokens, _ = hidden_states.shape
        query = self._split(attn, attn.to_q(hidden_states))
        key, value = self._split(attn, attn.to_k(source)), self._split(attn, attn.to_v(source))
        if crossed:
            out = fused_attention(query, key, value, attention_mask)
        else:
            hole, foreign = self._rows(tokens, batch)
            beta, gamma = self._amplitudes(batch)
            if self.probe is not None:
                self.probe(SeenAttention(self.path, query, key, beta, gamma, hole, foreign))
            out = modulated_attention(query, key, value, beta, gamma, hole, foreign)
        out = out.transpose(1, 2).reshape(batch, tokens, -1).to(query.dtype)
        out = attn.to_out[1](attn.to_out[0](out))
        if attn.residual_connection:
            out = out + hidden_states
        answer: torch.Tensor = out / attn.rescale_output_factor
        return answer

    @staticmethod
    def _split(attn: Any, x: torch.Tensor) -> torch.Tensor:
        return x.view(x.shape[0], x.shape[1], attn.heads, -1).transpose(1, 2)

    def _rows(self, tokens: int, batch: int) -> tuple[torch.Tensor, torch.Tensor]:
        hole, foreign = self.regions.at(tokens)
        repeat = batch // hole.shape[0]
        return (hole.repeat(repeat, 1), foreign.repeat(repeat, 1)) if repeat > 1 else (hole, foreign)

    def _amplitudes(self, batch: int) -> tuple[torch.Tensor | None, torch.Tensor | None]:
        pair = self.regions.amplitudes.get(self.path)
        if pair is None or self.terms == "off":
            return None, None
        beta, gamma = (a.repeat(batch // a.shape[0], 1) if a.shape[0] != batch else a for a in pair)
        return (None if self.terms == "gamma" else beta), (None if self.terms == "beta" else gamma)


@contextmanager
def sma_installed(
    unet: Any, regions: RegionTokens, terms: SmaTerms = "on", probe: AttentionProbe | None = None
) -> Iterator[None]:
    """While open, the self-attentions of ``unet`` are modulated by ``regions``; its own processors come back after."""
    before = dict(unet.attn_processors)
    paths = self_attentions(unet)
    processors = {
        name: SmaProcessor(name.removesuffix(".processor"), regions, terms, probe)
        if name.removesuffix(".processor") in paths
        else processor
        for name, processor in before.items()
    }
    try:
        unet.set_attn_processor(dict(processors))
        yield
    finally:
        unet.set_attn_processor(dict(before))
