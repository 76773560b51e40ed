"""Several processes share a run: each has its part of the items, its own worker of every method, and scores itself.

All write to the same records, one whole line at a time; the order of the lines says nothing.
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Sequence
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

from mild.errors import MildError
from mild.lab.bench.asking import ask
from mild.lab.bench.listing import Lane, LoadedSet, Tell, described, load_sets, write_items
from mild.lab.bench.recipe import BenchRecipe
from mild.lab.bench.worker import one_thread


def run_lanes(recipe: BenchRecipe, sets: Sequence[LoadedSet], out: Path, retry: bool, tell: Tell) -> None:
    """As :func:`mild.lab.bench.runner.run` does it alone: first what the items are, then the methods.

    Raises:
        MildError: of any of the processes; the others are ended, and what is recorded stays.
    """
    context = multiprocessing.get_context("spawn")
    lanes: list[tuple[Any, Connection]] = []
    try:
        with one_thread(recipe.threads):
            for number in range(recipe.jobs):
                here, there = context.Pipe()
                fields = recipe.model_dump(mode="json")
                # Not a daemon: it has a child, the method's process.
                process = context.Process(target=_lane, args=(fields, out, Lane(number, recipe.jobs), retry, there))
                process.start()
                there.close()
                lanes.append((process, here))
        pipes = [pipe for _, pipe in lanes]
        rows = _gather(pipes, tell)
        for place, loaded in enumerate(sets):
            by_id = {row["id"]: row for part in rows for row in part[place]}
            write_items(out, loaded, place, [by_id[id] for id in loaded.ids], tell)
        for pipe in pipes:
            pipe.send("go")
        _gather(pipes, tell)
        for process, _ in lanes:
            process.join()
    finally:
        for process, pipe in lanes:
            pipe.close()
            if process.is_alive():
                process.terminate()
                process.join(30)


def _gather(pipes: Sequence[Connection], tell: Tell) -> list[Any]:
    """What every lane has to say at the end of a step; its lines of progress are told on the way."""
    waiting, found = list(pipes), []
    while waiting:
        for pipe in wait(waiting):
            assert isinstance(pipe, Connection)
            try:
                kind, what = pipe.recv()
            except (EOFError, OSError):
                raise MildError("A process of the run died; run the command again to continue.") from None
            if kind == "line":
                tell(what)
            elif kind == "failed":
                raise MildError(what)
            else:
                found.append(what)
                waiting.remove(pipe)
    return found


def _lane(fields: dict[str, Any], out: Path, lane: Lane, retry: bool, pipe: Connection) -> None:
    """A lane's whole life."""
    import cv2

    recipe = BenchRecipe.build(**fields)
    cv2.setNumThreads(recipe.threads)
    try:
        sets = load_sets(recipe)
        pipe.send(("done", [described(out, loaded, recipe, lane) for loaded in sets]))
        pipe.recv()
        ask(out, sets, recipe, lane, retry, lambda text: pipe.send(("line", text)))
        pipe.send(("done", None))
    except (EOFError, BrokenPipeError, KeyboardInterrupt):
        return  # whoever started the run is gone
    except Exception as error:
        told = (
            str(error) if isinstance(error, MildError) else f"The run cannot go on ({type(error).__name__}: {error})."
        )
        pipe.send(("failed", told))
