"""What drawing a copied place's light towards its surroundings' is worth on composites: `paint/level.py`, on and off.

    python bench/light.py --samples out/mild-bench [--every 10] [--first 4]

Of every so many-th sample (from the ``first``): PSNR in the hole and HaarPSI of its window, finder off, the margin of
the benchmark's dilated masks; both with one search. Differences with 95 % intervals over the samples' sources.
"""

from __future__ import annotations

import argparse
from typing import Any

import cv2
import numpy as np

import mild
from mild import road
from mild.lab.bench.items import Item
from mild.lab.bench.metrics.fidelity import haarpsi, psnr
from mild.lab.bench.sets.samples import SampleSet
from mild.paint import assemble
from mild.people.scene import Box
from mild.plan.kept import Kept
from people import interval


def figures(item: Item, on: bool, kept: Kept) -> tuple[float, float]:
    """PSNR in the hole, HaarPSI of the window around it."""
    if item.truth is None:
        raise SystemExit(f"{item.id} has no truth.")
    asked: dict[str, Any] = {"people": tuple(item.erase), "dilate": 0.015, "feather": 0.008, "backend": "none"}
    levelled, key = assemble.levelled, assemble._key
    if not on:
        assemble.levelled = lambda fill, *seen: fill
    # The search is shared, the painting is not.
    assemble._key = lambda *given: f"{key(*given)}{on}"
    try:
        made = road.run(mild.build_request(**asked), item.scene.photo, scene=item.scene, kept=kept)
    finally:
        assemble.levelled, assemble._key = levelled, key
    hole = np.zeros(item.scene.size, bool)
    for box, matte in made.plan.mattes.values():
        hole[box.slices] |= matte > 0
    box = Box.around(hole)
    at = box.grow(max(16, (192 - min(box.width, box.height)) // 2), item.scene.size).slices
    given, truth = made.photo.pixels, item.truth.photo
    return psnr(given, truth, hole), haarpsi(given[at], truth[at])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", required=True)
    parser.add_argument("--every", type=int, default=10)
    parser.add_argument("--first", type=int, default=4)
    asked = parser.parse_args()
    cv2.setNumThreads(1)
    samples = SampleSet.open(asked.samples)
    rows: list[tuple[str, tuple[float, float], tuple[float, float]]] = []
    for id in list(samples.ids())[asked.first :: asked.every]:
        item, kept = samples.load(id), Kept()
        rows.append((item.cluster, figures(item, False, kept), figures(item, True, kept)))
        if len(rows) % 10 == 0:
            report(rows)
    report(rows)


def report(rows: list[tuple[str, tuple[float, float], tuple[float, float]]]) -> None:
    for number, (name, digits) in enumerate((("PSNR", 2), ("HaarPSI", 4))):
        off, on = (float(np.mean([row[which][number] for row in rows])) for which in (1, 2))
        mean, low, high = interval([(row[0], row[2][number] - row[1][number]) for row in rows])
        print(f"{len(rows)} samples, {name}: {off:.{digits}f} without, {on:.{digits}f} with it "
              f"({mean:+.{digits}f} [{low:+.{digits}f}, {high:+.{digits}f}])", flush=True)  # fmt: skip


if __name__ == "__main__":
    main()
