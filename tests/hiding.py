"""Photos in which a patch of noise stands for somebody, files that hide a picture of it, and a search for what is left.

The search knows nothing of ours: it looks for pieces of the hidden picture's own bytes, whatever wraps them.
"""

from __future__ import annotations

import base64
import io
import re
import struct
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from PIL import Image

from mild.photo.colour import profile

HEIGHT, WIDTH = 96, 128
MASK = np.zeros((HEIGHT, WIDTH), bool)
MASK[30:78, 70:106] = True
RDF = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
SPACES = {
    "xmp": "http://ns.adobe.com/xap/1.0/", "xmpGImg": "http://ns.adobe.com/xap/1.0/g/img/",
    "GImage": "http://ns.google.com/photos/1.0/image/", "GDepth": "http://ns.google.com/photos/1.0/depthmap/",
    "dc": "http://purl.org/dc/elements/1.1/", "Iptc4xmpExt": "http://iptc.org/std/Iptc4xmpExt/2008-02-29/",
    "mwg-rs": "http://www.metadataworkinggroup.com/schemas/regions/", "stArea": "http://ns.adobe.com/xmp/sType/Area#",
    "stDim": "http://ns.adobe.com/xap/1.0/sType/Dimensions#", "MP": "http://ns.microsoft.com/photo/1.2/",
    "MPRI": "http://ns.microsoft.com/photo/1.2/t/RegionInfo#", "MPReg": "http://ns.microsoft.com/photo/1.2/t/Region#",
    "lr": "http://ns.adobe.com/lightroom/1.0/", "GCamera": "http://ns.google.com/photos/1.0/camera/",
    "hdrgm": "http://ns.adobe.com/hdr-gain-map/1.0/", "xmpMM": "http://ns.adobe.com/xap/1.0/mm/",
    "stEvt": "http://ns.adobe.com/xap/1.0/sType/ResourceEvent#", "photoshop": "http://ns.adobe.com/photoshop/1.0/",
    "own": "http://example.org/own/", "stRef": "http://ns.adobe.com/xap/1.0/sType/ResourceRef#",
}  # fmt: skip


def scene(seed: int = 5) -> np.ndarray:
    """A smooth ground with a patch that nothing else has."""
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    out = np.stack([90 + y, 120 + x // 2, 60 + (x + y) // 3], -1).astype(np.uint8)
    patch = np.random.default_rng(seed).integers(0, 256, (8, 6, 3), dtype=np.uint8)
    out[MASK] = np.repeat(np.repeat(patch, 6, 0), 6, 1).reshape(-1, 3)
    return out


def erased() -> np.ndarray:
    out = scene().copy()
    out[MASK] = 140, 150, 100
    return out


@dataclass(frozen=True)
class Secret:
    """What is hidden: the photo made small, in several codes."""

    seed: int = 5
    size: tuple[int, int] = (64, 48)

    @cached_property
    def image(self) -> Image.Image:
        return Image.fromarray(scene(self.seed)).resize(self.size)

    def coded(self, format: str = "JPEG") -> bytes:
        out = io.BytesIO()
        self.image.copy().save(out, format, quality=92)
        return out.getvalue()

    @cached_property
    def jpeg(self) -> bytes:
        return self.coded()

    @cached_property
    def text(self) -> str:
        return base64.b64encode(self.jpeg).decode()

    @cached_property
    def raw(self) -> bytes:
        """The patch as bare numbers, as thumbnails without compression have it."""
        wide, high = self.size
        x0, y0, x1, y1 = (
            round(part * side) for part, side in zip((0.58, 0.36, 0.79, 0.77), (wide, high) * 2, strict=True)
        )
        return self.image.crop((x0, y0, x1, y1)).resize((18, 24)).tobytes()

    @cached_property
    def pieces(self) -> frozenset[bytes]:
        """Twelve bytes each of what only a picture of the patch has; not of tables that all JPEG have."""
        found = set()
        coded = [self.jpeg[self.jpeg.find(b"\xff\xda") + 14 :], self.raw]
        coded += [self.coded(format)[40:] for format in ("PNG", "WEBP")]
        for data in coded:
            windows = (data[at : at + 12] for at in range(0, len(data) - 12, 12))
            found |= {window for window in windows if len(set(window)) > 5}
        return frozenset(found)

    def found(self, data: bytes) -> list[str]:
        """Where in a file pieces of it are; 23 bytes in a row are never overlooked."""
        return [where for where, view in views(data) if self._holds(view)]

    @cached_property
    def _starts(self) -> np.ndarray:
        return np.array(sorted(int.from_bytes(piece[:8], "little") for piece in self.pieces), np.uint64)

    def _holds(self, view: bytes) -> bool:
        if len(view) < 12:
            return False
        numbers = np.lib.stride_tricks.sliding_window_view(np.frombuffer(view, np.uint8), 8).copy().view("<u8")[:, 0]
        at = np.searchsorted(self._starts, numbers).clip(max=len(self._starts) - 1)
        return any(view[place : place + 12] in self.pieces for place in np.flatnonzero(self._starts[at] == numbers))


def views(data: bytes, where: str = "file", depth: int = 0) -> Iterator[tuple[str, bytes]]:
    """The bytes, and what they unpack to: zip, zlib, base64, hexadecimal, UTF-16 and -32, numbers of characters."""
    yield where, data
    if depth == 3:
        return
    inside: list[tuple[str, bytes]] = []
    if data[:2] == b"PK":
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            inside += [(name, archive.read(name)) for name in archive.namelist()]
    for start in re.finditer(rb"\x78[\x01\x5e\x9c\xda]", data):
        try:
            inside.append(("zlib", zlib.decompressobj().decompress(data[start.start() :], 2**22)))
        except zlib.error:
            continue
    for run in re.finditer(rb"[A-Za-z0-9+/=_\s-]{40,}", data):
        letters = b"".join(run[0].split()).replace(b"-", b"+").replace(b"_", b"/").replace(b"=", b"")
        for shift in range(4):
            inside.append(("base64", base64.b64decode(letters[shift : shift + (len(letters) - shift) // 4 * 4])))
    for run in re.finditer(rb"[0-9A-Fa-f\s]{40,}", data):
        digits = b"".join(run[0].split()).decode()
        inside += [("hex", bytes.fromhex(digits[s : s + (len(digits) - s) // 2 * 2])) for s in (0, 1)]
    if data.count(b"\0") > len(data) // 4:
        inside.append(("UTF-16", data.replace(b"\0", b"")))
    if b"&#" in data:
        inside.append(("numbers", re.sub(rb"&#(\d+);", lambda m: bytes([int(m[1]) & 255]), data)))
    for name, part in inside:
        if len(part) >= 12 and part != data:
            yield from views(part, f"{where} > {name}", depth + 1)


# Containers.


def encoded(format: str = "JPEG", size: tuple[int, int] = (WIDTH, HEIGHT)) -> bytes:
    out = io.BytesIO()
    Image.fromarray(scene()).resize(size).save(out, format, quality=92)
    return out.getvalue()


def packet(body: str = "", attributes: str = "") -> str:
    spaces = " ".join(f'xmlns:{prefix}="{uri}"' for prefix, uri in SPACES.items())
    return (
        f'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="{RDF}"><rdf:Description rdf:about="" {spaces} '
        f"{attributes}>{body}</rdf:Description></rdf:RDF></x:xmpmeta>"
    )


def segment(marker: int, body: bytes) -> bytes:
    return b"\xff" + bytes([marker]) + struct.pack(">H", len(body) + 2) + body


def jpeg(*segments: bytes, trail: bytes = b"") -> bytes:
    data = encoded()
    return data[:2] + b"".join(segments) + data[2:] + trail


def jpeg_xmp(text: str, codec: str = "utf-8") -> bytes:
    return jpeg(segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0" + text.encode(codec)))


def chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def png(*chunks: tuple[bytes, bytes]) -> bytes:
    data = encoded("PNG")
    return data[:33] + b"".join(chunk(*row) for row in chunks) + data[33:]


def webp(*chunks: tuple[bytes, bytes], trail: bytes = b"") -> bytes:
    """An extended WebP without loss, with more chunks."""
    out = io.BytesIO()
    Image.fromarray(scene()).save(out, "WEBP", lossless=True)
    flags = sum({b"ICCP": 32, b"EXIF": 8, b"XMP ": 4}.get(name, 0) for name, _ in chunks)
    head = bytes([flags]) + bytes(3) + struct.pack("<I", WIDTH - 1)[:3] + struct.pack("<I", HEIGHT - 1)[:3]
    profiles = [row for row in chunks if row[0] == b"ICCP"]
    rows = [(b"VP8X", head), *profiles, (b"VP8L", out.getvalue()[20:]), *(row for row in chunks if row not in profiles)]
    body = b"".join(name + struct.pack("<I", len(data)) + data + bytes(len(data) % 2) for name, data in rows)
    return b"RIFF" + struct.pack("<I", 4 + len(body)) + b"WEBP" + body + trail


def photoshop(number: int, body: bytes) -> bytes:
    return segment(0xED, b"Photoshop 3.0\0" + resource(number, body))


def resource(number: int, body: bytes, name: bytes = b"") -> bytes:
    """One of Photoshop's image resources."""
    label = bytes([len(name)]) + name
    return b"8BIM" + struct.pack(">H", number) + label + bytes(len(label) % 2) + struct.pack(">I", len(body)) + body


class Tiff:
    """A TIFF block, built from its inside out."""

    def __init__(self, order: str = "<") -> None:
        self.order = order
        self.data = bytearray((b"II*\0" if order == "<" else b"MM\0*") + bytes(4))

    def put(self, raw: bytes) -> int:
        """Where these bytes lie."""
        self.data += bytes(len(self.data) % 2)
        at = len(self.data)
        self.data += raw
        return at

    def long(self, value: int) -> bytes:
        return struct.pack(self.order + "I", value)

    def ifd(self, entries: dict[int, tuple[int, bytes]], following: int = 0) -> int:
        """Where a directory of ``tag: (type, value)`` lies."""
        sizes = {3: 2, 4: 4, 5: 8, 9: 4, 10: 8}
        rows = b""
        for tag, (kind, raw) in sorted(entries.items()):
            value = raw.ljust(4, b"\0") if len(raw) <= 4 else self.long(self.put(raw))
            rows += struct.pack(self.order + "HHI", tag, kind, len(raw) // sizes.get(kind, 1)) + value
        return self.put(struct.pack(self.order + "H", len(entries)) + rows + self.long(following))

    def whole(self, first: int) -> bytes:
        self.data[4:8] = self.long(first)
        return bytes(self.data)


def with_private(data: bytes, name: bytes = b"prVW") -> bytes:
    """A colour profile with one more tag."""
    base = profile(12, 13)
    assert base is not None
    (count,) = struct.unpack_from(">I", base, 128)
    table = bytearray(base[132 : 132 + 12 * count])
    for i in range(count):
        struct.pack_into(">I", table, 12 * i + 4, struct.unpack_from(">I", table, 12 * i + 4)[0] + 12)
    body = base[132 + 12 * count :]
    row = struct.pack(">4sII", name, 132 + 12 * (count + 1) + len(body), len(data))
    out = base[:128] + struct.pack(">I", count + 1) + bytes(table) + row + body + data
    return struct.pack(">I", len(out)) + out[4:]
