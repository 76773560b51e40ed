"""The stages of training, as tasks for the loop: the denoiser (base, adapters), few-step distillation, alpha."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from mild.diffusion.alpha import AlphaDecoder
from mild.diffusion.bodies import Hmg
from mild.errors import UsageError
from mild.lab.train import losses
from mild.lab.train.batches import Batch, RowSource, judged_batches
from mild.lab.train.config import RunConfig
from mild.lab.train.distill import Judge, Student
from mild.lab.train.judging import judged
from mild.lab.train.loop import Player, Task, Turn
from mild.lab.train.parts import Parts, make_parts
from mild.lab.train.rowfiles import RowFiles
from mild.lab.train.sampling import averaged, sampled
from mild.lab.train.trainee import Losses, Trainee, anchored


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
            from mild.lab.train.stream import StreamSource

            self.source = StreamSource(data, config.optimiser, config.seed, device, bodies=bodies, whole=whole)
        if data.test is not None:
            tests = RowFiles(data.test, device, "no")
            self.tests = judged_batches(
                tests, config.log.judged, data.size, bodies=bodies, whole=whole, found=data.found
            )

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
