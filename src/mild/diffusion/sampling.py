"""One batch of layers from noise to colours and alpha, along any diffusers scheduler."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from mild.diffusion import inputs
from mild.diffusion.bodies import BodyRow, Hmg
from mild.diffusion.cag import CagProbe
from mild.diffusion.cag_paths import probed_rows
from mild.diffusion.codec import Codec
from mild.diffusion.denoiser import Denoiser
from mild.diffusion.morphology_rows import MorphologyRows
from mild.diffusion.rows import LayerRows
from mild.diffusion.schedule import as_prediction, running_copy, signal_at
from mild.errors import MildError
from mild.fill.canvas import LayerCrop, content_of

#: Called after each step with its number, how many there are, the timestep and the latents; what it returns goes on.
OnStep = Callable[[int, int, torch.Tensor, torch.Tensor], torch.Tensor]


def denoised(
    denoiser: Denoiser,
    scheduler: Any,
    crops: list[LayerCrop],
    bodies: MorphologyRows | None,
    noise: torch.Tensor,
    *,
    steps: int,
    strength: float,
    device: torch.device,
    on_step: OnStep,
) -> list[NDArray[np.float32]]:
    """All the way. Latents and the scheduler's arithmetic are 32 bits whatever the UNet is.

    Args:
        crops: rows of one canvas size.
        noise: unit noise ``[B, C, h, w]``, a row per crop.
        strength: 1 = from pure noise; less: from the prior with so much noise (see :func:`running_copy`).

    Returns:
        For every crop float32 ``[h, w, 4]`` in [-1, 1], the canvas's part that the crop fills.

    Raises:
        MildError: the denoiser returned values that are not numbers.
    """
    codec, rows = denoiser.codec, LayerRows.of(crops).to(device, torch.float32)
    running, timesteps = running_copy(scheduler, steps, device, strength)
    latents = _start(running, timesteps, noise.to(device), rows, codec, strength)
    extra = {}
    if "generator" in inspect.signature(running.step).parameters:
        extra["generator"] = [inputs.of_noise(row) for row in noise]
    if isinstance(denoiser.probe, CagProbe):
        denoiser.probe.start(probed_rows([crop.plan for crop in crops]))
    with denoiser.installed(rows, bodies) as predict:
        for number, timestep in enumerate(timesteps):
            noisy = running.scale_model_input(latents, timestep)
            signal = signal_at(running, timestep, len(rows))
            clean = predict(noisy, timestep.expand(len(rows)), signal)
            answer = as_prediction(clean, noisy, signal, running.config.prediction_type)
            latents = running.step(answer, timestep, latents, **extra).prev_sample
            latents = on_step(number, len(timesteps), timestep, latents)
    image = codec.decode(latents, rows)
    if not torch.isfinite(image).all():
        raise MildError("The denoiser returned values that are not numbers; try float32 or other weights.")
    return [content_of(one, crop.plan) for one, crop in zip(image.float().cpu().numpy(), crops, strict=True)]


def denoised_both_ways(
    denoiser: Denoiser,
    scheduler: Any,
    crops: list[LayerCrop],
    bodies: Sequence[BodyRow] | None,
    noise: torch.Tensor,
    *,
    hmg: Hmg,
    steps: int,
    strength: float,
    device: torch.device,
    on_step: OnStep,
) -> list[NDArray[np.float32]]:
    """:func:`denoised`; of people in one step the mean of the answers to the row and to the row in a mirror.

    One step gives a likely mean, and the mean of two is likelier (decision 0026). Samples of several steps differ, and
    are not averaged. A probe sees the row alone, as does ``on_step``.

    Args:
        bodies: a body per crop; None: the model knows of none.
        hmg: the sources that are told.
    """

    def run(
        denoiser: Denoiser, crops: list[LayerCrop], bodies: Sequence[BodyRow] | None, noise: torch.Tensor, tell: OnStep
    ) -> list[NDArray[np.float32]]:
        known = None if bodies is None else MorphologyRows.build(bodies).only(hmg)
        return denoised(
            denoiser, scheduler, crops, known, noise, steps=steps, strength=strength, device=device, on_step=tell
        )

    done = run(denoiser, crops, bodies, noise, on_step)
    people = [k for k, crop in enumerate(crops) if crop.plan.domain != "background"]
    if not people or steps > 1:
        return done
    turned = None if bodies is None else [bodies[k].mirrored(crops[k].plan.sizes.content[1]) for k in people]
    rows = [crops[k].mirrored() for k in people]
    again = run(
        replace(denoiser, probe=None), rows, turned, noise[people].flip(-1), lambda n, count, t, latents: latents
    )
    for k, layer in zip(people, again, strict=True):
        done[k] = (done[k] + layer[:, ::-1]) / np.float32(2)
    return done


def _start(
    scheduler: Any, timesteps: torch.Tensor, noise: torch.Tensor, rows: LayerRows, codec: Codec, strength: float
) -> torch.Tensor:
    """Latents to start from: pure noise, or the prior with the noise of the first step."""
    if strength >= 1:
        return noise * float(scheduler.init_noise_sigma)
    started: torch.Tensor = scheduler.add_noise(codec.base(rows), noise, timesteps[:1].expand(len(rows)))
    return started
