"""Whom a run asks about what: the sets of a recipe with their ids, what each item is, and which answers are owed."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mild.errors import MildError
from mild.files import read_json_lines, write_bytes, write_json
from mild.lab.bench.items import Item, describe, digest, make_trial
from mild.lab.bench.metrics.layered import order_accuracy
from mild.lab.bench.metrics.redetect import person_in
from mild.lab.bench.recipe import BenchRecipe, SetChoice
from mild.lab.bench.sets import BenchSet, choose
from mild.request import Finder

Tell = Callable[[str], None]


@dataclass(frozen=True)
class LoadedSet:
    """A set of the recipe with the ids of this run."""

    choice: SetChoice
    items: BenchSet
    ids: tuple[str, ...]

    @property
    def name(self) -> str:
        return self.items.name

    def looked(self, recipe: BenchRecipe) -> set[str]:
        """Items in whose answers people are looked for."""
        wanted = self.choice.redetect if recipe.redetect else False
        return set(self.ids) if wanted is True else self._some(int(wanted), recipe)

    def probed(self, recipe: BenchRecipe) -> set[str]:
        """Items on which attention is measured."""
        return self._some(recipe.cag_of(self.choice), recipe)

    def _some(self, count: int, recipe: BenchRecipe) -> set[str]:
        # Fewer of the same choice are among the more, so these are always items of the run.
        return set(choose(self.items, count, recipe.choice_seed)) & set(self.ids) if count else set()


@dataclass(frozen=True)
class Lane:
    """One of the processes that share a run: it has every so many-th item of every set."""

    number: int = 0
    of: int = 1

    def share(self, ids: Sequence[str]) -> Sequence[str]:
        return ids[self.number :: self.of]


ALONE = Lane()


def load_sets(recipe: BenchRecipe) -> tuple[LoadedSet, ...]:
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


def described(out: Path, loaded: LoadedSet, recipe: BenchRecipe, lane: Lane) -> list[dict[str, Any]]:
    """What the lane's items of a set are, and what the finder sees in photo and truth."""
    scoring = recipe.scoring_digest(loaded.choice)
    path = out / "items" / f"{loaded.name}.jsonl"
    known = {row["id"]: row for row in read_json_lines(path) if row.get("scoring") == scoring}
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
    write_bytes(path, text.encode())
    write_json(out / "sets" / f"{loaded.name}.json", {**loaded.items.about, "name": loaded.name, "place": place})


def _described(
    loaded: LoadedSet, id: str, recipe: BenchRecipe, looked: bool, before: dict[str, Any] | None
) -> dict[str, Any]:
    """What an item is; the finder, which takes seconds, does not look again at pictures it has seen."""
    try:
        item = loaded.items.load(id)
        trial = make_trial(item, loaded.choice.masks[0])
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
        row["found_before"] = person_in(item.photo, item, trial.mask, finder)
        if item.truth is not None:
            row["found_in_truth"] = person_in(item.truth.photo, item, trial.mask, finder)
    return row


def stamp_of(item: Item) -> str:
    """Changes with the item's pictures, masks or people: a set may be made anew under the same name."""
    layers = {} if item.truth is None else {str(k): digest(v) for k, v in sorted(item.truth.people.items())}
    people = digest(item.scene.label_map())
    facts = [describe(item)["sha256"], people, list(item.erase), list(item.scene.order), layers]
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:16]


def seeds_of(loaded: LoadedSet, recipe: BenchRecipe) -> tuple[int, ...]:
    return loaded.choice.seeds or recipe.seeds


def wanted(loaded: LoadedSet, recipe: BenchRecipe, seeded: bool, lane: Lane = ALONE) -> list[tuple[str, str, int]]:
    """(item, kind of mask, seed) of every answer that a method owes."""
    seeds = seeds_of(loaded, recipe)
    return [
        (id, kind, seed)
        for id in lane.share(loaded.ids)
        for kind in loaded.choice.masks
        for seed in (seeds if seeded else seeds[:1])
    ]
