"""A finished job's files, and every picture that can be made of them without a model."""

from __future__ import annotations

import shutil
import tempfile
import zipfile
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING

from mild.app.server.state import private
from mild.errors import MildError, UsageError
from mild.files import write_atomically

if TYPE_CHECKING:
    from mild.app.server.road import Result
    from mild.layers import LayerStack
    from mild.photo import Photo

#: Format -> suffix and media type.
FORMATS = {
    "png": (".png", "image/png"),
    "jpeg": (".jpg", "image/jpeg"),
    "webp": (".webp", "image/webp"),
    "psd": (".psd", "image/vnd.adobe.photoshop"),
    "ora": (".ora", "image/openraster"),
    "zip": (".zip", "application/zip"),
}
LAYERED = frozenset({"psd", "ora", "zip"})
_PREFIX = "mild-"


@dataclass(frozen=True)
class Choice:
    """Who is hidden, shown, moved to the front, beyond what the job did."""

    hide: Sequence[int] = ()
    show: Sequence[int] = ()
    front: Sequence[int] = ()
    #: A layered file without the original and without those who are hidden.
    flatten_hidden: bool = False

    def __bool__(self) -> bool:
        return bool(self.hide or self.show or self.front)


def save(folder: Path, result: Result) -> None:
    """Write ``result.png`` and ``stack.zip`` (the layers' windows; the photo lies there already)."""
    from mild.layers import pack
    from mild.layers.export import colour_of

    result.photo.save(folder / "result.png")
    stack = result.stack

    def write(out: IO[bytes]) -> None:
        with zipfile.ZipFile(out, "w") as archive:
            pictures = [f"{stem}.png" for stem in pack.stems(stack)]
            description = pack.describe(stack, "photo", pictures, colour_of(None))
            for layer, name in zip(stack.layers, pictures, strict=True):
                archive.writestr(zipfile.ZipInfo(name), pack.png(layer.rgba))
            for name, data in pack.masks(stack, description):
                archive.writestr(zipfile.ZipInfo(name), data)
            archive.writestr(zipfile.ZipInfo(pack.DESCRIPTION), pack.to_json(description))

    write_atomically(folder / "stack.zip", write)


def load(folder: Path) -> tuple[Photo, LayerStack]:
    """The photo as uploaded and the job's stack.

    Raises:
        MildError: the files are damaged or gone.
    """
    from mild.layers import pack
    from mild.photo import Photo
    from mild.reading import Archive, guarded

    where = "The job's result"
    try:
        photo = Photo.open(folder / "photo")
    except UsageError:
        raise MildError(f"{where} is damaged or gone.") from None
    with guarded(where, "a file of layers"), Archive(folder / "stack.zip", pack.LARGEST) as archive:
        stack, _ = pack.unpack(
            archive.read(pack.DESCRIPTION), lambda name, sizes: pack.pixels_of(archive.read(name), sizes), where,
            photo=photo.pixels,
        )  # fmt: skip
    return photo, stack


class Scratch:
    """Files made to be sent once."""

    def __init__(self, state: Path) -> None:
        self._folder = private(state / "scratch")
        for path in self._folder.glob(f"{_PREFIX}*"):
            discard(path)

    def new(self, format: str) -> Path:
        """The name of a file of this format, in a folder of its own that :func:`discard` deletes."""
        return Path(tempfile.mkdtemp(prefix=_PREFIX, dir=self._folder)) / f"result{FORMATS[format][0]}"


def discard(folder: Path) -> None:
    """Delete a folder of :meth:`Scratch.new`."""
    for path in (*folder.glob("result.*"), *folder.glob(".mild-*.part")):
        path.unlink(missing_ok=True)
    with suppress(OSError):
        folder.rmdir()


def copy(source: Path, target: Path) -> None:
    """A file's own copy, by a hard link where that can be."""
    try:
        target.hardlink_to(source)
    except FileNotFoundError:
        raise
    except OSError:
        shutil.copyfile(source, target)
