"""IPTC-IIM records (captions, credits, keywords), read by allow-list and written anew.

IIM 4.2: record 2 is text about the photo. Its datasets 200 to 202 are a preview, records 7 to 9 the object itself; both
are left out, as is any number that the specification does not name.
"""

from __future__ import annotations

import struct
from collections.abc import Callable

from mild.photo.plain import MOST_OPAQUE, decoded, is_plain, opaque

_UTF8 = b"\x1b%G"
#: Datasets of record 2 that are text of a known meaning.
_TEXT = frozenset(
    {3, 4, 5, 7, 8, 10, 12, 15, 20, 22, 25, 26, 27, 30, 35, 37, 38, 40, 42, 45, 47, 50, 55, 60, 62, 63, 65, 70, 75}
    | {80, 85, 90, 92, 95, 100, 101, 103, 105, 110, 115, 116, 118, 120, 122, 130, 131, 135}
)
KEYWORD, PROGRAM, VERSION = 25, 65, 70
_CREATORS = frozenset({80, 85, 110, 115, 116})


def read_iptc(record: bytes | None) -> bytes | None:
    """The text of a record, in UTF-8; None when there is none. Never raises."""
    entries = [(number, text) for number, text in _entries(record or b"") if text and is_plain(text)]
    keywords = " ".join(text for number, text in entries if number == KEYWORD)
    if len(keywords) > 600 and not is_plain(keywords):  # a picture may be dealt out to them
        entries = [(number, text) for number, text in entries if number != KEYWORD]
    if opaque(text for _, text in entries) > MOST_OPAQUE:
        entries = [(number, text) for number, text in entries if not opaque([text])]
    return _written(entries)


def edited(record: bytes | None, rewrite: Callable[[str], str | None]) -> bytes | None:
    """The record with what ``rewrite`` leaves of each text; creators and rights stay as they are."""
    entries = []
    for number, text in _entries(record or b""):
        after = text if number in _CREATORS else rewrite(text)
        if after:
            entries.append((number, after))
    return _written(entries)


def texts(record: bytes | None) -> list[str]:
    """Every text of a record."""
    return [text for _, text in _entries(record or b"")]


def photoshop_iptc(blocks: bytes) -> bytes | None:
    """The IPTC record in a series of Photoshop's resources (``8BIM`` …), or None."""
    at = 0
    while at + 12 <= len(blocks) and blocks[at : at + 4] == b"8BIM":
        (number,) = struct.unpack_from(">H", blocks, at + 4)
        name = 1 + blocks[at + 6]
        at += 6 + name + name % 2
        if at + 4 > len(blocks):
            break
        (length,) = struct.unpack_from(">I", blocks, at)
        if number == 0x0404:
            return blocks[at + 4 : at + 4 + length]
        at += 4 + length + length % 2
    return None


def _entries(record: bytes) -> list[tuple[int, str]]:
    """``(dataset, text)`` of record 2."""
    entries, at = [], 0
    while at + 5 <= len(record) and record[at] == 0x1C:
        kind, number, length = struct.unpack_from(">BBH", record, at + 1)
        if length & 0x8000:
            break  # an extended length: meant for objects, not for text
        value = record[at + 5 : at + 5 + length]
        at += 5 + length
        if kind == 2 and number in _TEXT and len(value) == length:
            entries.append((number, decoded(value)))
    return entries


def _written(entries: list[tuple[int, str]]) -> bytes | None:
    if not entries:
        return None
    out = b"" if all(text.isascii() for _, text in entries) else b"\x1c\x01\x5a" + struct.pack(">H", 3) + _UTF8
    for number, text in entries:
        value = text.encode()[:32_000]
        out += b"\x1c\x02" + bytes([number]) + struct.pack(">H", len(value)) + value
    return out
