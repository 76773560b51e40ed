"""Folders of photos, masks and truths, as removal benchmarks are handed around."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from mild.errors import MildError, UsageError
from mild.lab.bench.items import Item, single
from mild.lab.bench.sets.samples import shrunk
from mild.photo import Photo

_SUFFIXES = {".png", ".jpg", ".jpeg", ".webp", ".bmp"}
#: What the three folders are called, in the order in which they are tried.
ROLES: dict[str, tuple[str, ...]] = {
    "photo": ("img", "image", "images", "input", "inputs", "source", "src", "original", "photo"),
    "mask": ("mask", "masks", "object_mask", "mask_object"),
    "truth": ("gt", "gts", "target", "targets", "truth", "background", "ground_truth", "removed"),
}
#: Ends of a file's name that say its role rather than which item it is.
_ENDS = ("_mask", "-mask", "_gt", "-gt", "_image", "-image", "_img", "_input", "_target", "_bg", "_src", "_object")


@dataclass
class TripleSet:
    """Items by name; every item has a photo and a mask, and a truth if there is a folder of them."""

    name: str
    files: Mapping[str, Mapping[str, Path]]
    about: Mapping[str, Any]
    size: int | None = None

    @classmethod
    def open(
        cls, path: str, name: str | None = None, size: int | None = None, photo: str | None = None,
        mask: str | None = None, truth: str | None = None,
    ) -> TripleSet:  # fmt: skip
        """Three sub-folders (found by their usual names, or named), matched by file name without its role's ending.

        Raises:
            UsageError: a folder is missing.
            MildError: no photo has a mask.
        """
        root = Path(path)
        named = {"photo": photo, "mask": mask, "truth": truth}
        folders = {role: _folder(root, role, given) for role, given in named.items()}
        found: dict[str, dict[str, Path]] = {}
        for role, folder in folders.items():
            for file in sorted(folder.rglob("*")) if folder is not None else ():
                if file.suffix.lower() in _SUFFIXES and folder is not None:
                    found.setdefault(_key(file.relative_to(folder)), {})[role] = file
        whole = {key: roles for key, roles in found.items() if {"photo", "mask"} <= set(roles)}
        if not whole:
            raise MildError(f"No photo in {path} has a mask of the same name.")
        about = {"kind": "triples", "path": root.name, "items": len(whole), "left_out": len(found) - len(whole)}
        return cls(name or root.name, whole, about, size)

    def ids(self) -> Sequence[str]:
        return sorted(self.files)

    def stratum(self, id: str) -> str:
        return ""

    def load(self, id: str) -> Item:
        roles = self.files[id]
        photo = Photo.open(roles["photo"]).pixels
        mask = _fitted(Photo.open(roles["mask"]).pixels.max(2), photo.shape[:2], nearest=True) >= 128
        if not mask.any() or mask.all():
            raise MildError(f"The mask of {id} marks {'nothing' if not mask.any() else 'everything'}.")
        truth = None
        if "truth" in roles:
            truth = _fitted(Photo.open(roles["truth"]).pixels, photo.shape[:2], nearest=False)
        item = single(photo, mask, id, truth, {"scenario": "removal"})
        longest = max(photo.shape[:2])
        return item if self.size is None or longest <= self.size else shrunk(item, self.size / longest)


def _folder(root: Path, role: str, given: str | None) -> Path | None:
    names = ROLES[role] if given is None else (given,)
    for name in names:
        if (root / name).is_dir():
            return root / name
    if role == "truth" and given is None:
        return None
    raise UsageError(f"{root} has no folder of the {role}s (tried: {', '.join(names)}); name it with {role}=FOLDER.")


def _key(path: Path) -> str:
    stem = path.with_suffix("").as_posix().replace("/", "_")
    for end in _ENDS:
        stem = stem.removesuffix(end)
    return stem


def _fitted(image: NDArray[np.uint8], size: tuple[int, ...], *, nearest: bool) -> NDArray[np.uint8]:
    """Masks and truths are sometimes handed around at another size than the photo."""
    if image.shape[:2] == tuple(size):
        return image
    method = cv2.INTER_NEAREST if nearest else cv2.INTER_AREA
    return np.asarray(cv2.resize(image, (size[1], size[0]), interpolation=method), np.uint8)
