"""What clicks or a box give on people whom the finder missed: the figures of docs/finding-people.md.

    python bench/finder_clicks.py DATA [--finder nanodet] [--every 1] [--split test] [--ahead]

DATA as for bench/finder.py; the scenes of a split. A simulated user clicks the innermost pixel of each missed person of
at least 60 pixels' height, or draws their box; what comes is compared with the person's mask. The second and the third
click go to the innermost pixel of the largest piece that is wrong: on it where the person is missing, off it where too
much is marked. Seconds are processor seconds of the last click alone. ``--ahead``: as the server
does it, which prepares for a further point once a click is answered; that is timed by itself.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

from finder import masks_of, matched
from finder_fit import box_of, read_index, read_rgb, rows_of
from mild.people.find import find_people, select
from mild.people.selection import further
from mild.photo import Photo
from mild.request import Click, Finder, Selection

LEAST = 60


class Asked(NamedTuple):
    """What a click or a box gave: IoU, processor seconds, and was somebody surely found under the first click?"""

    met: float
    seconds: float
    known: bool


def told(some: list[Asked]) -> str:
    met, seconds = (np.array([getattr(one, name) for one in some]) for name in ("met", "seconds"))
    error = met.std(ddof=1) / len(met) ** 0.5 if len(met) > 1 else np.nan
    return (
        f"{len(met)} missed people, mean IoU {met.mean():.3f} (standard error {error:.3f}), "
        f"{int((met >= 0.5).sum())} of them at least .5, mean {seconds.mean():.2f} s, "
        f"median {np.median(seconds):.2f}, at most {seconds.max():.2f}"
    )


def innermost(mask: np.ndarray) -> tuple[int, int]:
    depth = cv2.distanceTransform(np.pad(mask, 1).astype(np.uint8), cv2.DIST_L2, 5)[1:-1, 1:-1]
    y, x = np.unravel_index(int(depth.argmax()), depth.shape)
    return int(x), int(y)


def worst_piece(got: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """The largest connected piece ``[H, W]`` of what is marked wrongly or missing."""
    best = np.zeros_like(mask)
    for wrong in (got & ~mask, mask & ~got):
        count, pieces, stats, _ = cv2.connectedComponentsWithStats(wrong.astype(np.uint8), connectivity=4)
        for k in range(1, count):
            if stats[k, cv2.CC_STAT_AREA] > best.sum():
                best = pieces == k
    return best


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--finder", default="nanodet")
    parser.add_argument("--every", type=int, default=1)
    parser.add_argument("--ahead", action="store_true")
    parser.add_argument("--split", choices=("test", "train"), default="test")
    options = parser.parse_args()
    cv2.setNumThreads(1)
    figures = {name: list[Asked]() for name in ("1 click", "2 clicks", "3 clicks", "box")}
    prepared = list[float]()
    for row in rows_of(options.data, options.split, ("scene",))[:: options.every]:
        photo = Photo.from_array(read_rgb(options.data / row["file"]))
        scene = find_people(photo, Finder(backend=options.finder))
        sure = scene.mask_of(p.id for p in scene.sure)
        people = masks_of(read_index(options.data / row["mask"]))
        found = matched(people, scene)
        for number, mask in enumerate(people):
            x0, y0, x1, y1 = (int(v) for v in box_of(mask))
            if number in found or y1 - y0 < LEAST:
                continue
            on, off = [innermost(mask)], list[tuple[int, int]]()
            known = bool(sure[on[0][1], on[0][0]])
            for name in figures:
                if name == "box":
                    asked = Selection(boxes=((x0, y0, x1, y1),))
                elif len(on) + len(off) == 1:
                    asked = Selection(points=(on[0],))
                else:
                    asked = Selection(clicks=(Click(on=tuple(on), off=tuple(off)),))
                begun = time.process_time()
                after, ids = select(scene, asked)
                seconds = time.process_time() - begun
                if options.ahead and asked.points:
                    begun = time.process_time()
                    if len(list(further(scene, asked))):
                        prepared.append(time.process_time() - begun)
                got = after.mask_of(ids)
                figures[name].append(Asked(float((got & mask).sum() / (got | mask).sum()), seconds, known))
                x, y = innermost(worst_piece(got, mask))
                (on if mask[y, x] else off).append((x, y))
    for name, rows in figures.items():
        for title, wanted in {"all": (True, False), "a sure find there": (True,), "none": (False,)}.items():
            some = [one for one in rows if one.known in wanted]
            if some:
                print(f"{name}, {title}: {told(some)}")
    if prepared:
        print(f"prepared: {len(prepared)}, median {np.median(prepared):.2f} s, at most {max(prepared):.2f}")


if __name__ == "__main__":
    main()
