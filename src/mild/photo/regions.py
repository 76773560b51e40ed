"""Faces and other regions that metadata names: turned with the pixels, removed with who is erased.

Read and written: regions of the Metadata Working Group (centre and size), of Microsoft (corner and size, in one text),
of ACDSee (as MWG's) and of IPTC (rectangle, circle, polygon). Coordinates are fractions of the picture.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mild.photo.allowed import EXT
from mild.photo.xmp import Array, Name, Value, Xmp, leaves

MWG = "http://www.metadataworkinggroup.com/schemas/regions/"
AREA = "http://ns.adobe.com/xmp/sType/Area#"
DIM = "http://ns.adobe.com/xap/1.0/sType/Dimensions#"
MP = "http://ns.microsoft.com/photo/1.2/"
MPRI = "http://ns.microsoft.com/photo/1.2/t/RegionInfo#"
MPREG = "http://ns.microsoft.com/photo/1.2/t/Region#"
ACD = "http://ns.acdsee.com/regions/"
ACD_AREA = "http://ns.acdsee.com/sType/Area#"
#: A region goes when its centre is erased, or this much of it.
ERASED = 0.4
#: How far two aspect ratios may differ and still be the same picture's.
_SAME_SHAPE = 0.03

Struct = dict[Name, Any]


@dataclass(frozen=True)
class Rectangle:
    """Centre and size as fractions of the picture."""

    x: float
    y: float
    w: float
    h: float

    def turned(self, orientation: int) -> Rectangle:
        """Where it lies after the picture was turned upright from this EXIF orientation."""
        x, y = turned_point(self.x, self.y, orientation)
        return Rectangle(x, y, *((self.h, self.w) if orientation >= 5 else (self.w, self.h)))

    def erased(self, mask: NDArray[np.bool_]) -> bool:
        """Does it lie in ``mask [H, W]``?"""
        height, width = mask.shape
        x, y = int(self.x * width), int(self.y * height)
        if 0 <= x < width and 0 <= y < height and mask[y, x]:
            return True
        x0, x1 = (min(max(round((self.x + s * self.w / 2) * width), 0), width) for s in (-1, 1))
        y0, y1 = (min(max(round((self.y + s * self.h / 2) * height), 0), height) for s in (-1, 1))
        inside = mask[y0:y1, x0:x1]
        return bool(inside.size and inside.mean() >= ERASED)


def turned_point(x: float, y: float, orientation: int) -> tuple[float, float]:
    """A point of the stored picture in the upright one."""
    return {
        2: (1 - x, y), 3: (1 - x, 1 - y), 4: (x, 1 - y), 5: (y, x), 6: (1 - y, x), 7: (1 - y, 1 - x), 8: (y, 1 - x),
    }.get(orientation, (x, y))  # fmt: skip


def turn_regions(xmp: Xmp, orientation: int, stored: tuple[int, int]) -> Xmp:
    """The packet with its regions as they lie in the upright picture.

    Args:
        stored: ``(width, height)`` of the picture before it was turned. Regions that were drawn on a picture of
            another shape are left out: nobody can say where they lie. Those drawn on the upright one stay.
    """
    upright = stored[::-1] if orientation >= 5 else stored

    def on_picture(item: Struct, place: Rectangle, kind: str, drawn: tuple[float, float] | None) -> Struct | None:
        turn = orientation
        if drawn is not None and min(drawn) > 0 and not _alike(drawn, stored):
            if not _alike(drawn, upright):
                return None
            turn = 1
        return _WRITERS[kind](item, place, turn, stored)

    return _each_region(xmp, on_picture, upright)


def erase_regions(xmp: Xmp, mask: NDArray[np.bool_]) -> tuple[Xmp, int, frozenset[str]]:
    """The packet of an upright picture without the regions in ``mask [H, W]``.

    Returns:
        The packet, how many regions went, and the names that no remaining region bears (as they were spelled).
    """
    gone: set[str] = set()
    stay: set[str] = set()
    count = 0

    def check(item: Struct, place: Rectangle, kind: str, drawn: tuple[float, float] | None) -> Struct | None:
        nonlocal count
        if place.erased(mask):
            count += 1
            gone.update(region_names(item))
            return None
        stay.update(name.casefold() for name in region_names(item))
        return item

    height, width = mask.shape
    after = _each_region(xmp, check, (width, height))
    return after, count, frozenset(name for name in gone if name.casefold() not in stay)


def region_names(item: Struct) -> set[str]:
    """The names that a region gives: of the person, not of its type."""
    found: set[str] = set()
    for (space, local), value in item.items():
        if (local in ("Name", "PersonDisplayName", "PersonInImage", "PersonName")) and space in (MWG, MPREG, ACD, EXT):
            found.update(text.strip() for text in leaves(value))
        elif isinstance(value, dict):
            found |= region_names(value)
        elif isinstance(value, Array) and local == "PersonInImageWDetails":
            for _, inner in value.items:
                found |= region_names(inner) if isinstance(inner, dict) else set()
    return {name for name in found if len(name) > 1}


Change = Callable[[Struct, Rectangle, str, tuple[float, float] | None], Struct | None]


def _each_region(xmp: Xmp, change: Change, size: tuple[int, int]) -> Xmp:
    """Put every region through ``change``; one whose place cannot be read is left out, and so are empty lists."""
    properties = dict(xmp.properties)
    for space, local, listed, kind in (
        (MWG, "Regions", (MWG, "RegionList"), "mwg"),
        (ACD, "Regions", (ACD, "RegionList"), "acdsee"),
        (MP, "RegionInfo", (MPRI, "Regions"), "microsoft"),
    ):
        info = properties.pop((space, local), None)
        if not isinstance(info, dict):
            continue
        drawn = _dimensions(info.get((space, "AppliedToDimensions")))
        regions = _changed(info.get(listed), change, kind, drawn, size)
        if regions is None:
            continue
        new: Struct = {listed: regions}
        if kind != "microsoft":
            new = {(space, "AppliedToDimensions"): _written_size(size), **new}
        properties[space, local] = new
    regions = _changed(properties.pop((EXT, "ImageRegion"), None), change, "iptc", None, size)
    if regions is not None:
        properties[EXT, "ImageRegion"] = regions
    return Xmp(properties, xmp.prefixes)


def _changed(
    value: Value | None, change: Change, kind: str, drawn: tuple[float, float] | None, size: tuple[int, int]
) -> Array | None:
    if isinstance(value, dict):  # one region without a list
        value = Array("Bag", ((None, value),))
    if not isinstance(value, Array):
        return None
    items = []
    for _, item in value.items:
        place = _place(item, kind, size, drawn) if isinstance(item, dict) else None
        after = change(item, place, kind, drawn) if isinstance(item, dict) and place is not None else None
        if after is not None:
            items.append((None, after))
    return Array(value.kind, tuple(items)) if items else None


def _place(item: Struct, kind: str, size: tuple[int, int], drawn: tuple[float, float] | None) -> Rectangle | None:
    """Where a region lies, or None; ``drawn`` is the size of the picture on which it was drawn, if that is said."""
    try:
        if kind == "microsoft":
            x, y, w, h = (float(part) for part in str(item[MPREG, "Rectangle"]).split(","))
            place = Rectangle(x + w / 2, y + h / 2, w, h)
        elif kind == "iptc":
            place = _boundary(item[EXT, "RegionBoundary"], size)
        else:
            space, area = (AREA, item[MWG, "Area"]) if kind == "mwg" else (ACD_AREA, _acdsee_area(item))
            place = _area(area, space, drawn or size)
    except (KeyError, TypeError, ValueError):
        return None
    return place if all(np.isfinite(v) and abs(v) < 100 for v in (place.x, place.y, place.w, place.h)) else None


def _area(area: Struct, space: str, drawn: tuple[float, float]) -> Rectangle:
    if not isinstance(area, dict):
        raise ValueError
    # The specification knows fractions only; some programs write pixels, and say so.
    wide, high = drawn if area.get((space, "unit")) == "pixel" and min(drawn) > 0 else (1, 1)

    def number(key: str) -> float | None:
        return float(area[space, key]) if (space, key) in area else None

    x, y, w, h, d = (number(key) for key in "xywhd")
    if x is None or y is None:
        raise ValueError
    w, h = w if w is not None else d or 0.0, h if h is not None else d or 0.0
    return Rectangle(x / wide, y / high, w / wide, h / high)


def _acdsee_area(item: Struct) -> Struct:
    found = item.get((ACD, "DLYArea")) or item[ACD, "ALGArea"]
    if not isinstance(found, dict):
        raise ValueError
    return found


def _boundary(bounds: Struct, size: tuple[int, int]) -> Rectangle:
    """The rectangle around an IPTC region boundary, as fractions."""
    unit_x, unit_y = size if bounds.get((EXT, "rbUnit")) == "pixel" else (1, 1)

    def number(fields: Struct, key: str) -> float:
        return float(fields[EXT, key])

    shape = bounds.get((EXT, "rbShape"), "rectangle")
    if shape == "polygon":
        points = [(number(p, "rbX"), number(p, "rbY")) for _, p in bounds[EXT, "rbVertices"].items]
        xs, ys = [x / unit_x for x, _ in points], [y / unit_y for _, y in points]
        return Rectangle(
            (min(xs) + max(xs)) / 2, (min(ys) + max(ys)) / 2, max(xs) - min(xs), max(ys) - min(ys)
        )  # fmt: skip
    x, y = number(bounds, "rbX") / unit_x, number(bounds, "rbY") / unit_y
    if shape == "circle":
        radius = number(bounds, "rbRx") / unit_x
        return Rectangle(x, y, 2 * radius, 2 * radius * size[0] / size[1])
    w, h = number(bounds, "rbW") / unit_x, number(bounds, "rbH") / unit_y
    return Rectangle(x + w / 2, y + h / 2, w, h)


def _write_area(space: str, name: Name) -> Callable[[Struct, Rectangle, int, tuple[int, int]], Struct]:
    def write(item: Struct, place: Rectangle, turn: int, stored: tuple[int, int]) -> Struct:
        if turn == 1 and item.get(name, {}).get((space, "unit")) != "pixel":
            return item
        at = place.turned(turn)
        new = {
            key: value for key, value in item.items() if key not in (name, (ACD, "DLYArea"), (ACD, "ALGArea"))
        }  # fmt: skip
        fields = {"x": at.x, "y": at.y, "w": at.w, "h": at.h}
        area = {(space, key): _decimal(number) for key, number in fields.items()}
        if space == AREA:
            area[space, "unit"] = "normalized"
        return {name: area, **new}

    return write


def _write_microsoft(item: Struct, place: Rectangle, turn: int, stored: tuple[int, int]) -> Struct:
    at = place.turned(turn)
    corner = ", ".join(_decimal(v) for v in (at.x - at.w / 2, at.y - at.h / 2, at.w, at.h))
    return {**item, (MPREG, "Rectangle"): corner} if turn != 1 else item


def _write_iptc(item: Struct, place: Rectangle, turn: int, stored: tuple[int, int]) -> Struct:
    if turn == 1:
        return item
    # Written as the rectangle around it, relative: a shape that every reader knows.
    at = place.turned(turn)
    bounds = {"rbShape": "rectangle", "rbUnit": "relative", "rbX": _decimal(at.x - at.w / 2)}
    bounds |= {"rbY": _decimal(at.y - at.h / 2), "rbW": _decimal(at.w), "rbH": _decimal(at.h)}
    return {**item, (EXT, "RegionBoundary"): {(EXT, key): text for key, text in bounds.items()}}


_WRITERS: dict[str, Callable[[Struct, Rectangle, int, tuple[int, int]], Struct]] = {
    "mwg": _write_area(AREA, (MWG, "Area")),
    "acdsee": _write_area(ACD_AREA, (ACD, "DLYArea")),
    "microsoft": _write_microsoft,
    "iptc": _write_iptc,
}


def _dimensions(value: Value | None) -> tuple[float, float] | None:
    try:
        return (float(value[DIM, "w"]), float(value[DIM, "h"])) if isinstance(value, dict) else None
    except (KeyError, TypeError, ValueError):
        return None


def _written_size(size: tuple[int, int]) -> Struct:
    return {(DIM, "w"): str(size[0]), (DIM, "h"): str(size[1]), (DIM, "unit"): "pixel"}


def _alike(drawn: tuple[float, float], size: tuple[int, int]) -> bool:
    return abs(drawn[0] * size[1] / (drawn[1] * size[0]) - 1) <= _SAME_SHAPE


def _decimal(value: float) -> str:
    return f"{value:.6f}".rstrip("0").rstrip(".")
