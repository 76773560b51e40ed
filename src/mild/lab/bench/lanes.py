"""Several workers share a run: each has its part of the items, its own process of every method, and scores itself.

All write to the same records, one whole line at a time; the order of the lines says nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from mild.engines import Engine, Work, Workers, note
from mild.errors import MildError
from mild.lab.bench.asking import ask
from mild.lab.bench.listing import Lane, LoadedSet, Tell, described, load_sets, write_items
from mild.lab.bench.recipe import BenchRecipe


def run_lanes(
    recipe: BenchRecipe, sets: Sequence[LoadedSet], out: Path, retry: bool, tell: Tell, workers: Workers
) -> None:
    """As :func:`mild.lab.bench.runner.run` does it alone: first what the items are, then the methods.

    Raises:
        MildError: of any of the workers; the others are ended, and what is recorded stays.
    """
    setup = (recipe.model_dump(mode="json"), out.absolute(), retry)
    with closing(workers.engine_for(Work(_begin, setup, threads=recipe.threads))) as engine:
        lanes = [Lane(number, engine.jobs) for number in range(engine.jobs)]
        rows = _all(engine, [("describe", lane) for lane in lanes], tell)
        for place, loaded in enumerate(sets):
            by_id = {row["id"]: row for part in rows for row in part[place]}
            write_items(out, loaded, place, [by_id[id] for id in loaded.ids], tell)
        _all(engine, [("ask", lane) for lane in lanes], tell)


def _all(engine: Engine, items: Sequence[tuple[str, Lane]], tell: Tell) -> list[Any]:
    """What every lane has to say at the end of a step; its lines of progress are told on the way."""
    found = []
    with closing(engine.run(items, tell)) as done:
        for one in done:
            if one.fault in ("died", "time", "memory"):
                raise MildError("A process of the run died; run the command again to continue.")
            if one.error is not None:
                raise MildError(one.error)
            found.append(one.value)
    return found


def _begin(setup: tuple[dict[str, Any], Path, bool]) -> Callable[[tuple[str, Lane]], Any]:
    """A worker: the sets are read once, then it is told which step of which lane to do."""
    fields, out, retry = setup
    recipe = BenchRecipe.build(**fields)
    sets = load_sets(recipe)

    def step(item: tuple[str, Lane]) -> Any:
        what, lane = item
        if what == "describe":
            return [described(out, loaded, recipe, lane) for loaded in sets]
        ask(out, sets, recipe, lane, retry, note)
        return None

    return step
