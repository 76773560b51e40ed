"""What can be put where: cut-out people that stand, half bodies, and scenes whose ground is known.

Where the ground of a scene is, and who stands, no detector of ours can tell. It is read from notes made by eye:
``placement.json`` in the ingredients folder, else the notes on the project's own photos that come with the program.
What has no note is used with care: a scene as a backdrop for people whom the frame cuts off, a person if the manifest
calls them whole and they are upright.
"""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from importlib.resources import files
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from mild.errors import MildError
from mild.lab.data.cutouts import clean_cutout, read_keypoints, scaled, tight, without_crumbs
from mild.lab.data.ingredients import Ingredients, Split, group_of
from mild.lab.data.sample import Source

NOTES = "placement.json"
#: A person is this much taller than the camera is high (1.7 m to 1.6 m): what the horizon cuts at eye height.
PERSON_PER_CAMERA = 1.06


@dataclass(frozen=True)
class Ground:
    """Where people can stand in a picture, in fractions of its height.

    Attributes:
        horizon: the line of the horizon; may lie outside.
        ground: from here down there is floor; None when nobody knows.
    """

    horizon: float
    ground: float | None


@dataclass(frozen=True)
class Cutout:
    """A person ready to be placed.

    Attributes:
        entry: the manifest line.
        rgba: uint8 ``[h, w, 4]``, tight, without halo, colours going on past the outline.
        points: keypoints ``[17, 3]`` in pixels of ``rgba``, or None.
        stands: whole and on their feet.
        share: how much of the body's height the cut-out shows, 1 for a whole person.
        stature: height relative to a grown person.
        grey: a black-and-white photo.
        small: uint8 alpha at a side of 128 pixels or less: layouts are tried with it.
    """

    entry: dict[str, Any]
    rgba: NDArray[np.uint8]
    points: NDArray[np.float32] | None
    stands: bool
    share: float
    stature: float
    grey: bool
    small: NDArray[np.uint8]


class Library:
    """The ingredients of one split, decoded when asked for and kept for a while."""

    def __init__(self, root: str | Path, split: Split, *, left_out: frozenset[str] = frozenset()) -> None:
        """Read manifest and notes; ``left_out`` names files that are not to be used."""
        self.photos = Ingredients.open(root, split)
        self.notes = _notes(Path(root))
        self._kept: OrderedDict[str, Any] = OrderedDict()
        known = self.notes["scenes"]
        skipped = left_out | {name for name, note in known.items() if note.get("skip")}
        usable = [e for e in self.photos.backgrounds if e["file"] not in skipped]
        self.grounded = [e for e in usable if known.get(e["file"], {}).get("ground") is not None]
        noted = [e for e in usable if e["file"] in known and e not in self.grounded]
        plain = [e for e in usable if e["file"] not in known and e.get("scene_kind", "scene") == "scene"]
        # The few backdrops chosen by eye are worth more than many that were not looked at.
        self.backdrops = noted or plain
        self.textures = [e for e in usable if e.get("scene_kind") == "closeup"] or usable
        people = [e for e in self.photos.occluders if e["file"] not in left_out]
        self.standing = [e for e in people if self._stands(e)]
        self.halves = [e for e in people if "share" in self.notes["people"].get(e["file"], {})]
        if not self.standing or not (self.grounded or self.backdrops):
            raise MildError(
                f"{root} has {len(self.standing)} whole people and {len(usable)} scenes for the {split} split; "
                "at least one of each is needed."
            )

    def _stands(self, entry: dict[str, Any]) -> bool:
        note = self.notes["people"].get(entry["file"])
        if note is not None:
            return bool(note.get("stands"))
        width, height = entry["size"]
        whole = entry.get("full_body") and not entry.get("truncated") and not entry.get("occluded")
        return bool(whole and height >= 120 and height > 1.7 * width)

    @cached_property
    def weights(self) -> NDArray[np.float64]:
        """How often each grounded scene is taken: fifty views of one panorama count as seven photos."""
        groups = [group_of(e) for e in self.grounded]
        weights = np.asarray([groups.count(g) ** -0.5 for g in groups])
        return weights / weights.sum()

    def ground(self, entry: dict[str, Any]) -> Ground:
        note = self.notes["scenes"].get(entry["file"], {})
        return Ground(note.get("horizon", 0.45), note.get("ground"))

    def background(self, entry: dict[str, Any]) -> NDArray[np.uint8]:
        """Decoded uint8 ``[H, W, 3]``."""
        pixels: NDArray[np.uint8] = self._cached("b:" + entry["file"], lambda: self.photos.rgb(entry))
        return pixels

    def cutout(self, entry: dict[str, Any]) -> Cutout:
        made: Cutout = self._cached("p:" + entry["file"], lambda: self._cutout(entry))
        return made

    def source(self, entry: dict[str, Any], kind: str) -> Source:
        return Source(
            entry["file"], kind, entry["licence"], entry.get("credit") or "", entry.get("origin") or "", group_of(entry)
        )

    @cached_property
    def files(self) -> list[str]:
        """Every file that can be used, sorted: part of what a set is made from."""
        lists = (self.grounded, self.backdrops, self.textures, self.standing, self.halves)
        return sorted({entry["file"] for entries in lists for entry in entries})

    def _cutout(self, entry: dict[str, Any]) -> Cutout:
        note = self.notes["people"].get(entry["file"], {})
        rgba, points = tight(
            without_crumbs(clean_cutout(self.photos.rgba(entry))), read_keypoints(entry.get("keypoints"))
        )
        solid = rgba[..., 3] > 200
        lab = cv2.cvtColor(rgba[..., :3], cv2.COLOR_RGB2LAB).astype(np.int16)
        chroma = np.hypot(lab[..., 1] - 128, lab[..., 2] - 128)[solid]
        grey = bool(len(chroma) and np.percentile(chroma, 95) < 6)
        share = float(note.get("share", 1.0))
        small = np.ascontiguousarray(scaled(np.ascontiguousarray(rgba[..., 3]), min(1.0, 128 / max(rgba.shape[:2]))))
        return Cutout(entry, rgba, points, self._stands(entry), share, float(note.get("size", 1.0)), grey, small)

    def _cached(self, name: str, make: Callable[[], Any], most: int = 1200) -> Any:
        if name in self._kept:
            self._kept.move_to_end(name)
        else:
            self._kept[name] = make()
            if len(self._kept) > most:
                self._kept.popitem(last=False)
        return self._kept[name]


def _notes(root: Path) -> dict[str, dict[str, Any]]:
    own = root / NOTES
    try:
        text = own.read_text("utf-8") if own.is_file() else (files("mild.lab.data") / NOTES).read_text("utf-8")
        notes = json.loads(text)
        return {"scenes": dict(notes.get("scenes", {})), "people": dict(notes.get("people", {}))}
    except (OSError, ValueError, AttributeError, TypeError):
        raise MildError(f"The notes {own} cannot be read; they must be JSON with 'scenes' and 'people'.") from None
