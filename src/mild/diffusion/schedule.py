"""The noise schedule of the embedded model, as a diffusers scheduler."""

from __future__ import annotations

from functools import lru_cache

import torch
from diffusers import DDIMScheduler


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


def signal_of(scheduler: DDIMScheduler, timestep: torch.Tensor) -> torch.Tensor:
    """``sqrt(alpha_bar)`` at ``timestep [B]``: how much of the clean sample a noisy one holds."""
    return scheduler.alphas_cumprod.to(timestep.device)[timestep].sqrt()
