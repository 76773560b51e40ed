"""Where the finder draws the border between two people who touch.

    python bench/borders.py DATA [--split train] [--every 1]

DATA as for bench/finder.py. Of each scene: the pairs of people of at least 80 pixels' height who touch and each have a
find of their own (boxes that meet by an IoU of .5, one to one, surely found or not). Given are the F of the border, the
share of the pixels of both that are on the right side, and how well each mask meets its person.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np

from finder import FOUND, border, border_f, masks_of, touching_pairs
from finder_fit import box_of, read_index, read_rgb, rows_of
from mild.people.finders import byboxes, detectors
from mild.people.finders.blaze_masks import claim, without_specks
from mild.people.finders.blaze_nets import Picture, load_nets
from mild.people.finders.boxes import iou
from mild.people.finders.looks import Find
from mild.people.finders.search import search
from mild.photo import Photo

#: Borders count from this height on (pixels), within this part of it.
LEAST, REACH = 80, 0.02


def height_of(mask: np.ndarray) -> int:
    """Rows that a mask reaches over."""
    return int(np.ptp(np.flatnonzero(mask.any(1))) + 1)


def shared(photo: Photo, finds: list[Find]) -> list[np.ndarray]:
    """The mask ``[H, W]`` that each find ends with."""
    made = [(k, c) for k, one in enumerate(finds) if (c := claim(one.candidate, photo.size, 1.0)) is not None]
    out = [np.zeros(photo.size, bool) for _ in finds]
    given = byboxes.shared_out(photo, [finds[k] for k, _ in made], [c for _, c in made], 1.0)
    for (k, _), (box, mask) in zip(made, given, strict=True):
        out[k][box.slices] = without_specks(mask)
    return out


def met(
    finds: list[Find], people: list[np.ndarray], least: float, masks: list[np.ndarray] | None = None
) -> dict[int, int]:
    """Number of a person -> of the find whose box, or mask if there are ``masks``, meets theirs; one to one, the best
    pairs first."""
    pairs = []
    for k, find in enumerate(finds):
        for g, person in enumerate(people):
            common = iou(find.place.box, box_of(person))
            if masks is not None and common > 0:
                common = max(common, float((masks[k] & person).sum() / max(1, (masks[k] | person).sum())))
            if common > least:
                pairs.append((common, k, g))
    out: dict[int, int] = {}
    for _, k, g in sorted(pairs, reverse=True):
        if g not in out and k not in out.values():
            out[g] = k
    return out


def both_found(people: list[np.ndarray], whose: dict[int, int]) -> list[tuple[int, int]]:
    """The pairs of people who touch, are tall enough and have a find each."""
    pairs = [pair for pair in touching_pairs(people) if min(height_of(people[k]) for k in pair) >= LEAST]
    return [(i, j) for i, j in pairs if i in whose and j in whose]


def between(people: list[np.ndarray], masks: list[np.ndarray], whose: dict[int, int]) -> Iterator[tuple[float, float]]:
    """Of each of these pairs the border's F, and the share of the pixels of both on the right side."""
    for i, j in both_found(people, whose):
        a, b = masks[whose[i]], masks[whose[j]]
        reach = REACH * min(height_of(people[i]), height_of(people[j]))
        both = (a | b) & (people[i] | people[j])
        own = float(((a & people[i]) | (b & people[j])).sum() / max(1, both.sum()))
        yield border_f(border(people[i], people[j]), border(a, b), reach), own


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--split", choices=("train", "test"), default="train")
    parser.add_argument("--every", type=int, default=1)
    options = parser.parse_args()
    cv2.setNumThreads(1)
    nets, detector = load_nets(), detectors.load("nanodet")
    borders, meets = list[tuple[float, float]](), list[float]()
    for row in rows_of(options.data, options.split, ("scene",))[:: options.every]:
        people = masks_of(read_index(options.data / row["mask"]))
        if not touching_pairs(people):
            continue
        photo = Photo.from_array(read_rgb(options.data / row["file"]))
        finds = search(nets, Picture(photo.pixels), detector)
        whose = met(finds, people, FOUND)
        pairs = both_found(people, whose)
        if not pairs:
            continue
        masks = shared(photo, finds)
        for g in {g for pair in pairs for g in pair}:
            mine = masks[whose[g]]
            meets.append(float((mine & people[g]).sum() / (mine | people[g]).sum()))
        borders += between(people, masks, whose)
    drawn, own = np.mean(borders, 0)
    print(
        f"{len(borders)} pairs of {len(meets)} people: border F {drawn:.3f}, on the right side "
        f"{own:.3f}, IoU {np.mean(meets):.3f} ({np.mean(np.array(meets) > FOUND):.3f} above .5)"
    )


if __name__ == "__main__":
    main()
