"""From real photos to samples: each photo is looked at, searched for people, and taken or left out with a reason.

Two passes. The first looks at every photo (size, sharpness, exposure, perceptual hash), so that of near-duplicates the
best one stays. The second finds people, shard by shard; a shard that is there from an interrupted run is not made
again. What became of each photo is in ``curate.json``.
"""

from __future__ import annotations

import hashlib
import io
import json
import multiprocessing
import os
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal, TypeVar

import cv2
import numpy as np
from PIL import Image

from mild.data.cocoset import CocoSet, Crowded
from mild.data.factory import write_sheet
from mild.data.ingredients import Split
from mild.data.licences import Licence, Licences
from mild.data.looks import Filters, Look, duplicates, look, perceptual_hash, shortcoming
from mild.data.members import to_members
from mild.data.real import Thing, real_sample, scaled_scene
from mild.data.review import FOLDER, Choice, Row, read_decisions, write_page, write_preview
from mild.data.sample import FORMAT, Sample
from mild.data.store import open_members, write_members
from mild.errors import MildError, UsageError
from mild.perception import find_people, resolve
from mild.perception.parsing import with_parts
from mild.photo import Photo, write_atomically
from mild.request import Finder
from mild.scene import Scene

#: What became of a photo. ``problem`` is the only one that makes a run end with status 1.
Outcome = Literal["taken", "filtered", "duplicate", "rejected", "undecided", "problem"]
REPORT = "curate.json"
_NOTES = "curate"
_SHEET_MOST = 48
_T = TypeVar("_T")
_R = TypeVar("_R")


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


Tell = Callable[[str, float], None]


def curate(order: Curation, *, jobs: int = 1, overwrite: bool = False, tell: Tell | None = None) -> list[Fate]:
    """Make the set; returns what became of every photo, by file name.

    Raises:
        MildError: there are no photos, or the folder holds something else.
    """
    coco = _coco(order.coco) if order.coco else None
    if coco is None:
        resolve(order.finder)
    files = list(coco.images) if coco else photos_below(order.photos, order.out)
    if not files:
        raise UsageError(f"There are no photos in {order.photos}." if not coco else f"{order.coco} lists no photos.")
    chosen = read_decisions(order.decisions) if order.decisions else None
    fates = [Fate("", "problem", why=problem) for problem in coco.problems] if coco else []
    plan = _plan(order, coco, files, chosen, fates, jobs, tell)
    chunks = [plan[i : i + order.per_shard] for i in range(0, len(plan), order.per_shard)]
    mark = _fingerprint(order, plan)
    _claim(order, mark, overwrite)
    rows: list[Row] = []
    work = [(order, number, chunk, mark) for number, chunk in enumerate(chunks)]
    for number, (found, made) in enumerate(_mapped(_chunk, work, jobs), 1):
        fates += found
        rows += made
        if tell:
            tell(f"finding people: {min(len(plan), number * order.per_shard)} of {len(plan)}", number / len(chunks))
    fates.sort(key=lambda fate: (fate.file, fate.key))
    _finish(order, mark, fates, rows)
    return fates


def accepted(source: Path, out: Path, decisions: Path, *, per_shard: int = 250) -> Counter[str]:
    """From a set that was made before, the samples that were accepted; their bytes are copied as they are.

    Returns:
        Numbers of ``taken``, ``rejected`` and ``undecided`` samples.

    Raises:
        MildError: the set cannot be read, nothing was accepted, or the folder holds something already.
    """
    chosen = read_decisions(decisions)
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UsageError(f"{out} exists already; name a new folder for the accepted samples.")
    counts: Counter[str] = Counter()
    split = ""
    batch: list[tuple[str, dict[str, bytes]]] = []
    shards = 0

    def flush() -> None:
        nonlocal shards
        if batch:
            write_members(out / f"{split}-{shards:05d}.tar", batch)
            shards += 1
            batch.clear()

    for key, _, members in open_members(source):
        choice = chosen.get(key)
        counts["taken" if choice == "accept" else "rejected" if choice else "undecided"] += 1
        if choice != "accept":
            continue
        try:
            split = str(json.loads(members["json"])["split"])
        except (KeyError, ValueError, TypeError):
            raise MildError(
                f"The JSON of sample {key} cannot be read; check the set with `mild data validate`."
            ) from None
        batch.append((key, members))
        if len(batch) >= per_shard:
            flush()
    if not counts["taken"]:
        raise MildError(f"No sample of {source} is accepted in {decisions}.")
    flush()
    said = {"format": FORMAT, "samples": counts["taken"], "recipe": {"decisions": dict(counts)}}
    write_json(out / "set.json", said)
    return counts


def photos_below(folder: Path, out: Path) -> list[str]:
    """Files that look like photos, below a folder but not in the set's own, with ``/`` between, sorted."""
    from mild._photo_files import FORMATS

    if not folder.is_dir():
        raise UsageError(f"There is no folder {folder}.")
    mine = out.resolve()
    found = []
    for path in folder.rglob("*"):
        inside = path.relative_to(folder)
        hidden = any(part.startswith(".") for part in inside.parts)
        if path.suffix.lower() in FORMATS and not hidden and path.is_file() and mine not in path.resolve().parents:
            found.append(inside.as_posix())
    return sorted(found)


@dataclass(frozen=True)
class _Job:
    """A photo of the second pass: file, key, licence, and its people if a file says them."""

    file: str
    key: str
    licence: Licence


def _plan(
    order: Curation,
    coco: CocoSet | None,
    files: Sequence[str],
    chosen: Mapping[str, Choice] | None,
    fates: list[Fate],
    jobs: int,
    tell: Tell | None,
) -> list[_Job]:
    """The photos worth searching; the fates of all others are added to ``fates``."""
    licensed: dict[str, Licence] = {}
    for file in files:
        terms = order.licences.of(file, coco.licences.get(file) if coco else None)
        if terms is None:
            fates.append(Fate(file, "problem", why="it has no licence; say it with --licences or --licence"))
        else:
            licensed[file] = terms
    looks: list[Look] = []
    work = [(order.photos, file) for file in licensed]
    for number, seen in enumerate(_mapped(_look, work, jobs, chunk=8), 1):
        why = shortcoming(seen, order.filters) if not seen.problem else None
        if seen.problem:
            fates.append(Fate(seen.file, "problem", why=seen.problem))
        elif why:
            fates.append(Fate(seen.file, "filtered", why=why))
        else:
            looks.append(seen)
        if tell and number % 8 == 0:
            tell(f"looking at photos: {number} of {len(work)}", number / len(work))
    same = duplicates(looks, order.filters.duplicates, _known(order.against))
    plan = []
    for seen in sorted(looks, key=lambda one: one.file):
        key = _key(seen)
        choice = chosen.get(key) if chosen is not None else "accept"
        if seen.file in same:
            fates.append(Fate(seen.file, "duplicate", why=f"shows the same as {same[seen.file]}"))
        elif choice == "accept":
            plan.append(_Job(seen.file, key, licensed[seen.file]))
        else:
            fates.append(Fate(seen.file, "rejected" if choice else "undecided", key))
    return plan


def _key(seen: Look) -> str:
    """Readable, unique, and another one when the pixels change: a decision holds for what was looked at."""
    stem = re.sub(r"[^A-Za-z0-9_-]+", "-", Path(seen.file).stem).strip("-")[:40]
    return f"{stem or 'photo'}-{seen.sha256[:8]}"


def _known(sets: Sequence[Path]) -> list[tuple[int, str]]:
    found = []
    for place in sets:
        for key, _, members in open_members(place):
            try:
                with Image.open(io.BytesIO(members["photo.webp"])) as image:
                    found.append((perceptual_hash(np.asarray(image.convert("RGB"))), f"{place.name}/{key}"))
            except (KeyError, OSError, ValueError):
                raise MildError(f"The photo of sample {key} of {place} cannot be read.") from None
    return found


def _look(work: tuple[Path, str]) -> Look:
    return look(*work)


def _chunk(work: tuple[Curation, int, list[_Job], str]) -> tuple[list[Fate], list[Row]]:
    """Make one shard with its notes, contact sheet and previews, or read the notes of one that is there."""
    order, number, jobs, mark = work
    name = f"{order.split}-{number:05d}"
    notes = order.out / _NOTES / f"{number:05d}.json"
    try:
        said = json.loads(notes.read_text("utf-8"))
        if said["mark"] == mark:
            return [Fate(**fate) for fate in said["fates"]], [Row(**row) for row in said["rows"]]
    except (OSError, ValueError, KeyError, TypeError):
        pass
    coco = _coco(order.coco) if order.coco else None
    fates: list[Fate] = []
    rows: list[Row] = []
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
                rows.append(write_preview(order.out / FOLDER, sample))
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
    write_json(notes, {"mark": mark, "fates": [asdict(f) for f in fates], "rows": [asdict(r) for r in rows]})
    return fates, rows


@lru_cache(maxsize=1)
def _coco(path: Path) -> CocoSet:
    """Read once in a process: these files are large."""
    return CocoSet.read(path)


class _Left(Exception):
    """A photo is left out, and this is why; nothing is wrong with it."""


def _sample(order: Curation, coco: CocoSet | None, job: _Job) -> Sample:
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


def _fingerprint(order: Curation, plan: Sequence[_Job]) -> str:
    """A hash of all that the shards depend on."""
    said = {
        "format": FORMAT,
        "plan": [asdict(job) for job in plan],
        "filters": asdict(order.filters),
        "finder": order.finder.model_dump(mode="json"),
        "coco": hashlib.sha256(order.coco.read_bytes()).hexdigest() if order.coco else "",
        "split": order.split,
        "per_shard": order.per_shard,
    }
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()


def _claim(order: Curation, mark: str, overwrite: bool) -> None:
    """See that the folder is empty, or holds this very set (perhaps unfinished); or empty it of an older one."""
    if order.out.exists() and not order.out.is_dir():
        raise UsageError(f"{order.out} is a file; name a folder for the set.")
    begun = order.out / REPORT
    if begun.exists():
        try:
            same = json.loads(begun.read_text("utf-8")).get("fingerprint") == mark
        except (OSError, ValueError, AttributeError):
            same = False
        if same and not overwrite:
            return
        if not overwrite:
            raise MildError(
                f"{order.out} holds a set that was curated otherwise; name another folder, or --overwrite it."
            )
        for pattern in ("train-*.tar", "test-*.tar", f"{_NOTES}/*.json", f"{FOLDER}/*", "sheets/*.jpg", "set.json"):
            for path in order.out.glob(pattern):
                path.unlink()
    elif order.out.is_dir() and any(order.out.iterdir()):
        raise UsageError(f"The folder {order.out} holds other things; name a new or an empty one.")
    write_json(begun, {"fingerprint": mark})


def _finish(order: Curation, mark: str, fates: Sequence[Fate], rows: Sequence[Row]) -> None:
    counts = Counter(fate.outcome for fate in fates)
    said = {"counts": dict(counts), "filters": asdict(order.filters)}
    write_json(order.out / REPORT, {"fingerprint": mark, **said, "photos": [asdict(fate) for fate in fates]})
    write_json(order.out / "set.json", {"format": FORMAT, "samples": counts["taken"], "recipe": said})
    write_page(order.out / FOLDER, order.out.resolve().name, rows)


def write_json(path: Path, value: Any) -> None:
    """Write JSON whole or not at all."""
    text = (json.dumps(value, indent=1, ensure_ascii=False) + "\n").encode()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, lambda handle: handle.write(text))
    except OSError as error:
        raise MildError(f"The file {path} could not be written ({error.strerror or error}).") from None


def _mapped(work: Callable[[_T], _R], items: Sequence[_T], jobs: int, chunk: int = 1) -> Iterator[_R]:
    """``map``, with several processes if there is enough to do."""
    if jobs <= 1 or len(items) <= chunk:
        yield from map(work, items)
        return
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(min(jobs, -(-len(items) // chunk)), context, initializer=_alone) as pool:
        yield from pool.map(work, items, chunksize=chunk)


def _alone() -> None:
    """In a new process: one thread each, or they fight for the cores."""
    os.environ["OMP_NUM_THREADS"] = "1"
    cv2.setNumThreads(1)
