"""Rows and their exemplar fills, computed once: PatchMatch is too slow to run inside a training step.

    python -m mild.train.cache --data ../shared/data --out runs/cache --rows 8192

Row ``i`` depends on the seed and ``i`` alone. Shards are written whole (temporary name, then renamed), so that a run
that was killed goes on where it stopped and gives the same bytes.

Beside each shard lies a side file with the people's joints and who stood in front, for morphology guidance. It needs
no fill, so that it can also be made for the shards of an older cache (``--bodies``, same seed and size).
"""

from __future__ import annotations

import argparse
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mild.data.ingredients import Ingredients, Split
from mild.data.rows import HOLE, OWN, Row, background_row, person_row
from mild.diffusion.prior import exemplar_fill
from mild.errors import MildError

#: Smaller than when erasing: rows are small, and a fill that is a little worse is a good lesson.
PATCH_RADIUS = 2
#: Rows of a shard file.
SHARD = 128
#: Channels of a cached row, uint8: the complete layer's RGBA, the region, the domain, the fill's RGB.
CHANNELS = 9


def make_row(ingredients: Ingredients, seed: int, index: int, size: int) -> Row:
    """Row ``index``: even ones are backgrounds, odd ones people."""
    rng = np.random.default_rng((seed, index))
    return (background_row if index % 2 == 0 else person_row)(rng, ingredients, size)


def pack(row: Row, seed: int) -> NDArray[np.uint8]:
    """The row and its fill as uint8 ``[S, S, CHANNELS]``."""
    fill = exemplar_fill(
        row.rgba[..., :3], row.regions == OWN, row.regions == HOLE, seed=seed, patch_radius=PATCH_RADIUS
    )
    domain = np.full(row.regions.shape, row.domain == "person", np.uint8)
    return np.dstack([row.rgba, row.regions, domain, fill])


def write_shard(data: str, split: Split, out: str, shard: int, size: int, seed: int) -> Path:
    """Compute shard number ``shard`` unless it is there; returns its path."""
    path = Path(out) / f"rows-{shard:05d}.npy"
    if path.exists():
        return path
    ingredients = Ingredients.open(data, split)
    rows = np.empty((SHARD, size, size, CHANNELS), np.uint8)
    for i in range(SHARD):
        index = shard * SHARD + i
        rows[i] = pack(make_row(ingredients, seed, index, size), index)
    scratch = path.with_suffix(".part")
    with scratch.open("wb") as file:
        np.save(file, rows)
    scratch.rename(path)
    return path


def write_whole(data: str, split: Split, out: str, shard: int, size: int, seed: int) -> Path:
    """The shard and its side file."""
    path = write_shard(data, split, out, shard, size, seed)
    write_bodies(data, split, out, shard, size, seed)
    return path


def write_bodies(data: str, split: Split, out: str, shard: int, size: int, seed: int) -> Path:
    """The side file of shard ``shard`` unless it is there: ``keypoints [SHARD, 17, 3]`` and ``front [SHARD, 4]``,
    float32, zeros where nothing is known.

    Raises:
        MildError: the shard that is there was made with another seed, size or folder of photos.
    """
    path = Path(out) / f"bodies-{shard:05d}.npz"
    if path.exists():
        return path
    ingredients = Ingredients.open(data, split)
    rows = np.load(Path(out) / f"rows-{shard:05d}.npy", mmap_mode="r")
    keypoints, front = np.zeros((SHARD, 17, 3), np.float32), np.zeros((SHARD, 4), np.float32)
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
            front[i] = row.front
    scratch = path.with_suffix(".part")
    with scratch.open("wb") as file:
        np.savez(file, keypoints=keypoints, front=front)
    scratch.rename(path)
    return path


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--data", required=True, help="folder with manifest.jsonl and the tars")
    parser.add_argument("--out", required=True, help="folder of the shards")
    parser.add_argument("--split", default="train", choices=["train", "test"])
    parser.add_argument("--rows", type=int, default=8192, help=f"rounded up to a multiple of {SHARD}")
    parser.add_argument("--size", type=int, default=256, help="side of a row, pixels")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--bodies", action="store_true", help="only the side files of the shards that are there")
    args = parser.parse_args()
    Path(args.out).mkdir(parents=True, exist_ok=True)
    if args.bodies:
        shards = [int(path.stem[5:]) for path in sorted(Path(args.out).glob("rows-*.npy"))]
    else:
        shards = list(range(-(-args.rows // SHARD)))
    write = write_bodies if args.bodies else write_whole
    with ProcessPoolExecutor(args.workers) as pool:
        jobs = [pool.submit(write, args.data, args.split, args.out, shard, args.size, args.seed) for shard in shards]
        for done, job in enumerate(as_completed(jobs), 1):
            print(f"{done}/{len(jobs)} {job.result()}", flush=True)


if __name__ == "__main__":
    main()
