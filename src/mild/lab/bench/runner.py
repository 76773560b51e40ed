"""A run: every method on every item, one record per answer, kept as soon as it is there.

    OUT/recipe.json                        what was asked
    OUT/methods/METHOD.json                settings, versions, checksums of weights; or why it cannot be loaded
    OUT/items/SET.jsonl                    every item: ids, sha256 of its pictures, areas, tags
    OUT/records/METHOD/SET.jsonl           every answer: status, figures, seconds, sha256
    OUT/pictures/METHOD/SET/KEY.webp       the hole's window of the answer, without loss
    OUT/vectors/…                          feature vectors, where FID or CMMD were asked for

A record is used again when its method (with its weights), its pictures and the figures' definitions are still the same.
"""

from __future__ import annotations

import json
from pathlib import Path

from mild.engines import Workers
from mild.errors import UsageError
from mild.files import write_json
from mild.lab.bench.asking import ask, scoring_of
from mild.lab.bench.lanes import run_lanes
from mild.lab.bench.listing import ALONE, Tell, described, load_sets, write_items
from mild.lab.bench.recipe import BenchRecipe

#: What a run writes, and renews, beside its recipe.
OURS = ("items", "methods", "pictures", "records", "sets", "vectors", "report.html", "report.md", "results.json")


def run(
    recipe: BenchRecipe,
    out: str | Path,
    *,
    retry: bool = False,
    tell: Tell = lambda text: None,
    workers: Workers | None = None,
) -> Path:
    """Ask every method everything that has no record yet.

    Args:
        out: folder of the run; a folder of an earlier, unfinished run is continued.
        retry: ask again where a method failed before.
        tell: called with a line of progress.
        workers: who shares the items; None: as many processes of this machine as the recipe says.

    Raises:
        UsageError: the folder holds what a run would take for its own.
        MildError: a set cannot be read, a feature network is missing, or nothing can be written. Whatever a method
            does is recorded instead.
    """
    out = Path(out)
    theirs = [name for name in OURS if not (out / "recipe.json").is_file() and (out / name).exists()]
    if theirs:
        raise UsageError(f"The folder {out} holds {theirs[0]}, and no run of the benchmark; name another folder.")
    out.mkdir(parents=True, exist_ok=True)
    sets = load_sets(recipe)
    recipe.reference_name  # noqa: B018 - a wrong name is told before the work
    write_json(out / "recipe.json", json.loads(recipe.model_dump_json()))
    scoring_of(recipe)  # a network that is missing is told before the work
    for old in (out / "sets").glob("*.json"):
        old.unlink()  # of an earlier recipe in this folder, perhaps; the records stay
    workers = Workers(jobs=recipe.jobs) if workers is None else workers
    if (workers.engine, workers.jobs) != ("local", 1):
        run_lanes(recipe, sets, out, retry, tell, workers)
        return out
    for place, loaded in enumerate(sets):
        write_items(out, loaded, place, described(out, loaded, recipe, ALONE), tell)
    ask(out, sets, recipe, ALONE, retry, tell)
    return out
