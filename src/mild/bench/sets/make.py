"""MILD-Bench by recipe and seed: made where it is missing, the same bytes as ``mild data synth --preset test``."""

from __future__ import annotations

import os
from pathlib import Path

from mild.errors import MildError

#: The set that is called MILD-Bench: 200 samples of each scenario, 512 px, held-out photos only.
SAMPLES, SIDE, PER_SHARD, GROUNDED, SEED = 600, 512, 60, 0.92, 0


def ensure(folder: Path, photos: str | Path, count: int = SAMPLES, size: int = SIDE, seed: int = SEED) -> None:
    """Make the set in ``folder`` unless it is there whole; an unfinished one is continued.

    Args:
        photos: folder with ``manifest.jsonl``, of which the test split is used.

    Raises:
        MildError: the folder holds another set, or the photos cannot be used.
    """
    from mild.data.factory import Order, make_set
    from mild.data.inspection import inspect
    from mild.data.store import shards_of
    from mild.data.synth import Recipe

    if len(shards_of(folder)) * PER_SHARD >= count:
        return
    left_out = inspect(Path(photos), "test").left_out
    recipe = Recipe(size=size, seed=seed, split="test", grounded=GROUNDED)
    outcome = make_set(Order(Path(photos), folder, recipe, count, PER_SHARD, left_out), jobs=os.cpu_count() or 1)
    if outcome.problems:
        raise MildError(f"The set {folder} is not whole: {outcome.problems[0]}")
