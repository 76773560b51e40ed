"""From a curated set the samples that a person accepted on its review page."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from mild.errors import MildError, UsageError
from mild.files import is_empty, replace_folder, write_json
from mild.lab.data.review import read_decisions
from mild.lab.data.sample import FORMAT
from mild.lab.data.store import open_members, write_members


def accepted(source: Path, out: Path, decisions: Path, *, per_shard: int = 250) -> Counter[str]:
    """From a set that was made before, the samples that were accepted, all of them or none; their bytes are copied.

    Returns:
        Numbers of ``taken``, ``rejected`` and ``undecided`` samples.

    Raises:
        MildError: the set cannot be read, nothing was accepted, or the folder holds something already.
    """
    chosen = read_decisions(decisions)
    if out.exists() and (not out.is_dir() or not is_empty(out)):
        raise UsageError(f"{out} exists already; name a new folder for the accepted samples.")
    counts: Counter[str] = Counter()

    def fill(new: Path) -> None:
        counts.update(_copied(source, new, chosen, per_shard))
        if not counts["taken"]:
            raise MildError(f"No sample of {source} is accepted in {decisions}.")
        said = {"format": FORMAT, "samples": counts["taken"], "recipe": {"decisions": dict(counts)}}
        write_json(new / "set.json", said)

    out.parent.mkdir(parents=True, exist_ok=True)
    replace_folder(out, fill)
    return counts


def _copied(source: Path, out: Path, chosen: Mapping[str, str], per_shard: int) -> Counter[str]:
    """Copy the accepted samples into shards of ``out``; what became of how many."""
    counts: Counter[str] = Counter()
    split = ""
    batch: list[tuple[str, dict[str, bytes]]] = []
    shards = 0

    def flush() -> None:
        nonlocal shards
        if batch:
            write_members(out / f"{split}-{shards:05d}.tar", batch)
            shards += 1
            batch.clear()

    for key, _, members in open_members(source):
        choice = chosen.get(key)
        counts["taken" if choice == "accept" else "rejected" if choice else "undecided"] += 1
        if choice != "accept":
            continue
        try:
            split = str(json.loads(members["json"])["split"])
        except (KeyError, ValueError, TypeError):
            raise MildError(
                f"The JSON of sample {key} cannot be read; check the set with `mild data validate`."
            ) from None
        batch.append((key, members))
        if len(batch) >= per_shard:
            flush()
    flush()
    return counts
