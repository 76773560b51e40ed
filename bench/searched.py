"""What a finer search is worth on composites: the default with other bounds of `plan/sizes.py: HOLE`, paired.

    python bench/searched.py --samples out/mild-bench [--every 10] [--first 4] [--holes 60000,24000]

Of every so many-th sample (from the ``first``): PSNR in the hole and HaarPSI of its window, finder off, the margin of
the benchmark's dilated masks. Differences are against the first bound, over the samples whose hole has more pixels than
the least bound (the others are the same), with their standard errors.
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
from mild.people.scene import Box
from mild.plan import sizes


def figures(item: Item, bound: int) -> tuple[int, float, float]:
    """Pixels of the hole, PSNR in it, HaarPSI of the window around it."""
    if item.truth is None:
        raise SystemExit(f"{item.id} has no truth.")
    sizes.HOLE = bound
    asked: dict[str, Any] = {"people": tuple(item.erase), "dilate": 0.015, "feather": 0.008, "backend": "none"}
    made = road.run(mild.build_request(**asked), item.scene.photo, scene=item.scene)
    hole = np.zeros(item.scene.size, bool)
    for box, matte in made.plan.mattes.values():
        hole[box.slices] |= matte > 0
    box = Box.around(hole)
    side = max(16, (192 - min(box.width, box.height)) // 2)
    at = box.grow(side, item.scene.size).slices
    given, truth = made.photo.pixels, item.truth.photo
    return int(hole.sum()), psnr(given, truth, hole), haarpsi(given[at], truth[at])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", required=True)
    parser.add_argument("--every", type=int, default=10)
    parser.add_argument("--first", type=int, default=4)
    parser.add_argument("--holes", default="60000,24000")
    asked = parser.parse_args()
    cv2.setNumThreads(1)
    samples = SampleSet.open(asked.samples)
    bounds = [int(b) for b in asked.holes.split(",")]
    rows: dict[int, list[tuple[float, float]]] = {bound: [] for bound in bounds}
    for id in list(samples.ids())[asked.first :: asked.every]:
        item = samples.load(id)
        pixels, *first = figures(item, bounds[0])
        if pixels <= min(bounds):
            continue
        rows[bounds[0]].append((first[0], first[1]))
        for bound in bounds[1:]:
            rows[bound].append(figures(item, bound)[1:])
    for bound, found in rows.items():
        apart = np.asarray(found) - np.asarray(rows[bounds[0]])
        mean, error = apart.mean(0), apart.std(0) / len(apart) ** 0.5
        print(f"{bound}: {len(found)} samples, {np.mean(found, 0)[0]:.2f} dB ({mean[0]:+.2f} +- {error[0]:.2f}), "
              f"HaarPSI {np.mean(found, 0)[1]:.3f} ({mean[1]:+.4f} +- {error[1]:.4f})")  # fmt: skip


if __name__ == "__main__":
    main()
