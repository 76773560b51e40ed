"""Few-step distillation: the student, and the critic that judges it (the stage distill)."""

from __future__ import annotations

import copy

import torch
from torch import nn

from mild.diffusion.schedule import running_copy
from mild.lab.train import losses
from mild.lab.train.batches import Batch
from mild.lab.train.config import RunConfig
from mild.lab.train.parts import Parts
from mild.lab.train.sampling import solved
from mild.lab.train.trainee import Losses, Trainee, anchored


class Student(Trainee):
    """Few-step distillation: the student learns to answer at its few timesteps what its teacher reaches in many.

    As adversarial diffusion distillation does (Sauer et al., arXiv 2311.17042): noised truths at the student's own
    timesteps, the distance to the teacher's answer, and a critic of the result; the truth is known here, so its own
    losses stay. The teacher is the model as it was at the start.
    """

    def __init__(self, config: RunConfig, parts: Parts, critic: losses.Critic) -> None:
        super().__init__(config, parts)
        # In tuples: neither is a part of the student.
        self._critic = (critic,)
        teacher = {name: copy.deepcopy(getattr(parts.pipeline, name)) for name in parts.trained}
        self._teacher = ({name: part.eval().requires_grad_(False) for name, part in teacher.items()},)
        self.times = running_copy(parts.pipeline.scheduler, config.noise.steps, "cpu")[1].long()

    def _timesteps(self, draw: torch.Generator, count: int) -> torch.Tensor:
        time = self.times[torch.randint(0, len(self.times), (count,), generator=draw)]
        return torch.where(torch.rand(count, generator=draw) < self.config.noise.first, self.times[0], time)

    def forward(self, batch: Batch) -> Losses:
        draw = batch.turn.generator(purpose=1)
        time = self._timesteps(draw, len(batch))
        clean, noisy, signal = self._noised(batch, time)
        time = time.to(clean.device)
        taught = self._taught(batch, noisy, time) if self.config.loss.teacher else None
        predict, leak = self._installed(batch, draw)
        answer = predict(noisy, time, signal)
        # The student is asked for the picture itself at every timestep, however noisy.
        out = self._costs(batch, answer, clean, torch.ones_like(signal))
        weights = self.config.loss
        if taught is not None:
            hole = batch.rows.hole if self.parts.in_pixels else self.parts.codec.masks(batch.rows)[0]
            apart = self.parts.codec.decode(answer - taught) if self.parts.in_pixels else answer - taught
            share = hole.sum((1, 2, 3)).clamp(min=1) * apart.shape[1]
            out["teacher"] = losses.row_loss((hole * apart.square()).sum((1, 2, 3)) / share, weights)
            out["loss"] = out["loss"] + weights.teacher * out["teacher"]
        if weights.adversarial:
            made = self._judgeable(batch, answer)
            critic = self._critic[0].requires_grad_(False)
            logits = critic(*made)
            critic.requires_grad_(True)
            out["adversarial"] = -(losses.patch_weight(made[2], logits) * logits).sum()
            out["loss"] = out["loss"] + weights.adversarial * out["adversarial"]
            batch.made |= {"fake": tuple(x.detach() for x in made), "real": self._judgeable(batch, clean)}
        if leak is not None:
            out["cag"] = leak.take()
            out["loss"] = out["loss"] + weights.cag * out["cag"]
        return anchored(out, self, batch)

    @torch.no_grad()
    def _taught(self, batch: Batch, noisy: torch.Tensor, time: torch.Tensor) -> torch.Tensor:
        """The teacher's clean latents from the same noise, in its many steps."""
        rows = batch.rows if self.config.model.prior else batch.rows.without_prior()
        bodies = None if batch.bodies is None else batch.bodies.only(self.config.model.hmg)
        denoiser = self.parts.denoiser(self.config)
        for name, part in self._teacher[0].items():
            part.to(noisy.device)
            setattr(denoiser, name, part if getattr(denoiser, name) is not None else None)
        with denoiser.installed(rows, bodies) as predict:
            return solved(predict, self.parts.pipeline.scheduler, noisy, time, self.config.noise.teacher_steps)

    def _judgeable(self, batch: Batch, latents: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """What the critic sees: the layer, colours times opacity, known outside the hole; its regions."""
        rows, codec = batch.rows, self.parts.codec
        if not self.parts.in_pixels:
            hole, foreign = codec.masks(rows)
            return latents, (1 - hole - foreign).clamp(0, 1), hole
        layer = torch.where(rows.hole > 0, codec.decode(latents.float()), rows.base)
        cover = losses.opacity(layer[:, 3:])
        return torch.cat([layer[:, :3] * cover, layer[:, 3:]], 1), rows.own, rows.hole


class Judge(nn.Module):
    """The critic's own lesson: hinge loss on what the student just made."""

    def __init__(self, critic: losses.Critic) -> None:
        super().__init__()
        self.critic = critic

    def forward(self, batch: Batch) -> Losses:
        real, fake = (self.critic(*batch.made[name]) for name in ("real", "fake"))
        weight = losses.patch_weight(batch.made["real"][2], real)
        cost = (weight * (torch.relu(1 - real) + torch.relu(1 + fake))).sum()
        return {"loss": cost, "told_apart": (weight * ((real > 0).float() + (fake < 0).float()) / 2).sum()}
