"""A whole set: shards made in parallel, each complete or not there, the same bytes whoever makes them.

A sample depends on the recipe and its number alone, so a set can be interrupted at any time and made complete later,
with any number of processes, and is byte for byte the same.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from mild.engines import Work, Workers, note
from mild.errors import MildError
from mild.files import write_atomically, write_json
from mild.lab.data.library import Library
from mild.lab.data.members import to_members
from mild.lab.data.sample import FORMAT, Sample
from mild.lab.data.store import open_samples, write_members
from mild.lab.data.synth import SetRecipe, make_sample

SET_FILE = "set.json"
_SHEET_MOST, _SHEET_SIDE, _SHEET_COLUMNS = 48, 192, 8


@dataclass(frozen=True)
class Order:
    """What is to be made, and where.

    Attributes:
        ingredients: folder with ``manifest.jsonl``.
        out: folder of the set.
        recipe: how.
        count: samples.
        per_shard: samples of a shard.
        left_out: files of the ingredients that cannot be used.
    """

    ingredients: Path
    out: Path
    recipe: SetRecipe
    count: int
    per_shard: int = 250
    left_out: frozenset[str] = frozenset()

    @property
    def shards(self) -> int:
        return -(-self.count // self.per_shard)

    def numbers(self, shard: int) -> range:
        return range(shard * self.per_shard, min(self.count, (shard + 1) * self.per_shard))

    def path(self, shard: int) -> Path:
        return self.out / f"{self.recipe.split}-{shard:05d}.tar"

    def sheet(self, shard: int) -> Path:
        # Named without the split: readers of the Hub would take a picture called train-… for a shard.
        return self.out / "sheets" / f"{shard:05d}.jpg"


@dataclass
class Outcome:
    """What was done.

    Attributes:
        made, kept: samples made now, and those that were there.
        problems: one sentence each.
        seconds: of making.
    """

    made: int = 0
    kept: int = 0
    problems: tuple[str, ...] = ()
    seconds: float = 0.0

    @property
    def rate(self) -> float:
        return self.made / self.seconds if self.seconds else 0.0


Tell = Callable[[int, int], None]


def make_set(
    order: Order, *, workers: Workers | None = None, overwrite: bool = False, tell: Tell | None = None
) -> Outcome:
    """Make what is missing of a set.

    Args:
        workers: who makes the shards; None: this process.
        overwrite: make everything anew, also a set made by another recipe.
        tell: called with the number of samples that are there and that there shall be.

    Raises:
        MildError: the folder holds a set made by another recipe, or there are not enough ingredients.
    """
    library = Library(order.ingredients, order.recipe.split, left_out=order.left_out)
    outcome = Outcome()
    _claim(order, library, overwrite)
    missing = []
    for shard in range(order.shards):
        if order.path(shard).exists() and not overwrite:
            outcome.kept += len(order.numbers(shard))
            if not order.sheet(shard).exists():
                _sheet_again(order, shard, outcome)
        else:
            missing.append(shard)
    for leftover in order.out.glob(".*.part"):
        # Of a run that was killed; a run at work writes none of these names but its own.
        leftover.unlink(missing_ok=True)
    begun = time.perf_counter()
    # One thread each, or they fight for the cores.
    work = Work(_begin, (order, overwrite), threads=1)
    done = outcome.kept

    def step(count: int) -> None:
        nonlocal done
        done += count
        if tell:
            tell(min(order.count, done), order.count)

    problems: dict[int, str] = {}
    for made in (workers or Workers()).run(work, missing, step):
        if made.error is None:
            outcome.made += made.value
        else:
            lost = f"{order.path(missing[made.index]).name}: {made.error} Run it again."
            problems[made.index] = made.error if made.fault == "raised" else lost
    outcome.problems += tuple(problems[index] for index in sorted(problems))
    outcome.seconds = time.perf_counter() - begun
    return outcome


def fingerprint(order: Order, library: Library) -> str:
    """A hash of all that the samples depend on: recipe, sharding, ingredients, format."""
    said = {
        "format": FORMAT,
        "recipe": asdict(order.recipe),
        "count": order.count,
        "per_shard": order.per_shard,
        "files": library.files,
    }
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()


def _claim(order: Order, library: Library, overwrite: bool) -> None:
    """Write ``set.json``, or see that the one there says the same."""
    path = order.out / SET_FILE
    mark = fingerprint(order, library)
    if not overwrite:
        if path.exists():
            try:
                found = json.loads(path.read_text("utf-8")).get("fingerprint")
            except (OSError, ValueError, AttributeError):
                found = None
            if found == mark:
                return
            raise MildError(
                f"{order.out} already holds a set made with other settings or ingredients; name another folder, or use "
                "--overwrite to make it anew."
            )
        there = [order.path(s).name for s in range(order.shards) if order.path(s).exists()]
        if there:
            raise MildError(
                f"{order.out} already holds {there[0]} but no {SET_FILE}, so nobody knows what it was made from; "
                "remove it or use --overwrite."
            )
    recipe = asdict(order.recipe)
    said: dict[str, Any] = {
        "format": FORMAT,
        "samples": order.count,
        "shards": order.shards,
        "per_shard": order.per_shard,
        "recipe": recipe,
        "left_out": sorted(order.left_out),
        "fingerprint": mark,
    }
    write_json(path, said)


def _begin(setup: tuple[Order, bool]) -> Callable[[int], int]:
    """A worker: its own library, and shards by their numbers."""
    order, overwrite = setup
    library = Library(order.ingredients, order.recipe.split, left_out=order.left_out)
    return lambda shard: _shard(order, library, shard, overwrite)


def _shard(order: Order, library: Library, shard: int, overwrite: bool) -> int:
    """Make one shard and its contact sheet; returns how many samples there are, and notes each."""
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    thumbs: list[Sample] = []

    def samples() -> Any:
        for number in order.numbers(shard):
            sample = make_sample(library, order.recipe, number)
            if len(thumbs) < _SHEET_MOST:
                thumbs.append(replace(sample, layers=(), background=None, truth="none"))
            yield sample.key, to_members(sample)
            note(1)

    try:
        count = write_members(order.path(shard), samples(), overwrite=overwrite)
        write_sheet(order.sheet(shard), thumbs)
    finally:
        cv2.setNumThreads(threads)
    return count


def _sheet_again(order: Order, shard: int, outcome: Outcome) -> None:
    """The contact sheet of a shard that is there, from what is in it."""
    try:
        write_sheet(order.sheet(shard), list(itertools.islice(open_samples(order.path(shard)), _SHEET_MOST)))
    except MildError as error:
        outcome.problems += (str(error),)


def write_sheet(path: Path, samples: list[Sample]) -> None:
    """A contact sheet (JPEG): photos side by side, a dot over everybody: red who is to go, green who stays."""
    side, columns = _SHEET_SIDE, _SHEET_COLUMNS
    rows = max(1, -(-len(samples) // columns))
    sheet = np.full((rows * (side + 2), columns * (side + 2), 3), 255, np.uint8)
    for place, sample in enumerate(samples):
        factor = side / max(sample.size)
        small = np.asarray(cv2.resize(sample.photo, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA))
        for person in sample.people:
            ys, xs = np.nonzero(sample.index == person.id)
            if len(ys):
                spot = (round(float(xs.mean()) * factor), max(3, round(float(ys.min()) * factor) - 3))
                cv2.circle(small, spot, 2, (235, 30, 30) if person.erase else (30, 190, 50), -1, cv2.LINE_AA)
        y, x = (place // columns) * (side + 2), (place % columns) * (side + 2)
        sheet[y : y + small.shape[0], x : x + small.shape[1]] = small
    ok, data = cv2.imencode(".jpg", np.ascontiguousarray(sheet[..., ::-1]), [cv2.IMWRITE_JPEG_QUALITY, 88])
    if not ok:
        raise MildError(f"The contact sheet {path} could not be made.")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, lambda handle: handle.write(data.tobytes()))
    except OSError as error:
        raise MildError(f"The contact sheet {path} could not be written ({error.strerror or error}).") from None
