"""What a call of the pipeline may be given, brought to one form: scenes, plans, generators."""

from __future__ import annotations

from typing import Any

import torch

from mild.errors import UsageError
from mild.people.scene import Person, Scene
from mild.photo import Photo, mask_of
from mild.photo.masks import checked


def listed(value: Any) -> list[Any]:
    """One thing or several, as a list."""
    return list(value) if isinstance(value, list | tuple) else [value]


def marked(photo: Photo, mask: Any) -> Scene:
    """A scene whose only "person" is what the mask marks, by the rule of :func:`mild.photo.mask_of`.

    Raises:
        UsageError: another size than the photo's, values that are not numbers, nothing marked, or everything.
    """
    return Scene(photo, (Person.from_mask(1, checked(mask_of(mask), photo.size)),))


def generators(generator: Any, count: int) -> list[torch.Generator]:
    """One generator per photo: those given, or drawn from the one given (None: seed 0)."""
    if isinstance(generator, list):
        if len(generator) != count:
            raise UsageError(f"There are {count} photos but {len(generator)} generators.")
        return generator
    if generator is None:
        generator = torch.Generator().manual_seed(0)
    if count == 1:
        return [generator]
    seeds = torch.randint(2**31, (count,), generator=generator, device=generator.device).tolist()
    return [torch.Generator().manual_seed(seed) for seed in seeds]


def of_noise(noise: torch.Tensor) -> torch.Generator:
    """A row's own generator for schedulers that draw in every step, seeded by its first noise ``[C, h, w]``.

    So a row's result depends neither on its neighbours in the batch nor on the order of batches.
    """
    seed = int(noise.flatten()[:64].contiguous().view(torch.int32).sum())
    return torch.Generator().manual_seed(seed & 0x7FFFFFFF)
