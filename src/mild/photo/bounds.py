"""What a TIFF says of itself, checked before a decoder follows it.

Pillow follows a chain of directories in quadratic time, and shows strips that are missing as black: two kilobytes
become a black photo of 288 megapixels.
"""

from __future__ import annotations

import os
import struct
from typing import IO

#: Directories of one file: a scan of many pages has more, and is refused for its pages anyway.
MOST_DIRECTORIES = 64
_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}
_NUMBERS = {1: "B", 3: "H", 4: "I", 13: "I", 16: "Q", 18: "Q"}
_WIDTH, _HEIGHT, _COMPRESSION, _SAMPLES, _ROWS, _PLANAR = 256, 257, 259, 277, 278, 284
_STRIPS, _STRIP_BYTES, _TILE_WIDTH, _TILE_HEIGHT, _TILES, _TILE_BYTES = 273, 279, 322, 323, 324, 325


def check_tiff(file: IO[bytes]) -> None:
    """Refuse a TIFF with too many directories, or whose first picture is not all there; the file's place is kept.

    Raises:
        ValueError: with what is wrong.
    """
    at = file.tell()
    try:
        size = file.seek(0, os.SEEK_END)
        order, big = _header(file)
        first = _first(file, order, big)
        seen: set[int] = set()
        link, total = first, 0
        while link:
            if link in seen or len(seen) >= MOST_DIRECTORIES:
                raise ValueError(f"it has more than {MOST_DIRECTORIES} directories, or a circle of them")
            seen.add(link)
            tags, link, held = _directory(file, link, order, big, size, wanted=link == first)
            total += held
            if total > 2 * size:
                raise ValueError("its directories name more bytes than the file has")
            if len(seen) == 1:
                _check_strips(tags, size)
    finally:
        file.seek(at)


def _header(file: IO[bytes]) -> tuple[str, bool]:
    file.seek(0)
    head = file.read(4)
    return ("<" if head[:2] == b"II" else ">"), 43 in head[2:4]


def _first(file: IO[bytes], order: str, big: bool) -> int:
    file.seek(8 if big else 4)
    return int(_unpack(file, order + ("Q" if big else "I")))


def _directory(
    file: IO[bytes], at: int, order: str, big: bool, size: int, *, wanted: bool
) -> tuple[dict[int, tuple[int, ...]], int, int]:
    """The whole numbers of a directory (when ``wanted``), where the next one lies, and the bytes of all its values."""
    file.seek(at)
    count = int(_unpack(file, order + ("Q" if big else "H")))
    entry = 20 if big else 12
    if count * entry > size:
        raise ValueError("a directory is larger than the file")
    data = file.read(count * entry)
    if len(data) < count * entry:
        raise ValueError("a directory is cut short")
    tail = file.read(8 if big else 4)
    # Some writers leave the last link out.
    following = struct.unpack(order + ("Q" if big else "I"), tail)[0] if len(tail) == (8 if big else 4) else 0
    tags: dict[int, tuple[int, ...]] = {}
    held = 0
    for start in range(0, len(data), entry):
        tag, kind = struct.unpack_from(order + "HH", data, start)
        (many,) = struct.unpack_from(order + ("Q" if big else "I"), data, start + 4)
        # A decoder reads them all; each may name all of the file.
        length = many * _SIZES.get(kind, 1)
        held += length if length <= size else 0
        if not wanted or kind not in _NUMBERS or not many or tag not in _READ:
            continue
        if length > size:
            raise ValueError("a list of numbers is larger than the file")
        inline = start + (12 if big else 8)
        if length <= (8 if big else 4):
            raw = data[inline : inline + length]
        else:
            file.seek(struct.unpack_from(order + ("Q" if big else "I"), data, inline)[0])
            raw = file.read(length)
        if len(raw) == length:
            tags[tag] = struct.unpack(f"{order}{many}{_NUMBERS[kind]}", raw)
    return tags, int(following), held


_READ = frozenset({_WIDTH, _HEIGHT, _SAMPLES, _ROWS, _PLANAR, _STRIPS, _STRIP_BYTES})
_READ |= {_TILE_WIDTH, _TILE_HEIGHT, _TILES, _TILE_BYTES}


def _check_strips(tags: dict[int, tuple[int, ...]], size: int) -> None:
    """All strips or tiles that the picture needs must be named, and lie in the file."""
    if _WIDTH not in tags or _HEIGHT not in tags:
        return  # the decoder says so
    width, height = tags[_WIDTH][0], tags[_HEIGHT][0]
    if _TILES in tags:
        across, down = max(1, tags.get(_TILE_WIDTH, (0,))[0]), max(1, tags.get(_TILE_HEIGHT, (0,))[0])
        needed = -(-width // across) * -(-height // down)
        offsets, lengths = tags[_TILES], tags.get(_TILE_BYTES)
    elif _STRIPS in tags:
        rows = min(max(1, tags.get(_ROWS, (height,))[0]), max(1, height))
        needed = -(-height // rows)
        offsets, lengths = tags[_STRIPS], tags.get(_STRIP_BYTES)
    else:
        raise ValueError("it names no strips and no tiles")
    if tags.get(_PLANAR, (1,))[0] == 2:
        needed *= tags.get(_SAMPLES, (1,))[0]
    if len(offsets) < needed:
        raise ValueError(f"{needed - len(offsets)} of its {needed} strips are missing")
    if max(offsets) >= size:
        raise ValueError("strips lie outside the file")
    if lengths is not None and any(a + b > size for a, b in zip(offsets, lengths, strict=False)):
        raise ValueError("a strip is cut short")


def _unpack(file: IO[bytes], form: str) -> int:
    data = file.read(struct.calcsize(form))
    if len(data) < struct.calcsize(form):
        raise ValueError("it is cut short")
    return int(struct.unpack(form, data)[0])
