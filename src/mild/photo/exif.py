"""EXIF made fit for an edited photo: read by allow-list, and written anew.

What is kept is text and a few numbers a tag. Thumbnails, maker notes, previews and private data are not copied at all:
they would show who was erased, and no search finds every disguise of a picture.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from mild.photo.plain import MOST_OPAQUE, decoded, is_plain, opaque
from mild.photo.tiff import BYTES, TEXT, UTF8, Directory, Field, byte_order, directory, packed, pointer, text_field
from mild.photo.tiff import written as _block

ORIENTATION, SOFTWARE, DATE = 0x0112, 0x0131, 0x0132
XMP, IPTC, PHOTOSHOP = 0x02BC, 0x83BB, 0x8649
_EXIF, _GPS, _INTEROP = 0x8769, 0x8825, 0xA005
_WIDTH, _HEIGHT = 0xA002, 0xA003
_COMMENTS = frozenset({0x9286, 0x001B, 0x001C})  # text behind eight bytes that name its encoding
_WINDOWS = frozenset(range(0x9C9B, 0x9CA0))  # text in UTF-16: title, comment, author, keywords, subject
#: The Windows tag of keywords, separated by semicolons.
KEYWORDS = 0x9C9E

# Names as in EXIF 3.0, tables 3-21. In the first directory: what the photo shows, by whom, with what, when.
_FIRST = frozenset(
    {0x010D, 0x010E, 0x010F, 0x0110, 0x0112, 0x011A, 0x011B, 0x011D, 0x0128, 0x0131, 0x0132, 0x013B, 0x013C, 0x013E}
    | {0x013F, 0x0211, 0x0213, 0x0214, 0x4746, 0x4749, 0x8298, *_WINDOWS}
)
# EXIF proper. Not kept: maker note, subject area and location (they point at somebody), related sound, scene type
# ("directly photographed"), custom rendering, image id, anything that is a table.
_PROPER = frozenset(
    {0x829A, 0x829D, 0x8822, 0x8824, 0x8827, 0x882A, *range(0x8830, 0x8836), 0x9000, 0x9003, 0x9004, 0x9010, 0x9011}
    | {0x9012, 0x9101, 0x9102, *range(0x9201, 0x920B), 0x9286, 0x9290, 0x9291, 0x9292, *range(0x9400, 0x9406), 0xA000}
    | {0xA001, 0xA20B, 0xA20E, 0xA20F, 0xA210, 0xA215, 0xA217, 0xA300, *range(0xA402, 0xA407), 0xA408, 0xA409, 0xA40A}
    | {0xA40C, 0xA430, *range(0xA431, 0xA43D), 0xA500, _WIDTH, _HEIGHT}
)
_PLACE = frozenset(range(0x20))
#: What `keep` never keeps: pointers, strips, tiles, embedded pictures and records, hashes, the maker note.
_NEVER = frozenset(
    {*range(0x00FE, 0x0104), 0x0106, 0x010A, 0x0111, *range(0x0115, 0x011A), 0x011C, 0x0120, 0x0121, 0x0124, 0x0125}
    | {0x0129, 0x013D, *range(0x0140, 0x0147), 0x014A, 0x014C, 0x0152, 0x0153, 0x015B, *range(0x0200, 0x020A), 0x0212}
    | {XMP, IPTC, PHOTOSHOP, 0x8773, _EXIF, _GPS, _INTEROP, 0x927C, 0x935C, 0x9214, 0xA004, 0xA214, 0xA301, 0xA401}
    | {0xA420, *range(0xC612, 0xC7F0), 0xC4A5, 0xEA1C}
)
#: How many numbers a listed tag may hold (one, where nothing is said), and any other; bytes; and of all others, bytes
#: together: in the numbers of many tags a picture can be dealt out.
_COUNTS = {0x013E: 2, 0x013F: 6, 0x0211: 3, 0x0212: 2, 0x0214: 6, 0x8827: 2, 0xA432: 4, **dict.fromkeys(range(0x20), 3)}
_MOST, _FEW_BYTES, _MOST_OTHER = 9, 8, 128


@dataclass(frozen=True)
class Exif:
    """What was kept of an EXIF block, and what else it told.

    Attributes:
        block: the new TIFF block, orientation 1; None when nothing was kept.
        orientation: 1..8, as the pixels still need it.
        inner: XMP, IPTC and Photoshop records that lay inside, by their tag.
    """

    block: bytes | None = field(default=None, repr=False)
    orientation: int = 1
    inner: dict[int, bytes] = field(default_factory=dict, repr=False)


def read_exif(block: bytes | None) -> Exif:
    """The parts of an EXIF block that hold no picture: text, and up to a few numbers a tag. Never raises."""
    order = byte_order(block) if block else None
    if block is None or order is None:
        return Exif()
    first = directory(block, order, pointer(block, order, 4))
    turned = first.get(ORIENTATION)
    values = turned.numbers(order) if turned else ()
    orientation = int(values[0]) if values and values[0] in range(1, 9) else 1
    if orientation != 1 or ORIENTATION in first:
        first[ORIENTATION] = packed(order, 3, 1)
    children = {tag: _child(block, order, first, tag) for tag in (_EXIF, _GPS)}
    children[_INTEROP] = _child(block, order, children[_EXIF], _INTEROP)
    inner = {tag: first[tag].raw for tag in (XMP, IPTC, PHOTOSHOP) if tag in first}
    proper = children[_EXIF]
    if orientation >= 5 and _WIDTH in proper and _HEIGHT in proper:
        proper[_WIDTH], proper[_HEIGHT] = proper[_HEIGHT], proper[_WIDTH]
    parts = [_kept(fields, lambda tag: tag not in _NEVER) for fields in (first, *children.values())]
    kept = _short(parts)
    return Exif(_written(order, kept), orientation, inner)


def reduced(block: bytes | None) -> bytes | None:
    """Of a block that :func:`read_exif` gave, the tags that a public specification names and that stay true."""
    order, parts = _parts(block)
    if order is None:
        return None
    lists = (_FIRST, _PROPER, _PLACE, frozenset({1, 2}))
    return _written(order, [_kept(part, names.__contains__) for part, names in zip(parts, lists, strict=True)])


def edited(
    block: bytes | None,
    size: tuple[int, int],
    rewrite: Callable[[str], str | None],
    software: str | None = None,
    when: str | None = None,
) -> bytes | None:
    """The block of an edited photo of our own kind (see :func:`read_exif`).

    Args:
        size: ``(width, height)`` of the photo as it is written.
        rewrite: gives what is left of a text, None when nothing is.
        software: what made the edit; None leaves the field as it is.
        when: the time of the edit, as EXIF spells it.
    """
    order, parts = _parts(block)
    if order is None:
        if software is None:
            return None
        order, parts = "<", [{}, {}, {}, {}]
    for part in parts[:2]:
        for tag, value in list(part.items()):
            text = _text(tag, value)
            if text is None or tag in (0x013B, 0x8298, 0x010F, 0x0110):  # artist, rights, make and model
                continue
            pieces = text.split(";") if tag == KEYWORDS else [text]
            after = ";".join(new for piece in pieces if (new := rewrite(piece)))
            if after != text:
                part.pop(tag)
                if after:
                    part[tag] = _retyped(tag, after)
    for tag, number in ((_WIDTH, size[0]), (_HEIGHT, size[1])):
        if tag in parts[1]:
            parts[1][tag] = packed(order, 4, number)
    if software is not None:
        parts[0][SOFTWARE] = text_field(software)
        if when is not None:
            parts[0][DATE] = text_field(when)
    return _written(order, parts)


def texts(block: bytes | None) -> list[str]:
    """Every text of a block."""
    _, parts = _parts(block)
    return [text for part in parts for tag, value in part.items() if (text := _text(tag, value)) is not None]


def _parts(block: bytes | None) -> tuple[str | None, list[Directory]]:
    """The byte order, and the four directories (first, EXIF, place, interoperability)."""
    order = byte_order(block) if block else None
    if block is None or order is None:
        return None, [{}, {}, {}, {}]
    first = directory(block, order, pointer(block, order, 4))
    proper, place = (_child(block, order, first, tag) for tag in (_EXIF, _GPS))
    interop = _child(block, order, proper, _INTEROP)
    pointers = (_EXIF, _GPS, _INTEROP)
    return order, [{t: f for t, f in d.items() if t not in pointers} for d in (first, proper, place, interop)]


def _written(order: str, parts: list[Directory]) -> bytes | None:
    first, proper, place, interop = parts
    if not any(parts):
        return None
    return _block(order, first, {_EXIF: proper, _GPS: place, _INTEROP: interop if proper else {}})


def _child(block: bytes, order: str, parent: Directory, tag: int) -> Directory:
    link = parent.get(tag)
    numbers = link.numbers(order) if link else ()
    return directory(block, order, int(numbers[0])) if numbers else {}


def _kept(fields: Directory, allowed: Callable[[int], bool]) -> Directory:
    return {tag: kept for tag, value in fields.items() if allowed(tag) and (kept := _safe(tag, value)) is not None}


def _short(parts: list[Directory]) -> list[Directory]:
    """The directories without what, dealt out to many tags, could be a picture."""
    texts = {(i, tag): text for i, part in enumerate(parts) for tag, f in part.items() if (text := _text(tag, f))}
    drop = {place for place, text in texts.items() if opaque([text])} if opaque(texts.values()) > MOST_OPAQUE else set()
    lists = (_FIRST, _PROPER, _PLACE, frozenset({1, 2}))
    others = {
        (i, tag): len(field.raw)
        for i, (part, names) in enumerate(zip(parts, lists, strict=True))
        for tag, field in part.items()
        if tag not in names and (i, tag) not in texts
    }
    if sum(others.values()) > _MOST_OTHER:
        drop |= set(others)
    return [{tag: field for tag, field in part.items() if (i, tag) not in drop} for i, part in enumerate(parts)]


def _safe(tag: int, value: Field) -> Field | None:
    """The field when it is plain text or a few numbers."""
    text = _text(tag, value)
    if text is not None:
        if not text or not is_plain(text):
            return None
        # Written anew from the text that was judged: bytes behind its end are not text.
        return value if tag == 0x8298 and value.kind == TEXT else _retyped(tag, text)
    listed = tag in _FIRST or tag in _PROPER or tag in _PLACE
    most = _FEW_BYTES if value.kind in (1, BYTES) else _COUNTS.get(tag, 1) if listed else _MOST
    return value if value.count <= most else None


def _text(tag: int, value: Field) -> str | None:
    if tag in _COMMENTS and value.kind in (BYTES, TEXT):
        code, raw = value.raw[:8], value.raw[8:]
        if code.startswith(b"UNICODE"):
            return _utf16(raw, "utf-16-be" if raw[:1] == b"\0" or raw[:2] == b"\xfe\xff" else "utf-16-le")
        return decoded(raw if code.rstrip(b"\0 ") in (b"", b"ASCII", b"JIS") else value.raw)
    if tag in _WINDOWS and value.kind in (1, BYTES, TEXT):
        return _utf16(value.raw, "utf-16-le")
    if value.kind not in (TEXT, UTF8):
        return None
    # Of the rights, the photographer's and the editor's are separated by a zero.
    return decoded(value.raw.rstrip(b"\0").replace(b"\0", b"\n") if tag == 0x8298 else value.raw)


def _utf16(raw: bytes, codec: str) -> str:
    text = raw[: len(raw) // 2 * 2].decode(codec, "replace").replace("\ufeff", "").split("\0")[0]
    return text.encode("utf-8", "replace").decode()


def _retyped(tag: int, text: str) -> Field:
    if tag in _COMMENTS:
        raw = b"UNICODE\0" + text.encode("utf-16-le")
        return Field(BYTES, len(raw), raw)
    if tag in _WINDOWS:
        raw = text.encode("utf-16-le") + b"\0\0"
        return Field(1, len(raw), raw)
    return text_field(text)
