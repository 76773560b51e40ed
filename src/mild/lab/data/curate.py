"""From real photos to samples: each photo is looked at, searched for people, and taken or left out with a reason.

Two passes. The first looks at every photo (size, sharpness, exposure, perceptual hash), so that of near-duplicates the
best one stays. The second finds people, shard by shard; a shard that is there from an interrupted run is not made
again. What became of each photo is in ``curate.json``.
"""

from __future__ import annotations

import hashlib
import io
import json
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from mild.engines import Work, Workers, calling
from mild.errors import MildError, UsageError
from mild.files import is_empty, write_json
from mild.lab.data.cocoset import CocoSet
from mild.lab.data.curated_shard import NOTES, coco_of, curated_shard
from mild.lab.data.curation import Candidate, Curation, Fate
from mild.lab.data.licences import Licence
from mild.lab.data.looks import Look, duplicates, look, perceptual_hash, shortcoming
from mild.lab.data.review import FOLDER, Choice, PageEntry, read_decisions, write_page
from mild.lab.data.sample import FORMAT
from mild.lab.data.store import open_members
from mild.people.find import resolve

REPORT = "curate.json"
#: Fewer photos than these are looked at in this process: others would take longer to start.
FEW = 8
Tell = Callable[[str, float], None]


def curate(
    order: Curation, *, workers: Workers | None = None, overwrite: bool = False, tell: Tell | None = None
) -> list[Fate]:
    """Make the set; returns what became of every photo, by file name.

    Args:
        workers: who looks at the photos and searches them; None: this process.

    Raises:
        MildError: there are no photos, or the folder holds something else.
    """
    workers = workers or Workers()
    coco = coco_of(order.coco) if order.coco else None
    if coco is None:
        resolve(order.finder)
    files = list(coco.images) if coco else photos_below(order.photos, order.out)
    if not files:
        raise UsageError(f"There are no photos in {order.photos}." if not coco else f"{order.coco} lists no photos.")
    chosen = read_decisions(order.decisions) if order.decisions else None
    fates = [Fate("", "problem", why=problem) for problem in coco.problems] if coco else []
    plan = _plan(order, coco, files, chosen, fates, workers, tell)
    chunks = [plan[i : i + order.per_shard] for i in range(0, len(plan), order.per_shard)]
    mark = _fingerprint(order, plan)
    _claim(order, mark, overwrite)
    entries: list[PageEntry] = []
    work = [(order, number, chunk, mark) for number, chunk in enumerate(chunks)]
    for number, (found, made) in enumerate(_mapped(curated_shard, work, workers), 1):
        fates += found
        entries += made
        if tell:
            tell(f"finding people: {min(len(plan), number * order.per_shard)} of {len(plan)}", number / len(chunks))
    fates.sort(key=lambda fate: (fate.file, fate.key))
    _finish(order, mark, fates, entries)
    return fates


def photos_below(folder: Path, out: Path) -> list[str]:
    """Files that look like photos, below a folder but not in the set's own, with ``/`` between, sorted."""
    from mild.photo.formats import FORMATS

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


def _plan(
    order: Curation,
    coco: CocoSet | None,
    files: Sequence[str],
    chosen: Mapping[str, Choice] | None,
    fates: list[Fate],
    workers: Workers,
    tell: Tell | None,
) -> list[Candidate]:
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
    for number, seen in enumerate(_mapped(_look, work, workers, few=FEW), 1):
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
            plan.append(Candidate(seen.file, key, licensed[seen.file]))
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


def _fingerprint(order: Curation, plan: Sequence[Candidate]) -> str:
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
        for pattern in ("train-*.tar", "test-*.tar", f"{NOTES}/*.json", f"{FOLDER}/*", "sheets/*.jpg", "set.json"):
            for path in order.out.glob(pattern):
                path.unlink()
    elif order.out.is_dir() and not is_empty(order.out):
        raise UsageError(f"The folder {order.out} holds other things; name a new or an empty one.")
    write_json(begun, {"fingerprint": mark})


def _finish(order: Curation, mark: str, fates: Sequence[Fate], entries: Sequence[PageEntry]) -> None:
    counts = Counter(fate.outcome for fate in fates)
    said = {"counts": dict(counts), "filters": asdict(order.filters)}
    write_json(order.out / REPORT, {"fingerprint": mark, **said, "photos": [asdict(fate) for fate in fates]})
    write_json(order.out / "set.json", {"format": FORMAT, "samples": counts["taken"], "recipe": said})
    write_page(order.out / FOLDER, order.out.resolve().name, entries)


def _mapped(work: Callable[[Any], Any], items: Sequence[Any], workers: Workers, few: int = 1) -> Iterator[Any]:
    """``map`` by the workers, in the order of the items; by this process if there is little to do."""
    if workers.engine == "local" and len(items) <= few:
        workers = Workers()
    # One thread each, or they fight for the cores.
    return workers.mapped(Work(calling, work, threads=1), items)
