"""How a stack is described in a file, so that it comes back equal: one JSON and a few PNG, whatever the container.

A container (folder, zip, OpenRaster, PSD) says where its pictures lie; the description names them, and
:func:`unpack` reads them through a function ``name -> bytes``.
"""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, PngImagePlugin

from mild.errors import MildError
from mild.layers import Layer, LayerStack
from mild.people.scene import Box
from mild.photo.formats import MAX_PIXELS, decode_png
from mild.photo.icc import clean_icc
from mild.photo.mark import Mark
from mild.reading import guarded, parse_json

FORMAT, VERSION = "mild-layers", 1
#: Where the description lies in a folder or a zip; OpenRaster keeps it beside its own files.
DESCRIPTION = "layers.json"
#: A stack that is read: bytes of its pictures as packed, layers, and how many times they may cover the photo.
LARGEST, MOST_LAYERS, MOST_COVER = 4 * 2**30, 1000, 8
#: Gives a picture by its name, of one of the sizes (height, width).
Fetch = Callable[[str, Collection[tuple[int, int]]], NDArray[np.uint8]]
#: zlib level: a third of the default's time for a file a few per cent larger.
LEVEL = 3


@dataclass(frozen=True)
class Colour:
    """What a written picture says of itself.

    Attributes:
        icc: colour profile.
        dpi: resolution in dots per inch.
        mark: who made the layers; None when nothing is said of it.
        xmp: the mark as a packet.
        edited: the stack's photo is not the original any more.
    """

    icc: bytes | None = None
    dpi: tuple[float, float] | None = None
    mark: Mark | None = None
    xmp: bytes | None = None
    edited: bool = False

    @property
    def of_photo(self) -> Colour:
        """What the stack's photo says: an original has no mark."""
        return self if self.edited else replace(self, mark=None, xmp=None)

    @property
    def mark_alone(self) -> Colour:
        """For pictures that only MILD, or a list of files, shows."""
        return replace(self, icc=None, dpi=None)


def png(pixels: NDArray[Any], colour: Colour | None = None) -> bytes:
    """An array as PNG: bool ``[h, w]`` in one bit, uint8 ``[h, w]``, ``[h, w, 3]`` or ``[h, w, 4]``."""
    buffer = io.BytesIO()
    options: dict[str, Any] = {}
    if colour is not None and colour.icc:
        options["icc_profile"] = colour.icc
    if colour is not None and colour.dpi:
        options["dpi"] = colour.dpi
    if colour is not None and colour.xmp:
        options["pnginfo"] = info = PngImagePlugin.PngInfo()
        info.add(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + colour.xmp)
    image = Image.fromarray(pixels.astype(np.uint8) * 255).convert("1") if pixels.dtype == bool else None
    (image or Image.fromarray(np.ascontiguousarray(pixels))).save(buffer, "png", compress_level=LEVEL, **options)
    return buffer.getvalue()


def stems(stack: LayerStack) -> list[str]:
    """A file name without suffix for each layer: ``fill``, ``person-2``, …"""
    out: list[str] = []
    for index, layer in enumerate(stack.layers):
        stem = "fill" if layer.kind == "background" else f"person-{layer.owner}"
        out.append(stem if stem not in out else f"{stem}-{index}")
    return out


def describe(stack: LayerStack, photo: str, rgba: list[str], colour: Colour) -> dict[str, Any]:
    """The JSON-able description; ``photo`` and ``rgba`` (one per layer) name pictures."""
    return {
        "format": FORMAT,
        "version": VERSION,
        "size": [stack.size[1], stack.size[0]],
        "photo": photo,
        "icc": None if colour.icc is None else base64.b64encode(colour.icc).decode(),
        "dpi": None if colour.dpi is None else list(colour.dpi),
        "mark": None if colour.mark is None else colour.mark.as_dict(),
        "hidden": sorted(stack.hidden),
        "raised": list(stack.raised),
        "layers": [
            {
                "kind": layer.kind,
                "owner": layer.owner,
                "name": layer.name,
                "box": list(layer.box),
                "rgba": picture,
                "generated": f"mild/{stem}.generated.png",
                "matte": None if layer.matte is None else f"mild/{stem}.matte.png",
            }
            for layer, picture, stem in zip(stack.layers, rgba, stems(stack), strict=True)
        ],
    }


def masks(stack: LayerStack, description: dict[str, Any]) -> Iterator[tuple[str, bytes]]:
    """The pictures only MILD needs, under the names of the description."""
    for layer, part in zip(stack.layers, description["layers"], strict=True):
        yield part["generated"], png(layer.generated)
        if layer.matte is not None:
            yield part["matte"], png(layer.matte)


def to_json(description: dict[str, Any]) -> bytes:
    return (json.dumps(description, indent=1, ensure_ascii=False) + "\n").encode()


def unpack(
    description: bytes, fetch: Fetch, where: str, *, photo: NDArray[np.uint8] | None = None
) -> tuple[LayerStack, Colour]:
    """The stack of a description, with the profile, the resolution and the mark it was written with.

    A stranger may have written it: every size is known before a picture is decoded, no picture serves twice, and all
    layers together are no larger than :data:`MOST_COVER` photos (or 64 megapixels).

    Args:
        description: the JSON.
        fetch: gives the pixels of a picture by its name; it may have one of the sizes ``(height, width)`` given, and
            must be refused before it is decoded if it has another.
        where: the file's name for the error's sentence.
        photo: the photo's pixels, where they lie elsewhere.

    Raises:
        MildError: it is not (whole and) ours.
    """
    with guarded(where, "a complete layered file of MILD"):
        data = parse_json(description)
        if data["format"] != FORMAT:
            raise ValueError("its format is another")
        if int(data["version"]) > VERSION:
            raise MildError(f"{where} was written by a newer MILD; update MILD to open it.")
        width, height = (_whole(n, MAX_PIXELS) for n in data["size"])
        if not 0 < width * height <= MAX_PIXELS:
            raise ValueError(f"{width} x {height} pixels")
        if photo is None:
            photo = fetch(str(data["photo"]), ((height, width),))[..., :3]
        _check(photo, ((height, width),), 3)
        # A stranger's profile could hold a picture.
        icc = None if data["icc"] is None else clean_icc(base64.b64decode(data["icc"], validate=True))
        dpi = None if data["dpi"] is None else _dpi(*data["dpi"])
        parts = data["layers"]
        if len(parts) > MOST_LAYERS:
            raise ValueError(f"{len(parts)} layers")
        boxes = [_box(part["box"], width, height) for part in parts]
        if sum(box.area for box in boxes) > max(64_000_000, MOST_COVER * width * height):
            raise ValueError("its layers are far larger than the photo")
        names = [str(part[key]) for part in parts for key in ("rgba", "generated", "matte") if part[key] is not None]
        if len(set(names)) < len(names):
            raise ValueError("two layers name the same picture")
        layers = tuple(_layer(part, box, (height, width), fetch) for part, box in zip(parts, boxes, strict=True))
        if sum(layer.kind == "background" for layer in layers) != 1:
            raise ValueError("it has no background, or several")
        owners = [layer.owner for layer in layers if layer.kind == "person"]
        if None in owners or len(set(owners)) < len(owners):
            raise ValueError("two layers are of one person, or one is of nobody")
        hidden, raised = ([_whole(n, 10**6) for n in data[key]] for key in ("hidden", "raised"))
        if not {*hidden, *raised} <= set(owners):
            raise ValueError("it hides or raises a person without a layer")
        return LayerStack(np.ascontiguousarray(photo), layers, frozenset(hidden), tuple(raised)), Colour(
            icc, dpi, Mark.of_dict(data.get("mark"))
        )


def _layer(part: Any, box: Box, size: tuple[int, int], fetch: Fetch) -> Layer:
    if part["kind"] not in ("background", "person"):
        raise ValueError(f"unknown layer kind {part['kind']}")
    window = (box.height, box.width)
    rgba = fetch(str(part["rgba"]), (window, size))
    _check(rgba, (window, size), 4)
    if rgba.shape[:2] != window:
        rgba = rgba[box.slices]
    matte = None if part["matte"] is None else fetch(str(part["matte"]), (window,))
    generated = fetch(str(part["generated"]), (window,))
    for mask in (generated, *(() if matte is None else (matte,))):
        _check(mask, (window,), None)
    owner = None if part["owner"] is None else _whole(part["owner"], 10**6)
    # Copied: a window of a full-frame picture would hold all of it in memory.
    return Layer(part["kind"], owner, str(part["name"])[:1000], box, rgba.copy(), generated > 127, matte)


def pixels_of(data: bytes, sizes: Collection[tuple[int, int]]) -> NDArray[np.uint8]:
    """A PNG as uint8 ``[h, w]``, ``[h, w, 3]`` or ``[h, w, 4]``.

    Raises:
        ValueError: it has none of the ``sizes`` (height, width), or is of another kind.
    """
    # No other format by accident, our own limits instead of Pillow's; and no profile, which may be too long for Pillow.
    with decode_png(data) as image:
        if (image.height, image.width) not in sizes:
            raise ValueError(f"a picture is {image.width} x {image.height}, which does not fit")
        if image.mode not in ("1", "L", "RGB", "RGBA"):
            raise ValueError(f"a picture has the unexpected mode {image.mode}")
        return np.array(image.convert("L") if image.mode == "1" else image, np.uint8)


def _check(array: NDArray[np.uint8], sizes: Collection[tuple[int, int]], channels: int | None) -> None:
    if array.shape[:2] not in sizes or array.shape[2:] != (() if channels is None else (channels,)):
        raise ValueError(f"a picture has the shape {list(array.shape)}")


def _box(values: Any, width: int, height: int) -> Box:
    box = Box(*(_whole(n, MAX_PIXELS) for n in values))
    if not (0 <= box.x0 < box.x1 <= width and 0 <= box.y0 < box.y1 <= height):
        raise ValueError(f"the box {tuple(box)} is empty or leaves the photo")
    return box


def _whole(value: Any, most: int) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= most:
        raise ValueError("a number is not whole, or too large")
    return value


def _dpi(x: Any, y: Any) -> tuple[float, float]:
    found = float(x), float(y)
    if not all(0 < value < 1e6 for value in found):
        raise ValueError("the resolution is no number of dots per inch")
    return found
