"""Sampling during training: layers from pure noise with the model as it is, for figures, pictures and teachers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from mild.diffusion.bodies import Hmg
from mild.diffusion.denoiser import BatchDenoiser
from mild.diffusion.schedule import running_copy, signal_of
from mild.lab.train.batches import Batch
from mild.lab.train.config import RunConfig
from mild.lab.train.parts import Parts


@torch.no_grad()
def sampled(
    parts: Parts, config: RunConfig, batch: Batch, steps: int, *, seed: int = 0, hmg: Hmg = "all"
) -> torch.Tensor:
    """The batch's layers, made in so many steps: ``[B, 4, H, W]`` in [-1, 1]."""
    codec, rows = parts.codec, batch.rows
    rows = rows if config.model.prior else rows.without_prior()
    side = [s // codec.factor for s in batch.target.shape[2:]]
    draw = torch.Generator().manual_seed(seed)
    noise = torch.randn((len(rows), codec.latent_channels, *side), generator=draw).to(batch.target.device)
    bodies = None if batch.bodies is None else batch.bodies.only(hmg)
    times = running_copy(parts.pipeline.scheduler, steps, noise.device)[1].long()
    with parts.denoiser(config).installed(rows, bodies) as predict:
        start = times[:1].expand(len(rows))
        return codec.decode(solved(predict, parts.pipeline.scheduler, noise, start, len(times)), rows)


def solved(
    predict: BatchDenoiser, scheduler: Any, noisy: torch.Tensor, start: torch.Tensor, steps: int
) -> torch.Tensor:
    """Clean latents from noisy ones at timesteps ``start [B]``, in equal steps down to 0 without new noise.

    DDIM (Song et al., arXiv 2010.02502), in the denoiser's own terms: ``noisy = a clean + b noise``, ``a² + b² = 1``.
    """
    clean = noisy
    for number in range(steps):
        time = (start.double() * (steps - number) / steps).long()
        signal = signal_of(scheduler, time)
        clean = predict(noisy, time, signal)
        if number + 1 < steps:
            after = signal_of(scheduler, (start.double() * (steps - number - 1) / steps).long())
            a, b = (x.view(-1, 1, 1, 1) for x in (signal, (1 - signal.square()).sqrt()))
            noise = (noisy - a * clean) / b.clamp(min=1e-4)
            noisy = after.view(-1, 1, 1, 1) * clean + (1 - after.square()).sqrt().view(-1, 1, 1, 1) * noise
    return clean


@contextmanager
def averaged(learning: nn.Module, weights: Mapping[str, torch.Tensor], prefix: str) -> Iterator[None]:
    """While open, ``learning`` has the averaged weights in evaluation mode; then it is as before, bit for bit."""
    current = {name: value.detach().clone() for name, value in learning.named_parameters()}
    modes = {module: module.training for module in learning.modules()}
    try:
        with torch.no_grad():
            for name, value in learning.named_parameters():
                value.copy_(weights[prefix + name])
        learning.eval()
        yield
    finally:
        with torch.no_grad():
            for name, value in learning.named_parameters():
                value.copy_(current[name])
        for module, mode in modes.items():
            module.training = mode
