"""Masks from whatever the caller has, by one rule: white, or opaque where there is real transparency, means erase."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mild.errors import UsageError
from mild.photo.photo import Photo

BoolMask = NDArray[np.bool_]


def mask_of(source: Any) -> BoolMask:
    """A mask as bool ``[H, W]``; true = erase. It may be empty or whole: see :func:`checked`.

    From half of white on a pixel counts, in any channel; in a picture with real transparency the alpha channel is the
    mask. Arrays may be bool, 0..1 (also whole numbers 0 and 1), 0..255 or 0..65535, of shape ``[H, W]``,
    ``[H, W, 1 to 4]`` or ``[1, H, W]``. A file's EXIF orientation is applied, as to photos.

    Raises:
        UsageError: no such file, another shape, values below 0 or that are not numbers.
        MildError: the file cannot be read.
    """
    if isinstance(source, np.ndarray) or not isinstance(source, str | os.PathLike | bytes | Image.Image | Photo):
        return _of_array(source)
    if isinstance(source, Image.Image) and source.mode in ("1", "L", "I;16", "I", "F"):
        return _of_array(np.asarray(source))  # a mode that no photo has
    photo = Photo.of(source)
    return _by_channels(photo.pixels, photo.alpha, 128)


def checked(mask: BoolMask, size: tuple[int, int], what: str = "The mask") -> BoolMask:
    """The mask itself, if it fits a photo of ``size = (height, width)`` and marks some, but not all of it.

    Args:
        what: its name in a sentence.

    Raises:
        UsageError: another size, nothing marked, or everything marked.
    """
    if mask.shape != tuple(size):
        turned = " (is one of them turned by 90°?)" if mask.shape == tuple(size)[::-1] else ""
        raise UsageError(
            f"{what} has {mask.shape[1]} x {mask.shape[0]} pixels, but the photo has {size[1]} x {size[0]}{turned}: "
            "draw it on the photo itself."
        )
    if not mask.any():
        raise UsageError(f"{what} is empty: mark what to erase, white (or opaque) = erase.")
    if mask.all():
        raise UsageError(f"{what} covers the whole photo: white = erase, so invert it if it says what stays.")
    return mask


def read_mask(path: str | os.PathLike[str], size: tuple[int, int]) -> BoolMask:
    """A mask file for a photo of ``size = (height, width)``; errors as of :func:`mask_of` and :func:`checked`."""
    return checked(mask_of(Path(path)), size, f"The mask {path}")


def _of_array(source: Any) -> BoolMask:
    try:
        array = np.asarray(source)
    except (TypeError, ValueError):
        array = np.asarray(None)
    if array.dtype.kind not in "buif" or not array.size:
        raise UsageError(f"A mask is a path, a Pillow image or an array of numbers, not {type(source).__name__}.")
    if array.ndim == 3 and array.shape[0] == 1 and array.shape[2] > 4:
        array = array[0]
    if array.ndim not in (2, 3) or (array.ndim == 3 and array.shape[2] > 4):
        raise UsageError(f"A mask has the shape [H, W] or [H, W, 1 to 4], not {list(array.shape)}.")
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise UsageError("The mask holds values that are not numbers.")
    low, high = (0, 1) if array.dtype == bool else (array.min(), array.max())
    if low < 0 or high > 65535:
        raise UsageError("A mask's values are 0..1, 0..255 or 0..65535, white = erase.")
    half = 0.5 if high <= 1 else 128 if high <= 255 else 32768
    if array.ndim == 2:
        return np.asarray(array >= half)
    with_alpha = array.shape[2] in (2, 4)
    return _by_channels(array[..., :-1] if with_alpha else array, array[..., -1] if with_alpha else None, half)


def _by_channels(colours: NDArray[Any], alpha: NDArray[Any] | None, half: float) -> BoolMask:
    if alpha is not None and (alpha < half).any():
        return np.asarray(alpha >= half)
    return np.asarray(colours.max(2) >= half)
