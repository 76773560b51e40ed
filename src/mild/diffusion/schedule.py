"""The noise schedule of the embedded model, and one way to speak to every diffusers scheduler.

Whatever a scheduler's own units are, the denoiser sees ``noisy = signal * clean + sqrt(1 - signal²) * noise`` and
answers with clean latents: :func:`signal_at` and :func:`as_prediction` translate.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import torch
from diffusers import DDIMScheduler

from mild.errors import MildError

#: Below this signal a noise prediction says nothing about the clean sample in 32 bits.
LEAST_SIGNAL = 1e-4


@lru_cache(maxsize=1)
def noise_scheduler() -> DDIMScheduler:
    """Cosine schedule down to zero signal (Lin et al., arXiv 2305.08891), predicting the clean sample.

    The first step starts from pure noise in training as in sampling, so the few steps we take are the ones trained.
    """
    return DDIMScheduler(
        num_train_timesteps=1000,
        beta_schedule="squaredcos_cap_v2",
        prediction_type="sample",
        rescale_betas_zero_snr=True,
        timestep_spacing="trailing",
        clip_sample=False,
        set_alpha_to_one=True,
    )


def signal_of(scheduler: Any, timestep: torch.Tensor) -> torch.Tensor:
    """``sqrt(alpha_bar)`` at ``timestep [B]``: how much of the clean sample a noisy one holds."""
    level: torch.Tensor = scheduler.alphas_cumprod.to(timestep.device)[timestep.long()].sqrt()
    return level


def signal_at(scheduler: Any, timestep: torch.Tensor, rows: int) -> torch.Tensor:
    """The signal ``[rows]`` at a step of a running scheduler, whichever way it scales its latents.

    Schedulers of the Euler family keep ``clean + sigma * noise`` and divide it by ``sqrt(sigma² + 1)`` for the UNet:
    that factor is the signal.
    """
    if hasattr(scheduler, "is_scale_input_called"):
        factor: torch.Tensor = scheduler.scale_model_input(torch.ones(1, device=timestep.device), timestep)
        return factor.expand(rows)
    return signal_of(scheduler, timestep.expand(rows))


def clean_from(output: torch.Tensor, noisy: torch.Tensor, signal: torch.Tensor, prediction: str) -> torch.Tensor:
    """Clean latents from what a UNet of this prediction type (epsilon, v_prediction, sample) says; all ``[B, ...]``.

    Progressive distillation's v: Salimans and Ho, arXiv 2202.00512.
    """
    a = signal.view(-1, *(1,) * (noisy.ndim - 1)).to(noisy.dtype)
    b = (1 - a.square()).clamp(min=0).sqrt()
    if prediction == "sample":
        return output
    if prediction == "v_prediction":
        return a * noisy - b * output
    if prediction == "epsilon":
        return (noisy - b * output) / a.clamp(min=LEAST_SIGNAL)
    raise MildError(f"This backbone predicts '{prediction}'; known are epsilon, v_prediction and sample.")


def as_prediction(clean: torch.Tensor, noisy: torch.Tensor, signal: torch.Tensor, prediction: str) -> torch.Tensor:
    """The inverse of :func:`clean_from`: clean latents in the words that the scheduler's step expects."""
    if prediction == "sample":
        return clean
    a = signal.view(-1, *(1,) * (noisy.ndim - 1)).to(noisy.dtype)
    b = (1 - a.square()).clamp(min=0).sqrt()
    noise = (noisy - a.clamp(min=LEAST_SIGNAL) * clean) / b.clamp(min=LEAST_SIGNAL)
    return noise if prediction == "epsilon" else a * noise - b * clean


def running_copy(scheduler: Any, steps: int, device: torch.device | str, strength: float = 1.0) -> tuple[Any, Any]:
    """A copy of the scheduler, set up for a run, and the timesteps to take.

    Schedulers keep state; the copy keeps the registered one as it was.

    Args:
        strength: the fraction of the steps to take, in (0, 1]; below 1 the run starts in the middle (SDEdit, Meng et
            al., arXiv 2108.01073). At least one step is taken.
    """
    copy = type(scheduler).from_config(scheduler.config)
    copy.set_timesteps(steps, device=device)
    order = getattr(copy, "order", 1)
    skipped = (steps - max(1, min(steps, round(steps * strength)))) * order
    if skipped and hasattr(copy, "set_begin_index"):
        copy.set_begin_index(skipped)
    return copy, copy.timesteps[skipped:]
