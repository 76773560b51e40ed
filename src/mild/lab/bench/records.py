"""What is kept of an answer: its figures, what it cost, the sha256 of its pictures, and the hole's window itself."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mild.files import read_json_lines, write_atomically
from mild.lab.bench.items import Trial, digest
from mild.lab.bench.listing import LoadedSet
from mild.lab.bench.methods import MethodSpec, Rejected, checked
from mild.lab.bench.metrics.features import Network
from mild.lab.bench.metrics.score import Scoring, around, composited, score
from mild.lab.bench.worker import Outcome

#: Statuses without an answer; ``unchanged`` has one, and the table says so.
FAILED = ("error", "crash", "hang", "size", "nan", "type")


def recorded(
    out: Path, spec: MethodSpec, loaded: LoadedSet, trial: Trial, outcome: Outcome, scoring: Scoring, redetect: bool
) -> dict[str, Any]:
    """The record of one answer; what is no picture of this photo is refused here."""
    record: dict[str, Any] = {
        "key": trial.key,
        "item": trial.item.id,
        "mask": trial.kind,
        "seed": trial.seed,
        "status": outcome.status,
        "seconds": outcome.seconds,
        "cpu_seconds": outcome.cpu_seconds,
        "memory": outcome.memory,
        "sha256": {"photo": digest(trial.item.photo), "mask": digest(trial.mask)},
    }
    if outcome.answer is None:
        return record | {"message": outcome.message}
    try:
        pixels = checked(outcome.answer, trial)
    except Rejected as error:
        return record | {"status": error.kind, "message": str(error)}
    figures = score(pixels, trial, scoring, outcome.answer.stack, redetect=redetect)
    pasted = composited(pixels, trial)
    record["sha256"] |= {"answer": digest(pixels), "composited": digest(pasted)}
    record["figures"] = figures
    record["extra"] = dict(outcome.answer.extra)
    record["measured"] = dict(outcome.measured)
    if outcome.message:
        record["message"] = outcome.message
    if not figures["changed_in_hole"]:
        record |= {"status": "unchanged", "message": "the answer is the input"}
    window = around(trial.mask)
    record["window"] = list(window)
    _save_picture(pasted[window.slices], out / "pictures" / spec.slug / loaded.name / f"{trial.key}.webp")
    for network in scoring.networks:
        if network.kind in ("clip", "inception"):
            _save_vectors(out, spec, loaded, trial, network, pasted)
    return record


def _save_vectors(
    out: Path, spec: MethodSpec, loaded: LoadedSet, trial: Trial, network: Network, picture: NDArray[np.uint8]
) -> None:
    folder = out / "vectors" / network.label
    path = folder / spec.slug / loaded.name / f"{trial.key}.npy"
    path.parent.mkdir(parents=True, exist_ok=True)
    np.save(path, network.vector(picture))
    truth = folder / "_truth" / loaded.name / f"{trial.item.id}.npy"
    if trial.item.truth is not None and not truth.exists():
        truth.parent.mkdir(parents=True, exist_ok=True)
        # People-free where the set knows it: the originals would punish success.
        np.save(truth, network.vector(trial.item.truth.photo))


def _save_picture(pixels: NDArray[np.uint8], path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(np.ascontiguousarray(pixels))
    write_atomically(path, lambda stream: image.save(stream, "WEBP", lossless=True, method=0, quality=0))


def stamps(out: Path, name: str) -> dict[str, str]:
    """Item -> its stamp, as this run found the set."""
    return {row["id"]: row["stamp"] for row in read_json_lines(out / "items" / f"{name}.jsonl") if "stamp" in row}


def records_of(out: Path, spec: MethodSpec, name: str, stamp: str) -> dict[str, dict[str, Any]]:
    """The latest record of every key; those of other weights, definitions or pictures are left out."""
    rows = read_json_lines(out / "records" / spec.slug / f"{name}.jsonl")
    items = stamps(out, name)
    found = {row["key"]: row for row in rows if row["stamp"] == stamp and row["item_stamp"] == items.get(row["item"])}
    # In one order, whichever of several processes was first: sums of floats depend on it.
    return dict(sorted(found.items()))
