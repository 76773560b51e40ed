"""What an image file carries beside its pixels, and how it is written back."""

from __future__ import annotations

import math
import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from PIL import Image, JpegImagePlugin, PngImagePlugin, TiffImagePlugin

from mild.photo.exif import clean_exif

#: Modes of grey sources; their photos are processed as RGB and saved as grey again while the pixels are grey.
GREY_MODES = frozenset({"1", "L", "LA"})

# TIFF tags that describe how the pixels are stored, not what they show; the writer sets its own. The last ones hold
# an ICC profile, XMP and IPTC (kept separately) or pictures of the unedited photo: sub-images, Photoshop's
# thumbnail and layers. Those must not survive an erasure.
_STRUCTURAL = frozenset(
    {*range(254, 260), 262, 263, 266, 273, *range(274, 282), 284, *range(288, 294), 297, 301, 317, *range(320, 326)}
    | {*range(332, 335), *range(336, 348), *range(512, 522), *range(529, 533), 330, 700, 33723, 34377, 34675, 37724}
)
_GROUPS = (0x8769, 0x8825)  # the directories of EXIF proper and of GPS
_LOSSLESS_TIFF = {"tiff_lzw", "tiff_adobe_deflate", "packbits", "lzma", "zstd", "raw"}


@dataclass(frozen=True)
class PhotoMeta:
    """What saving needs to know of the source; all empty for a photo made from an array.

    Attributes:
        format: ``"JPEG"``, ``"PNG"``, ``"WEBP"``, ``"TIFF"``, ``"HEIF"``, or None.
        mode: Pillow's mode of the source (``"RGB"``, ``"L"``, ``"P"``, …).
        exif: EXIF as a TIFF block (no ``Exif\\0\\0`` in front), orientation 1, without any thumbnail; or None.
        icc: ICC profile, or None.
        xmp: XMP packet, or None.
        iptc: IPTC record (captions, credits), or None. Written to JPEG and TIFF only.
        dpi: dots per inch, ``(x, y)``, or None.
        comment: comment of a JPEG, or None.
        qtables: quantisation tables of a JPEG, 64 numbers each; empty for others.
        subsampling: chroma sampling of a JPEG as Pillow counts it: 0 = 4:4:4, 1 = 4:2:2, 2 = 4:2:0.
        progressive: was the JPEG progressive?
        compression: Pillow's name of a TIFF's compression, or None.
        png_chunks: text and colour chunks ``(name, data)`` of a PNG.
    """

    format: str | None = None
    mode: str = "RGB"
    exif: bytes | None = field(default=None, repr=False)
    icc: bytes | None = field(default=None, repr=False)
    xmp: bytes | None = field(default=None, repr=False)
    iptc: bytes | None = field(default=None, repr=False)
    dpi: tuple[float, float] | None = None
    comment: bytes | None = None
    qtables: tuple[tuple[int, ...], ...] = field(default=(), repr=False)
    subsampling: int = 0
    progressive: bool = False
    compression: str | None = None
    png_chunks: tuple[tuple[bytes, bytes], ...] = field(default=(), repr=False)


def collect(image: Image.Image) -> tuple[PhotoMeta, int]:
    """The metadata of a loaded image, and the EXIF orientation (1..8) its pixels still need."""
    info = image.info
    exif, orientation = clean_exif(_exif_block(image))
    xmp = info.get("xmp")
    if isinstance(xmp, str):
        xmp = xmp.encode()
    if not isinstance(xmp, bytes):
        xmp = None
    if xmp:
        xmp = re.sub(rb"(xmpGImg:image(?:>|=\"))[^<\"]*", rb"\1", xmp)  # thumbnails that show the unedited photo
        # EXIF's orientation counts, XMP's copy of it does not; but some readers would turn the photo by it.
        xmp = re.sub(rb"(tiff:Orientation(?:>|=\"))[2-8]", rb"\g<1>1", xmp)
    jpeg = isinstance(image, JpegImagePlugin.JpegImageFile)
    tables: dict[int, list[int]] = getattr(image, "quantization", {}) if jpeg else {}
    comment = info.get("comment") if jpeg else None
    meta = PhotoMeta(
        format="JPEG" if jpeg else image.format,
        mode=image.mode,
        exif=exif,
        icc=info.get("icc_profile") or None,
        xmp=xmp or None,
        iptc=_iptc(image),
        dpi=_dpi(info.get("dpi")),
        comment=comment.encode() if isinstance(comment, str) else comment,
        qtables=tuple(tuple(tables[i]) for i in sorted(tables)),
        # An exotic sampling (4:1:1, 4:4:0) cannot be written again; full chroma loses nothing.
        subsampling=max(0, JpegImagePlugin.get_sampling(image)) if jpeg else 0,
        progressive=bool(jpeg and info.get("progressive")),
        compression=info.get("compression") if image.format == "TIFF" else None,
        png_chunks=tuple(_png_chunks(image)) if isinstance(image, PngImagePlugin.PngImageFile) else (),
    )
    return meta, orientation


def encoder_options(meta: PhotoMeta, format: str, mode: str) -> dict[str, Any]:
    """Keyword arguments of Pillow's writer of ``format`` for an image of ``mode``; no key where there is nothing."""
    icc = meta.icc
    if icc and icc[16:20] == b"GRAY" and not mode.startswith(("L", "1")):
        icc = None  # a grey profile on coloured pixels is invalid, and some viewers then refuse the file
    options: dict[str, Any] = {"icc_profile": icc, "exif": meta.exif, "xmp": meta.xmp, "dpi": meta.dpi}
    if format == "JPEG":
        options |= {"exif": meta.exif and b"Exif\0\0" + meta.exif, "comment": meta.comment, "extra": _app13(meta.iptc)}
        options |= {"quality": 95, "subsampling": 0}
        if meta.qtables:
            options |= {"quality": -1, "qtables": [list(t) for t in meta.qtables], "progressive": meta.progressive}
            options["subsampling"] = meta.subsampling
    elif format == "PNG":
        chunks = PngImagePlugin.PngInfo()
        for name, data in meta.png_chunks:
            chunks.add(name, data)
        if meta.xmp:
            chunks.add(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + meta.xmp)
        options |= {"pnginfo": chunks, "xmp": None}
    elif format == "WEBP":
        # `exact` keeps the colours under transparent pixels.
        options |= {"lossless": True, "exact": True, "dpi": None}
    elif format == "TIFF":
        options |= {"exif": (tags := _tiff_tags(meta)), "xmp": None}
        options["compression"] = meta.compression if meta.compression in _LOSSLESS_TIFF else "tiff_adobe_deflate"
        if any(tag in tags for tag in _GROUPS):
            options["compression"] = "raw"  # Pillow's compressing writer fails on EXIF's and GPS's directories
    return {key: value for key, value in options.items() if value is not None}


def _exif_block(image: Image.Image) -> bytes | None:
    if isinstance(image, TiffImagePlugin.TiffImageFile):
        return _descriptive(image.getexif())
    block = image.info.get("exif")
    profile = image.info.get("Raw profile type exif")
    if block is None and isinstance(profile, str):  # how ImageMagick stores EXIF in a PNG: a header, then hex
        try:
            block = bytes.fromhex("".join(profile.split("\n")[3:]))
        except ValueError:
            return None
    return block.removeprefix(b"Exif\0\0") if isinstance(block, bytes) else None


def _descriptive(source: Image.Exif) -> bytes | None:
    """A new EXIF block with the tags that do not say how pixels are stored; a damaged one is left out."""
    kept = Image.Exif()
    for tag in [tag for tag in source if tag not in _STRUCTURAL]:
        try:
            kept[tag] = source.get_ifd(tag) if tag in _GROUPS else source[tag]
            kept.tobytes()
        except Exception:  # whatever Pillow stumbles over in a broken value, at the end of a job it must not fail
            kept.pop(tag, None)
    return kept.tobytes().removeprefix(b"Exif\0\0") if len(kept) else None


def _tiff_tags(meta: PhotoMeta) -> Image.Exif:
    """The tags to write into a TIFF's own directory."""
    tags = Image.Exif()
    if meta.exif:
        tags.load(meta.exif)
        described = _descriptive(tags)
        if described is not None:
            tags.load(described)
    for tag, data in ((700, meta.xmp), (33723, meta.iptc)):
        if data:
            tags[tag] = data
    return tags


def _iptc(image: Image.Image) -> bytes | None:
    if isinstance(image, TiffImagePlugin.TiffImageFile):
        found = image.tag_v2.get(33723)
    else:
        blocks = image.info.get("photoshop")
        found = blocks.get(0x0404) if isinstance(blocks, dict) else None
    return found if isinstance(found, bytes) and found else None


def _app13(iptc: bytes | None) -> bytes | None:
    """The JPEG segment that holds an IPTC record."""
    if not iptc:
        return None
    body = b"Photoshop 3.0\0" + b"8BIM\x04\x04\0\0" + struct.pack(">I", len(iptc)) + iptc + b"\0" * (len(iptc) % 2)
    return b"\xff\xed" + struct.pack(">H", len(body) + 2) + body if len(body) < 65534 else None


def _dpi(value: Any) -> tuple[float, float] | None:
    try:
        x, y = (float(v) for v in value)
    except (TypeError, ValueError, ZeroDivisionError):
        return None
    return (x, y) if math.isfinite(x) and math.isfinite(y) and min(x, y) > 0 and max(x, y) < 1e6 else None


def _png_chunks(image: PngImagePlugin.PngImageFile) -> Iterator[tuple[bytes, bytes]]:
    """Gamma, primaries, rendering intent and text of a PNG, as Pillow's writer takes them."""
    info = image.info
    if "gamma" in info:
        yield b"gAMA", struct.pack(">I", round(info["gamma"] * 100_000))
    if len(info.get("chromaticity", ())) == 8:
        yield b"cHRM", struct.pack(">8I", *(round(v * 100_000) for v in info["chromaticity"]))
    if "srgb" in info:
        yield b"sRGB", bytes([info["srgb"]])
    text = PngImagePlugin.PngInfo()
    for key, value in image.text.items():
        # XMP and EXIF are kept separately; other raw profiles may hold Photoshop's thumbnail.
        if key != "XML:com.adobe.xmp" and not key.startswith("Raw profile type"):
            text.add_text(key, value)
    for name, data, _ in text.chunks:
        yield name, data
