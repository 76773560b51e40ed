"""Colour profiles without anything that is no colour.

A profile is a table of tags (ICC.1:2022, section 7). Those that colours need stay, each as long as its type says
and its texts as far as they are text; private ones, and bytes that belong to no tag, could hold anything and go.
Colours stay the same: a profile with nothing to remove is returned as it is.
"""

from __future__ import annotations

import io
import re
import struct

import numpy as np
from PIL import Image

from mild.photo.plain import decoded, is_plain

_PUBLIC = frozenset(
    b"A2B0 A2B1 A2B2 B2A0 B2A1 B2A2 B2D0 B2D1 B2D2 B2D3 D2B0 D2B1 D2B2 D2B3 bTRC bXYZ bkpt chad chrm cicp cprt desc "
    b"dmdd dmnd gTRC gXYZ gamt kTRC lumi meas pre0 pre1 pre2 rTRC rXYZ rig0 rig2 calt tech view vued wtpt".split()
)
#: Types of a fixed length, in bytes.
_FIXED = {b"XYZ ": 20, b"sig ": 12, b"dtim": 20, b"meas": 36, b"view": 36, b"cicp": 12, b"sf32": 44}
_PARAMETERS = (1, 3, 4, 5, 7)
_TABLES = frozenset({b"mft1", b"mft2", b"mAB ", b"mBA ", b"mpet", b"curv"})
_PICTURE = re.compile(rb"\xff\xd8\xff|\x89PNG|RIFF....WEBP|GIF8[79]a|II\*\0|MM\0\*|\xff\x4f\xff\x51|BM", re.DOTALL)
_MATRIX = frozenset({b"rXYZ", b"gXYZ", b"bXYZ", b"rTRC", b"gTRC", b"bTRC"})
#: Longer than this is no profile; so many beginnings of pictures are no chance, and one of them is no longer than this.
_LONGEST, _MOST_STARTS, _WINDOW = 32 * 2**20, 2_000, 2**20
_MOST_LANGUAGES = 200
_KINDS = ("JPEG", "PNG", "WEBP", "GIF", "TIFF", "BMP", "JPEG2000")
_SAY_NOTHING = b"text\0\0\0\0-\0"


def clean_icc(profile: bytes | None) -> bytes | None:
    """The profile with its public tags only; None when it is none, or its colours hold a picture. Never raises."""
    if not profile or not 132 <= len(profile) <= _LONGEST or profile[36:40] != b"acsp":
        return None
    (count,) = struct.unpack_from(">I", profile, 128)
    if count > 200:
        return None
    tags: dict[bytes, bytes] = {}
    same, places = True, set()
    for index in range(count):
        if 132 + 12 * index + 12 > len(profile):
            return None
        name, start, length = struct.unpack_from(">4sII", profile, 132 + 12 * index)
        if start + length > len(profile) or start < 132:
            return None
        data = profile[start : start + length]
        clean = _tag(name, data) if name in _PUBLIC and name not in tags else None
        if clean is not None:
            tags[name] = clean
        same = same and clean == data
        places.add((start, length))
    if sum(length for _, length in places) > len(profile) or not (
        tags.keys() >= _MATRIX or tags.keys() & {b"kTRC", b"A2B0", b"D2B0"}
    ):
        return None
    used = 132 + 12 * count + sum(length + 3 for _, length in places)
    return profile if same and len(profile) <= used else _written(profile, tags)


def _written(profile: bytes, tags: dict[bytes, bytes]) -> bytes:
    """A profile of these tags with the header of ``profile``."""
    body, table, at = b"", b"", dict[bytes, int]()
    first = 132 + 12 * len(tags)
    for name, data in tags.items():
        if data not in at:
            at[data] = first + len(body)
            body += data + bytes(-len(data) % 4)
        table += struct.pack(">4sII", name, at[data], len(data))
    head = bytearray(profile[:128])
    head[84:128] = bytes(44)  # the profile's own hash, of the bytes it had, and what is reserved
    out = bytes(head) + struct.pack(">I", len(tags)) + table + body
    return struct.pack(">I", len(out)) + out[4:]


def _tag(name: bytes, data: bytes) -> bytes | None:
    """The tag as long as its type says; None when it holds what does not belong there."""
    kind = data[:4]
    try:
        if kind in (b"text", b"desc", b"mluc"):
            return data if _is_text(kind, data) else _SAY_NOTHING if name in (b"desc", b"cprt") else None
        if kind in _FIXED:
            clean = data[: _FIXED[kind]]
        elif kind == b"para":
            clean = data[: 12 + 4 * _PARAMETERS[struct.unpack_from(">H", data, 8)[0]]]
        elif kind == b"chrm":
            clean = data[: 12 + 8 * min(16, struct.unpack_from(">H", data, 8)[0])]
        elif kind in _TABLES:
            clean = data[: _length(kind, data)]
            if kind == b"curv" and not _rises(clean):
                return None
        else:
            return None
    except (struct.error, IndexError):
        return None
    return None if kind in _TABLES and _holds_picture(clean) else clean


def _length(kind: bytes, data: bytes) -> int:
    """How long a table is by its own numbers; the whole tag where they do not say."""
    if kind == b"curv":
        return 12 + 2 * int(struct.unpack_from(">I", data, 8)[0])
    if kind not in (b"mft1", b"mft2"):
        return len(data)
    inputs, outputs, grid = data[8:11]
    if kind == b"mft1":
        return int(48 + 256 * inputs + grid**inputs * outputs + 256 * outputs)
    before, after = struct.unpack_from(">HH", data, 48)
    return int(52 + 2 * (inputs * before + grid**inputs * outputs + outputs * after))


def _rises(curve: bytes) -> bool:
    """A tone curve rises, or falls, but for rounding; other numbers do not."""
    points = np.frombuffer(curve[12:], ">u2").astype(np.int32)
    steps = np.diff(points)
    return len(points) < 3 or min(-steps[steps < 0].sum(), steps[steps > 0].sum()) <= 0.05 * np.ptp(points)


def _is_text(kind: bytes, data: bytes) -> bool:
    """Is all of a text tag plain text?"""
    if kind == b"text":
        return is_plain(decoded(data[8:]))
    texts, rest = [], b""
    if kind == b"desc":
        (length,) = struct.unpack_from(">I", data, 8)
        (letters,) = struct.unpack_from(">I", data, 16 + length) if len(data) >= 20 + length else (0,)
        end = 20 + length + 2 * letters
        texts = [decoded(data[12 : 12 + length]), data[20 + length : end].decode("utf-16-be", "replace")]
        texts.append(decoded(data[end + 3 : end + 70]))
        rest = data[end + 70 :]
    else:
        number, size = struct.unpack_from(">II", data, 8)
        if size < 12 or number > _MOST_LANGUAGES or 16 + size * number > len(data):
            return False
        used = bytearray(data)
        used[: 16 + size * number] = bytes(16 + size * number)
        for index in range(number):
            length, start = struct.unpack_from(">II", data, 16 + size * index + 4)
            if start + length > len(data):
                return False
            texts.append(data[start : start + length].decode("utf-16-be", "replace"))
            used[start : start + length] = bytes(length)
        rest = bytes(used)
    said = list(dict.fromkeys(text.strip("\0") for text in texts))
    return not rest.strip(b"\0") and len(" ".join(said)) <= 20_000 and all(map(is_plain, said))


def _holds_picture(data: bytes) -> bool:
    """Does a picture begin somewhere whose header can be read? In numbers its first bytes alone come by chance, too."""
    for number, found in enumerate(_PICTURE.finditer(data)):
        if number == _MOST_STARTS:
            return True
        try:
            with Image.open(io.BytesIO(data[found.start() : found.start() + _WINDOW]), formats=_KINDS) as image:
                if min(image.size) >= 8:
                    return True
        except Exception:  # noise that only begins like one
            continue
    return False
