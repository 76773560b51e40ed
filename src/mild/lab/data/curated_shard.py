"""One shard of a curated set: people are found in its photos, and each becomes a sample or is left out with a reason.

A shard that is there from an interrupted run is not made again: its notes, written last, say that it is complete.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict
from functools import lru_cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from mild.errors import MildError
from mild.files import write_json
from mild.lab.data.cocoset import CocoSet, Crowded
from mild.lab.data.curation import Candidate, Curation, Fate
from mild.lab.data.factory import write_sheet
from mild.lab.data.members import to_members
from mild.lab.data.real import Thing, real_sample, scaled_scene
from mild.lab.data.review import FOLDER, PageEntry, write_preview
from mild.lab.data.sample import Sample
from mild.lab.data.store import write_members
from mild.people.find import find_people
from mild.people.parsing import with_parts
from mild.people.scene import Scene
from mild.photo import Photo

#: Folder of the shards' notes.
NOTES = "curate"
_SHEET_MOST = 48


def curated_shard(work: tuple[Curation, int, list[Candidate], str]) -> tuple[list[Fate], list[PageEntry]]:
    """Make one shard with its notes, contact sheet and previews, or read the notes of one that is there."""
    order, number, jobs, mark = work
    name = f"{order.split}-{number:05d}"
    notes = order.out / NOTES / f"{number:05d}.json"
    try:
        said = json.loads(notes.read_text("utf-8"))
        if said["mark"] == mark:
            return [Fate(**fate) for fate in said["fates"]], [PageEntry(**entry) for entry in said["rows"]]
    except (OSError, ValueError, KeyError, TypeError):
        pass
    coco = coco_of(order.coco) if order.coco else None
    fates: list[Fate] = []
    entries: list[PageEntry] = []
    thumbs: list[Sample] = []

    def samples() -> Iterator[tuple[str, dict[str, bytes]]]:
        for job in jobs:
            try:
                sample = _sample(order, coco, job)
            except (_Left, Crowded) as left:
                fates.append(Fate(job.file, "filtered", job.key, str(left)))
            except MildError as error:
                fates.append(Fate(job.file, "problem", job.key, str(error)))
            except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
                why = f"its annotations are malformed ({type(error).__name__}: {error})"
                fates.append(Fate(job.file, "problem", job.key, why))
            else:
                fates.append(Fate(job.file, "taken", job.key))
                entries.append(write_preview(order.out / FOLDER, sample))
                if len(thumbs) < _SHEET_MOST:
                    thumbs.append(sample)
                yield sample.key, to_members(sample)

    path = order.out / f"{name}.tar"
    # The notes say that a shard is complete, so one without them is of an interrupted run.
    count = write_members(path, samples(), overwrite=True)
    if count:
        write_sheet(order.out / "sheets" / f"{number:05d}.jpg", thumbs)
    else:
        path.unlink()
    write_json(notes, {"mark": mark, "fates": [asdict(f) for f in fates], "rows": [asdict(r) for r in entries]})
    return fates, entries


@lru_cache(maxsize=1)
def coco_of(path: Path) -> CocoSet:
    """Read once in a process: these files are large."""
    return CocoSet.read(path)


class _Left(Exception):
    """A photo is left out, and this is why; nothing is wrong with it."""


def _sample(order: Curation, coco: CocoSet | None, job: Candidate) -> Sample:
    photo = Photo.open(order.photos / job.file)
    things: tuple[Thing, ...] = ()
    if coco is not None:
        scene, things = coco.scene(photo, job.file)
    else:
        scene = find_people(photo, order.finder)
        sure = scene.sure
        scene = Scene(photo, sure, tuple(i for i in scene.order if i in {p.id for p in sure}))
    if not scene.people:
        raise _Left("nobody was found")
    small = scaled_scene(scene, order.filters.longest)
    tallest = max((p.box.height for p in small.people), default=0)
    if tallest < order.filters.min_person:
        raise _Left(f"the largest person is {tallest} pixels tall; {order.filters.min_person} are needed")
    small = with_parts(small)
    shrunk = tuple(Thing(_mask_at(thing, small.size), thing.name, thing.owner) for thing in things)
    return real_sample(
        job.key, small, job.licence.source(job.file), split=order.split, made_by="mild data curate", things=shrunk
    )


def _mask_at(thing: Thing, size: tuple[int, int]) -> Any:
    if thing.mask.shape == size:
        return thing.mask
    return cv2.resize(thing.mask.astype(np.uint8), size[::-1], interpolation=cv2.INTER_NEAREST) > 0
