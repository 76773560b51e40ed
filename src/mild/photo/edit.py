"""The metadata of an edited photo: who is erased leaves it, what is no longer true goes, the edit is said."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from mild.photo import exif as exif_of
from mild.photo import iptc as iptc_of
from mild.photo.allowed import DC, EXT, PNG_TEXT, listed
from mild.photo.mark import Mark, marked
from mild.photo.meta import PhotoMeta
from mild.photo.plain import decoded
from mild.photo.regions import ACD, MP, MWG, erase_regions
from mild.photo.xmp import Array, Name, Value, Xmp, leaves, read_xmp, write_xmp

Mode = Literal["keep", "clean", "none"]
#: The most bytes of XMP and of EXIF that are written: what one segment of a JPEG holds, whatever the format.
MOST_BYTES = 60_000
_MEDIAPRO = "http://ns.iview-multimedia.com/mediapro/1.0/"
_PEOPLE = ((EXT, "PersonInImage"), (EXT, "PersonInImageWDetails"), (_MEDIAPRO, "People"))
_REGIONS = ((MWG, "Regions"), (MP, "RegionInfo"), (ACD, "Regions"), (EXT, "ImageRegion"))
#: Who made the photo and whose it is stays, whoever was erased.
_MAKERS = ((DC, "creator"), (DC, "rights"), (DC, "publisher"), (DC, "contributor"))
_MAKER_SPACES = ("http://ns.adobe.com/xap/1.0/rights/", "http://ns.useplus.org/ldf/xmp/1.0/")
_COLOUR_CHUNKS = frozenset({b"gAMA", b"cHRM", b"sRGB"})


@dataclass(frozen=True)
class Told:
    """What happened to the metadata, for the report.

    Attributes:
        regions: how many regions of erased people were removed.
        names: how many of their names were.
        left: names of people in the photo that no region places, so that nobody can say whether they left.
        notes: sentences on what else was left out.
    """

    mode: Mode = "clean"
    regions: int = 0
    names: int = 0
    left: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    mark: Mark | None = None

    def report(self) -> dict[str, Any]:
        """JSON-able."""
        return {
            "mode": self.mode,
            "regions_removed": self.regions,
            "names_removed": self.names,
            "names_left": list(self.left),
            "notes": list(self.notes),
            "mark": None if self.mark is None else self.mark.report(),
        }


def edited_meta(
    meta: PhotoMeta, size: tuple[int, int], erased: NDArray[np.bool_] | None, mode: Mode, mark: Mark | None
) -> tuple[PhotoMeta, Told]:
    """The metadata to write beside edited pixels.

    Args:
        size: ``(height, width)`` of the photo.
        erased: bool ``[H, W]``, true where somebody was erased; None when nobody was.
        mode: ``keep`` all text and numbers, ``clean``: those on the list, or ``none``.
        mark: what is said of the edit; None for nothing.
    """
    notes = list(meta.notes)
    if mode == "none":
        meta = replace(meta, exif=None, xmp=None, iptc=None, comment=None, png_chunks=_colour(meta))
    elif mode == "clean":
        meta = replace(meta, exif=exif_of.reduced(meta.exif), png_chunks=_listed_text(meta))
    sidecar = meta.sidecar
    packets = [read_xmp(meta.xmp), None if sidecar is None or mode == "none" else read_xmp(sidecar.packet)]
    both = [listed(found or Xmp()) if mode == "clean" else found or Xmp() for found in packets]
    count, gone = 0, frozenset[str]()
    if erased is not None:
        # A region of either may place a name of the other.
        without = [erase_regions(xmp, erased) for xmp in both]
        both, count = [xmp for xmp, _, _ in without], max(number for _, number, _ in without)
        gone = frozenset[str]().union(*(names for _, _, names in without))
    rewrite = _rewriter(gone)
    if gone:
        both = [_without(xmp, rewrite, gone) for xmp in both]
    left = tuple(dict.fromkeys(name for xmp in both for name in _unplaced(xmp))) if erased is not None else ()
    xmp, beside = both
    if sidecar is not None:
        sidecar = replace(sidecar, packet=write_xmp(marked(beside, mark)) if mode != "none" and beside else None)
    exif = exif_of.edited(
        meta.exif, size[::-1], rewrite, mark.software if mark else None, _exif_time(mark.when if mark else None)
    )
    iptc = iptc_of.edited(meta.iptc, rewrite) if meta.iptc else None
    comment = rewrite(decoded(meta.comment)) if meta.comment and gone else None
    chunks = _text_chunks(meta.png_chunks, rewrite, mark)
    packet, shortened = _fitted(marked(xmp, mark))
    if shortened:
        notes.append("Metadata that is longer than a photo's file holds was left out.")
    if exif is not None and len(exif) > MOST_BYTES:
        exif = exif_of.edited(None, size[::-1], rewrite, mark.software if mark else None)
        notes.append("EXIF that is longer than a photo's file holds was left out.")
    told = Told(mode, count, len(gone), left, tuple(notes), mark)
    comment_bytes = comment.encode() if comment else (None if gone else meta.comment)
    new = replace(meta, exif=exif, xmp=packet, iptc=iptc, comment=comment_bytes, png_chunks=chunks)
    new = replace(new, sidecar=sidecar)
    return new, told


def _rewriter(gone: frozenset[str]) -> Callable[[str], str | None]:
    """A function that takes names out of a text; it gives None when nothing else was in it."""
    names = {_folded(name) for name in gone}
    spelled = sorted({form for name in gone for form in _forms(name)}, key=len, reverse=True)
    parts_of = [r"[\s_.\-]*".join(map(re.escape, form.split())) for form in spelled]
    pattern = re.compile(r"(?<![^\W_])(?:" + "|".join(parts_of) + r")(?![^\W_])", re.IGNORECASE)

    def rewrite(text: str) -> str | None:
        if not gone:
            return text
        parts = re.split(r"[|/\\]", text)
        if _folded(text) in names or (len(parts) > 1 and any(_folded(part) in names for part in parts)):
            return None
        after, count = pattern.subn("…", text)
        return after if after.strip(" …,;.") or not count else None

    return rewrite


def _forms(name: str) -> set[str]:
    return {name, unicodedata.normalize("NFC", name), unicodedata.normalize("NFD", name)}


def _folded(text: str) -> str:
    return unicodedata.normalize("NFC", text).strip().casefold()


def _without(xmp: Xmp, rewrite: Callable[[str], str | None], gone: frozenset[str]) -> Xmp:
    """The packet without these names; a structure that is about one of them goes whole."""
    names = {_folded(name) for name in gone}

    def about(value: Value) -> bool:
        return isinstance(value, dict) and any(
            _folded(text) in names for part in value.values() for text in _direct(part)
        )  # fmt: skip

    def pruned(value: Value) -> Value | None:
        if isinstance(value, Array):
            items = [(lang, pruned(item)) for lang, item in value.items if not about(item)]
            kept = tuple((lang, item) for lang, item in items if item is not None)
            return Array(value.kind, kept) if kept else None
        if isinstance(value, dict):
            new = {name: after for name, part in value.items() if (after := pruned(part)) is not None}
            return new or None
        return rewrite(value)

    found: dict[Name, Value] = {}
    for name, value in xmp.properties.items():
        maker = name in _MAKERS or name[0] in _MAKER_SPACES
        after = value if maker or (name in _REGIONS and not _mentions(value, names)) else pruned(value)
        if after is not None:
            found[name] = after
    return Xmp(found, xmp.prefixes)


def _mentions(value: Value, names: set[str]) -> bool:
    return any(name in _folded(text) for text in leaves(value) for name in names)


def _direct(value: Value) -> list[str]:
    """The texts of a field itself: its own, or the items of its list."""
    if isinstance(value, str):
        return [value]
    return [item for _, item in value.items if isinstance(item, str)] if isinstance(value, Array) else []


def _unplaced(xmp: Xmp) -> tuple[str, ...]:
    """Names of people in the photo that no region places."""
    placed = {_folded(text) for name in _REGIONS if name in xmp.properties for text in leaves(xmp.properties[name])}
    found: dict[str, None] = {}
    for name in _PEOPLE:
        value = xmp.properties.get(name)
        if value is not None:
            for text in leaves(value):
                if _folded(text) not in placed and text.strip():
                    found[text.strip()] = None
    return tuple(found)


def _fitted(xmp: Xmp) -> tuple[bytes | None, bool]:
    """The packet, without its longest properties where it would be too long."""
    packet, shortened = write_xmp(xmp), False
    while packet is not None and len(packet) > MOST_BYTES:
        longest = max(xmp.properties, key=lambda name: sum(map(len, leaves(xmp.properties[name]))))
        xmp = Xmp({name: value for name, value in xmp.properties.items() if name != longest}, xmp.prefixes)
        packet, shortened = write_xmp(xmp), True
    return packet, shortened


def _exif_time(when: str | None) -> str | None:
    return None if when is None else when[:19].replace("-", ":").replace("T", " ")


def _colour(meta: PhotoMeta) -> tuple[tuple[bytes, bytes], ...]:
    return tuple(chunk for chunk in meta.png_chunks if chunk[0] in _COLOUR_CHUNKS)


def _listed_text(meta: PhotoMeta) -> tuple[tuple[bytes, bytes], ...]:
    return tuple(
        (name, data)
        for name, data in meta.png_chunks
        if name in _COLOUR_CHUNKS or data.split(b"\0", 1)[0].decode("latin-1") in PNG_TEXT
    )


def _text_chunks(
    chunks: tuple[tuple[bytes, bytes], ...], rewrite: Callable[[str], str | None], mark: Mark | None
) -> tuple[tuple[bytes, bytes], ...]:
    """A PNG's chunks with texts rewritten, and with the program's name."""
    out: list[tuple[bytes, bytes]] = []
    for name, data in chunks:
        keyword, _, rest = data.partition(b"\0")
        if name in _COLOUR_CHUNKS:
            out.append((name, data))
        elif keyword != b"Software" or mark is None:
            text = (
                rest.decode("latin-1") if name == b"tEXt" else rest[2:].split(b"\0", 2)[-1].decode("utf-8", "replace")
            )
            after = text if keyword in (b"Author", b"Copyright") else rewrite(text)
            if after == text:
                out.append((name, data))
            elif after:
                out.append((b"iTXt", keyword + b"\0\0\0\0\0" + after.encode()))
    if mark is not None:
        out.append((b"tEXt", b"Software\0" + mark.software.encode("latin-1", "replace")))
    return tuple(out)
