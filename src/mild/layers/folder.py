"""A folder (or zip) of plain PNG: what any program can read.

``original.png``, ``background.png`` (nobody there), one full-frame RGBA ``person-N.png`` per person, ``composed.png``,
``layers.json`` and, in ``mild/``, the masks that only MILD needs.
"""

from __future__ import annotations

import re
import zipfile
from collections.abc import Collection, Iterator
from contextlib import suppress
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray

from mild.errors import MildError
from mild.files import replace_folder, write_bytes
from mild.layers import Layer, LayerStack, pack
from mild.reading import Archive, guarded, parse_json, read_bytes

_OURS = re.compile(r"(mild/)?(fill|person-\d+(-\d+)?|background|composed|original)(\.generated|\.matte)?\.png")


def files(stack: LayerStack, colour: pack.Colour) -> Iterator[tuple[str, bytes]]:
    """Name and content of every file; the description comes last, so that it stands for a complete set."""
    rgba = [f"mild/{stem}.png" if stem.startswith("fill") else f"{stem}.png" for stem in pack.stems(stack)]
    description = pack.describe(stack, "original.png", rgba, colour)
    yield "original.png", pack.png(stack.photo, colour.of_photo)
    everyone = [layer.owner for layer in stack.people if layer.owner is not None]
    yield "background.png", pack.png(stack.compose(hide=everyone), colour)
    yield "composed.png", pack.png(stack.compose(), colour if stack.hidden or stack.raised else colour.of_photo)
    for layer, name in zip(stack.layers, rgba, strict=True):
        full = layer.kind == "person"
        yield name, pack.png(full_frame(layer, stack.size), colour) if full else pack.png(layer.rgba, colour.mark_alone)
    yield from pack.masks(stack, description)
    yield pack.DESCRIPTION, pack.to_json(description)


def full_frame(layer: Layer, size: tuple[int, int]) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    """The layer's RGBA in the photo's frame ``[H, W, 4]``, transparent outside its window."""
    out = np.zeros((*size, 4), np.uint8)
    out[layer.box.slices] = layer.rgba
    return out


def write(stack: LayerStack, folder: Path, colour: pack.Colour) -> None:
    """Write ``folder`` (made if missing), whole or not at all.

    Other files in it stay; those of an earlier stack of ours go, once the new ones are there.
    """
    if folder.exists() and not folder.is_dir():
        raise MildError(f"{folder} is a file; give a folder for the layers.")

    def fill(fresh: Path) -> None:
        for name, data in files(stack, colour):
            (fresh / name).parent.mkdir(parents=True, exist_ok=True)
            write_bytes(fresh / name, data)

    replace_folder(folder, fill, _listed(folder))


def write_zip(stack: LayerStack, out: IO[bytes], colour: pack.Colour) -> None:
    """The same files as a zip, to an open binary file."""
    with zipfile.ZipFile(out, "w") as archive:
        for name, data in files(stack, colour):
            archive.writestr(zipfile.ZipInfo(name), data)


def read(folder: Path) -> tuple[LayerStack, pack.Colour]:
    """The stack of a folder that :func:`write` wrote."""
    with guarded(folder, "a folder of layers"):
        try:
            description = read_bytes(folder / pack.DESCRIPTION)
        except FileNotFoundError:
            raise MildError(f"{folder} holds no {pack.DESCRIPTION}; give a folder that `mild layers` wrote.") from None
        left = pack.LARGEST

        def fetch(name: str, sizes: Collection[tuple[int, int]]) -> NDArray[np.uint8]:
            nonlocal left
            data = read_bytes(_inside(folder, name), left)
            left -= len(data)
            return pack.pixels_of(data, sizes)

        return pack.unpack(description, fetch, str(folder))


def read_zip(path: Path) -> tuple[LayerStack, pack.Colour]:
    """The stack of a zip that :func:`write_zip` wrote."""
    with guarded(path.name, "a zip of layers by MILD"), Archive(path, pack.LARGEST) as archive:
        if pack.DESCRIPTION not in archive:
            raise MildError(f"{path.name} holds no {pack.DESCRIPTION}; it is not a zip of layers by MILD.")
        return pack.unpack(
            archive.read(pack.DESCRIPTION), lambda name, sizes: pack.pixels_of(archive.read(name), sizes), path.name
        )


def _inside(folder: Path, name: str) -> Path:
    """A description may come from a stranger: its names must not lead out of the folder."""
    path = (folder / name).resolve()
    if not path.is_relative_to(folder.resolve()):
        raise ValueError(f"{name} lies outside the folder")
    return path


def _listed(folder: Path) -> set[str]:
    """The files of an earlier stack in this folder, if its description can be read."""
    names: set[str] = set()
    with suppress(MildError), guarded(folder, "a folder of layers"):
        data = parse_json(read_bytes(folder / pack.DESCRIPTION))
        if data["format"] == pack.FORMAT:
            # What every stack of ours has beside the pictures that it lists.
            names = {pack.DESCRIPTION, "background.png", "composed.png", "original.png"}
            for row in data["layers"]:
                names |= {str(row[key]) for key in ("rgba", "generated", "matte") if row[key]}
            # A stranger's description must not name the user's own files.
            names = {name for name in names if name == pack.DESCRIPTION or _OURS.fullmatch(name)}
    return names
