"""What an image file carries beside its pixels, and how it is written back."""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from PIL import Image, JpegImagePlugin, PngImagePlugin, TiffImagePlugin

from mild.photo import colour, exif, iptc
from mild.photo.allowed import GAIN, TIFF, kept
from mild.photo.credentials import Signer
from mild.photo.icc import clean_icc
from mild.photo.plain import MOST_OPAQUE, decoded, is_plain, opaque
from mild.photo.regions import turn_regions
from mild.photo.sidecar import Sidecar
from mild.photo.tiff import byte_order
from mild.photo.xmp import Xmp, read_xmp, write_xmp

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
_INTEROP = 0xA005
#: How a JPEG says by ISO 21496-1 that a gain map follows.
_ISO_GAIN = b"urn:iso:std:iso:ts:21496:-1"
_LOSSLESS_TIFF = {"tiff_lzw", "tiff_adobe_deflate", "packbits", "lzma", "zstd", "raw"}


@dataclass(frozen=True)
class PhotoMeta:
    """What saving needs to know of the source; all empty for a photo made from an array.

    No picture gets in here: of what the file said, text and a few numbers a field are kept. What of them an edited
    photo keeps, :mod:`mild.photo.edit` says.

    Attributes:
        format: ``"JPEG"``, ``"PNG"``, ``"WEBP"``, ``"TIFF"``, ``"HEIF"``, or None.
        mode: Pillow's mode of the source (``"RGB"``, ``"L"``, ``"P"``, …).
        exif: EXIF as a TIFF block (no ``Exif\\0\\0`` in front), orientation 1, text and numbers only; or None.
        icc: ICC profile, public tags only, or None.
        xmp: XMP packet in UTF-8, text only, its regions turned with the pixels; or None.
        iptc: IPTC record (captions, credits), or None. Written to JPEG and TIFF only.
        dpi: dots per inch, ``(x, y)``, or None.
        comment: comment of a JPEG, or None.
        qtables: quantisation tables of a JPEG, 64 numbers each; empty for others.
        subsampling: chroma sampling of a JPEG as Pillow counts it: 0 = 4:4:4, 1 = 4:2:2, 2 = 4:2:0.
        progressive: was the JPEG progressive?
        compression: Pillow's name of a TIFF's compression, or None.
        png_chunks: text and colour chunks ``(name, data)`` of a PNG.
        cicp: colours by the numbers of H.273 (primaries, transfer, matrix, full range), or None; ``icc`` says the same.
        notes: sentences on what the file held that is not written again.
        sidecar: XMP that lay in a file beside the photo, as `xmp`; or None.
        signer: who signs the file with content credentials, last of all; or None.
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
    cicp: tuple[int, int, int, int] | None = None
    notes: tuple[str, ...] = ()
    sidecar: Sidecar | None = None
    signer: Signer | None = None


def collect(image: Image.Image, sidecar: Sidecar | None = None) -> tuple[PhotoMeta, int]:
    """The metadata of a loaded image and its sidecar, and the EXIF orientation (1..8) its pixels still need."""
    info = image.info
    found = exif.read_exif(_exif_block(image))
    xmp = Xmp()
    for packet in (*_packets(image), found.inner.get(exif.XMP)):
        xmp = xmp.merged(read_xmp(packet) or Xmp())
    xmp, notes = kept(xmp)
    if GAIN not in notes and any(body.startswith(_ISO_GAIN) for _, body in getattr(image, "applist", ())):
        notes.append(GAIN)
    # HEIF says by itself how it is turned, and Pillow's reader has done it already.
    turned = info.get("original_orientation")
    turned = turned if isinstance(turned, int) and turned in range(1, 9) else found.orientation
    stored = image.size[::-1] if turned >= 5 and turned != found.orientation else image.size
    packet = write_xmp(_upright(xmp, turned, stored))
    if sidecar is not None:
        beside, more = kept(read_xmp(sidecar.packet) or Xmp())
        notes += [note for note in more if note not in notes]
        if not beside:
            notes.append(f"The sidecar {sidecar.path.name} holds no XMP that can be kept.")
        sidecar = replace(sidecar, packet=write_xmp(_upright(beside, turned, stored)))
    cicp = _cicp(image)
    jpeg = isinstance(image, JpegImagePlugin.JpegImageFile)
    tables: dict[int, list[int]] = getattr(image, "quantization", {}) if jpeg else {}
    comment = info.get("comment") if jpeg else None
    meta = PhotoMeta(
        format="JPEG" if jpeg else image.format,
        mode=image.mode,
        exif=found.block,
        icc=clean_icc(info.get("icc_profile")) or (colour.profile(*cicp[:2]) if cicp else None),
        xmp=packet,
        iptc=iptc.read_iptc(_iptc(image, found.inner)),
        dpi=_dpi(info.get("dpi")),
        comment=_comment(comment),
        qtables=tuple(tuple(tables[i]) for i in sorted(tables)),
        # An exotic sampling (4:1:1, 4:4:0) cannot be written again; full chroma loses nothing.
        subsampling=max(0, JpegImagePlugin.get_sampling(image)) if jpeg else 0,
        progressive=bool(jpeg and info.get("progressive")),
        compression=info.get("compression") if image.format == "TIFF" else None,
        png_chunks=tuple(_png_chunks(image)) if isinstance(image, PngImagePlugin.PngImageFile) else (),
        cicp=cicp,
        notes=(*notes, *info.get("mild_notes", ())),
        sidecar=sidecar,
    )
    return meta, found.orientation


def _upright(xmp: Xmp, turned: int, stored: tuple[int, int]) -> Xmp:
    """XMP of a stored picture ``(width, height)``, said of the picture as it is shown."""
    xmp = turn_regions(xmp, turned, stored)
    # EXIF's orientation counts, XMP's copy of it does not; but some readers would turn the photo by it.
    properties = {name: "1" if name == (TIFF, "Orientation") else value for name, value in xmp.properties.items()}
    if turned != 1:  # directions that point into the stored picture
        properties = {n: v for n, v in properties.items() if n[0] != "http://ns.google.com/photos/1.0/panorama/"}
    return Xmp(properties, xmp.prefixes)


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
        if meta.cicp is not None:
            chunks.add(b"cICP", bytes((*meta.cicp[:2], 0, 1)))
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
    elif format == "HEIF" and meta.cicp is not None:
        names = ("color_primaries", "transfer_characteristics", "matrix_coefficients", "full_range_flag")
        options |= dict(zip(names, (*meta.cicp[:2], meta.cicp[2] or 6, 1), strict=True))
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
            # The place of the interoperability directory is another in what is written, and Pillow does not move it.
            group = {t: value for t, value in source.get_ifd(tag).items() if t != _INTEROP} if tag in _GROUPS else None
            kept[tag] = source[tag] if group is None else group
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


def _packets(image: Image.Image) -> Iterator[bytes | str]:
    """Every XMP packet of a file, the main one first; extended XMP, which a JPEG holds in pieces, comes whole."""
    info = image.info
    for value in (info.get("xmp"), *info.get("mild_xmp", ()), info.get("XML:com.adobe.xmp")):
        if isinstance(value, bytes | str):
            yield value
    if isinstance(image, JpegImagePlugin.JpegImageFile):
        lead, extended = b"http://ns.adobe.com/xap/1.0/\0", b"http://ns.adobe.com/xmp/extension/\0"
        pieces: dict[bytes, list[tuple[int, bytes]]] = {}
        for marker, body in getattr(image, "applist", ()):
            if marker == "APP1" and body.startswith(lead):
                yield body[len(lead) :]
            elif marker == "APP1" and body.startswith(extended) and len(body) >= len(extended) + 40:
                row = body[len(extended) :]
                pieces.setdefault(row[:32], []).append((struct.unpack_from(">I", row, 36)[0], row[40:]))
        for rows in pieces.values():
            yield b"".join(part for _, part in sorted(rows))
    if isinstance(image, TiffImagePlugin.TiffImageFile):
        tag = image.tag_v2.get(700)
        if isinstance(tag, bytes | str):
            yield tag


def _cicp(image: Image.Image) -> tuple[int, int, int, int] | None:
    """The colours by numbers, when they count: a PNG's always, another file's when it has no ICC profile."""
    numbers = image.info.get("mild_cicp")
    if numbers is None and not image.info.get("icc_profile"):
        nclx = image.info.get("nclx_profile")
        if isinstance(nclx, dict):
            keys = ("color_primaries", "transfer_characteristics", "matrix_coefficients", "full_range_flag")
            numbers = tuple(int(nclx.get(key, 2)) for key in keys)
    if numbers is None or colour.is_srgb(*numbers[:2]):
        return None
    return (numbers[0], numbers[1], numbers[2], numbers[3])


def _comment(comment: bytes | str | None) -> bytes | None:
    text = decoded(comment) if isinstance(comment, bytes) else comment
    return text.encode() if text and is_plain(text) else None


def _iptc(image: Image.Image, inner: dict[int, bytes]) -> bytes | None:
    if isinstance(image, TiffImagePlugin.TiffImageFile):
        found = image.tag_v2.get(33723)
        blocks = image.tag_v2.get(34377)
        if isinstance(found, tuple) and all(isinstance(value, int) for value in found):  # Adobe counts it in longs
            found = b"".join(struct.pack(f"{byte_order(image.tag_v2.prefix) or '<'}I", value) for value in found)
        if not isinstance(found, bytes) and isinstance(blocks, bytes):
            found = iptc.photoshop_iptc(blocks)
    else:
        resources = image.info.get("photoshop")
        found = resources.get(0x0404) if isinstance(resources, dict) else None
    if not isinstance(found, bytes) or not found:
        found = inner.get(exif.IPTC) or iptc.photoshop_iptc(inner.get(exif.PHOTOSHOP, b""))
    return found


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
    texts = info.get("mild_text")
    said = list(dict(image.text).items()) if texts is None else list(texts)
    if opaque(part for row in said if all(map(is_plain, row)) for part in row) > MOST_OPAQUE:
        said = [row for row in said if not opaque(row)]  # a picture may be dealt out to them
    for key, value in said:
        # XMP and EXIF are kept separately; other raw profiles may hold Photoshop's thumbnail.
        raw = key == "XML:com.adobe.xmp" or key.startswith("Raw profile type")
        if not raw and 0 < len(key) < 80 and is_plain(value) and is_plain(key):
            text = PngImagePlugin.PngInfo()
            text.add_text(key, value)
            for name, data, _ in text.chunks:
                yield name, data
