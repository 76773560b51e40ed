"""EXIF made fit for an edited photo: orientation reset, pictures of the unedited photo removed.

The block is patched in place, byte for byte: maker notes hold absolute offsets, and a rewritten block would break them.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator

_KINDS = {1: "B", 3: "H"}  # how the numbers of BYTE and SHORT entries are packed; else LONG


def clean_exif(block: bytes | None) -> tuple[bytes | None, int]:
    """EXIF with orientation 1 and without pictures of the photo, and the orientation it had.

    The thumbnail's directory (IFD1) is cut off and its bytes are blanked, as is any other JPEG preview in the
    block: they would still show who was erased. All else stays byte for byte, so that maker notes remain readable.
    A block that is no EXIF at all is dropped.
    """
    if not block:
        return None, 1
    data = bytearray(block)
    try:
        order = {b"II*\0": "<", b"MM\0*": ">"}[bytes(data[:4])]
        (first,) = struct.unpack_from(order + "I", data, 4)
        tags = dict(_entries(data, order, first))
        orientation = _reset_orientation(data, order, tags)
        if orientation >= 5 and 0x8769 in tags:
            sub = dict(_entries(data, order, _offset(data, order, tags[0x8769])))
            if {0xA002, 0xA003} <= sub.keys():  # the width and height of the turned picture change places
                x, y = sub[0xA002] + 2, sub[0xA003] + 2
                data[x : x + 10], data[y : y + 10] = data[y : y + 10], data[x : x + 10]
        link = first + 2 + 12 * struct.unpack_from(order + "H", data, first)[0]
        _drop_thumbnail(data, order, link)
    except (KeyError, struct.error):
        return None, 1
    for found in re.finditer(rb"\xff\xd8\xff[\xc0\xc4\xdb\xe0-\xef\xfe].*?(?:\xff\xd9|\Z)", bytes(data), re.DOTALL):
        data[found.start() : found.end()] = bytes(found.end() - found.start())
    return bytes(data), orientation


def _entries(data: bytearray, order: str, at: int) -> Iterator[tuple[int, int]]:
    """``(tag, offset of its 12-byte entry)`` of the directory at ``at``."""
    (count,) = struct.unpack_from(order + "H", data, at)
    for i in range(count):
        entry = at + 2 + 12 * i
        yield struct.unpack_from(order + "H", data, entry)[0], entry


def _values(data: bytearray, order: str, entry: int) -> tuple[int, ...]:
    """The numbers of an entry of BYTEs, SHORTs or LONGs; what does not fit its 4 bytes lies elsewhere."""
    kind, count = struct.unpack_from(order + "HI", data, entry + 2)
    if count > len(data):
        raise struct.error("more numbers than bytes")
    numbers = f"{order}{count}{_KINDS.get(kind, 'I')}"
    inline = struct.calcsize(numbers) <= 4
    return struct.unpack_from(numbers, data, entry + 8 if inline else _offset(data, order, entry))


def _offset(data: bytearray, order: str, entry: int) -> int:
    return int(struct.unpack_from(order + "I", data, entry + 8)[0])


def _reset_orientation(data: bytearray, order: str, tags: dict[int, int]) -> int:
    if 0x0112 not in tags:
        return 1
    entry = tags[0x0112]
    (kind,) = struct.unpack_from(order + "H", data, entry + 2)
    (orientation,) = struct.unpack_from(order + _KINDS.get(kind, "I"), data, entry + 8)
    struct.pack_into(order + _KINDS.get(kind, "I"), data, entry + 8, 1)
    return int(orientation) if 1 <= orientation <= 8 else 1


def _drop_thumbnail(data: bytearray, order: str, link: int) -> None:
    """Cut IFD1 off at the ``link`` that points to it and blank its picture."""
    if link + 4 > len(data):
        return  # some writers leave the last link out
    (second,) = struct.unpack_from(order + "I", data, link)
    struct.pack_into(order + "I", data, link, 0)
    try:
        tags = dict(_entries(data, order, second)) if second else {}
        for start_tag, length_tag in ((0x0201, 0x0202), (0x0111, 0x0117)):  # a JPEG; strips without compression
            if start_tag in tags and length_tag in tags:
                starts, lengths = _values(data, order, tags[start_tag]), _values(data, order, tags[length_tag])
                for start, length in sorted(zip(starts, lengths, strict=False), reverse=True):
                    if start > link and start + length >= len(data):
                        del data[start:]
                    elif start > link:
                        data[start : start + length] = bytes(length)
    except struct.error:
        pass  # a broken directory leads nowhere; it is cut off already
