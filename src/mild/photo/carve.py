"""Pictures hidden in a file: found by their first bytes, whatever wraps them, and held against the original."""

from __future__ import annotations

import base64
import io
import re
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

_STARTS = re.compile(rb"\xff\xd8\xff|\x89PNG\r\n|RIFF....WEBP|GIF8[79]a|II\*\0|MM\0\*", re.DOTALL)
_BASE64 = re.compile(rb"[A-Za-z0-9+/=_\s-]{200,}")
_HEX = re.compile(rb"[0-9A-Fa-f\s]{400,}")
_DEEPEST, _MOST_PIECES, _MOST_PIXELS = 4, 400, 64_000_000
#: A hidden picture shows the region when it correlates with the original there more than this.
SHOWS = 0.85
_SMALLEST = 16


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
    for where, part in _pieces(data, "file", 0, [0]):
        for start in _STARTS.finditer(part):
            try:
                image = Image.open(io.BytesIO(part[start.start() :]))
                if image.width * image.height <= _MOST_PIXELS:
                    yield f"{where} at byte {start.start()}", image.convert("RGB")
            except Exception:  # a beginning that no picture follows
                continue


def shows(image: Image.Image, original: NDArray[np.uint8], mask: NDArray[np.bool_]) -> float:
    """The best correlation with the original in the mask, the picture turned in all four ways."""
    grey = np.asarray(Image.fromarray(original).convert("L"), np.float64)[mask]
    best = -1.0
    for turn in (None, Image.Transpose.ROTATE_90, Image.Transpose.ROTATE_180, Image.Transpose.ROTATE_270):
        turned = image if turn is None else image.transpose(turn)
        other = np.asarray(turned.resize(original.shape[1::-1]).convert("L"), np.float64)[mask]
        a, b = grey - grey.mean(), other - other.mean()
        scale = float(np.sqrt((a * a).sum() * (b * b).sum()))
        best = max(best, float((a * b).sum()) / scale if scale else 0.0)
    return best


def _pieces(data: bytes, where: str, depth: int, count: list[int]) -> Iterator[tuple[str, bytes]]:
    """The bytes themselves, and what unpacks out of them: zip, zlib, base64, hexadecimal, UTF-16."""
    count[0] += 1
    yield where, data
    if depth >= _DEEPEST or count[0] > _MOST_PIECES:
        return
    for name, part in _unwrapped(data):
        if part and (_STARTS.search(part) or _BASE64.search(part) or _HEX.search(part)):
            yield from _pieces(part, f"{where} > {name}", depth + 1, count)


def _unwrapped(data: bytes) -> Iterator[tuple[str, bytes]]:
    if data[:2] == b"PK" or b"PK\3\4" in data:
        try:
            with zipfile.ZipFile(io.BytesIO(data)) as archive:
                for name in archive.namelist():
                    yield name, archive.read(name)
        except Exception:  # no archive, or a damaged one
            pass
    for found in re.finditer(rb"\x78[\x01\x5e\x9c\xda]|\x1f\x8b\x08", data):
        try:
            inflated = zlib.decompressobj(47).decompress(data[found.start() :], 2**26)
        except zlib.error:
            continue
        if _STARTS.search(inflated) or _BASE64.search(inflated):
            yield "zlib", inflated
    for found in _BASE64.finditer(data):
        raw = b"".join(found[0].split()).translate(bytes.maketrans(b"-_", b"+/"))
        for start in range(4):
            part = raw[start:].rstrip(b"=")
            decoded = base64.b64decode(part[: len(part) // 4 * 4])
            if _STARTS.search(decoded):
                yield "base64", decoded
                break
    for found in _HEX.finditer(data):
        digits = b"".join(found[0].split())
        yield "hexadecimal", bytes.fromhex(digits[: len(digits) // 2 * 2].decode())
    if data.count(b"\0") > 0.3 * len(data):
        yield "UTF-16", data.replace(b"\0", b"")
