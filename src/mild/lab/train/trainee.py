"""One forward of the denoiser in training: noise, prediction, losses (the stages base and adapters)."""

from __future__ import annotations

from contextlib import ExitStack

import torch
from torch import nn

from mild.diffusion.denoiser import BatchDenoiser
from mild.diffusion.schedule import signal_of
from mild.lab.train import losses
from mild.lab.train.batches import Batch
from mild.lab.train.config import RunConfig
from mild.lab.train.parts import Parts

Losses = dict[str, torch.Tensor]


def anchored(out: Losses, module: nn.Module, batch: Batch) -> Losses:
    """With several processes: a loss on which every parameter has a part, if only zero.

    They wait for each other's gradients, and a batch may have nothing to teach to some of what learns.
    """
    if batch.turn.world > 1:
        out["loss"] = out["loss"] + 0.0 * torch.stack([p.sum() for p in module.parameters()]).sum()
    return out


class Trainee(nn.Module):
    """The denoiser with what learns of it; a forward gives the losses of a batch.

    The adapters' and attention's hooks stay in place until :meth:`close`: with gradient checkpointing the backward runs
    the forward again, and it must be the same one.
    """

    def __init__(self, config: RunConfig, parts: Parts) -> None:
        super().__init__()
        self.learning = parts.learning()
        self.config, self.parts = config, parts
        self._open = ExitStack()

    def forward(self, batch: Batch) -> Losses:
        draw = batch.turn.generator(purpose=1)
        time = self._timesteps(draw, len(batch))
        clean, noisy, signal = self._noised(batch, time)
        predict, leak = self._installed(batch, draw)
        answer = predict(noisy, time.to(clean.device), signal)
        out = self._costs(batch, answer, clean, losses.noise_weight(signal))
        if leak is not None:
            out["cag"] = leak.take()
            out["loss"] = out["loss"] + self.config.loss.cag * out["cag"]
        return anchored(out, self, batch)

    def close(self) -> None:
        self._open.close()

    def _timesteps(self, draw: torch.Generator, count: int) -> torch.Tensor:
        """A share at the very start, where sampling begins and most is decided; the rest spread evenly."""
        last = int(self.parts.pipeline.scheduler.config.num_train_timesteps)
        time = torch.randint(0, last, (count,), generator=draw)
        first = torch.rand(count, generator=draw) < self.config.noise.first
        return torch.where(first, last - 1, time)

    def _noised(self, batch: Batch, time: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """``(clean, noisy, signal)``; clean is the truth, but for the embedded model as known outside the hole."""
        codec, rows = self.parts.codec, batch.rows
        with torch.no_grad():
            truth = torch.where(rows.hole > 0, batch.target, rows.base) if self.parts.in_pixels else batch.target
            clean = codec.encode(truth)
        signal = signal_of(self.parts.pipeline.scheduler, time.to(clean.device))
        draw = batch.turn.generator(clean.device, purpose=2)
        noise = torch.randn(clean.shape, generator=draw, device=clean.device)
        a = signal.view(-1, 1, 1, 1)
        return clean, a * clean + (1 - a.square()).clamp(min=0).sqrt() * noise, signal

    def _installed(self, batch: Batch, draw: torch.Generator) -> tuple[BatchDenoiser, losses.LeakPenalty | None]:
        config = self.config
        rows = batch.rows if config.model.prior else batch.rows.without_prior()
        leak = losses.LeakPenalty() if config.loss.cag else None
        wordless = bool(torch.rand((), generator=draw) < config.model.words_dropped)
        bodies = None if batch.bodies is None else batch.bodies.only(config.model.hmg)
        denoiser = self.parts.denoiser(config, leak, wordless)
        return self._open.enter_context(denoiser.installed(rows, bodies)), leak

    def _costs(self, batch: Batch, answer: torch.Tensor, clean: torch.Tensor, weight: torch.Tensor) -> Losses:
        """The losses of an answer in latents, and their weighted sum; ``weight [B]`` of rows of autoencoder latents."""
        weights = self.config.loss
        if not self.parts.in_pixels:
            hole = self.parts.codec.masks(batch.rows)[0]
            return self._summed({"loss": losses.latent_loss(answer, clean, hole, weight, weights)}, answer, clean, hole)
        made, target, rows = self.parts.codec.decode(answer.float()), batch.target, batch.rows
        out = {
            "colour": losses.colour_loss(made, target, rows, weights),
            "alpha": losses.alpha_loss(made, target, rows),
        }
        out["loss"] = weights.colour * out["colour"] + weights.alpha * out["alpha"]
        if weights.overlap:
            out["overlap"] = losses.overlap_loss(made, target, rows)
            out["loss"] = out["loss"] + weights.overlap * out["overlap"]
        if weights.structure:
            out["structure"] = losses.structure_loss(made, target, rows)
            out["loss"] = out["loss"] + weights.structure * out["structure"]
        if weights.recomposition:
            out["recomposition"] = losses.recomposition_loss(made, target, rows)
            out["loss"] = out["loss"] + weights.recomposition * out["recomposition"]
        return self._summed(out, made[:, :3], target[:, :3], rows.hole * losses.opacity(target[:, 3:]))

    def _summed(self, out: Losses, made: torch.Tensor, truth: torch.Tensor, hole: torch.Tensor) -> Losses:
        """With the losses that pixels and latents share."""
        weights = self.config.loss
        for name, weight, cost in (
            ("gradient", weights.gradient, losses.gradient_loss), ("texture", weights.texture, losses.texture_loss),
        ):  # fmt: skip
            if weight:
                out[name] = cost(made, truth, hole)
                out["loss"] = out["loss"] + weight * out[name]
        return out
