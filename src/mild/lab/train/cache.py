"""Rows and their exemplar fills, computed once: PatchMatch is too slow to run inside a training step.

Rows come from MILD samples (``mild train cache --samples``), or straight from a folder of ingredients (``--data``,
``--partial``). A row depends on the seed and its number (or its sample) alone.
Files: :mod:`mild.lab.train.shards`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mild.diffusion.bodies import MOST_OTHERS, Other
from mild.errors import MildError
from mild.files import write_atomically
from mild.fill.first import first_fill
from mild.fill.prior import PATCH_RADIUS
from mild.lab.data.ingredients import Ingredients, Split
from mild.lab.data.partial import VisiblePeople, partial_row
from mild.lab.data.rows import HOLE, OWN, Domain, Row, background_row, person_row
from mild.lab.data.store import open_members
from mild.lab.train.rowfiles import OTHER_NUMBERS, PERSON
from mild.lab.train.samplerows import PackedRow, numbered, packed_rows
from mild.lab.train.shards import beside, loaded
from mild.people.behind import joints
from mild.people.finders.blaze_nets import load_nets
from mild.people.scene import Box

#: Rows of a shard file, where they do not come from samples.
SHARD = 128
#: Samples whose rows go into one shard.
SAMPLES = 64
#: Channels of a row that was made from ingredients.
CHANNELS = 9
#: Of the second fills.
OTHER_RADIUS, OTHER_SEED = 3, 0x5EED


def make_row(ingredients: Ingredients, seed: int, index: int, size: int) -> Row:
    """Row ``index``: even ones are backgrounds, odd ones people."""
    rng = np.random.default_rng((seed, index))
    return (background_row if index % 2 == 0 else person_row)(rng, ingredients, size)


def pack(row: Row, seed: int) -> NDArray[np.uint8]:
    """The row and its fill as uint8 ``[S, S, CHANNELS]``."""
    fill = first_fill(
        row.domain, row.rgba[..., :3], row.regions == OWN, row.regions == HOLE, seed=seed, patch_radius=PATCH_RADIUS
    )
    domain = np.full(row.regions.shape, row.domain == "person", np.uint8)
    return np.dstack([row.rgba, row.regions, domain, fill])


def write_shard(data: str, split: Split, out: str, shard: int, size: int, seed: int) -> Path:
    """Compute shard number ``shard`` of rows from ingredients, unless it is there; returns its path."""
    path = Path(out) / f"rows-{shard:05d}.npy"
    if path.exists():
        return path
    ingredients = Ingredients.open(data, split)
    rows = np.empty((SHARD, size, size, CHANNELS), np.uint8)
    for i in range(SHARD):
        index = shard * SHARD + i
        rows[i] = pack(make_row(ingredients, seed, index, size), index)
    return _saved(path, rows)


def write_bodies(data: str, split: Split, out: str, shard: int, size: int, seed: int) -> Path:
    """The side file of joints of a shard of rows from ingredients, unless it is there.

    Raises:
        MildError: the shard that is there was made with another seed, size or folder of photos.
    """
    path = Path(out) / f"bodies-{shard:05d}.npz"
    if path.exists():
        return path
    ingredients = Ingredients.open(data, split)
    rows = loaded(Path(out) / f"rows-{shard:05d}.npy")
    keypoints = np.zeros((SHARD, 17, 3), np.float32)
    people = np.zeros((SHARD, MOST_OTHERS, OTHER_NUMBERS), np.float32)
    for i in range(SHARD):
        index = shard * SHARD + i
        if index % 2 == 0:
            continue  # a background
        row = make_row(ingredients, seed, index, size)
        if not np.array_equal(row.regions, rows[i, ..., 4]):
            raise MildError(f"Row {index} of {out} was not made from these photos with this seed and size.")
        if row.keypoints is not None:
            keypoints[i] = row.keypoints
        if row.front is not None:
            people[i] = numbered([_other(row.front, True)])
    return _saved_bodies(path, keypoints, people)


def write_fills(out: str, shard: int) -> Path:
    """The second fills of a shard that is there, unless they are there too."""
    path = Path(out) / f"fills-{shard:05d}.npy"
    if path.exists():
        return path
    rows = loaded(Path(out) / f"rows-{shard:05d}.npy")
    fills = np.empty((*rows.shape[:3], 3), np.uint8)
    for i, row in enumerate(rows):
        own, hole = row[..., 4] == OWN, row[..., 4] == HOLE
        rgb = np.ascontiguousarray(row[..., :3])
        domain: Domain = "person" if row[0, 0, 5] == PERSON else "background"
        fills[i] = first_fill(domain, rgb, own, hole, seed=OTHER_SEED + shard * SHARD + i, patch_radius=OTHER_RADIUS)
    return _saved(path, fills)


def with_joints(make: Callable[[int], Path], shard: int) -> Path:
    """The shard that ``make`` makes, and the joints that are found in its rows (see :mod:`mild.people.behind`), unless
    they are there.

    Raises:
        MildError: the finder's landmark net is not on this machine.
    """
    path = make(shard)
    side = beside(path, "joints")
    if not side.exists():
        nets, rows = load_nets(), loaded(path)
        found = np.zeros((len(rows), 17, 3), np.float32)
        for i, row in enumerate(rows):
            if row[0, 0, 5] == PERSON:
                rgb, region = np.ascontiguousarray(row[..., :3]), np.asarray(row[..., 4])
                points = joints(nets, rgb, region == OWN, region == HOLE)
                found[i] = 0 if points is None else points
        _saved(side, found)
    return path


def from_ingredients(data: str, split: Split, out: str, shard: int, size: int, seed: int, fills: bool) -> Path:
    """One shard of rows from ingredients, with its side files."""
    path = write_shard(data, split, out, shard, size, seed)
    write_bodies(data, split, out, shard, size, seed)
    if fills:
        write_fills(out, shard)
    return path


def from_visible(data: str, split: Split, out: str, shard: int, size: int, seed: int, severe: float = 0.0) -> Path:
    """One shard of rows of covered people (see :mod:`mild.lab.data.partial`), with its side file."""
    path = Path(out) / f"rows-p{shard:05d}.npy"
    if path.exists():
        return path
    everybody = _visible_people(data, split)
    rows = np.zeros((SHARD, size, size, CHANNELS + 1), np.uint8)
    keypoints = np.zeros((SHARD, 17, 3), np.float32)
    people = np.zeros((SHARD, MOST_OTHERS, OTHER_NUMBERS), np.float32)
    for i in range(SHARD):
        row, others = partial_row(np.random.default_rng((seed, shard, i)), everybody, size, severe=severe)
        rows[i, ..., :CHANNELS] = pack(row, 0)
        people[i] = numbered([_other(box, front) for box, front in others])
        if row.keypoints is not None:
            keypoints[i] = row.keypoints
    _saved_bodies(path.with_name(f"bodies-p{shard:05d}.npz"), keypoints, people)
    return _saved(path, rows)


@lru_cache(maxsize=1)
def _visible_people(data: str, split: Split) -> VisiblePeople:
    return VisiblePeople.open(data, split)


def _other(box: Box, front: bool) -> Other:
    return Other((float(box.x0), float(box.y0), float(box.x1), float(box.y1)), 1.0, front)


def from_samples(
    samples: str, out: str, shard: int, size: int, seed: int, whole: bool, fills: bool, backgrounds: bool = True
) -> Path:
    """One shard of rows of the samples number ``shard * SAMPLES`` and following, with its side files."""
    path = Path(out) / f"rows-{shard:05d}.npy"
    if not path.exists():
        made = list(_rows_of(samples, shard, size, seed, whole, backgrounds))
        if not made:
            lacks = "an erased person and its whole truth" if backgrounds else "a covered person who stays"
            raise MildError(f"No sample of part {shard} of {samples} has {lacks}; take a larger set.")
        # The side file first: rows that are there are complete.
        side = Path(out) / f"bodies-{shard:05d}.npz"
        _saved_bodies(side, np.stack([row.keypoints for row in made]), np.stack([row.others for row in made]))
        _saved(path, np.stack([row.pixels for row in made]))
    if fills:
        write_fills(out, shard)
    return path


def _rows_of(samples: str, shard: int, size: int, seed: int, whole: bool, backgrounds: bool) -> Iterator[PackedRow]:
    from mild.lab.data.members import from_members

    first = shard * SAMPLES
    for number, (key, _, members) in enumerate(islice(open_members(samples), first, first + SAMPLES), first):
        rng = np.random.default_rng((seed, number))
        yield from packed_rows(from_members(members, key), size, rng, backgrounds=backgrounds, whole=whole)


def _saved(path: Path, rows: NDArray[Any]) -> Path:
    return write_atomically(path, lambda file: np.save(file, rows))


def _saved_bodies(path: Path, keypoints: NDArray[np.float32], people: NDArray[np.float32]) -> Path:
    return write_atomically(path, lambda file: np.savez(file, keypoints=keypoints, people=people))
