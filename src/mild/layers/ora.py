"""OpenRaster, a zip of PNG that GIMP, Krita and MyPaint open.

https://www.openraster.org/baseline/file-layout-spec.html
"""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import IO
from xml.etree import ElementTree

import cv2
import numpy as np
from numpy.typing import NDArray

from mild.errors import MildError
from mild.layers import LayerStack, pack
from mild.layers.sheets import Group, Sheet, sheets_of
from mild.reading import Archive, guarded

DESCRIPTION = "mild/layers.json"
#: OpenRaster's limit for the thumbnail's long side.
THUMBNAIL = 256


def write(stack: LayerStack, out: IO[bytes], colour: pack.Colour) -> None:
    """Write the stack as OpenRaster to an open binary file."""
    tree = sheets_of(stack)
    with zipfile.ZipFile(out, "w") as archive:
        # The specification wants this entry first and uncompressed, so that `file` knows the type from the first bytes.
        _add(archive, "mimetype", b"image/openraster")
        root = ElementTree.Element("image", version="0.0.3", w=str(stack.size[1]), h=str(stack.size[0]))
        if colour.dpi:
            root.set("xres", str(round(colour.dpi[0])))
            root.set("yres", str(round(colour.dpi[1])))
        pictures: list[str | None] = [None] * len(stack.layers)
        photo = _stack(tree, ElementTree.SubElement(root, "stack"), archive, colour, pictures)
        _add(archive, "stack.xml", ElementTree.tostring(root, "utf-8", xml_declaration=True))
        merged = stack.compose()
        said = colour if stack.hidden or stack.raised else colour.of_photo
        _add(archive, "mergedimage.png", pack.png(merged, said))
        _add(archive, "Thumbnails/thumbnail.png", pack.png(thumbnail(merged, THUMBNAIL), said.mark_alone))
        for index, stem in enumerate(pack.stems(stack)):
            if pictures[index] is None:
                pictures[index] = f"mild/{stem}.png"
                _add(archive, f"mild/{stem}.png", pack.png(stack.layers[index].rgba, colour.mark_alone))
        description = pack.describe(stack, photo, [name or "" for name in pictures], colour)
        for name, data in pack.masks(stack, description):
            _add(archive, name, data)
        _add(archive, DESCRIPTION, pack.to_json(description), zipfile.ZIP_DEFLATED)


def read(path: Path) -> tuple[LayerStack, pack.Colour]:
    """The stack of an OpenRaster file that :func:`write` wrote."""
    with guarded(path.name, "an OpenRaster file"), Archive(path, pack.LARGEST) as archive:
        if DESCRIPTION not in archive:
            raise MildError(f"{path.name} is OpenRaster, but not by MILD: it lacks {DESCRIPTION}.")
        return pack.unpack(
            archive.read(DESCRIPTION), lambda name, sizes: pack.pixels_of(archive.read(name), sizes), path.name
        )


def thumbnail(rgb: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    """The picture with its long side at most ``side`` pixels."""
    height, width = rgb.shape[:2]
    scale = side / max(height, width)
    if scale >= 1:
        return rgb
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    return np.asarray(cv2.resize(rgb, size, interpolation=cv2.INTER_AREA), np.uint8)


def _stack(
    tree: tuple[Sheet | Group, ...],
    parent: ElementTree.Element,
    archive: zipfile.ZipFile,
    colour: pack.Colour,
    pictures: list[str | None],
) -> str:
    """Write the pictures of a tree and its XML; the name of the first (rearmost) picture is returned."""
    first = ""
    nodes: list[ElementTree.Element] = []
    for node in tree:
        visibility = "visible" if node.visible else "hidden"
        if isinstance(node, Group):
            element = ElementTree.Element("stack", name=node.name, visibility=visibility, opacity="1.0")
            name = _stack(node.children, element, archive, colour, pictures)
        else:
            name = f"data/{len([n for n in archive.namelist() if n.startswith('data/')]):03d}.png"
            element = ElementTree.Element(
                "layer", name=node.name, src=name, x=str(node.box.x0), y=str(node.box.y0), visibility=visibility,
                opacity="1.0",
            )  # fmt: skip
            element.set("composite-op", "svg:src-over")
            # The rearmost picture is the photo itself.
            _add(archive, name, pack.png(node.rgba, colour if name != "data/000.png" else colour.of_photo))
            if node.layer is not None:
                pictures[node.layer] = name
        nodes.append(element)
        first = first or name
    # OpenRaster lists the front layer first.
    parent.extend(reversed(nodes))
    return first


def _add(archive: zipfile.ZipFile, name: str, data: bytes, compression: int = zipfile.ZIP_STORED) -> None:
    """With a fixed date, so that the same stack gives the same file; PNG are compressed already."""
    archive.writestr(zipfile.ZipInfo(name), data, compression)
