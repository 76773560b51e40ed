"""What is to be curated from real photos, what becomes of each, and the notes that are kept of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from mild.lab.data.ingredients import Split
from mild.lab.data.licences import Licence, Licences
from mild.lab.data.looks import Filters
from mild.request import Finder

#: What became of a photo. ``problem`` is the only one that makes a run end with status 1.
Outcome = Literal["taken", "filtered", "duplicate", "rejected", "undecided", "problem"]


@dataclass(frozen=True)
class Fate:
    """What became of one photo: file, the key of its sample (empty if it never got one), and why."""

    file: str
    outcome: Outcome
    key: str = ""
    why: str = ""


@dataclass(frozen=True)
class Curation:
    """What is to be curated, and how.

    Attributes:
        photos: folder of photos, searched with its sub-folders.
        out: folder of the set.
        licences: of the photos.
        filters: what a photo must be like.
        finder: how people are found; not used with ``coco``.
        coco: people from this instances file; only the photos it lists are looked at.
        decisions: file of the review page: only what was accepted is taken.
        against: sets whose photos must not come again, so that two splits have none in common.
        split: of all samples.
        per_shard: photos (not samples) of a shard.
    """

    photos: Path
    out: Path
    licences: Licences
    filters: Filters = field(default_factory=Filters)
    finder: Finder = field(default_factory=Finder)
    coco: Path | None = None
    decisions: Path | None = None
    against: tuple[Path, ...] = ()
    split: Split = "train"
    per_shard: int = 250


@dataclass(frozen=True)
class Candidate:
    """A photo that is worth searching for people: file, key of its sample, licence."""

    file: str
    key: str
    licence: Licence
