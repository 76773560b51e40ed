"""How many people a finder finds, and how well: the figures of docs/finding-people.md.

    python bench/finder.py look DATA OUT.json --finder nanodet [--set test|both|background] [--every 1]
    python bench/finder.py table OUT.json…

DATA holds the unpacked scenes and backgrounds and their manifest.jsonl (docs/data-real.md). ``test``: the scenes of the
test split; ``both``: those and 80 train scenes (seed 7), on which the design was chosen; ``background``: photos of the
test split without people. A person counts as found when a sure find, one to one, meets mask or box by an IoU of .5.
Seconds are processor seconds; set MILD_THREADS=1 and OMP_NUM_THREADS=1.
"""

from __future__ import annotations

import argparse
import json
import random
import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from finder_fit import CROWD, box_of, read_index, read_rgb, rows_of
from mild.people.find import find_people
from mild.people.finders.boxes import iou
from mild.people.scene import Scene
from mild.photo import Photo
from mild.request import Finder

LARGE, MIDDLE = 120, 60
FOUND = 0.5


def chosen_rows(data: Path, which: str) -> list[dict[str, Any]]:
    if which == "background":
        return rows_of(data, "test", ("background",))
    rows = rows_of(data, "test", ("scene",))
    if which == "both":
        train = sorted(rows_of(data, "train", ("scene",)), key=lambda r: r["file"])
        rows += random.Random(7).sample(train, 80)
    return rows


def masks_of(index: np.ndarray) -> list[np.ndarray]:
    return [index == k for k in np.unique(index) if k not in (0, CROWD)]


def matched(people: list[np.ndarray], scene: Scene) -> dict[int, tuple[int, float]]:
    """Number of a true person -> (place among the sure finds, IoU of the masks); the best pairs first."""
    sure = scene.sure
    pairs = []
    for g, mask in enumerate(people):
        box = box_of(mask)
        for f, person in enumerate(sure):
            framed = iou(box, person.box)
            if framed == 0:
                continue
            found = person.full_mask(scene.size)
            met = float((found & mask).sum() / (found | mask).sum())
            if max(met, framed) > FOUND:
                pairs.append((max(met, framed), g, f, met))
    out: dict[int, tuple[int, float]] = {}
    taken: set[int] = set()
    for _, g, f, met in sorted(pairs, reverse=True):
        if g not in out and f not in taken:
            out[g] = f, met
            taken.add(f)
    return out


def touching_pairs(people: list[np.ndarray]) -> list[tuple[int, int]]:
    wide = [cv2.dilate(m.astype(np.uint8), np.ones((5, 5), np.uint8)) > 0 for m in people]
    return [(i, j) for i in range(len(people)) for j in range(i + 1, len(people)) if (wide[i] & people[j]).sum() > 5]


def border(one: np.ndarray, two: np.ndarray) -> np.ndarray:
    three = np.ones((3, 3), np.uint8)
    return (cv2.dilate(one.astype(np.uint8), three) > 0) & (cv2.dilate(two.astype(np.uint8), three) > 0)


def border_f(true: np.ndarray, found: np.ndarray, reach: float) -> float:
    """F of two borders: how much of each lies within ``reach`` pixels of the other."""
    if not true.any() or not found.any():
        return 0.0
    to_true = cv2.distanceTransform((~true).astype(np.uint8), cv2.DIST_L2, 5)
    to_found = cv2.distanceTransform((~found).astype(np.uint8), cv2.DIST_L2, 5)
    precision, recall = float((to_true[found] <= reach).mean()), float((to_found[true] <= reach).mean())
    return 2 * precision * recall / max(1e-9, precision + recall)


def looked(data: Path, row: dict[str, Any], finder: Finder) -> dict[str, Any]:
    photo = Photo.from_array(read_rgb(data / row["file"]))
    begun = time.process_time()
    scene = find_people(photo, finder)
    seconds = time.process_time() - begun
    out: dict[str, Any] = {"file": row["file"], "split": row["split"], "seconds": seconds, "sure": len(scene.sure)}
    if row["kind"] == "background":
        return out
    index = read_index(data / row["mask"])
    people = masks_of(index)
    pairs = touching_pairs(people)
    met = matched(people, scene)
    # A find on a crowd, which has no masks of its own, is neither right nor wrong.
    right = {f for f, _ in met.values()}
    stray = [p for f, p in enumerate(scene.sure) if f not in right]
    wrong = sum((index[p.box.slices][p.mask] == CROWD).mean() < 0.3 for p in stray)
    heights = [int(np.ptp(np.flatnonzero(m.any(1))) + 1) for m in people]
    borders = []
    for i, j in pairs:
        if i in met and j in met and min(heights[i], heights[j]) >= LARGE:
            a, b = (scene.sure[met[k][0]].full_mask(scene.size) for k in (i, j))
            true = border(people[i], people[j])
            both = people[i] | people[j]
            own = ((a & people[i]) | (b & people[j])).sum() / max(1, ((a | b) & both).sum())
            borders.append([border_f(true, border(a, b), 0.02 * min(heights[i], heights[j])), float(own)])
    touches = {k for pair in pairs for k in pair}
    out |= {
        "people": [
            {"height": h, "found": k in met, "iou": met[k][1] if k in met else None, "touching": k in touches}
            for k, h in enumerate(heights)
        ],
        "wrong": int(wrong),
        "pairs": len(pairs),
        "pairs_found": sum(i in met and j in met for i, j in pairs),
        "borders": borders,
    }
    return out


def table(files: list[Path]) -> None:
    head = "finder set photos people found large middle small touching pairs precision IoU borderF own hits seconds"
    print("| " + " | ".join(head.split()) + " |")
    print("|" + " --- |" * len(head.split()))
    for file in files:
        saved = json.loads(file.read_text("utf-8"))
        photos = saved["photos"]
        seconds = f"{np.mean([p['seconds'] for p in photos]):.2f}"
        hits = f"{sum(p['sure'] > 0 for p in photos)} of {len(photos)}"
        if saved["set"] == "background":
            cells = [saved["finder"], "background", len(photos), *["-"] * 11, hits, seconds]
            print("| " + " | ".join(map(str, cells)) + " |")
            continue
        for name in ("test", "all") if saved["set"] == "both" else ("test",):
            part = [p for p in photos if name == "all" or p["split"] == "test"]
            people = [person for p in part for person in p["people"]]

            def recall(chosen: list[dict[str, Any]]) -> str:
                found = sum(person["found"] for person in chosen)
                return f"{found / max(1, len(chosen)):.2f} ({found}/{len(chosen)})"

            right = sum(person["found"] for person in people)
            wrong = sum(p["wrong"] for p in part)
            borders = np.array([b for p in part for b in p["borders"]]).reshape(-1, 2)
            cells = [
                saved["finder"], name, len(part), len(people), recall(people),
                recall([p for p in people if p["height"] >= LARGE]),
                recall([p for p in people if MIDDLE <= p["height"] < LARGE]),
                recall([p for p in people if p["height"] < MIDDLE]),
                recall([p for p in people if p["touching"]]),
                f"{sum(p['pairs_found'] for p in part)}/{sum(p['pairs'] for p in part)}",
                f"{right / max(1, right + wrong):.3f}",
                f"{np.mean([p['iou'] for p in people if p['found']]):.3f}",
                f"{borders[:, 0].mean():.3f} ({len(borders)})" if len(borders) else "-",
                f"{borders[:, 1].mean():.3f}" if len(borders) else "-",
                "-", f"{np.mean([p['seconds'] for p in part]):.2f}",
            ]  # fmt: skip
            print("| " + " | ".join(map(str, cells)) + " |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("look", "table"))
    parser.add_argument("paths", nargs="+", type=Path)
    parser.add_argument("--finder", default="nanodet")
    parser.add_argument("--set", choices=("test", "both", "background"), default="test")
    parser.add_argument("--every", type=int, default=1, help="only every n-th photo")
    options = parser.parse_args()
    if options.what == "table":
        table(options.paths)
        return
    data, out = options.paths
    cv2.setNumThreads(1)
    finder = Finder(backend=options.finder)
    rows = chosen_rows(data, options.set)[:: options.every]
    find_people(Photo.from_array(read_rgb(data / rows[0]["file"])), finder)  # loads the nets
    photos = [looked(data, row, finder) for row in rows]
    out.write_text(json.dumps({"finder": options.finder, "set": options.set, "photos": photos}))


if __name__ == "__main__":
    main()
