"""Where the finder draws the border between two people who touch.

    python bench/borders.py DATA [--split train] [--every 1]

DATA as for bench/finder.py. Of each scene: the pairs of people of at least 80 pixels' height who touch and each have a
find of their own (boxes that meet by an IoU of .5, one to one, surely found or not). Given are the F of the border, the
share of the pixels of both that are on the right side, and how well each mask meets its person.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import cv2
import numpy as np

from finder import FOUND, border, border_f, masks_of, touching_pairs
from finder_fit import box_of, read_index, read_rgb, rows_of
from mild.people.finders import byboxes, detectors
from mild.people.finders.blaze_masks import claim, without_specks
from mild.people.finders.blaze_nets import Picture, load_nets
from mild.people.finders.boxes import iou
from mild.people.finders.search import search
from mild.photo import Photo

LEAST = 80


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--split", choices=("train", "test"), default="train")
    parser.add_argument("--every", type=int, default=1)
    options = parser.parse_args()
    cv2.setNumThreads(1)
    nets, detector = load_nets(), detectors.load("nanodet")
    borders, own, meets = list[float](), list[float](), list[float]()
    for row in rows_of(options.data, options.split, ("scene",))[:: options.every]:
        people = masks_of(read_index(options.data / row["mask"]))
        heights = [int(np.ptp(np.flatnonzero(m.any(1))) + 1) for m in people]
        pairs = [(i, j) for i, j in touching_pairs(people) if min(heights[i], heights[j]) >= LEAST]
        if not pairs:
            continue
        photo = Photo.from_array(read_rgb(options.data / row["file"]))
        finds = search(nets, Picture(photo.pixels), detector)
        met: dict[int, int] = {}
        framed = [(iou(f.place.box, box_of(m)), k, g) for k, f in enumerate(finds) for g, m in enumerate(people)]
        for overlap, k, g in sorted(framed, reverse=True):
            if overlap > FOUND and g not in met and k not in met.values():
                met[g] = k
        pairs = [(i, j) for i, j in pairs if i in met and j in met]
        if not pairs:
            continue
        made = [(k, c) for k, f in enumerate(finds) if (c := claim(f.candidate, photo.size, 1.0)) is not None]
        shared = byboxes.shared_out(photo, [finds[k] for k, _ in made], [c for _, c in made], 1.0)
        masks = {k: np.zeros(photo.size, bool) for k in range(len(finds))}
        for (k, _), (box, mask) in zip(made, shared, strict=True):
            masks[k][box.slices] = without_specks(mask)
        for g in {g for pair in pairs for g in pair}:
            mine = masks[met[g]]
            meets.append(float((mine & people[g]).sum() / (mine | people[g]).sum()))
        for i, j in pairs:
            a, b = masks[met[i]], masks[met[j]]
            reach = 0.02 * min(heights[i], heights[j])
            borders.append(border_f(border(people[i], people[j]), border(a, b), reach))
            both = (a | b) & (people[i] | people[j])
            own.append(float(((a & people[i]) | (b & people[j])).sum() / max(1, both.sum())))
    print(
        f"{len(borders)} pairs of {len(meets)} people: border F {np.mean(borders):.3f}, on the right side "
        f"{np.mean(own):.3f}, IoU {np.mean(meets):.3f} ({np.mean(np.array(meets) > FOUND):.3f} above .5)"
    )


if __name__ == "__main__":
    main()
