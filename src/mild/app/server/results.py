"""A finished job's files, and every picture that can be made of them without a model."""

from __future__ import annotations

import shutil
import tempfile
import threading
import zipfile
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from mild.app.server.jobs import Job
from mild.app.server.road import Result
from mild.files import write_atomically
from mild.layers import LayerStack, pack
from mild.layers.export import colour_of, save_stack
from mild.layers.recompose import recompose
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
_LAYERED = frozenset({"psd", "ora", "zip"})


@dataclass(frozen=True)
class Choice:
    """Who is hidden, shown, moved to the front, beyond what the job did."""

    hide: Sequence[int] = ()
    show: Sequence[int] = ()
    front: Sequence[int] = ()

    def __bool__(self) -> bool:
        return bool(self.hide or self.show or self.front)


def save(folder: Path, result: Result) -> None:
    """Write ``result.png`` and ``stack.zip`` (the layers' windows; the photo lies there already)."""
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


class Results:
    """Reads finished jobs; keeps the last few in memory, since toggling an eye asks for the same stack again."""

    def __init__(self, scratch: Path, keep: int = 2) -> None:
        self._scratch, self._keep = scratch, keep
        self._recent: OrderedDict[str, tuple[Photo, LayerStack]] = OrderedDict()
        self._lock = threading.Lock()
        shutil.rmtree(scratch, ignore_errors=True)
        scratch.mkdir(parents=True)

    def load(self, job: Job) -> tuple[Photo, LayerStack]:
        """The photo as uploaded and the job's stack."""
        with self._lock:
            if job.id in self._recent:
                self._recent.move_to_end(job.id)
                return self._recent[job.id]
        photo = Photo.open(job.folder / "photo")
        with zipfile.ZipFile(job.folder / "stack.zip") as archive:
            stack, _ = pack.unpack(
                archive.read(pack.DESCRIPTION),
                lambda name: photo.pixels if name == "photo" else pack.pixels_of(archive.read(name)),
                f"job {job.id}",
            )
        with self._lock:
            self._recent[job.id] = photo, stack
            while len(self._recent) > self._keep:
                self._recent.popitem(last=False)
        return photo, stack

    def forget(self, job: Job) -> None:
        with self._lock:
            self._recent.pop(job.id, None)

    def make(self, job: Job, format: str, choice: Choice) -> tuple[Path, Path | None]:
        """A file of a finished job in one of :data:`FORMATS`.

        Returns:
            The file, and the folder to delete once it is sent (None when the file is the job's own).

        Raises:
            UsageError: the choice names somebody without a layer, or the format cannot hold the photo's transparency.
        """
        if format == "png" and not choice:
            return job.folder / "result.png", None
        photo, stack = self.load(job)
        folder = Path(tempfile.mkdtemp(dir=self._scratch))
        target = folder / f"result{FORMATS[format][0]}"
        try:
            if format in _LAYERED:
                save_stack(recompose(stack, choice.hide, choice.show, choice.front), target, photo)
            elif choice:
                stack = recompose(stack, choice.hide, choice.show, choice.front)
                photo.with_pixels(stack.compose()).save(target)
            else:
                photo.with_pixels(Photo.open(job.folder / "result.png").pixels).save(target)
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise
        return target, folder

    def layer(self, job: Job, index: int, full: bool) -> bytes | None:
        """A layer as RGBA PNG, in its window or in the photo's frame; None when there is no such layer."""
        from mild.layers.folder import full_frame

        photo, stack = self.load(job)
        if not 0 <= index < len(stack.layers):
            return None
        layer = stack.layers[index]
        return pack.png(full_frame(layer, stack.size) if full else layer.rgba, colour_of(photo))
