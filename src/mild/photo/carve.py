"""Pictures hidden in a file: found by their first bytes, whatever wraps them, and held against the original."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mild.photo.unwrap import STARTS, pieces, segments

_MOST_PIXELS = 64_000_000
#: A hidden picture shows the region when it correlates with the original there more than this.
SHOWS = 0.85
_SMALLEST = 16
#: A picture that shows less of the region does not count.
LEAST_SHOWN = 0.3
#: Longest side, pixels, at which a window's place is looked for.
_SEARCHED = 768


@dataclass(frozen=True)
class Remain:
    """One find: where in the file, how large the picture is, and how much it is like the original, -1..1."""

    where: str
    size: tuple[int, int]
    likeness: float


def remains(data: bytes, original: NDArray[np.uint8], mask: NDArray[np.bool_]) -> list[Remain]:
    """Pictures in a file that show what the original shows inside a mask.

    Args:
        data: the file.
        original: uint8 ``[H, W, 3]``, the photo before the edit.
        mask: bool ``[H, W]``, where somebody was erased.
    """
    found = []
    for where, image in pictures(data):
        if min(image.size) >= _SMALLEST and (likeness := shows(image, original, mask)) > SHOWS:
            found.append(Remain(where, image.size, round(likeness, 3)))
    return found


def pictures(data: bytes) -> Iterator[tuple[str, Image.Image]]:
    """Every picture that can be decoded, the file's own first one included, and where it begins."""
    for where, part in pieces(data):
        yield from _photoshop(part, where)
        own: set[int] = set()
        for start in STARTS.finditer(part):
            at, first = start.start(), start[0]
            if first[1:2] == b"\xd8":
                own |= {place for place, marker, _ in segments(part, at) if marker == 0xDB}
            elif at in own:
                continue
            image = _decoded(_begun(part[at:]))
            if image is not None:
                yield f"{where} at byte {at}", image


def _decoded(data: bytes) -> Image.Image | None:
    """The picture at the beginning of these bytes, a JPEG also where its end is missing; None where there is none."""
    for end in (b"", b"\xff\xd9" * 16) if data[:2] == b"\xff\xd8" else (b"",):
        try:
            image = _opened(data + end)
            return image.convert("RGBA") if image.width * image.height <= _MOST_PIXELS else None
        except Exception:  # a beginning that no picture follows, or only a part of one
            continue
    return None


def _begun(data: bytes) -> bytes:
    """The bytes of a picture, with the beginning that a JPEG may lack."""
    if data[:2] == b"\xff\xdb":
        return b"\xff\xd8" + data
    return b"\xff" + data[1:] if data[1:3] == b"\xd8\xff" else data


def _opened(data: bytes) -> Image.Image:
    if data[4:8] == b"ftyp" and data[8:11] != b"avi":  # an AVIF is read by Pillow itself
        try:
            from pillow_heif import open_heif
        except ModuleNotFoundError:  # without the extra; Pillow may know it all the same
            return Image.open(io.BytesIO(data))
        return open_heif(data).to_pillow()  # type: ignore[no-any-return]
    return Image.open(io.BytesIO(data))


def shows(image: Image.Image, original: NDArray[np.uint8], mask: NDArray[np.bool_]) -> float:
    """The best correlation with the original in the mask: the whole picture, turned in all four ways, or a window.

    Transparent pixels show nothing; what shows less than :data:`LEAST_SHOWN` of the mask does not count.
    """
    grey = np.asarray(Image.fromarray(original).convert("L"), np.uint8)
    best = -1.0
    for turn in (None, Image.Transpose.ROTATE_90, Image.Transpose.ROTATE_180, Image.Transpose.ROTATE_270):
        turned = image if turn is None else image.transpose(turn)
        light, seen = _light(turned.resize(original.shape[1::-1]))
        best = max(best, _alike(light, grey, mask & seen, mask))
    return max(best, _window_shows(image, grey, mask))


def _window_shows(image: Image.Image, grey: NDArray[np.uint8], mask: NDArray[np.bool_]) -> float:
    """The correlation where the picture, as a part of the original in its own size, fits best; -1 where it cannot."""
    height, width = grey.shape
    if image.width > width or image.height > height or image.size == (width, height):
        return -1.0
    light, seen = _light(image)
    scale = min(1.0, _SEARCHED / max(height, width))
    small = (round(image.width * scale), round(image.height * scale))
    if min(small) < _SMALLEST // 2 or seen.mean() < 0.05:
        return -1.0
    field = cv2.resize(grey, (max(small[0], round(width * scale)), max(small[1], round(height * scale))))
    piece = cv2.resize(light, small, interpolation=cv2.INTER_AREA)
    where = cv2.resize(seen.astype(np.float32), small, interpolation=cv2.INTER_AREA)
    # Squared differences, not correlation: it has no division by the spread of what is flat.
    fit = cv2.matchTemplate(field.astype(np.float32), piece.astype(np.float32), cv2.TM_SQDIFF, mask=where)
    _, _, (x, y), _ = cv2.minMaxLoc(fit)
    best, near = -1.0, max(1, round(1 / scale))
    for top in range(round(y / scale) - near, round(y / scale) + near + 1):
        for left in range(round(x / scale) - near, round(x / scale) + near + 1):
            if 0 <= top <= height - image.height and 0 <= left <= width - image.width:
                at = slice(top, top + image.height), slice(left, left + image.width)
                best = max(best, _alike(light, grey[at], mask[at] & seen, mask))
    return best


def _light(image: Image.Image) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """Grey values ``[h, w]``, and which of them are to be seen."""
    rgba = image.convert("RGBA")
    return np.asarray(rgba.convert("RGB").convert("L"), np.uint8), np.asarray(rgba.getchannel("A")) > 127


def _alike(
    one: NDArray[np.uint8], other: NDArray[np.uint8], where: NDArray[np.bool_], mask: NDArray[np.bool_]
) -> float:
    """Correlation of two pictures in a part of the mask; -1 where that is too small a part."""
    if where.sum() < max(1.0, LEAST_SHOWN * mask.sum()):
        return -1.0
    a, b = one[where].astype(np.float64), other[where].astype(np.float64)
    a, b = a - a.mean(), b - b.mean()
    scale = float(np.sqrt((a * a).sum() * (b * b).sum()))
    return float((a * b).sum()) / scale if scale else 0.0


def _photoshop(data: bytes, where: str) -> Iterator[tuple[str, Image.Image]]:
    """Layers and the merged picture of a Photoshop document."""
    for start in re.finditer(rb"8BPS\x00\x01", data):
        try:
            from psd_tools import PSDImage

            document = PSDImage.open(io.BytesIO(data[start.start() :]))
            found = [("merged picture", document.topil())]
            found += [(f"layer {n.name!r}", n.topil()) for n in document.descendants() if not n.is_group()]
        except Exception:  # no such document, a damaged one, or no package that reads it
            continue
        for name, image in found:
            if image is not None and 0 < image.width * image.height <= _MOST_PIXELS:
                yield f"{where} > {name}", image.convert("RGBA")
