"""What a DiT backbone of the FLUX class needs of the method: regions, SMA and per-row LoRA on joint attention.

Experimental: proved on tiny random transformers, not wired into :class:`mild.diffusion.pipeline.MildPipeline`; see
``docs/dit.md`` for what is missing. A DiT has one sequence, text tokens then image tokens, in every attention. Our
formulation carries over: ``foreign`` and ``hole`` are 0 for text, so that words are neither shut out nor shut in.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from diffusers.models.embeddings import apply_rotary_emb
from torch import nn

from mild.diffusion.attention import FixedModulation, RegionTokens, SmaTerms, modulated_attention

#: Where a DiT of diffusers gets adapters: the projections of both streams, the feed-forwards, the single-stream blocks.
DIT_TARGETS = (
    "to_q", "to_k", "to_v", "to_out.0", "add_q_proj", "add_k_proj", "add_v_proj", "to_add_out", "ff.net.0.proj",
    "ff.net.2", "proj_mlp", "proj_out",
)  # fmt: skip


def joint_attentions(transformer: nn.Module) -> dict[str, int]:
    """Dotted path -> number of heads of every attention over text and image tokens together."""
    return {
        path: int(module.heads)
        for path, module in transformer.named_modules()
        if path.endswith(".attn") and hasattr(module, "heads") and hasattr(module, "to_q")
    }


class FixedJointModulation(FixedModulation):
    """The fixed SMA schedule for a DiT; timesteps run 0..1000, so a flow's ``sigma`` counts ``1000 * sigma``."""

    def __init__(self, transformer: nn.Module, strength: float = 8.0) -> None:
        super().__init__(transformer, strength)
        self.heads = joint_attentions(transformer)


def clean_from_flow(velocity: torch.Tensor, noisy: torch.Tensor, sigma: torch.Tensor) -> torch.Tensor:
    """Clean tokens from rectified flow (Liu et al., arXiv 2209.03003).

    Args:
        velocity: ``[B, N, C]``, the prediction, ``noise - clean``.
        noisy: ``[B, N, C]`` = ``(1 - sigma) * clean + sigma * noise``.
        sigma: ``[B]`` in [0, 1].
    """
    return noisy - sigma.view(-1, 1, 1).to(noisy.dtype) * velocity


class JointRegions(RegionTokens):
    """The masks of a batch on the image part of a joint sequence.

    Args:
        hole, foreign: ``[B, 1, h, w]`` in [0, 1] at latent resolution; ``h`` and ``w`` multiples of ``patch``.
        patch: latents per token and side.
    """

    def __init__(self, hole: torch.Tensor, foreign: torch.Tensor, patch: int = 2) -> None:
        super().__init__(hole, foreign)
        self.image_tokens = (hole.shape[-2] // patch) * (hole.shape[-1] // patch)

    def joint(self, tokens: int) -> tuple[torch.Tensor, torch.Tensor]:
        """``(hole, foreign)``, each ``[B, tokens]``, for text tokens (all 0) followed by the image's."""
        hole, foreign = self.at(self.image_tokens)
        text = hole.new_zeros(hole.shape[0], tokens - self.image_tokens)
        return torch.cat([text, hole], 1), torch.cat([text, foreign], 1)


class JointSmaProcessor:
    """diffusers processor of a ``FluxAttention``, modulated by regions; both the two-stream and single-stream kind."""

    def __init__(self, path: str, regions: JointRegions, terms: SmaTerms = "on") -> None:
        self.path, self.regions, self.terms = path, regions, terms

    def __call__(
        self,
        attn: Any,
        hidden_states: torch.Tensor,
        encoder_hidden_states: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
        image_rotary_emb: Any = None,
    ) -> Any:
        def heads(x: torch.Tensor) -> torch.Tensor:
            return x.view(x.shape[0], x.shape[1], attn.heads, -1)

        query, key = attn.norm_q(heads(attn.to_q(hidden_states))), attn.norm_k(heads(attn.to_k(hidden_states)))
        value = heads(attn.to_v(hidden_states))
        if encoder_hidden_states is not None:
            words = encoder_hidden_states
            query = torch.cat([attn.norm_added_q(heads(attn.add_q_proj(words))), query], 1)
            key = torch.cat([attn.norm_added_k(heads(attn.add_k_proj(words))), key], 1)
            value = torch.cat([heads(attn.add_v_proj(words)), value], 1)
        if image_rotary_emb is not None:
            query = apply_rotary_emb(query, image_rotary_emb, sequence_dim=1)
            key = apply_rotary_emb(key, image_rotary_emb, sequence_dim=1)
        hole, foreign = self.regions.joint(query.shape[1])
        beta, gamma = self._amplitudes()
        out = modulated_attention(
            query.transpose(1, 2), key.transpose(1, 2), value.transpose(1, 2), beta, gamma, hole, foreign
        )
        out = out.transpose(1, 2).flatten(2).to(hidden_states.dtype)
        if encoder_hidden_states is None:
            return out
        text, image = out.split_with_sizes([encoder_hidden_states.shape[1], hidden_states.shape[1]], 1)
        return attn.to_out[1](attn.to_out[0](image.contiguous())), attn.to_add_out(text.contiguous())

    def _amplitudes(self) -> tuple[torch.Tensor | None, torch.Tensor | None]:
        pair = self.regions.amplitudes.get(self.path)
        if pair is None or self.terms == "off":
            return None, None
        return (None if self.terms == "gamma" else pair[0]), (None if self.terms == "beta" else pair[1])


@contextmanager
def joint_sma_installed(transformer: Any, regions: JointRegions, terms: SmaTerms = "on") -> Iterator[None]:
    """While open, every joint attention is modulated by ``regions``; its own processors come back after."""
    before = dict(transformer.attn_processors)
    try:
        transformer.set_attn_processor(
            {name: JointSmaProcessor(name.removesuffix(".processor"), regions, terms) for name in before}
        )
        yield
    finally:
        transformer.set_attn_processor(dict(before))
