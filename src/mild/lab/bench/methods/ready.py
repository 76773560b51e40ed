"""Results that somebody made elsewhere, read from a folder."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mild.errors import MildError, UsageError
from mild.lab.bench.items import Trial
from mild.lab.bench.methods.base import Answer
from mild.photo import Photo

_SUFFIXES = (".png", ".webp", ".jpg", ".jpeg", ".tif", ".tiff")


class FolderMethod:
    """``FOLDER/ITEM.KIND.SEED.png``, or ``FOLDER/ITEM.png`` for all kinds of mask and seeds."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._files = {path.name: path for path in folder.iterdir() if path.suffix.lower() in _SUFFIXES}
        self.seeded = any(path.stem.endswith(".1") for path in self._files.values())

    @classmethod
    def parse(cls, rest: str) -> FolderMethod:
        folder = Path(rest)
        if not folder.is_dir():
            raise UsageError(f"There is no folder of results {rest!r}.")
        return cls(folder)

    def __call__(self, trial: Trial) -> Answer:
        for stem in (trial.key, f"{trial.item.id}.{trial.kind}", trial.item.id):
            for suffix in _SUFFIXES:
                path = self._files.get(stem + suffix)
                if path is not None:
                    return Answer(Photo.open(path).pixels)
        raise MildError(f"{self.folder} has no result for {trial.key} (nor for {trial.item.id}).")

    def measure(self, trial: Trial) -> Mapping[str, Any]:
        return {}

    def about(self) -> Mapping[str, Any]:
        facts = [(name, p.stat().st_size, p.stat().st_mtime_ns) for name, p in sorted(self._files.items())]
        state = hashlib.sha256(repr(facts).encode()).hexdigest()
        return {"folder": self.folder.name, "files": len(self._files), "state": state}
