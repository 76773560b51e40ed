"""Directories of a TIFF block (EXIF), read whatever is broken in them and written anew.

Layout: TIFF 6.0, section 2; EXIF 3.0, section 4.6. A value that cannot be read is left out, never an error.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

#: Bytes of one number, by type.
_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 129: 1}
#: How numbers are packed; rationals are two each.
_CODES = {1: "B", 3: "H", 4: "I", 5: "II", 6: "b", 8: "h", 9: "i", 10: "ii", 11: "f", 12: "d", 13: "I"}
#: What holds bytes or letters rather than numbers.
BYTES, TEXT, UTF8 = 7, 2, 129
#: A directory of more entries is no directory of a photo.
MOST_ENTRIES = 1_000
#: A value of more bytes is no text; packets of XMP, IPTC and Photoshop, by their tags, may be as long as the second.
#: All texts of a directory together have at most MOST_TEXT bytes.
LONGEST_VALUE, LONGEST_PACKET, MOST_TEXT = 2**16, 32 * 2**20, 2**17
_PACKETS = frozenset({0x02BC, 0x83BB, 0x8649})


@dataclass(frozen=True)
class Field:
    """One entry: ``kind`` is TIFF's type; ``raw`` the value's bytes, in the block's byte order."""

    kind: int
    count: int
    raw: bytes

    def numbers(self, order: str) -> tuple[float, ...]:
        """The numbers of a numeric field, two for each rational; none for text and bytes."""
        code = _CODES.get(self.kind)
        return struct.unpack(f"{order}{code * self.count}", self.raw) if code else ()


Directory = dict[int, Field]


def byte_order(block: bytes) -> str | None:
    """``"<"`` or ``">"``, as :mod:`struct` spells them; None when this is no TIFF block."""
    return {b"II*\0": "<", b"MM\0*": ">"}.get(bytes(block[:4]))


def pointer(block: bytes, order: str, at: int) -> int:
    """The offset stored at ``at``; 0 when there is none."""
    return int(struct.unpack_from(order + "I", block, at)[0]) if 0 <= at <= len(block) - 4 else 0


def directory(block: bytes, order: str, at: int) -> Directory:
    """Every readable entry of the directory at ``at``; of a tag that comes twice, the first counts."""
    found: Directory = {}
    if not 8 <= at <= len(block) - 2:
        return found
    (count,) = struct.unpack_from(order + "H", block, at)
    letters = 0
    for index in range(min(count, MOST_ENTRIES)):
        entry = at + 2 + 12 * index
        if entry + 12 > len(block):
            break
        tag, kind, number = struct.unpack_from(order + "HHI", block, entry)
        length = _SIZES.get(kind, 0) * number
        start = entry + 8 if length <= 4 else pointer(block, order, entry + 8)
        longest = LONGEST_PACKET if tag in _PACKETS and tag not in found else LONGEST_VALUE
        if 0 < length <= longest and start + length <= len(block):
            letters += length if kind in (TEXT, UTF8) else 0
            if letters > MOST_TEXT:
                break
            found.setdefault(tag, Field(kind, number, bytes(block[start : start + length])))
    return found


def packed(order: str, kind: int, *numbers: float) -> Field:
    """A field of these numbers."""
    code = _CODES[kind]
    return Field(kind, len(numbers) // len(code), struct.pack(order + code * (len(numbers) // len(code)), *numbers))


def text_field(text: str) -> Field:
    """A text field, in UTF-8 with the zero that ends it."""
    raw = text.encode("utf-8", "replace") + b"\0"
    return Field(TEXT, len(raw), raw)


def written(order: str, first: Directory, children: dict[int, Directory]) -> bytes:
    """A TIFF block of one directory and its sub-directories.

    Args:
        first: IFD0; its pointers to sub-directories are set here.
        children: tag of the pointer -> sub-directory; an empty one is left out. Pointers lie in ``first``, except the
            one to the interoperability directory (0xA005), which lies in EXIF's (0x8769).
    """
    tree = {tag: dict(fields) for tag, fields in children.items() if fields}
    top = dict(first)
    for tag in tree:
        (tree[0x8769] if tag == 0xA005 and 0x8769 in tree else top)[tag] = packed(order, 4, 0)
    at, places = 8, {}
    for tag, fields in [(0, top), *tree.items()]:
        places[tag] = at
        at += 2 + 12 * len(fields) + 4 + sum(len(f.raw) + len(f.raw) % 2 for f in fields.values() if len(f.raw) > 4)
    out = bytearray((b"II*\0" if order == "<" else b"MM\0*") + struct.pack(order + "I", 8))
    for _, fields in [(0, top), *tree.items()]:
        body, data = struct.pack(order + "H", len(fields)), b""
        free = len(out) + 2 + 12 * len(fields) + 4
        for tag, field in sorted(fields.items()):
            if tag in tree:
                field = packed(order, 4, places[tag])
            body += struct.pack(order + "HHI", tag, field.kind, field.count)
            if len(field.raw) <= 4:
                body += field.raw.ljust(4, b"\0")
            else:
                body += struct.pack(order + "I", free + len(data))
                data += field.raw + b"\0" * (len(field.raw) % 2)
        out += body + bytes(4) + data
    return bytes(out)
