"""Uploaded photos: kept under the hash of their bytes, and the people found in them."""

from __future__ import annotations

import hashlib
import threading
import time
from collections import OrderedDict
from dataclasses import replace
from pathlib import Path

from PIL import Image

from mild.app.server.problems import Problem
from mild.errors import MildError
from mild.files import write_atomically
from mild.people.scene import BoolMask, Scene
from mild.photo import Photo, read_mask

_FORMATS = ("JPEG", "PNG", "WEBP", "TIFF", "HEIF")


class Photos:
    """The photos of a state folder; a few are kept decoded, with the people found in them."""

    def __init__(self, folder: Path, max_pixels: int, keep: int = 2) -> None:
        self._folder, self._max_pixels, self._keep = folder, max_pixels, keep
        self._decoded: OrderedDict[str, Photo] = OrderedDict()
        self._scenes: OrderedDict[tuple[str, str], Scene] = OrderedDict()
        self._lock = threading.Lock()
        folder.mkdir(parents=True, exist_ok=True)
        for part in (*folder.glob("*.part"), *folder.glob(".*.part")):
            part.unlink(missing_ok=True)

    def add(self, data: bytes) -> tuple[str, Photo]:
        """Keep a photo; the same bytes give the same id.

        Raises:
            Problem: 413 when it has too many pixels.
            MildError: when it is no photo we read.
        """
        id = hashlib.sha256(data).hexdigest()[:32]
        path = self._folder / id
        if not path.exists():
            write_atomically(path, lambda file: file.write(data))
        try:
            photo = self.get(id)
        except BaseException:
            path.unlink(missing_ok=True)
            raise
        path.touch()
        return id, photo

    def path(self, id: str) -> Path:
        """The file of a photo.

        Raises:
            Problem: 404.
        """
        path = self._folder / id
        if not id.isalnum() or not path.is_file():
            raise Problem(404, "There is no photo of this id; upload it (again).")
        return path

    def get(self, id: str) -> Photo:
        """The photo, upright; raises as :meth:`add` and :meth:`path` do."""
        with self._lock:
            if id in self._decoded:
                self._decoded.move_to_end(id)
                return self._decoded[id]
        path = self.path(id)
        self._check_size(path)
        try:
            photo = replace(Photo.open(path), path=None)
        except MildError as error:
            raise type(error)(str(error).replace(str(path), "The photo")) from None
        if photo.size[0] * photo.size[1] > self._max_pixels:
            raise self._too_large(photo.size[1], photo.size[0])
        with self._lock:
            self._decoded[id] = photo
            while len(self._decoded) > self._keep:
                self._decoded.popitem(last=False)
        return photo

    def mask(self, data: bytes, size: tuple[int, int]) -> BoolMask:
        """A mask picture as bool ``[H, W]``; rules and errors are those of :func:`mild.photo.read_mask`."""
        path = self._folder / f"{hashlib.sha256(data).hexdigest()[:32]}.mask.part"
        write_atomically(path, lambda file: file.write(data))
        try:
            self._check_size(path)
            return read_mask(path, size)
        except MildError as error:
            message = str(error).replace(f"The mask {path}", "The mask").replace(str(path), "The mask")
            raise type(error)(message) from None
        finally:
            path.unlink(missing_ok=True)

    def scene(self, id: str, finder: str) -> Scene | None:
        """What :meth:`remember` was told of this photo and this finder."""
        with self._lock:
            return self._scenes.get((id, finder))

    def remember(self, id: str, finder: str, scene: Scene) -> None:
        with self._lock:
            self._scenes[id, finder] = scene
            while len(self._scenes) > self._keep:
                self._scenes.popitem(last=False)

    def delete(self, id: str) -> None:
        """Forget a photo; jobs have their own copy."""
        self.path(id).unlink(missing_ok=True)
        with self._lock:
            self._decoded.pop(id, None)
            for key in [key for key in self._scenes if key[0] == id]:
                del self._scenes[key]

    def prune(self, keep_seconds: float, keep: int) -> None:
        """Delete photos unused for too long, or too many."""
        found = []
        for path in self._folder.iterdir():
            try:
                found.append((path.stat().st_mtime, path))
            except OSError:
                continue
        for rank, (when, path) in enumerate(sorted(found, reverse=True)):
            if rank >= keep or time.time() - when > keep_seconds:
                path.unlink(missing_ok=True)

    def _check_size(self, path: Path) -> None:
        """From the header alone: a small file can claim to be a picture that fills the memory."""
        try:
            with Image.open(path, formats=[name for name in _FORMATS if name in Image.OPEN]) as image:
                width, height = image.size
        except Image.DecompressionBombError:
            raise Problem(413, f"The photo has more than {self._max_pixels} pixels.") from None
        except Exception:
            return  # not readable: Photo.open says why
        if width * height > self._max_pixels:
            raise self._too_large(width, height)

    def _too_large(self, width: int, height: int) -> Problem:
        return Problem(
            413,
            f"The photo has {width} x {height} pixels, more than the {self._max_pixels} taken here.",
        )
