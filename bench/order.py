"""How often the finder says rightly who stands in front: the figures of docs/finding-people.md.

    python bench/order.py look DATA OUT.json [--split test] [--photos 140] [--seed 31] [--finder nanodet]
    python bench/order.py table OUT.json…

DATA: the ingredients of ``mild data synth`` (docs/data.md). Photos with people who touch are made from them, so that
who hides whom is known. A pair counts when both were found (IoU of masks of at least .5, one to one), whether surely or
not, and they touch in the photo. ``true masks``: the same pairs given the masks and keypoints of the sample.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from mild.lab.data.library import Library
from mild.lab.data.sample import Sample
from mild.lab.data.synth import SetRecipe, make_sample
from mild.people.find import find_people
from mild.people.order import estimate_order
from mild.people.scene import Scene
from mild.photo import Photo
from mild.request import Finder

FOUND = 0.5


def touching(sample: Sample) -> list[tuple[int, int]]:
    """Pairs of people whose visible pixels meet, (back, front)."""
    near = {
        p.id: cv2.dilate((sample.index == p.id).astype(np.uint8), np.ones((5, 5), np.uint8)) > 0 for p in sample.people
    }
    ids = list(sample.order)
    return [
        (a, b) for k, a in enumerate(ids) for b in ids[k + 1 :] if int((near[a] & (sample.index == b)).sum()) > 10
    ]  # fmt: skip


def matched(truth: Scene, found: Scene) -> dict[int, int]:
    """True number -> found number, one to one, the best pairs first."""
    pairs = []
    for person in truth.people:
        mask = person.full_mask(truth.size)
        for other in found.people:
            mine = other.full_mask(found.size)
            pairs.append((float((mask & mine).sum() / (mask | mine).sum()), person.id, other.id))
    out: dict[int, int] = {}
    for met, true, number in sorted(pairs, reverse=True):
        if met >= FOUND and true not in out and number not in out.values():
            out[true] = number
    return out


def look(options: argparse.Namespace) -> None:
    data, out = options.paths
    cv2.setNumThreads(1)
    library = Library(data, options.split)
    recipe = SetRecipe(size=512, seed=options.seed, split=options.split, scenarios=("human-human",))
    rows: list[dict[str, Any]] = []
    for number in range(options.photos):
        sample = make_sample(library, recipe, number)
        truth = sample.scene()
        scene = find_people(Photo.from_array(sample.photo), Finder(backend=options.finder))
        names = matched(truth, scene)
        given = estimate_order(truth.people, truth.size)
        for back, front in touching(sample):
            if back in names and front in names:
                rows.append(
                    {
                        "photo": number,
                        "found": scene.in_front(names[front], names[back]),
                        "true masks": given.index(front) > given.index(back),
                    }
                )
    saved = {"finder": options.finder, "split": options.split, "photos": options.photos, "pairs": rows}
    out.write_text(json.dumps(saved), "utf-8")


def table(files: list[Path]) -> None:
    print("| finder | split | photos | pairs | right | right with true masks |")
    print("| --- | --- | --- | --- | --- | --- |")
    for file in files:
        saved = json.loads(file.read_text("utf-8"))
        pairs = saved["pairs"]
        shares = [sum(p[key] for p in pairs) / max(1, len(pairs)) for key in ("found", "true masks")]
        cells = (saved["finder"], saved["split"], saved["photos"], len(pairs), *(f"{share:.2f}" for share in shares))
        print("| " + " | ".join(map(str, cells)) + " |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("look", "table"))
    parser.add_argument("paths", nargs="+", type=Path)
    parser.add_argument("--split", choices=("train", "test"), default="test")
    parser.add_argument("--photos", type=int, default=140)
    parser.add_argument("--seed", type=int, default=31)
    parser.add_argument("--finder", default="nanodet")
    options = parser.parse_args()
    if options.what == "table":
        table(options.paths)
    else:
        look(options)


if __name__ == "__main__":
    main()
