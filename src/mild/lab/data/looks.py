"""Is a photo worth having: size, sharpness, exposure, and whether another photo shows the same."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from mild.errors import MildError
from mild.lab.data.tone import blur_of
from mild.photo import Photo

#: Long side at which sharpness and exposure are judged, so that they mean the same on every photo.
_SIDE = 512
#: Least detail of a photo that is not blurred; see :class:`Look`.
_DETAIL = 8.0


@dataclass(frozen=True)
class Filters:
    """What a photo must be like. The bounds were set on 150 licensed photos with people (2 to 98 % of those pass each).

    Attributes:
        min_side: short side of the photo, pixels.
        min_person: height of the largest person in the sample, pixels.
        blur: standard deviation of the blur of the sharpest edges, pixels at a long side of 512. Of the 150 photos none
            is above 1.1; blurred by 2 pixels all are. 0 switches the filter off, and that for hardly any detail.
        exposure: leave out photos that are nearly black, nearly white, burnt out, drowned, or flat.
        duplicates: bits of 64 in which the perceptual hashes of two photos may differ and still count as the same;
            -1: only the very same pixels do.
        longest: long side of the samples, pixels; larger photos are made smaller.
    """

    min_side: int = 256
    min_person: int = 64
    blur: float = 1.1
    exposure: bool = True
    duplicates: int = 6
    longest: int = 1024


@dataclass(frozen=True)
class Look:
    """What was measured on one photo.

    Attributes:
        file: path below the photos' folder.
        sha256: of size and pixels.
        size: ``(height, width)``.
        blur: see :class:`Filters`.
        detail: variance of the Laplacian (Pech-Pacheco et al. 2000) at a long side of 512. The 150 photos have 16 and
            more; blurred by 4 pixels at most 4.4, and so little that the width of their edges drowns in rounding.
        mean, low, high: mean and 5th and 95th percentile of grey, 0..255.
        dark, bright: share of pixels at 8 and less, at 250 and more.
        hash: perceptual hash, 64 bits.
        problem: why it cannot be read; everything else is empty then.
    """

    file: str
    sha256: str = ""
    size: tuple[int, int] = (0, 0)
    blur: float = 0.0
    detail: float = 0.0
    mean: float = 0.0
    low: float = 0.0
    high: float = 0.0
    dark: float = 0.0
    bright: float = 0.0
    hash: int = 0
    problem: str = ""


def look(root: Path, file: str) -> Look:
    """Open a photo and measure it; a photo that cannot be read is a :class:`Look` with a ``problem``."""
    try:
        photo = Photo.open(root / file)
    except MildError as error:
        return Look(file, problem=str(error))
    grey = np.asarray(cv2.cvtColor(photo.pixels, cv2.COLOR_RGB2GRAY), np.uint8)
    factor = _SIDE / max(grey.shape)
    if factor < 1:
        grey = np.asarray(cv2.resize(grey, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA), np.uint8)
    low, high = (float(v) for v in np.percentile(grey, (5, 95)))
    dark, bright = float((grey <= 8).mean()), float((grey >= 250).mean())
    return Look(
        file,
        photo.sha256,
        photo.size,
        round(blur_of(grey), 3),
        round(float(cv2.Laplacian(grey.astype(np.float32), cv2.CV_32F).var()), 1),
        round(float(grey.mean()), 1),
        low,
        high,
        round(dark, 3),
        round(bright, 3),
        perceptual_hash(photo.pixels),
    )


def perceptual_hash(pixels: NDArray[np.uint8]) -> int:
    """The 64-bit hash of the low frequencies of a picture (``imagehash.phash``)."""
    import imagehash
    from PIL import Image

    return int(str(imagehash.phash(Image.fromarray(pixels))), 16)


def shortcoming(seen: Look, filters: Filters) -> str | None:
    """Why a photo does not do, in a few words; None when it does."""
    if min(seen.size) < filters.min_side:
        return f"too small: {seen.size[1]} x {seen.size[0]}, the short side must have {filters.min_side} pixels"
    if filters.exposure:
        if seen.mean < 24 or seen.dark > 0.55:
            return f"too dark: mean {seen.mean:.0f} of 255, {100 * seen.dark:.0f} % black"
        if seen.mean > 225 or seen.bright > 0.4:
            return f"too bright: mean {seen.mean:.0f} of 255, {100 * seen.bright:.0f} % white"
        if seen.high - seen.low < 45:
            return f"flat: 90 % of its pixels lie within {seen.high - seen.low:.0f} of 255 levels"
    if filters.blur and seen.blur > filters.blur:
        return f"blurred: its sharpest edges are {seen.blur:.2f} px wide at a long side of {_SIDE} px"
    if filters.blur and seen.detail < _DETAIL:
        return f"blurred or empty: it has hardly any detail ({seen.detail:.1f})"
    return None


def duplicates(looks: Sequence[Look], distance: int, known: Sequence[tuple[int, str]] = ()) -> dict[str, str]:
    """File of every photo that shows the same as a better one, and the name of that one.

    The one with the most pixels stays, then the sharpest, then the first by name.

    Args:
        distance: bits that may differ; negative: only photos with the very same pixels are duplicates.
        known: hashes and names of photos elsewhere, which always come first.
    """
    ranked = sorted(looks, key=lambda one: (-one.size[0] * one.size[1], one.blur, one.file))
    if distance < 0:
        first: dict[str, str] = {}
        best = {one.file: first.setdefault(one.sha256, one.file) for one in ranked}
        return {file: other for file, other in best.items() if file != other}
    bits = np.zeros((len(known) + len(ranked), 8), np.uint8)
    names = [name for _, name in known]
    for place, (code, _) in enumerate(known):
        bits[place] = _bytes(code)
    found: dict[str, str] = {}
    for one in ranked:
        own = _bytes(one.hash)
        off = _COUNT[bits[: len(names)] ^ own].sum(1)
        if len(off) and int(off.min()) <= distance:
            found[one.file] = names[int(off.argmin())]
        else:
            bits[len(names)] = own
            names.append(one.file)
    return found


#: Number of ones in a byte.
_COUNT = np.asarray([value.bit_count() for value in range(256)], np.uint8)


def _bytes(code: int) -> NDArray[np.uint8]:
    return np.frombuffer(code.to_bytes(8, "big"), np.uint8)
