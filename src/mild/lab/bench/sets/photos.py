"""Real photos without a truth: a folder whose people are found, or COCO's own instances."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from mild.errors import MildError, UsageError
from mild.lab.bench.items import Item
from mild.people.find import find_people, resolve
from mild.people.finders.coco import read_people
from mild.people.scene import Scene
from mild.photo import Photo
from mild.request import Finder

_SUFFIXES = {".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff"}


@dataclass
class PhotoSet:
    """A folder of photos.

    Attributes:
        erase: file name without its suffix -> a pixel ``(x, y)`` of the person who goes. Others lose the smallest of
            the people who were surely found.
    """

    name: str
    files: Mapping[str, Path]
    erase: Mapping[str, Sequence[int]]
    finder: Finder
    about: Mapping[str, Any]

    @classmethod
    def open(
        cls, path: str, name: str | None = None, erase: Mapping[str, Sequence[int]] | None = None, finder: str = "auto"
    ) -> PhotoSet:
        root = Path(path)
        files = {p.stem: p for p in sorted(root.glob("*")) if p.suffix.lower() in _SUFFIXES}
        if not files:
            raise MildError(f"There are no photos in {path}.")
        chosen = Finder.model_validate({"backend": finder})
        about = {"kind": "photos", "path": root.name, "photos": len(files), "finder": resolve(chosen).name}
        return cls(name or root.name, files, dict(erase or {}), chosen, about)

    def ids(self) -> Sequence[str]:
        return list(self.files)

    def stratum(self, id: str) -> str:
        return ""

    def load(self, id: str) -> Item:
        photo = Photo.open(self.files[id])
        scene = find_people(photo, self.finder)
        return Item(id, scene, (self._chosen(scene, id),), None, {"scenario": "photo"})

    def _chosen(self, scene: Scene, id: str) -> int:
        place = self.erase.get(id)
        if place is not None:
            x, y = int(place[0]), int(place[1])
            there = int(scene.label_map()[y, x]) if 0 <= y < scene.size[0] and 0 <= x < scene.size[1] else 0
            if there:
                return there
        if not scene.sure:
            raise MildError(f"Nobody was surely found in {id}.")
        return min(scene.sure, key=lambda p: p.area).id


@dataclass
class CocoSet:
    """Photos of a COCO instances file with at least ``people`` persons; the second largest goes."""

    name: str
    root: Path
    annotations: Path
    files: Sequence[str]
    about: Mapping[str, Any]

    @classmethod
    def open(
        cls, path: str, annotations: str, name: str | None = None, people: int = 2, smallest: float = 0.01
    ) -> CocoSet:
        """``path``: the photos; ``smallest``: least area of a counted person, as a share of the photo."""
        root, source = Path(path), Path(annotations)
        try:
            data = json.loads(source.read_text(encoding="utf-8"))
            persons = {c["id"] for c in data["categories"] if c["name"] == "person"}
            images = {i["id"]: i for i in data["images"]}
            counted: dict[int, int] = {}
            for row in data["annotations"]:
                image = images.get(row["image_id"])
                if image is None or row["category_id"] not in persons or row.get("iscrowd"):
                    continue
                if row["area"] >= smallest * image["width"] * image["height"]:
                    counted[row["image_id"]] = counted.get(row["image_id"], 0) + 1
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise UsageError(f"The COCO file {annotations} cannot be read ({error}).") from None
        names = sorted(images[i]["file_name"] for i, n in counted.items() if n >= people)
        there = [n for n in names if (root / n).is_file()]
        if not there:
            raise MildError(f"None of the {len(names)} photos of {source.name} with {people} people is in {path}.")
        about = {"kind": "coco", "annotations": source.name, "photos": len(there), "missing": len(names) - len(there)}
        return cls(name or root.name, root, source, there, about)

    def ids(self) -> Sequence[str]:
        return [Path(n).stem for n in self.files]

    def stratum(self, id: str) -> str:
        return ""

    def load(self, id: str) -> Item:
        name = next(n for n in self.files if Path(n).stem == id)
        photo = Photo.open(self.root / name)
        scene = read_people(photo, self.annotations)
        by_size = sorted(scene.people, key=lambda p: p.area)
        # The largest is mostly what the photo is of; who stands beside it is whom people want gone.
        chosen = by_size[-2] if len(by_size) > 1 else by_size[-1]
        people = tuple(replace(p, sure=True) for p in scene.people)
        return Item(id, Scene(photo, people, scene.order), (chosen.id,), None, {"scenario": "photo"})
