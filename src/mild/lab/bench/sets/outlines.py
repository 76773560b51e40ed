"""Held-out photos without people, with the outlines of held-out people as holes: the truth is the photo."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from mild.lab.bench.items import Item, single
from mild.lab.data.ingredients import Ingredients, group_of
from mild.lab.data.rows import HOLE, background_row

#: What the hole is painted with: a method must not see what was there.
GREY = 127


class _Noted(Ingredients):
    """Photos that remember which background was used last."""

    last: ClassVar[str] = ""

    def rgb(self, entry: dict[str, Any]) -> NDArray[np.uint8]:
        _Noted.last = group_of(entry)
        return super().rgb(entry)


@dataclass
class OutlineSet:
    """``count`` holes, made from the photos' test split when they are asked for."""

    name: str
    photos: Ingredients
    count: int
    size: int
    seed: int
    about: Mapping[str, Any]

    @classmethod
    def open(cls, path: str, count: int = 48, size: int = 512, seed: int = 2026, name: str = "outlines") -> OutlineSet:
        """From a folder of licensed photos (``manifest.jsonl``); close-ups and small photos are left out."""
        everything = Ingredients.open(path, "test")
        large = tuple(
            e for e in everything.backgrounds if min(e["size"]) >= 0.9 * size and e.get("scene_kind") != "closeup"
        )
        photos = _Noted(everything.root, large, everything.people, everything.occluders)
        about = {"kind": "outlines", "count": count, "size": size, "seed": seed, "photos": len(large)}
        return cls(name, photos, count, size, seed, about)

    def ids(self) -> Sequence[str]:
        return [f"{i:04d}" for i in range(self.count)]

    def stratum(self, id: str) -> str:
        return ""

    def load(self, id: str) -> Item:
        row = background_row(np.random.default_rng((self.seed, int(id))), self.photos, self.size)
        truth, hole = row.rgba[..., :3].copy(), row.regions == HOLE
        photo = truth.copy()
        photo[hole] = GREY
        # A background may have been drawn and refused before: the last one is the row's.
        return replace(single(photo, hole, id, truth, {"scenario": "plain"}), painted=True, cluster=_Noted.last)
