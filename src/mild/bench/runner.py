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

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mild.bench.items import Item, Job, describe, digest, make_job
from mild.bench.methods import MethodSpec, Rejected, checked
from mild.bench.metrics.features import Network
from mild.bench.metrics.layered import order_accuracy
from mild.bench.metrics.redetect import person_in
from mild.bench.metrics.score import Scoring, around, composited, score
from mild.bench.recipe import Recipe, SetChoice
from mild.bench.sets import BenchSet, choose
from mild.bench.worker import Outcome, Worker
from mild.errors import MildError
from mild.photo import write_atomically
from mild.request import Finder

Tell = Callable[[str], None]


class SetChanged(MildError):
    """Somebody made a set anew while it was being asked about; what was recorded before stays right."""


@dataclass(frozen=True)
class LoadedSet:
    """A set of the recipe with the ids of this run."""

    choice: SetChoice
    items: BenchSet
    ids: tuple[str, ...]

    @property
    def name(self) -> str:
        return self.items.name

    def looked(self, recipe: Recipe) -> set[str]:
        """Items in whose answers people are looked for."""
        wanted = self.choice.redetect if recipe.redetect else False
        return set(self.ids) if wanted is True else self._some(int(wanted), recipe)

    def probed(self, recipe: Recipe) -> set[str]:
        """Items on which attention is measured."""
        return self._some(recipe.cag_of(self.choice), recipe)

    def _some(self, count: int, recipe: Recipe) -> set[str]:
        # Fewer of the same choice are among the more, so these are always items of the run.
        return set(choose(self.items, count, recipe.choice_seed)) & set(self.ids) if count else set()


def run(recipe: Recipe, out: str | Path, *, retry: bool = False, tell: Tell = lambda text: None) -> Path:
    """Ask every method everything that has no record yet.

    Args:
        out: folder of the run; a folder of an earlier, unfinished run is continued.
        retry: ask again where a method failed before.
        tell: called with a line of progress.

    Raises:
        MildError: a set cannot be read, a feature network is missing, or nothing can be written. Whatever a method
            does is recorded instead.
    """
    out = Path(out)
    out.mkdir(parents=True, exist_ok=True)
    sets = load_sets(recipe)
    recipe.reference_name  # noqa: B018 - a wrong name is told before the work
    _write_json(out / "recipe.json", json.loads(recipe.model_dump_json()))
    _scoring(recipe)  # a network that is missing is told before the work
    for old in (out / "sets").glob("*.json"):
        old.unlink()  # of an earlier recipe in this folder, perhaps; the records stay
    if recipe.jobs > 1:
        from mild.bench.lanes import run_lanes

        run_lanes(recipe, sets, out, retry, tell)
        return out
    for place, loaded in enumerate(sets):
        write_items(out, loaded, place, described(out, loaded, recipe, ALONE), tell)
    ask(out, sets, recipe, ALONE, retry, tell)
    return out


@dataclass(frozen=True)
class Lane:
    """One of the processes that share a run: it has every so many-th item of every set."""

    number: int = 0
    of: int = 1

    def share(self, ids: Sequence[str]) -> Sequence[str]:
        return ids[self.number :: self.of]


ALONE = Lane()


def ask(out: Path, sets: Sequence[LoadedSet], recipe: Recipe, lane: Lane, retry: bool, tell: Tell) -> None:
    """Ask every method for the lane's items and record the answers."""
    scoring = _scoring(recipe)
    for spec in recipe.specs:
        _run_method(out, spec, sets, recipe, lane, scoring, retry, tell)


def load_sets(recipe: Recipe) -> tuple[LoadedSet, ...]:
    """The recipe's sets, each with the ids that its limit leaves."""
    loaded = []
    for choice in recipe.sets:
        items = choice.load()
        loaded.append(LoadedSet(choice, items, tuple(choose(items, choice.limit, recipe.choice_seed))))
    names = [one.name for one in loaded]
    for name in names:
        if names.count(name) > 1:
            raise MildError(f"Two sets are called {name}; give one of them another name (name=OTHER).")
    return tuple(loaded)


def _scoring(recipe: Recipe) -> Scoring:
    finder = Finder.model_validate({"backend": recipe.finder}) if recipe.redetect else None
    networks = tuple(Network.load(kind, where) for kind, where in recipe.features.items())
    return Scoring(finder, recipe.flip, networks)


def described(out: Path, loaded: LoadedSet, recipe: Recipe, lane: Lane) -> list[dict[str, Any]]:
    """What the lane's items of a set are, and what the finder sees in photo and truth."""
    scoring = recipe.scoring_digest(loaded.choice)
    path = out / "items" / f"{loaded.name}.jsonl"
    known = {row["id"]: row for row in read_lines(path) if row.get("scoring") == scoring}
    looked = loaded.looked(recipe)
    return [
        {**_described(loaded, id, recipe, id in looked, known.get(id)), "scoring": scoring}
        for id in lane.share(loaded.ids)
    ]


def write_items(out: Path, loaded: LoadedSet, place: int, rows: Sequence[Mapping[str, Any]], tell: Tell) -> None:
    """Write ``items/SET.jsonl``."""
    tell(f"{loaded.name}: {len(rows)} items")
    text = "".join(json.dumps(row) + "\n" for row in rows)
    path = out / "items" / f"{loaded.name}.jsonl"
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, lambda stream: stream.write(text.encode()))
    _write_json(out / "sets" / f"{loaded.name}.json", {**loaded.items.about, "name": loaded.name, "place": place})


def _described(
    loaded: LoadedSet, id: str, recipe: Recipe, looked: bool, before: dict[str, Any] | None
) -> dict[str, Any]:
    """What an item is; the finder, which takes seconds, does not look again at pictures it has seen."""
    try:
        item = loaded.items.load(id)
        job = make_job(item, loaded.choice.masks[0])
    except MildError as error:
        # An item that cannot be used is a line of the report, not the end of the run.
        return {"id": id, "unusable": str(error)}
    row = describe(item)
    row["stamp"] = stamp_of(item)
    if before is not None and before.get("stamp") == row["stamp"]:
        return before
    row["order_accuracy"] = order_accuracy(item)
    if looked:
        finder = Finder.model_validate({"backend": recipe.finder})
        row["found_before"] = person_in(item.photo, item, job.mask, finder)
        if item.truth is not None:
            row["found_in_truth"] = person_in(item.truth.photo, item, job.mask, finder)
    return row


def stamp_of(item: Item) -> str:
    """Changes with the item's pictures, masks or people: a set may be made anew under the same name."""
    layers = {} if item.truth is None else {str(k): digest(v) for k, v in sorted(item.truth.people.items())}
    people = digest(item.scene.label_map())
    facts = [describe(item)["sha256"], people, list(item.erase), list(item.scene.order), layers]
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:16]


def _run_method(
    out: Path, spec: MethodSpec, sets: Sequence[LoadedSet], recipe: Recipe, lane: Lane, scoring: Scoring, retry: bool,
    tell: Tell,
) -> None:  # fmt: skip
    worker = Worker(spec, seconds=recipe.seconds, load_seconds=recipe.load_seconds, threads=recipe.threads)
    about: dict[str, Any] = {"name": spec.name, "text": spec.text}
    try:
        worker.start()
    except MildError as error:
        tell(str(error))
        _write_json(out / "methods" / f"{spec.slug}.json", about | {"failed": str(error)})
        return
    about |= {"about": dict(worker.about), "seeded": worker.seeded}
    stamp = hashlib.sha256(json.dumps([spec.text, dict(worker.about)], sort_keys=True, default=str).encode())
    about["stamp"] = stamp.hexdigest()[:16]
    _write_json(out / "methods" / f"{spec.slug}.json", about)
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
        _write_json(out / "methods" / f"{spec.slug}.json", about | {"failed": str(error)})
    finally:
        worker.close()


def _run_set(
    out: Path, spec: MethodSpec, worker: Worker, loaded: LoadedSet, recipe: Recipe, lane: Lane, scoring: Scoring,
    stamp: str, retry: bool, tell: Tell,
) -> None:  # fmt: skip
    path = out / "records" / spec.slug / f"{loaded.name}.jsonl"
    path.parent.mkdir(parents=True, exist_ok=True)
    before = records_of(out, spec, loaded.name, stamp)
    done = {key for key, row in before.items() if not (retry and row["status"] in FAILED)}
    mine = wanted(loaded, recipe, worker.seeded, lane)
    todo = [key for key in mine if ".".join(map(str, key)) not in done]
    tell(f"{spec.name} on {loaded.name}: {len(todo)} to do, {len(mine) - len(todo)} done before")
    items = stamps(out, loaded.name)
    jobs = _jobs(loaded, todo, recipe, loaded.probed(recipe), items)
    looked_at = loaded.looked(recipe)
    if path.is_file() and not path.read_bytes().endswith(b"\n"):
        # A run that was cut off left half a line; the next record must not become its other half.
        with path.open("ab", buffering=0) as stream:
            stream.write(b"\n")
    # Without a buffer a line is one write: other processes append to this file too.
    with path.open("ab", buffering=0) as stream:
        for number, (job, outcome) in enumerate(worker.run(jobs), 1):
            looked = job.item.id in looked_at and job.seed == seeds_of(loaded, recipe)[0]
            record = _recorded(out, spec, loaded, job, outcome, scoring, looked)
            told = {**record, "stamp": stamp, "item_stamp": items[job.item.id]}
            stream.write((json.dumps(told) + "\n").encode())
            problem = "" if record["status"] == "ok" else f" {record['status']}: {record.get('message', '')}"
            tell(f"{spec.name} on {loaded.name}: {number} of {len(todo)}, {record['seconds']:.1f} s{problem}")


#: Statuses without an answer; ``unchanged`` has one, and the table says so.
FAILED = ("error", "crash", "hang", "size", "nan", "type")


def seeds_of(loaded: LoadedSet, recipe: Recipe) -> tuple[int, ...]:
    return loaded.choice.seeds or recipe.seeds


def wanted(loaded: LoadedSet, recipe: Recipe, seeded: bool, lane: Lane = ALONE) -> list[tuple[str, str, int]]:
    """(item, kind of mask, seed) of every answer that a method owes."""
    seeds = seeds_of(loaded, recipe)
    return [
        (id, kind, seed)
        for id in lane.share(loaded.ids)
        for kind in loaded.choice.masks
        for seed in (seeds if seeded else seeds[:1])
    ]


def _jobs(
    loaded: LoadedSet, todo: list[tuple[str, str, int]], recipe: Recipe, probed: set[str], known: Mapping[str, str]
) -> Iterator[tuple[Job, bool]]:
    first = (loaded.choice.masks[0], seeds_of(loaded, recipe)[0])
    item: Item | None = None
    changed = False
    for id, kind, seed in todo:
        try:
            # Masks and seeds of one item come one after the other.
            if item is None or item.id != id:
                item = loaded.items.load(id)
                changed = id in known and stamp_of(item) != known[id]
            job = make_job(item, kind, seed)  # type: ignore[arg-type]  # a kind of the recipe
        except MildError:
            continue  # the list of items says why
        if changed:
            raise SetChanged(f"The set {loaded.name} was changed while it was in use ({id}): run the command again.")
        yield job, id in probed and (kind, seed) == first


def _recorded(
    out: Path, spec: MethodSpec, loaded: LoadedSet, job: Job, outcome: Outcome, scoring: Scoring, redetect: bool
) -> dict[str, Any]:
    """The record of one answer; what is no picture of this photo is refused here."""
    record: dict[str, Any] = {
        "key": job.key,
        "item": job.item.id,
        "mask": job.kind,
        "seed": job.seed,
        "status": outcome.status,
        "seconds": outcome.seconds,
        "cpu_seconds": outcome.cpu_seconds,
        "memory": outcome.memory,
        "sha256": {"photo": digest(job.item.photo), "mask": digest(job.mask)},
    }
    if outcome.answer is None:
        return record | {"message": outcome.message}
    try:
        pixels = checked(outcome.answer, job)
    except Rejected as error:
        return record | {"status": error.kind, "message": str(error)}
    figures = score(pixels, job, scoring, outcome.answer.stack, redetect=redetect)
    pasted = composited(pixels, job)
    record["sha256"] |= {"answer": digest(pixels), "composited": digest(pasted)}
    record["figures"] = figures
    record["extra"] = dict(outcome.answer.extra)
    record["measured"] = dict(outcome.measured)
    if outcome.message:
        record["message"] = outcome.message
    if not figures["changed_in_hole"]:
        record |= {"status": "unchanged", "message": "the answer is the input"}
    window = around(job.mask)
    record["window"] = list(window)
    _save_picture(pasted[window.slices], out / "pictures" / spec.slug / loaded.name / f"{job.key}.webp")
    for network in scoring.networks:
        if network.kind in ("clip", "inception"):
            _save_vectors(out, spec, loaded, job, network, pasted)
    return record


def _save_vectors(
    out: Path, spec: MethodSpec, loaded: LoadedSet, job: Job, network: Network, picture: NDArray[np.uint8]
) -> None:
    folder = out / "vectors" / network.label
    path = folder / spec.slug / loaded.name / f"{job.key}.npy"
    path.parent.mkdir(parents=True, exist_ok=True)
    np.save(path, network.vector(picture))
    truth = folder / "_truth" / loaded.name / f"{job.item.id}.npy"
    if job.item.truth is not None and not truth.exists():
        truth.parent.mkdir(parents=True, exist_ok=True)
        # People-free where the set knows it: the originals would punish success.
        np.save(truth, network.vector(job.item.truth.photo))


def _save_picture(pixels: NDArray[np.uint8], path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(np.ascontiguousarray(pixels))
    write_atomically(path, lambda stream: image.save(stream, "WEBP", lossless=True, method=0, quality=0))


def read_lines(path: Path) -> list[dict[str, Any]]:
    """The records of a file; a last line that a stopped run cut short is left out."""
    if not path.is_file():
        return []
    rows = []
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            rows.append(json.loads(line))
        except ValueError:
            continue
    return rows


def stamps(out: Path, name: str) -> dict[str, str]:
    """Item -> its stamp, as this run found the set."""
    return {row["id"]: row["stamp"] for row in read_lines(out / "items" / f"{name}.jsonl") if "stamp" in row}


def records_of(out: Path, spec: MethodSpec, name: str, stamp: str) -> dict[str, dict[str, Any]]:
    """The latest record of every key; those of other weights, definitions or pictures are left out."""
    rows = read_lines(out / "records" / spec.slug / f"{name}.jsonl")
    items = stamps(out, name)
    found = {row["key"]: row for row in rows if row["stamp"] == stamp and row["item_stamp"] == items.get(row["item"])}
    # In one order, whichever of several processes was first: sums of floats depend on it.
    return dict(sorted(found.items()))


def _write_json(path: Path, value: Mapping[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps(value, indent=1, default=str) + "\n"
    write_atomically(path, lambda stream: stream.write(text.encode()))
