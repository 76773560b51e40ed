"""Cross-domain attention gap (CAG): does a layer's hole listen to its own domain, or to a foreign one?

Our formulation (``method.md``). For an attention map A (rows sum to 1), hole queries Q, own-domain keys D = own + hole
and foreign keys F, with ``mass_X(q) = sum_{k in X} A[q, k]``:

    CAG      = mean_q (mass_D(q) - mass_F(q))                        in [-1, 1]; 1 = no leakage
    CAG_area = mean_q log((mass_D(q) / |D|) / (mass_F(q) / |F|))     > 0: prefers its own domain per unit of area

averaged over heads, blocks (weighted by their number of tokens) and timesteps. Masks are soft at a token grid: a token
counts by its share. D and F come from the masks given to the probe, not from the model, so that every model is measured
on equal terms; tokens of neither (a canvas's padding) count for nobody.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from mild.diffusion.attention import SeenAttention
from mild.errors import MildError
from mild.people.scene import Box

Float = NDArray[np.float32]
#: Largest piece of an attention map that exists at a time, in numbers (heads * queries * keys).
PIECE = 1 << 22
#: Attention below this is noise of the arithmetic; it keeps the logarithm of CAG_area finite.
FLOOR = 1e-9


@dataclass(frozen=True)
class ProbedLayer:
    """The ground truth of one layer.

    Attributes:
        name: for the report.
        regions: float ``[3, H, W]`` in [0, 1]: own, hole, foreign, on the canvas that the model sees.
        row: which row of the model's batch holds it; several layers may share one (a single-path model).
        crop: the window of the photo that the canvas shows, or None for "not a photo's".
        content: ``(height, width)`` of the canvas's upper left part that holds the crop; None: all of it.
    """

    name: str
    regions: torch.Tensor
    row: int
    crop: Box | None = None
    content: tuple[int, int] | None = None


@dataclass
class _Sums:
    """Running sums over hole queries; ``weight`` is how many there were, ``area`` has no value without foreign keys."""

    weight: float = 0.0
    own: float = 0.0
    foreign: float = 0.0
    area: float = 0.0


@dataclass(frozen=True)
class LayerCag:
    """What was measured of one layer.

    Attributes:
        layer: whose it is.
        blocks: dotted paths of the attention blocks, in the order of the forward.
        tokens: their numbers of tokens.
        timesteps: as the model saw them.
        cag, area: float32 ``[blocks, timesteps]``; NaN where nothing was measured (``area``: nothing foreign).
        leak: float32 ``[H, W]`` on the canvas, 0..1: for every hole pixel the attention that went to foreign keys.
        source: float32 ``[H, W]``: the share of all the hole's attention that fell on each foreign pixel, relative to
            an even spread over the canvas (1 = as much as its area).
    """

    layer: ProbedLayer
    blocks: tuple[str, ...]
    tokens: tuple[int, ...]
    timesteps: tuple[float, ...]
    cag: Float
    area: Float
    leak: Float
    source: Float

    @property
    def foreign_share(self) -> float:
        """Foreign part of the canvas, 0..1."""
        return float(self.layer.regions[2].mean())

    def mean(self, values: Float) -> float | None:
        """Over blocks, weighted by tokens, and timesteps; None where nothing was measured."""
        weight = np.asarray(self.tokens, np.float64)[:, None] * np.isfinite(values)
        return float((np.nan_to_num(values) * weight).sum() / weight.sum()) if weight.sum() else None

    def as_dict(self) -> dict[str, Any]:
        """JSON-able; matrices are ``[blocks][timesteps]``."""
        return {
            "layer": self.layer.name,
            "crop": None if self.layer.crop is None else list(self.layer.crop),
            "foreign_share": round(self.foreign_share, 5),
            "cag": self.mean(self.cag),
            "cag_area": self.mean(self.area),
            "timesteps": list(self.timesteps),
            "blocks": list(self.blocks),
            "tokens": list(self.tokens),
            "cag_of_block": _listed(self.cag),
            "cag_area_of_block": _listed(self.area),
        }


@dataclass
class CagProbe:
    """Records the CAG of every layer while a model runs; the pictures stay what they are without it.

    Give it to :class:`mild.diffusion.pipeline.MildPipeline` (``probe=``), or record any single-path pipeline of
    diffusers with :func:`mild.diffusion.cag_paths.recorded`. One probe may see several batches.
    """

    layers: list[ProbedLayer] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._active: list[int] = []
        self._time = math.nan
        self._sums: dict[tuple[int, str], dict[float, _Sums]] = {}
        self._tokens: dict[tuple[int, str], int] = {}
        self._grids: dict[tuple[int, int], torch.Tensor] = {}
        self._maps: dict[tuple[int, int], torch.Tensor] = {}

    def start(self, layers: Sequence[ProbedLayer]) -> None:
        """The next forwards are of these layers."""
        self._active = list(range(len(self.layers), len(self.layers) + len(layers)))
        self.layers.extend(layers)

    def at(self, timestep: torch.Tensor | float) -> None:
        """The next forward is at this timestep (the first of a batch's)."""
        self._time = float(torch.as_tensor(timestep).flatten()[0])

    @torch.no_grad()
    def __call__(self, seen: SeenAttention) -> None:
        """One self-attention of the forward."""
        query, key, beta, gamma = seen.query, seen.key, seen.beta, seen.gamma
        if not self._active:
            raise MildError("The attention probe was not told which layers it sees.")
        rows = 1 + max(self.layers[i].row for i in self._active)
        if query.shape[0] % rows:
            raise MildError(f"The attention probe expects {rows} rows, but the model runs {query.shape[0]}.")
        for index in self._active:
            self._tokens[index, seen.path] = query.shape[2]
            truth = self._truth(index, query)
            for b in range(self.layers[index].row, query.shape[0], rows):
                bias_key = None if beta is None else -beta[b][:, None] * seen.foreign[b]
                bias_pair = None if gamma is None else (gamma[b], seen.hole[b])
                self._add(index, seen.path, truth, query[b], key[b], bias_key, bias_pair)

    def _truth(self, index: int, like: torch.Tensor) -> torch.Tensor:
        """Own-domain, hole and foreign share of every token ``[3, N]``."""
        tokens = like.shape[2]
        if (index, tokens) not in self._grids:
            own, hole, foreign = self.layers[index].regions.double()
            maps = torch.stack([own + hole, hole, foreign])[None]
            pooled = F.adaptive_avg_pool2d(maps, grid_of(tokens, (own.shape[0], own.shape[1])))
            self._grids[index, tokens] = pooled[0].flatten(1)
        dtype = torch.float64 if like.dtype == torch.float64 else torch.float32
        return self._grids[index, tokens].to(like.device, dtype)

    def _add(
        self,
        index: int,
        path: str,
        truth: torch.Tensor,
        query: torch.Tensor,
        key: torch.Tensor,
        bias_key: torch.Tensor | None,
        bias_pair: tuple[torch.Tensor, torch.Tensor] | None,
    ) -> None:
        """Stream one row ``[H, N, d]`` through the sums, a piece of the hole's queries at a time."""
        domain, hole, foreign = truth
        where = hole.nonzero().flatten()
        sums = self._sums.setdefault((index, path), {}).setdefault(self._time, _Sums())
        size_own, size_foreign = float(domain.sum()), float(foreign.sum())
        heads, tokens, width = key.shape
        keys = key.to(truth.dtype).transpose(1, 2) * width**-0.5
        maps = self._maps.setdefault((index, tokens), truth.new_zeros(3, tokens))
        for picked in where.split(max(1, PIECE // (heads * tokens))):
            logits = query[:, picked].to(truth.dtype) @ keys
            if bias_key is not None:
                logits += bias_key[:, None].to(truth.dtype)
            if bias_pair is not None:
                gamma, soft = (x.to(truth.dtype) for x in bias_pair)
                logits -= gamma[:, None, None] * soft[picked][:, None] * soft
            attention = logits.softmax(-1)
            mass_own, mass_foreign = attention @ domain, attention @ foreign
            weight = hole[picked]
            sums.weight += float(weight.sum())
            sums.own += float((mass_own.mean(0) * weight).sum())
            sums.foreign += float((mass_foreign.mean(0) * weight).sum())
            if size_foreign > 0:
                ratio = (mass_own.clamp(min=FLOOR) / size_own).log() - (
                    mass_foreign.clamp(min=FLOOR) / size_foreign
                ).log()
                sums.area += float((ratio.mean(0) * weight).sum())
            maps[0, picked] += mass_foreign.mean(0)
            maps[1] += (attention.mean(0) * weight[:, None]).sum(0) * foreign
        maps[2] += hole.sum()

    def report(self) -> tuple[LayerCag, ...]:
        """One entry per layer seen so far, in order."""
        return tuple(self._layer(index) for index in range(len(self.layers)))

    def _layer(self, index: int) -> LayerCag:
        rows = {path: sums for (i, path), sums in self._sums.items() if i == index}
        times = tuple(dict.fromkeys(t for sums in rows.values() for t in sums))
        cag = np.full((len(rows), len(times)), np.nan, np.float32)
        area = cag.copy()
        has_foreign = bool((self.layers[index].regions[2] > 0).any())
        for i, sums in enumerate(rows.values()):
            for j, t in enumerate(times):
                s = sums.get(t)
                if s is not None and s.weight > 0:
                    cag[i, j] = (s.own - s.foreign) / s.weight
                    area[i, j] = s.area / s.weight if has_foreign else np.nan
        leak, source = self._pictures(index, rows)
        tokens = tuple(self._tokens[index, path] for path in rows)
        return LayerCag(self.layers[index], tuple(rows), tokens, times, cag, area, leak, source)

    def _pictures(self, index: int, rows: dict[str, dict[float, _Sums]]) -> tuple[Float, Float]:
        """Leak and source maps of a layer on its canvas: all grids enlarged and averaged, weighted by tokens."""
        _, hole, foreign = self.layers[index].regions.float()
        leak, source, total = torch.zeros_like(hole), torch.zeros_like(hole), 0.0
        for (i, tokens), maps in self._maps.items():
            if i != index:
                continue
            blocks = sum(self._tokens[index, path] == tokens for path in rows)
            visits = float(maps[2, 0]) / max(1e-9, float(self._grids[index, tokens][1].sum()))
            if not visits:
                continue
            grid = grid_of(tokens, (hole.shape[0], hole.shape[1]))
            means = torch.stack([maps[0] / visits, maps[1] / maps[2].clamp(min=1e-9) * tokens]).float().cpu()
            large = F.interpolate(means.view(1, 2, *grid), size=hole.shape, mode="bilinear", align_corners=False)[0]
            weight = tokens * blocks
            leak, source, total = leak + weight * large[0], source + weight * large[1], total + weight
        total = max(total, 1.0)
        return (leak / total * (hole > 0)).numpy(), (source / total * (foreign > 0)).numpy()


def grid_of(tokens: int, canvas: tuple[int, int]) -> tuple[int, int]:
    """``(height, width)`` of a grid of so many tokens: the canvas, halved (rounding up) until it has them.

    Raises:
        MildError: no such grid.
    """
    height, width = canvas
    while height * width > tokens:
        height, width = -(-height // 2), -(-width // 2)
    if height * width != tokens:
        raise MildError(f"No grid of {tokens} tokens fits the probe's masks of {canvas[0]} x {canvas[1]} pixels.")
    return height, width


def _listed(values: Float) -> list[list[float | None]]:
    return [[round(float(v), 6) if np.isfinite(v) else None for v in row] for row in values]
