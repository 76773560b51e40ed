"""What a call of the pipeline may be given, brought to one form: scenes, plans, generators."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from PIL import Image

from mild.errors import UsageError
from mild.people.scene import Person, Scene
from mild.photo import Photo


def listed(value: Any) -> list[Any]:
    """One thing or several, as a list."""
    return list(value) if isinstance(value, list | tuple) else [value]


def marked(photo: Photo, mask: Any) -> Scene:
    """A scene whose only "person" is the white of the mask: Pillow, or an array ``[H, W(, C)]``, bool, 0..255 or 0..1.

    Raises:
        UsageError: another size than the photo's, values that are not numbers, or nothing white.
    """
    array = np.asarray(mask.convert("L") if isinstance(mask, Image.Image) else mask)
    if array.ndim == 3:
        array = array.max(2)
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise UsageError("The mask holds values that are not numbers.")
    white = array if array.dtype == bool else array > (0.5 if array.dtype.kind == "f" else 127)
    if white.shape != photo.size:
        raise UsageError(f"The mask is {white.shape[::-1]} but the photo is {photo.size[::-1]} (width, height).")
    if not white.any():
        raise UsageError("The mask is empty: white says what to erase.")
    return Scene(photo, (Person.from_mask(1, white),))


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
