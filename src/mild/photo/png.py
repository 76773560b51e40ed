"""The chunks of a PNG: what is needed to show it, and what it says beside that.

Pillow reads text and profiles while it decodes, refuses the whole picture when one of them is long or damaged, and does
not know cICP. So the picture is decoded from its own chunks alone, and the rest is read here, within bounds.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field

SIGNATURE = b"\x89PNG\r\n\x1a\n"
#: Bounds of what is inflated: a text, and a colour profile.
MOST_TEXT, MOST_PROFILE = 2**20, 64 * 2**20
_SHOWN = frozenset(
    {b"IHDR", b"PLTE", b"IDAT", b"IEND", b"tRNS", b"gAMA", b"cHRM", b"sRGB", b"pHYs", b"acTL", b"fcTL", b"sBIT"}
)
_XMP = "XML:com.adobe.xmp"


@dataclass(frozen=True)
class PngParts:
    """A PNG taken apart.

    Attributes:
        shown: a PNG of the chunks that pixels, size and gamma need.
        icc: colour profile, or None.
        exif: TIFF block, or None.
        cicp: the four numbers of cICP, or None.
        xmp: XMP packets.
        text: keyword and text, in their order.
    """

    shown: bytes = field(repr=False)
    icc: bytes | None = field(default=None, repr=False)
    exif: bytes | None = field(default=None, repr=False)
    cicp: tuple[int, int, int, int] | None = None
    xmp: tuple[bytes, ...] = ()
    text: tuple[tuple[str, str], ...] = ()


def take_apart(data: bytes) -> PngParts:
    """The parts of a PNG file; what is damaged or too long beside the picture is left out. Never raises."""
    shown = bytearray(SIGNATURE)
    icc = exif = cicp = None
    xmp: list[bytes] = []
    text: list[tuple[str, str]] = []
    for name, body, whole in _chunks(data):
        if name in _SHOWN:
            shown += whole
        elif name == b"iCCP" and icc is None:
            icc = _inflated(body.partition(b"\0")[2][1:], MOST_PROFILE)
        elif name == b"eXIf" and exif is None:
            exif = body.removeprefix(b"Exif\0\0")
        elif name == b"cICP" and len(body) == 4:
            cicp = (body[0], body[1], body[2], body[3])
        elif name in (b"tEXt", b"zTXt", b"iTXt") and len(text) < 200:
            row = _text(name, body)
            if row is None:
                continue
            keyword, value = row
            if keyword == _XMP:
                xmp.append(value)
            elif keyword.startswith("Raw profile type "):
                raw = _raw_profile(value)
                kind = keyword.rpartition(" ")[2].lower()
                if kind in ("exif", "app1") and raw.startswith((b"Exif", b"II", b"MM")):
                    exif = exif or raw.removeprefix(b"Exif\0\0")
                elif kind == "xmp" or raw.startswith(b"http://ns.adobe.com/xap"):
                    xmp.append(raw.partition(b"\0")[2] if raw.startswith(b"http") else raw)
            else:
                text.append((keyword, value.decode("utf-8", "replace")))
    return PngParts(bytes(shown), icc, exif, cicp, tuple(xmp), tuple(text))


def _chunks(data: bytes) -> Iterator[tuple[bytes, bytes, bytes]]:
    """``(name, body, the whole chunk)`` up to the end of the picture; a cut last chunk comes as it is."""
    at = len(SIGNATURE)
    while at + 8 <= len(data):
        length, name = struct.unpack_from(">I4s", data, at)
        end = at + 12 + length
        yield name, data[at + 8 : at + 8 + length], data[at:end]
        at = end
        if name == b"IEND":
            return


def _text(name: bytes, body: bytes) -> tuple[str, bytes] | None:
    """Keyword, and the text in UTF-8."""
    keyword, zero, rest = body.partition(b"\0")
    if not zero:
        return None
    key = keyword.decode("latin-1")
    if name == b"tEXt":
        # XMP is UTF-8 wherever it lies.
        return key, rest if key == _XMP else rest.decode("latin-1").encode()
    if name == b"zTXt":
        plain = _inflated(rest[1:], MOST_TEXT)
        return None if plain is None else (key, plain if key == _XMP else plain.decode("latin-1").encode())
    packed, _, rest = rest[:1], rest[1:2], rest[2:]
    value = rest.split(b"\0", 2)[-1]
    inflated = _inflated(value, MOST_TEXT) if packed == b"\1" else value
    return None if inflated is None else (key, inflated)


def _inflated(data: bytes, most: int) -> bytes | None:
    """The inflated bytes; None when they are damaged or more than ``most``."""
    inflater = zlib.decompressobj()
    try:
        out = inflater.decompress(data, most)
    except zlib.error:
        return None
    return out if inflater.eof else None


def _raw_profile(text: bytes) -> bytes:
    """ImageMagick's way: a name, a length, then hexadecimal."""
    try:
        return bytes.fromhex("".join(text.decode("latin-1").split("\n")[3:]))
    except ValueError:
        return b""
