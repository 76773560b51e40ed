"""The stages of training, as tasks for the loop: the denoiser (base, adapters), few-step distillation, alpha."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import torch
from torch import nn

from mild.diffusion.alpha import AlphaDecoder
from mild.diffusion.bodies import Hmg
from mild.diffusion.denoiser import BatchDenoiser
from mild.diffusion.schedule import running_copy, signal_of
from mild.errors import UsageError
from mild.train import losses
from mild.train.batches import Batch, RowSource, judged_batches
from mild.train.config import RunConfig
from mild.train.judging import judged
from mild.train.loop import Player, Task, Turn
from mild.train.parts import Parts, make_parts
from mild.train.rowfiles import RowFiles
from mild.train.sampling import averaged, sampled, solved

Losses = dict[str, torch.Tensor]


def make_task(config: RunConfig) -> Task:
    """The task that a config describes, with its model built and its data found."""
    config.check_files()
    parts = make_parts(config)
    if config.stage == "alpha":
        return RowTask(config, parts, {"model": Player(AlphaTrainee(config, parts), config.optimiser.learning_rate)})
    if config.stage == "distill":
        critic = losses.Critic(parts.codec.latent_channels if not parts.in_pixels else 4)
        players = {"model": learner(config, Student(config, parts, critic))}
        if config.loss.adversarial:
            players["critic"] = Player(Judge(critic), config.optimiser.critic_rate, averaged=False)
        return RowTask(config, parts, players)
    return RowTask(config, parts, {"model": learner(config, Trainee(config, parts))})


def learner(config: RunConfig, module: nn.Module) -> Player:
    """The player that learns the layers; what surrounds the UNet may learn at a rate of its own."""
    setting = config.optimiser
    small = ("adapters", "modulation", "morphology")
    return Player(module, setting.learning_rate, faster={f"learning.{part}.": setting.parts_rate for part in small})


def anchored(out: Losses, module: nn.Module, batch: Batch) -> Losses:
    """With several processes: a loss on which every parameter has a part, if only zero.

    They wait for each other's gradients, and a batch may have nothing to teach to some of what learns.
    """
    if batch.turn.world > 1:
        out["loss"] = out["loss"] + 0.0 * torch.stack([p.sum() for p in module.parameters()]).sum()
    return out


class RowTask:
    """Rows in, losses out: what every stage shares."""

    def __init__(self, config: RunConfig, parts: Parts, players: Mapping[str, Player]) -> None:
        self.config, self.parts, self.players = config, parts, dict(players)
        self.source: Any = None
        self.tests: list[Batch] = []

    def to(self, device: torch.device) -> None:
        config, data = self.config, self.config.data
        self.parts.to(device)
        bodies, whole = config.model.hmg != "none", not config.model.layers
        if data.rows is not None:
            files = RowFiles(data.rows, device, data.resident)
            self.source = RowSource(files, data, config.optimiser.batch, bodies=bodies, whole=whole)
            if whole and not len(self.source.backgrounds):
                raise UsageError(f"{data.rows} holds layers only; the twin needs rows made with --whole.")
        else:
            from mild.train.stream import StreamSource

            self.source = StreamSource(data, config.optimiser, config.seed, device, bodies=bodies, whole=whole)
        if data.test is not None:
            tests = RowFiles(data.test, device, "no")
            self.tests = judged_batches(tests, config.log.judged, data.size, bodies=bodies, whole=whole)

    def batch(self, turn: Turn) -> Batch:
        made: Batch = self.source.batch(turn)
        return made

    def finish(self) -> None:
        for player in self.players.values():
            close = getattr(player.module, "close", None)
            if close is not None:
                close()

    def close(self) -> None:
        end = getattr(self.source, "close", None)
        if end is not None:
            end()

    def judge(self, averages: Mapping[str, torch.Tensor], picture: Path | None) -> dict[str, Any]:
        trainee = self.players["model"].module
        if not self.tests:
            return {}
        with averaged(trainee, averages, "model."):
            return judged(self._made, self.tests, self.config.model.hmg, picture, self.config.log.pictures)

    @torch.no_grad()
    def _made(self, batch: Batch, hmg: Hmg) -> torch.Tensor:
        """Layers of test rows; the alpha decoder is shown the true ones, as it makes nothing else of them."""
        if self.config.stage == "alpha":
            return self.parts.codec.decode(self.parts.codec.encode(batch.target), batch.rows)
        return sampled(self.parts, self.config, batch, self.config.log.sampling, hmg=hmg)


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


class AlphaTrainee(nn.Module):
    """The alpha decoder on clean latents of complete layers, a little noisy, as made ones are."""

    def __init__(self, config: RunConfig, parts: Parts) -> None:
        super().__init__()
        self.learning = parts.learning()
        self.parts = parts

    def forward(self, batch: Batch) -> Losses:
        decoder = self.learning["alpha_decoder"]
        assert isinstance(decoder, AlphaDecoder)
        person = [i for i, domain in enumerate(batch.rows.domains) if domain != "background"]
        if not person:
            return anchored({"loss": batch.target.new_zeros(())}, self, batch)
        own, hole, target = (x[person] for x in (batch.rows.own, batch.rows.hole, batch.target))
        with torch.no_grad():
            latents = self.parts.codec.encode(target)
        draw = batch.turn.generator(latents.device, purpose=2)
        amount = 0.2 * torch.rand((len(person), 1, 1, 1), generator=draw, device=latents.device)
        latents = latents + amount * torch.randn(latents.shape, generator=draw, device=latents.device)
        return {"loss": decoder.loss(latents, own, hole, target[:, 3:])}
