"""What may wrap a picture in a file: archives, compression, text in base64, segments or texts that belong together."""

from __future__ import annotations

import base64
import io
import re
import struct
import urllib.parse
import zipfile
import zlib
from collections.abc import Iterator

_HEIF = rb"....ftyp(?:avi[fs]|he[iv][cxms]|m[is]f1)"
#: The first bytes of pictures. A JPEG's first may be blanked (cameras do that), or all before its tables.
STARTS = re.compile(
    rb"\xff\xd8\xff|.\xd8\xff[\xdb\xe0\xe1\xee]|\xff\xdb\x00[\x43\x84]|\x89PNG\r\n|RIFF....WEBP|GIF8[79]a|II\*\0|MM\0\*|"
    rb"\0{3}\x0cjP  \r\n\x87\n|\xff\x4f\xff\x51\0|BM....\0{4}....[\x0c\x28\x6c\x7c]\0{3}|" + _HEIF,
    re.DOTALL,
)
_BASE64 = re.compile(rb"[A-Za-z0-9+/=_\s-]{200,}")
_NUMBERED = re.compile(rb"(?:[A-Za-z0-9+/]{0,100}&#x?[0-9a-fA-F]{1,4};){8}")
_PERCENT = re.compile(rb"(?:[A-Za-z0-9]{1,100}%2[BFbf]){3}")
_RUNS = re.compile(rb"[A-Za-z0-9+/]{40,}")
_WIDE = re.compile(rb"(?:[\t\n\r -~]\0){200,}|(?:\0[\t\n\r -~]){200,}")
_HEX = re.compile(rb"[0-9A-Fa-f\s]{400,}")
_DEEPEST, _MOST_PIECES, _MOST_BYTES = 4, 400, 2**29


def pieces(data: bytes) -> Iterator[tuple[str, bytes]]:
    """Where, and the bytes themselves and whatever unpacks out of them, in several steps."""
    return _pieces(data, "file", 0, [0])


def segments(data: bytes, start: int) -> Iterator[tuple[int, int, bytes]]:
    """``(place, marker, content)`` of a JPEG that begins at ``start``, up to its pixels."""
    at = start + 2
    while at + 4 <= len(data) and data[at] == 0xFF and 0xC0 <= data[at + 1] <= 0xFE and data[at + 1] != 0xDA:
        (length,) = struct.unpack_from(">H", data, at + 2)
        yield at, data[at + 1], data[at + 4 : at + 2 + length]
        at += 2 + max(2, length)


def _pieces(data: bytes, where: str, depth: int, count: list[int]) -> Iterator[tuple[str, bytes]]:
    count[0] += 1
    yield where, data
    if depth >= _DEEPEST or count[0] > _MOST_PIECES:
        return
    for name, part in _unwrapped(data):
        if part and (STARTS.search(part) or _BASE64.search(part) or _HEX.search(part) or b"8BPS" in part):
            yield from _pieces(part, f"{where} > {name}", depth + 1, count)


def _unwrapped(data: bytes) -> Iterator[tuple[str, bytes]]:
    if data[:2] == b"\xff\xd8":
        yield from _joined(data)
    if data[:4] == b"GIF8":
        yield "texts", _blocks(data)
    if data.count(b"&#") >= 8 and _NUMBERED.search(data):
        yield "numbers of characters", re.sub(rb"&#(?:(\d{1,4})|x([0-9a-fA-F]{1,3}));", _character, data)
    if data.count(b"%2") >= 3 and _PERCENT.search(data):
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
        if STARTS.search(inflated) or _BASE64.search(inflated):
            yield "zlib", inflated
    for found in _BASE64.finditer(data):
        raw = b"".join(found[0].split()).translate(bytes.maketrans(b"-_", b"+/"))
        for start in range(4):
            part = raw[start:].rstrip(b"=")
            decoded = base64.b64decode(part[: len(part) // 4 * 4])
            if STARTS.search(decoded):
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
    for _, marker, content in segments(data, 0):
        name, _, body = content.partition(b"\0")
        lead = {b"ICC_PROFILE": 2, b"http://ns.adobe.com/xmp/extension/": 40}.get(name, 0)
        if marker >= 0xE0:
            parts.setdefault(bytes([marker]) + name[:80], []).append(body[lead:])
    for name, bodies in parts.items():
        if len(bodies) > 1:
            yield f"segments {name[1:].decode('latin-1')!r}", b"".join(bodies)


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
