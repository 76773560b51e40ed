"""Uploaded photos: each kept under the hash of its bytes, with a record of its size; nothing here decodes one.

``photos/ID`` is the file as it came, ``photos/ID.json`` its record. ``people/`` holds who was found in them, under the
fingerprint of the photo's pixels; it goes with the last photo of these pixels.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from mild.app.server.problems import Problem
from mild.app.server.state import keeping, private
from mild.files import write_bytes

ID = re.compile(r"[0-9a-f]{32}")
Read = Callable[[str, tuple[int, int], int], dict[str, Any]]


@dataclass(frozen=True)
class Known:
    """What is known of a photo: its size, and the fingerprint of its pixels."""

    width: int
    height: int
    pixels: str

    @property
    def size(self) -> tuple[int, int]:
        return self.height, self.width


class Photos:
    """The photos of a state folder.

    Args:
        max_pixels: the largest picture that is read of what is sent.
    """

    def __init__(self, state: Path, max_pixels: int) -> None:
        self.max_pixels = max_pixels
        self._folder, self._people = private(state / "photos"), private(state / "people")
        self._lock = threading.Lock()
        for part in (*self._folder.glob(".mild-*.part"), *self._people.glob("*.part")):
            part.unlink(missing_ok=True)

    def add(self, data: bytes, look: Callable[[str], dict[str, Any]]) -> tuple[str, Known]:
        """Keep a photo; the same bytes give the same id.

        Args:
            look: reads the photo at a path, whole, and says its ``width``, ``height`` and ``pixels``.

        Raises:
            whatever ``look`` does; then nothing is kept.
            NoSpace, Problem: it cannot be written.
        """
        id = hashlib.sha256(data).hexdigest()[:32]
        path = self._folder / id
        known = self._read(id)
        if known is not None:
            with suppress(OSError):
                _stamp(path)
                return id, known
        fresh = self._folder / f".mild-{uuid.uuid4().hex}.part"
        try:
            with keeping():
                write_bytes(fresh, data)
            known = Known(**look(str(fresh)))
            with keeping():
                _stamp(fresh)
                fresh.replace(path)
                write_bytes(self._record(id), json.dumps(asdict(known)).encode())
        except BaseException:
            with suppress(OSError):
                fresh.unlink()
            raise
        return id, known

    def path(self, id: str) -> Path:
        """The file of a photo.

        Raises:
            Problem: 404.
        """
        if not ID.fullmatch(id) or not (self._folder / id).is_file():
            raise Problem(404, "There is no photo of this id; upload it (again).")
        return self._folder / id

    def known(self, id: str) -> Known:
        """What is known of a photo; raises as :meth:`path`."""
        self.path(id)
        known = self._read(id)
        if known is None:
            raise Problem(404, "There is no photo of this id; upload it (again).")
        return known

    def mask(self, data: bytes, size: tuple[int, int], read: Read | None = None) -> dict[str, Any]:
        """A mask that was sent as a picture, as run-length code; it is not kept.

        Args:
            size: ``(height, width)`` of its photo.
            read: reads the file at a path, given the size and the most pixels; None: in this process.

        Raises:
            MildError: it is no picture, too large, or no mask of such a photo.
        """
        if read is None:
            from mild.app.server.tasks import drawn_mask

            read = drawn_mask
        with self._scratch(data) as path:
            return read(str(path), size, self.max_pixels)

    @contextmanager
    def _scratch(self, data: bytes) -> Iterator[Path]:
        """A file of these bytes under a name of its own, as long as the block lasts."""
        path = self._folder / f".mild-{uuid.uuid4().hex}.part"
        try:
            with keeping():
                write_bytes(path, data)
            yield path
        finally:
            with suppress(OSError):
                path.unlink()

    def delete(self, id: str) -> str | None:
        """Forget a photo and who was found in it; jobs have their own copy.

        Returns:
            The fingerprint of its pixels, if it is known.
        """
        known = self._read(id)
        self.path(id).unlink(missing_ok=True)
        self._record(id).unlink(missing_ok=True)
        self.sweep()
        return None if known is None else known.pixels

    def prune(self, keep_seconds: float, keep: int) -> list[tuple[Path, str | None]]:
        """Delete photos unused for too long, or too many; what went, and its pixels' fingerprint."""
        found, gone = [], []
        for path in self._folder.iterdir():
            if ID.fullmatch(path.name):
                with suppress(OSError):
                    found.append((path.stat().st_mtime, path))
        now = time.time()
        for rank, (when, path) in enumerate(sorted(found, reverse=True)):
            if when > now + 1:
                with suppress(OSError):
                    _stamp(path)  # the clock was set back: they are not to be kept for years
            if rank >= keep or now - when > keep_seconds:
                with suppress(Problem):
                    gone.append((path, self.delete(path.name)))
        self.sweep()
        return gone

    def sweep(self) -> None:
        """Delete who was found in photos that are gone, and records without a photo."""
        pixels = set()
        for record in self._folder.glob("*.json"):
            if not ID.fullmatch(record.stem):
                continue
            known = self._read(record.stem)
            if known is None or not (self._folder / record.stem).exists():
                # Somebody may just be writing both.
                with suppress(OSError):
                    if time.time() - record.stat().st_mtime > 60:
                        record.unlink()
                continue
            pixels.add(known.pixels[:32])
        for path in self._people.glob("*-*.npz"):
            if ID.fullmatch(path.name[:32]) and path.name[:32] not in pixels:
                path.unlink(missing_ok=True)

    def _record(self, id: str) -> Path:
        return self._folder / f"{id}.json"

    def _read(self, id: str) -> Known | None:
        if not ID.fullmatch(id):
            return None
        try:
            record = json.loads(self._record(id).read_bytes())
            return Known(int(record["width"]), int(record["height"]), str(record["pixels"]))
        except (OSError, ValueError, KeyError, TypeError):
            return None


def _stamp(path: Path) -> None:
    """Say that a photo is used now, by the clock that :meth:`Photos.prune` asks."""
    now = time.time()
    os.utime(path, (now, now))
