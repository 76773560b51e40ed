"""Human Morphology Guidance (HMG): a denoiser is told where a body is, plug-and-play.

Our formulation (``method.md``; the paper's own is not known to us). Every row has tokens k for its owner's keypoints
and body parts and for its relations to other people, each with a confidence c_k in [0, 1]. A decoupled cross-attention
(own keys and values; the query is the text path's) is added to the output of the text path:

    out(q) = text(q) + W_out sum_k A[q, k] v_k,     A[q, k] = c_k e^{s_qk} / (1 + sum_k' c_k' e^{s_qk'})
    s_qk   = <q, k> / sqrt(d) - beta_h * (1 - where_j(k)(q))

where_j in [0, 1] says where person j is, whom token k speaks of: spatially-modulated attention for morphology tokens.
The 1 in the denominator is a token that says nothing. It makes A fall to exactly zero with the confidences, so that
without sources the output is the backbone's, whatever the weights. A limb map and a map of body parts go through
convolutions without biases (zero in, zero out) and are added to the UNet's first features.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
import torch.nn.functional as F
from diffusers import ConfigMixin, ModelMixin
from diffusers.configuration_utils import register_to_config
from torch import nn

from mild.diffusion.attention import MAX_AMPLITUDE, token_averages
from mild.diffusion.bodies import OTHER_FEATURES, PART_FEATURES, POINT_FEATURES
from mild.diffusion.morphology_rows import MorphologyRows
from mild.errors import MildError
from mild.people.body import LIMBS, PART_NAMES

#: Octaves of the positions' sines and cosines.
_OCTAVES = 5


def cross_attentions(unet: nn.Module) -> dict[str, tuple[int, int, int]]:
    """Dotted path -> (width, inner width, heads) of every cross-attention of a UNet."""
    return {
        path: (module.to_q.in_features, module.to_q.out_features, module.heads)
        for path, module in unet.named_modules()
        if path.endswith("attn2") and hasattr(module, "heads") and hasattr(module, "to_q")
    }


class TokenEncoder(nn.Module):
    """One kind of token: features, the first two of them a position, to ``[B, T, width]``."""

    def __init__(self, features: int, width: int, names: int) -> None:
        super().__init__()
        self.names = nn.Embedding(names, width)
        self.first = nn.Linear(features + 4 * _OCTAVES, width)
        self.second = nn.Linear(width, width)
        self.norm = nn.LayerNorm(width)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """``features [B, T, n]``; token t is named t, or all are named 0 when there is one name."""
        octaves = math.pi * 2.0 ** torch.arange(_OCTAVES, device=features.device, dtype=features.dtype)
        angles = (features[..., :2, None] * octaves).flatten(2)
        hidden = self.first(torch.cat([features, angles.sin(), angles.cos()], -1))
        names = self.names.weight if len(self.names.weight) > 1 else self.names.weight.expand(features.shape[1], -1)
        out: torch.Tensor = self.norm(self.second(F.silu(hidden + names)) + names)
        return out


class DenseEncoder(nn.Module):
    """The dense map ``[B, channels, h/4, w/4]`` to features ``[B, out, h/8, w/8]``; zero where the map is zero."""

    def __init__(self, channels: int, width: int, out: int) -> None:
        super().__init__()
        # No biases and no norms: what is missing must add nothing, exactly.
        self.first = nn.Conv2d(channels, width, 3, padding=1, bias=False)
        self.second = nn.Conv2d(width, width, 3, stride=2, padding=1, bias=False)
        self.third = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.out = nn.Conv2d(width, out, 1, bias=False)
        nn.init.zeros_(self.out.weight)

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.out(F.silu(self.third(F.silu(self.second(F.silu(self.first(maps)))))))
        return out


class DecoupledAttention(nn.Module):
    """Keys, values and the way back for one cross-attention of the UNet."""

    def __init__(self, shape: tuple[int, int, int], token_width: int) -> None:
        super().__init__()
        self.shape = shape
        width, inner, heads = shape
        self.to_k = nn.Linear(token_width, inner, bias=False)
        self.to_v = nn.Linear(token_width, inner, bias=False)
        self.to_out = nn.Linear(inner, width, bias=False)
        nn.init.zeros_(self.to_out.weight)
        # beta_h = softplus(away): 0.7 at first.
        self.away = nn.Parameter(torch.zeros(heads))

    @property
    def beta(self) -> torch.Tensor:
        """``[heads]`` >= 0."""
        return F.softplus(self.away).clamp(max=MAX_AMPLITUDE)


class MorphologyGuidance(ModelMixin, ConfigMixin):
    """HMG for one UNet.

    Args:
        blocks: as :func:`cross_attentions` returns it.
        first: channels of the UNet's first features (the output of ``conv_in``).
        width: of the tokens.
        dense_width: of the dense map's encoder.
    """

    config_name = "config.json"

    @register_to_config
    def __init__(
        self, blocks: dict[str, Any] | None = None, first: int = 96, width: int = 64, dense_width: int = 48
    ) -> None:
        super().__init__()
        self.points = TokenEncoder(POINT_FEATURES, width, 17)
        self.parts = TokenEncoder(PART_FEATURES, width, len(PART_NAMES) - 1)
        self.others = TokenEncoder(OTHER_FEATURES, width, 1)
        self.dense = DenseEncoder(len(LIMBS) + len(PART_NAMES) - 1, dense_width, first)
        self.attentions = nn.ModuleDict(
            {path.replace(".", "/"): DecoupledAttention(tuple(shape), width) for path, shape in (blocks or {}).items()}
        )

    @classmethod
    def for_unet(cls, unet: Any, **widths: int) -> MorphologyGuidance:
        """Fresh guidance (it adds nothing) for every cross-attention of ``unet``."""
        blocks = {path: list(shape) for path, shape in cross_attentions(unet).items()}
        made: MorphologyGuidance = cls(blocks=blocks, first=unet.conv_in.out_channels, **widths)
        return made

    def tokens(self, rows: MorphologyRows) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """``(tokens [B, T, width], confidence [B, T], person [T])``; person indexes ``rows.where``."""
        tokens = torch.cat([self.points(rows.points), self.parts(rows.parts), self.others(rows.others)], 1)
        confidence = torch.cat([rows.point_confidence, rows.part_confidence, rows.other_confidence], 1)
        rest = rows.others.shape[1]
        owner = torch.zeros(tokens.shape[1] - rest, dtype=torch.long, device=tokens.device)
        return tokens, confidence, torch.cat([owner, torch.arange(1, rest + 1, device=tokens.device)])

    @contextmanager
    def attached(self, unet: Any, rows: MorphologyRows) -> Iterator[None]:
        """While open, row ``i`` of every forward of ``unet`` is guided by row ``i`` of ``rows``.

        Forward hooks only: the UNet's modules, processors and weights stay as they are, and the hooks go whatever
        happens. Tokens, keys and values are computed once, for all timesteps.

        Args:
            rows: of as many rows as the UNet's batch, or a divisor of it (classifier-free guidance).

        Raises:
            MildError: the guidance was made for another architecture.
        """
        modules = dict(unet.named_modules())
        self.check(unet)
        if rows.missing:
            yield
            return
        rows = rows.to(self.device, self.dtype)
        tokens, confidence, person = self.tokens(rows)
        grid = _Grid(rows.where, person, confidence)
        handles = []
        try:
            first = self.dense(torch.cat([rows.limbs, rows.part_maps], 1))
            handles.append(unet.conv_in.register_forward_hook(_first_hook(first, grid)))
            for path, attention in self._attentions():
                hook = _attention_hook(attention, tokens, grid)
                handles.append(modules[path].register_forward_hook(hook, with_kwargs=True))
            yield
        finally:
            for handle in handles:
                handle.remove()

    def _attentions(self) -> Iterator[tuple[str, DecoupledAttention]]:
        for key, attention in self.attentions.items():
            assert isinstance(attention, DecoupledAttention)
            yield key.replace("/", "."), attention

    def check(self, unet: Any) -> None:
        """Was this guidance made for such a UNet?

        Raises:
            MildError: it was not.
        """
        found = cross_attentions(unet)
        for path, attention in self._attentions():
            if found.get(path) != attention.shape:
                raise MildError(
                    f"The morphology guidance does not fit this UNet: '{path}' should be {attention.shape} (width, "
                    f"inner width, heads), but is {found.get(path)}; use guidance trained for this backbone."
                )
        if unet.conv_in.out_channels != self.dense.out.out_channels:
            raise MildError(
                f"The morphology guidance does not fit this UNet: its first features have {unet.conv_in.out_channels} "
                f"channels, not {self.dense.out.out_channels}; use guidance trained for this backbone."
            )


class _Grid:
    """Where the person of each token is, at every token grid of one UNet, and the tokens' confidences."""

    def __init__(self, where: torch.Tensor, person: torch.Tensor, confidence: torch.Tensor) -> None:
        self.where, self.person = where, person
        # A missing token has weight e^-inf: exactly nothing.
        self.weight = confidence.float().log()
        self.latents = (where.shape[-2], where.shape[-1])
        self._away: dict[int, torch.Tensor] = {}

    def away(self, queries: int) -> torch.Tensor:
        """``1 - where_j(k)(q)`` as ``[B, queries, T]``."""
        if queries not in self._away:
            where = self.where.float()
            if where.shape[-2:] != self.latents:
                where = F.adaptive_avg_pool2d(where, self.latents)
            pooled = token_averages(where, queries)
            self._away[queries] = (1 - pooled)[:, self.person].transpose(1, 2)
        return self._away[queries]

    def seen(self, latents: tuple[int, int]) -> None:
        """The UNet's own grid: it may be finer than that of ``where``."""
        if latents != self.latents:
            self.latents, self._away = latents, {}


def guided_attention(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None
) -> torch.Tensor:
    """``sum_k A[q, k] v_k`` of the module's formula.

    Args:
        query: ``[B, H, N, d]``.
        key, value: ``[B, H, T, d]``.
        weight: ``[B, T]``, the logarithm of the confidences; -inf for what is missing.
        bias: ``[B, H, N, T]``, added to the logits; or None.

    Returns:
        ``[B, H, N, d]``; exactly 0 for rows of which all is missing.
    """
    logits = weight[:, None, None].expand(-1, query.shape[1], query.shape[2], -1)
    logits = logits if bias is None else logits + bias
    # The token that says nothing: key, value and bias 0.
    return F.scaled_dot_product_attention(
        query, F.pad(key, (0, 0, 0, 1)), F.pad(value, (0, 0, 0, 1)), attn_mask=F.pad(logits, (0, 1)).to(query.dtype)
    )


def _attention_hook(attention: DecoupledAttention, tokens: torch.Tensor, grid: _Grid) -> Callable[..., torch.Tensor]:
    heads = attention.shape[2]
    key, value = (_split(project(tokens), heads) for project in (attention.to_k, attention.to_v))

    def add_guidance(module: Any, args: Any, kwargs: Any, output: torch.Tensor) -> torch.Tensor:
        hidden = args[0] if args else kwargs["hidden_states"]
        query = _split(module.to_q(hidden), heads)
        repeat = query.shape[0] // key.shape[0]
        bias = -attention.beta.float().view(1, -1, 1, 1) * grid.away(query.shape[2])[:, None]
        k, v, weight, bias = (_repeated(t, repeat) for t in (key, value, grid.weight, bias))
        mixed = guided_attention(query, k.to(query.dtype), v.to(query.dtype), weight, bias)
        mixed = mixed.transpose(1, 2).flatten(2)
        return output + attention.to_out(mixed.to(attention.to_out.weight.dtype)).to(output.dtype)

    return add_guidance


def _first_hook(features: torch.Tensor, grid: _Grid) -> Callable[..., torch.Tensor]:
    def add_features(module: Any, args: Any, output: torch.Tensor) -> torch.Tensor:
        size = (output.shape[-2], output.shape[-1])
        grid.seen(size)
        fitted = features if features.shape[-2:] == size else F.adaptive_avg_pool2d(features, size)
        return output + _repeated(fitted, output.shape[0] // fitted.shape[0]).to(output.dtype)

    return add_features


def _split(x: torch.Tensor, heads: int) -> torch.Tensor:
    out: torch.Tensor = x.view(x.shape[0], x.shape[1], heads, -1).transpose(1, 2)
    return out


def _repeated(x: torch.Tensor, times: int) -> torch.Tensor:
    """Rows may come repeated (classifier-free guidance)."""
    return x.repeat(times, *(1,) * (x.ndim - 1)) if times > 1 else x
