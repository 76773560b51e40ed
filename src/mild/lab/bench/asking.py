"""Asking every method every item of a run that has no record yet, and recording what it answers."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from mild.errors import MildError
from mild.files import write_json
from mild.lab.bench.items import Item, Trial, make_trial
from mild.lab.bench.listing import Lane, LoadedSet, Tell, seeds_of, stamp_of, wanted
from mild.lab.bench.methods import MethodSpec
from mild.lab.bench.metrics.features import Network
from mild.lab.bench.metrics.score import Scoring
from mild.lab.bench.recipe import BenchRecipe
from mild.lab.bench.records import FAILED, recorded, records_of, stamps
from mild.lab.bench.worker import MethodProcess
from mild.request import Finder


class SetChanged(MildError):
    """Somebody made a set anew while it was being asked about; what was recorded before stays right."""


def ask(out: Path, sets: Sequence[LoadedSet], recipe: BenchRecipe, lane: Lane, retry: bool, tell: Tell) -> None:
    """Ask every method for the lane's items and record the answers."""
    scoring = scoring_of(recipe)
    for spec in recipe.specs:
        _run_method(out, spec, sets, recipe, lane, scoring, retry, tell)


def scoring_of(recipe: BenchRecipe) -> Scoring:
    finder = Finder.model_validate({"backend": recipe.finder}) if recipe.redetect else None
    networks = tuple(Network.load(kind, where) for kind, where in recipe.features.items())
    return Scoring(finder, recipe.flip, networks)


def _run_method(
    out: Path, spec: MethodSpec, sets: Sequence[LoadedSet], recipe: BenchRecipe, lane: Lane, scoring: Scoring,
    retry: bool, tell: Tell,
) -> None:  # fmt: skip
    worker = MethodProcess(spec, seconds=recipe.seconds, load_seconds=recipe.load_seconds, threads=recipe.threads)
    about: dict[str, Any] = {"name": spec.name, "text": spec.text}
    try:
        worker.start()
    except MildError as error:
        tell(str(error))
        write_json(out / "methods" / f"{spec.slug}.json", about | {"failed": str(error)})
        return
    about |= {"about": dict(worker.about), "seeded": worker.seeded}
    stamp = hashlib.sha256(json.dumps([spec.text, dict(worker.about)], sort_keys=True, default=str).encode())
    about["stamp"] = stamp.hexdigest()[:16]
    write_json(out / "methods" / f"{spec.slug}.json", about)
    try:
        for loaded in sets:
            if loaded.choice.methods is None or spec.name in loaded.choice.methods:
                mark = f"{about['stamp']}.{recipe.scoring_digest(loaded.choice)}"
                _run_set(out, spec, worker, loaded, recipe, lane, scoring, mark, retry, tell)
    except SetChanged:
        raise
    except MildError as error:
        # It was loaded once, but not again after it died.
        tell(str(error))
        write_json(out / "methods" / f"{spec.slug}.json", about | {"failed": str(error)})
    finally:
        worker.close()


def _run_set(
    out: Path, spec: MethodSpec, worker: MethodProcess, loaded: LoadedSet, recipe: BenchRecipe, lane: Lane,
    scoring: Scoring, stamp: str, retry: bool, tell: Tell,
) -> None:  # fmt: skip
    path = out / "records" / spec.slug / f"{loaded.name}.jsonl"
    path.parent.mkdir(parents=True, exist_ok=True)
    before = records_of(out, spec, loaded.name, stamp)
    done = {key for key, row in before.items() if not (retry and row["status"] in FAILED)}
    mine = wanted(loaded, recipe, worker.seeded, lane)
    todo = [key for key in mine if ".".join(map(str, key)) not in done]
    tell(f"{spec.name} on {loaded.name}: {len(todo)} to do, {len(mine) - len(todo)} done before")
    items = stamps(out, loaded.name)
    probed = loaded.probed(recipe)
    # What measures itself comes last: the process then holds what no trial needs, and its memory is not counted.
    todo.sort(key=lambda key: key[0] in probed)
    trials = _trials(loaded, todo, recipe, probed, items)
    looked_at = loaded.looked(recipe)
    if path.is_file() and not path.read_bytes().endswith(b"\n"):
        # A run that was cut off left half a line; the next record must not become its other half.
        with path.open("ab", buffering=0) as stream:
            stream.write(b"\n")
    # Without a buffer a line is one write: other processes append to this file too.
    with path.open("ab", buffering=0) as stream:
        for number, (trial, outcome) in enumerate(worker.run(trials), 1):
            looked = trial.item.id in looked_at and trial.seed == seeds_of(loaded, recipe)[0]
            record = recorded(out, spec, loaded, trial, outcome, scoring, looked)
            told = {**record, "stamp": stamp, "item_stamp": items[trial.item.id]}
            stream.write((json.dumps(told) + "\n").encode())
            problem = "" if record["status"] == "ok" else f" {record['status']}: {record.get('message', '')}"
            tell(f"{spec.name} on {loaded.name}: {number} of {len(todo)}, {record['seconds']:.1f} s{problem}")


def _trials(
    loaded: LoadedSet, todo: list[tuple[str, str, int]], recipe: BenchRecipe, probed: set[str], known: Mapping[str, str]
) -> Iterator[tuple[Trial, bool]]:
    first = (loaded.choice.masks[0], seeds_of(loaded, recipe)[0])
    item: Item | None = None
    changed = False
    for id, kind, seed in todo:
        try:
            # Masks and seeds of one item come one after the other.
            if item is None or item.id != id:
                item = loaded.items.load(id)
                changed = id in known and stamp_of(item) != known[id]
            trial = make_trial(item, kind, seed)  # type: ignore[arg-type]  # a kind of the recipe
        except MildError:
            continue  # the list of items says why
        if changed:
            raise SetChanged(f"The set {loaded.name} was changed while it was in use ({id}): run the command again.")
        yield trial, id in probed and (kind, seed) == first
