"""Layer stacks as files: PSD, OpenRaster, a folder of PNG, or that folder as a zip."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import IO

from mild.errors import MildError, UsageError
from mild.files import write_atomically
from mild.layers import LayerStack, folder, ora, pack, psd
from mild.photo import Photo
from mild.photo.mark import Mark, packet
from mild.reading import guarded

Write = Callable[[LayerStack, IO[bytes], pack.Colour], None]
Read = Callable[[Path], tuple[LayerStack, pack.Colour]]

#: Suffix of a layered file -> how it is written to an open file, and read. To add a format, add a line.
FORMATS: dict[str, tuple[Write, Read]] = {
    ".psd": (psd.write, psd.read),
    ".ora": (ora.write, ora.read),
    ".zip": (folder.write_zip, folder.read_zip),
}
#: Suffixes that mean a layered file; no suffix means a folder.
SUFFIXES = tuple(FORMATS)


def save_stack(
    stack: LayerStack,
    path: str | Path,
    photo: Photo | None = None,
    *,
    mark: Mark | None = None,
    flatten_hidden: bool = False,
) -> Path:
    """Write a stack to ``path``: ``.psd``, ``.ora``, ``.zip``, or a folder when there is no suffix.

    Args:
        photo: where the colour profile and the resolution are taken from.
        mark: what is said of how the layers came about; None for nothing.
        flatten_hidden: leave out the original and whoever is hidden, who are in there else.

    Raises:
        UsageError: for another suffix.
        MildError: when it cannot be written; an earlier file of that name is then untouched.
    """
    path = Path(path)
    suffix = path.suffix.lower()
    colour = colour_of(photo, mark)
    if flatten_hidden:
        colour = replace(colour, edited=bool(stack.hidden or stack.raised))
        stack = stack.without_hidden()
    if path.is_dir() or not suffix:
        try:
            folder.write(stack, path, colour)
        except OSError as error:
            raise MildError(f"{path} cannot be written: {error.strerror or error}.") from None
        return path
    if suffix not in FORMATS:
        raise UsageError(f"Layers are written as {', '.join(SUFFIXES)} or into a folder, not as {suffix}.")
    return write_atomically(path, lambda out: FORMATS[suffix][0](stack, out, colour))


def load_stack(path: str | Path) -> LayerStack:
    """The stack that :func:`save_stack` wrote to this file or folder, equal to the one given.

    Raises:
        MildError: when there is no such file, or it is not (whole and) ours.
    """
    return open_stack(path)[0]


def open_stack(path: str | Path) -> tuple[LayerStack, pack.Colour]:
    """As :func:`load_stack`, with the colour profile, the resolution and the mark it was written with.

    Raises:
        MildError: when there is no such file, or it is not (whole and) ours.
    """
    path = Path(path)
    suffix = path.suffix.lower()
    with guarded(path.name, "a layered file"):
        if path.is_dir():
            return folder.read(path)
        if not path.exists():
            raise MildError(f"There is no file {path}.")
        if suffix not in FORMATS:
            raise MildError(f"{path.name} is no layered file; give one of {', '.join(SUFFIXES)} or a folder of layers.")
        return FORMATS[suffix][1](path)


def colour_of(photo: Photo | None, mark: Mark | None = None) -> pack.Colour:
    """Profile and resolution of a photo's metadata, and the mark."""
    xmp = None if mark is None else packet(mark, photo.meta.xmp if photo is not None else None)
    if photo is None:
        return pack.Colour(mark=mark, xmp=xmp)
    return pack.Colour(photo.meta.icc, photo.meta.dpi, mark, xmp)
