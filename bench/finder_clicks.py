"""What a click or a box gives on people whom the finder missed: the figures of docs/finding-people.md.

    python bench/finder_clicks.py DATA [--finder nanodet] [--every 1]

DATA as for bench/finder.py; the test split's scenes. A simulated user clicks the innermost pixel of each missed person
of at least 60 pixels' height, or draws their box; what comes is compared with the person's mask.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import cv2
import numpy as np

from finder import chosen_rows, masks_of, matched
from finder_fit import box_of, read_index, read_rgb
from mild.people.find import find_people, select
from mild.photo import Photo
from mild.request import Finder, Selection

LEAST = 60


def innermost(mask: np.ndarray) -> tuple[int, int]:
    depth = cv2.distanceTransform(np.pad(mask, 1).astype(np.uint8), cv2.DIST_L2, 5)[1:-1, 1:-1]
    y, x = np.unravel_index(int(depth.argmax()), depth.shape)
    return int(x), int(y)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--finder", default="nanodet")
    parser.add_argument("--every", type=int, default=1)
    options = parser.parse_args()
    cv2.setNumThreads(1)
    figures: dict[str, list[tuple[float, float]]] = {"click": [], "box": []}
    for row in chosen_rows(options.data, "test")[:: options.every]:
        photo = Photo.from_array(read_rgb(options.data / row["file"]))
        scene = find_people(photo, Finder(backend=options.finder))
        people = masks_of(read_index(options.data / row["mask"]))
        found = matched(people, scene)
        for number, mask in enumerate(people):
            x0, y0, x1, y1 = (int(v) for v in box_of(mask))
            if number in found or y1 - y0 < LEAST:
                continue
            ways = {"click": Selection(points=(innermost(mask),)), "box": Selection(boxes=((x0, y0, x1, y1),))}
            for name, selection in ways.items():
                begun = time.process_time()
                after, ids = select(scene, selection)
                seconds = time.process_time() - begun
                got = after.mask_of(ids)
                figures[name].append((float((got & mask).sum() / (got | mask).sum()), seconds))
    for name, rows in figures.items():
        met = np.array(rows).reshape(-1, 2)
        print(
            f"{name}: {len(met)} missed people, mean IoU {met[:, 0].mean():.2f}, "
            f"{int((met[:, 0] >= 0.5).sum())} of them at least .5, {met[:, 1].mean():.2f} s"
        )


if __name__ == "__main__":
    main()
