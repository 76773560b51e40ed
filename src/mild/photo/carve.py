"""Pictures hidden in a file: found by their first bytes, whatever wraps them, and held against the original."""

from __future__ import annotations

import base64
import io
import re
import struct
import urllib.parse
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

_HEIF = rb"....ftyp(?:avi[fs]|he[iv][cxms]|m[is]f1)"
# A JPEG's first byte may be blanked (cameras do that in maker notes), or all before its tables.
_STARTS = re.compile(
    rb"\xff\xd8\xff|.\xd8\xff[\xdb\xe0\xe1\xee]|\xff\xdb\x00[\x43\x84]|\x89PNG\r\n|RIFF....WEBP|GIF8[79]a|II\*\0|MM\0\*|"
    rb"\0{3}\x0cjP  \r\n\x87\n|\xff\x4f\xff\x51\0|BM....\0{4}....[\x0c\x28\x6c\x7c]\0{3}|" + _HEIF,
    re.DOTALL,
)
_BASE64 = re.compile(rb"[A-Za-z0-9+/=_\s-]{200,}")
_NUMBERED = re.compile(rb"(?:[A-Za-z0-9+/]{0,400}&#x?[0-9a-fA-F]{1,4};){8}")
_PERCENT = re.compile(rb"(?:[A-Za-z0-9]{1,400}%2[BFbf]){3}")
_RUNS = re.compile(rb"[A-Za-z0-9+/]{40,}")
_WIDE = re.compile(rb"(?:[\t\n\r -~]\0){200,}|(?:\0[\t\n\r -~]){200,}")
_HEX = re.compile(rb"[0-9A-Fa-f\s]{400,}")
_DEEPEST, _MOST_PIECES, _MOST_PIXELS, _MOST_BYTES = 4, 400, 64_000_000, 2**29
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
    for where, part in _pieces(data, "file", 0, [0]):
        yield from _photoshop(part, where)
        own: set[int] = set()
        for start in _STARTS.finditer(part):
            at, first = start.start(), start[0]
            if first[1:2] == b"\xd8":
                own |= {place for place, marker, _ in _segments(part, at) if marker == 0xDB}
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


def _pieces(data: bytes, where: str, depth: int, count: list[int]) -> Iterator[tuple[str, bytes]]:
    """The bytes themselves, and what unpacks out of them: zip, zlib, base64, hexadecimal, UTF-16."""
    count[0] += 1
    yield where, data
    if depth >= _DEEPEST or count[0] > _MOST_PIECES:
        return
    for name, part in _unwrapped(data):
        if part and (_STARTS.search(part) or _BASE64.search(part) or _HEX.search(part) or b"8BPS" in part):
            yield from _pieces(part, f"{where} > {name}", depth + 1, count)


def _unwrapped(data: bytes) -> Iterator[tuple[str, bytes]]:
    if data[:2] == b"\xff\xd8":
        yield from _joined(data)
    if data[:4] == b"GIF8":
        yield "texts", _blocks(data)
    if _NUMBERED.search(data):
        yield "numbers of characters", re.sub(rb"&#(?:(\d{1,4})|x([0-9a-fA-F]{1,3}));", _character, data)
    if _PERCENT.search(data):
        yield "percent signs", urllib.parse.unquote_to_bytes(data)
    if data[:2] == b"PK" or b"PK\3\4" in data:
        try:
            with zipfile.ZipFile(io.BytesIO(data)) as archive:
                for info in archive.infolist():
                    if info.file_size <= _MOST_BYTES:
                        yield info.filename, archive.read(info)
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
        digits = b"".join(found[0].split()).decode()
        for start in (0, 1):
            yield "hexadecimal", bytes.fromhex(digits[start : start + (len(digits) - start) // 2 * 2])
    runs = _RUNS.findall(data)
    if len(runs) > 3:  # dealt out to many texts
        for raw in (b"".join(runs), b"".join(run[: len(run) // 4 * 4] for run in runs)):
            for start in range(4):
                yield "base64 in pieces", base64.b64decode(raw[start : start + (len(raw) - start) // 4 * 4])
    for found in _WIDE.finditer(data):
        yield "UTF-16", found[0].replace(b"\0", b"")
    if data.count(b"\0") > 0.3 * len(data):
        yield "UTF-16", data.replace(b"\0", b"")


def _joined(data: bytes) -> Iterator[tuple[str, bytes]]:
    """What a JPEG deals out to several segments: profiles, long XMP, anything under one name."""
    parts: dict[bytes, list[bytes]] = {}
    for _, marker, content in _segments(data, 0):
        name, _, body = content.partition(b"\0")
        lead = {b"ICC_PROFILE": 2, b"http://ns.adobe.com/xmp/extension/": 40}.get(name, 0)
        if marker >= 0xE0:
            parts.setdefault(bytes([marker]) + name[:80], []).append(body[lead:])
    for name, bodies in parts.items():
        if len(bodies) > 1:
            yield f"segments {name[1:].decode('latin-1')!r}", b"".join(bodies)


def _segments(data: bytes, start: int) -> Iterator[tuple[int, int, bytes]]:
    """``(place, marker, content)`` of a JPEG that begins at ``start``, up to its pixels."""
    at = start + 2
    while at + 4 <= len(data) and data[at] == 0xFF and 0xC0 <= data[at + 1] <= 0xFE and data[at + 1] != 0xDA:
        (length,) = struct.unpack_from(">H", data, at + 2)
        yield at, data[at + 1], data[at + 4 : at + 2 + length]
        at += 2 + max(2, length)


def _blocks(data: bytes) -> bytes:
    """What a GIF says beside its pictures: its blocks of up to 255 bytes, joined."""
    out = b""
    for found in re.finditer(rb"\x21[\xfe\xff]", data):
        at = found.end()
        while at < len(data) and data[at] and len(out) < _MOST_BYTES:
            out += data[at + 1 : at + 1 + data[at]]
            at += 1 + data[at]
    return out


def _character(found: re.Match[bytes]) -> bytes:
    number = int(found[1]) if found[1] else int(found[2], 16)
    return bytes([number]) if number < 256 else b"?"
