"""How a stack is described in a file, so that it comes back equal: one JSON and a few PNG, whatever the container.

A container (folder, zip, OpenRaster, PSD) says where its pictures lie; the description names them, and
:func:`unpack` reads them through a function ``name -> bytes``.
"""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mild.errors import MildError
from mild.layers import Layer, LayerStack
from mild.people.scene import Box

FORMAT, VERSION = "mild-layers", 1
#: Where the description lies in a folder or a zip; OpenRaster keeps it beside its own files.
DESCRIPTION = "layers.json"
#: zlib level: a third of the default's time for a file a few per cent larger.
LEVEL = 3


@dataclass(frozen=True)
class Colour:
    """What a written picture says of itself: ICC profile and resolution in dots per inch."""

    icc: bytes | None = None
    dpi: tuple[float, float] | None = None


def png(pixels: NDArray[Any], colour: Colour | None = None) -> bytes:
    """An array as PNG: bool ``[h, w]`` in one bit, uint8 ``[h, w]``, ``[h, w, 3]`` or ``[h, w, 4]``."""
    buffer = io.BytesIO()
    options: dict[str, Any] = {}
    if colour is not None and colour.icc:
        options["icc_profile"] = colour.icc
    if colour is not None and colour.dpi:
        options["dpi"] = colour.dpi
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
    for layer, row in zip(stack.layers, description["layers"], strict=True):
        yield row["generated"], png(layer.generated)
        if layer.matte is not None:
            yield row["matte"], png(layer.matte)


def to_json(description: dict[str, Any]) -> bytes:
    return (json.dumps(description, indent=1, ensure_ascii=False) + "\n").encode()


def unpack(description: bytes, read: Callable[[str], NDArray[np.uint8]], where: str) -> tuple[LayerStack, Colour]:
    """The stack of a description, and the profile and resolution it was written with.

    Args:
        description: the JSON.
        read: gives the pixels of a picture by its name; raises KeyError or OSError when there is none.
        where: the file's name for the error's sentence.
    """
    try:
        data = json.loads(description)
        if data["format"] != FORMAT or data["version"] > VERSION:
            raise MildError(f"{where} was written by a newer MILD; update MILD to open it.")
        width, height = (int(n) for n in data["size"])
        photo = _fit(read(data["photo"])[..., :3], (height, width))
        icc = None if data["icc"] is None else base64.b64decode(data["icc"])
        dpi = None if data["dpi"] is None else (float(data["dpi"][0]), float(data["dpi"][1]))
        layers = []
        for row in data["layers"]:
            box = Box(*(int(n) for n in row["box"]))
            if not (0 <= box.x0 <= box.x1 <= width and 0 <= box.y0 <= box.y1 <= height):
                raise ValueError(f"box {tuple(box)} leaves the photo")
            if row["kind"] not in ("background", "person"):
                raise ValueError(f"unknown layer kind {row['kind']}")
            rgba = read(row["rgba"])
            if rgba.shape[:2] != (box.height, box.width) and rgba.shape[:2] == (height, width):
                rgba = rgba[box.slices]
            size = (box.height, box.width)
            if rgba.ndim != 3 or rgba.shape[2] != 4:
                raise ValueError(f"{row['rgba']} has no alpha")
            matte = None if row["matte"] is None else _fit(read(row["matte"]), size)
            generated = _fit(read(row["generated"]), size) > 127
            owner = None if row["owner"] is None else int(row["owner"])
            rgba = np.ascontiguousarray(_fit(rgba, size))
            layers.append(Layer(row["kind"], owner, str(row["name"]), box, rgba, generated, matte))
        if not any(layer.kind == "background" for layer in layers):
            raise ValueError("no background")
        hidden, raised = (tuple(int(n) for n in data[key]) for key in ("hidden", "raised"))
        if not {*hidden, *raised} <= {layer.owner for layer in layers}:
            raise ValueError("it hides or raises a person without a layer")
        stack = LayerStack(photo, tuple(layers), frozenset(hidden), raised)
        return stack, Colour(icc, dpi)
    except (KeyError, TypeError, ValueError, OSError, IndexError) as error:
        detail = " ".join(str(error).split()).rstrip(".")
        raise MildError(f"{where} is not a complete layered file of MILD ({detail}).") from None


def pixels_of(data: bytes) -> NDArray[np.uint8]:
    """A PNG as uint8 ``[h, w]``, ``[h, w, 3]`` or ``[h, w, 4]``."""
    with Image.open(io.BytesIO(data)) as image:
        if image.mode not in ("1", "L", "RGB", "RGBA"):
            raise ValueError(f"a picture has the unexpected mode {image.mode}")
        return np.array(image.convert("L") if image.mode == "1" else image, np.uint8)


def _fit(array: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    if array.shape[:2] != size:
        raise ValueError(f"a picture is {array.shape[1]} x {array.shape[0]}, not {size[1]} x {size[0]}")
    return np.ascontiguousarray(array)
