"""MILD-Bench by recipe and seed: made where it is missing, the same bytes as ``mild data synth --preset test``."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from mild.engines import Workers
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
    from mild.lab.data.factory import SET_FILE, Order, make_set
    from mild.lab.data.inspection import inspect
    from mild.lab.data.store import shards_of
    from mild.lab.data.synth import SetRecipe

    recipe = SetRecipe(size=size, seed=seed, split="test", grounded=GROUNDED)
    if len(shards_of(folder)) * PER_SHARD >= count and _says(folder / SET_FILE, count, asdict(recipe)):
        return
    left_out = inspect(Path(photos), "test").left_out
    outcome = make_set(Order(Path(photos), folder, recipe, count, PER_SHARD, left_out), workers=Workers(jobs=None))
    if outcome.problems:
        raise MildError(f"The set {folder} is not whole: {outcome.problems[0]}")


def _says(path: Path, count: int, recipe: dict[str, Any]) -> bool:
    """Is the set that is there the one that is wanted? Its ingredients are compared when it is made only."""
    try:
        said = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        return False
    wanted = {"samples": count, "per_shard": PER_SHARD, "recipe": json.loads(json.dumps(recipe))}
    return isinstance(said, dict) and {key: said.get(key) for key in wanted} == wanted
