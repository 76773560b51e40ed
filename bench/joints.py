"""How far the landmark net's joints of hidden people are from the annotated ones, by what it is shown of the photo.

    python bench/joints.py --samples FOLDER [--limit 1800]

Hidden people of the samples at least eight of whose joints are annotated. Distances are in heights (or widths, if more)
of the whole person. The net looks at the box of the visible part (:func:`mild.people.finders.looks.regions_of`):

    photo: at the photo          grey, filled: whoever goes is grey, or filled from around them (Telea)
    place: whoever goes is replaced by the place as it truly is
    alone: own pixels, grey elsewhere
    behind: what the road does (:mod:`mild.people.behind`)
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray

from mild.lab.bench.items import Item
from mild.lab.bench.sets.samples import SampleSet
from mild.people.behind import best_look, joints
from mild.people.finders.blaze_nets import Picture, load_nets
from mild.people.pose import coco_keypoints
from mild.people.scene import Scene
from mild.plan.planning import LayerPlan
from people import LEAST, planned

Rgb = NDArray[np.uint8]
BoolMask = NDArray[np.bool_]
#: Annotated joints of a person who counts.
KNOWN = 8


def shown(item: Item, visible: BoolMask, hole: BoolMask) -> dict[str, Callable[[], Rgb]]:
    """The pictures ``[H, W, 3]`` that the net is shown."""
    photo = item.scene.photo.pixels
    place = None if item.truth is None else item.truth.background

    def where(mask: BoolMask, other: Rgb | int) -> Rgb:
        return np.where(mask[..., None], other, photo).astype(np.uint8)

    out = {
        "photo": lambda: photo,
        "grey": lambda: where(hole, 127),
        "filled": lambda: np.asarray(cv2.inpaint(photo, hole.view(np.uint8), 3, cv2.INPAINT_TELEA), np.uint8),
        "alone": lambda: where(~visible, 127),
    }
    if place is not None:
        out["place"] = lambda: where(hole, place)
    return out


def seen(picture: Rgb, scene: Scene, row: LayerPlan) -> NDArray[np.float32] | None:
    """The joints ``[17, 3]`` in a picture, looked for where the person's visible part is."""
    assert row.owner is not None
    landmarks = best_look(load_nets(), Picture(picture), scene.person(row.owner).box)
    return None if landmarks is None else coco_keypoints(landmarks, scene.size)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", required=True)
    parser.add_argument("--limit", type=int, help="of samples")
    asked = parser.parse_args()
    cv2.setNumThreads(1)
    far: dict[str, list[tuple[NDArray[np.float32], NDArray[np.float32]]]] = defaultdict(list)
    samples = SampleSet.open(asked.samples)
    for id in list(samples.ids())[: asked.limit]:
        item = samples.load(id)
        scene, _, rows, hole = planned(item, item.scene)
        for row in rows:
            assert row.owner is not None
            whole = None if item.truth is None else item.truth.people.get(row.owner)
            truth, visible = scene.person(row.owner).keypoints, scene.mask_of((row.owner,))
            if whole is None or truth is None or (truth[:, 2] > 0).sum() < KNOWN:
                continue
            body = whole[..., 3] > 127
            if (body & hole & ~visible).sum() < LEAST:
                continue
            found = {name: seen(make(), scene, row) for name, make in shown(item, visible, hole).items()}
            behind = joints(load_nets(), scene.photo.pixels[row.crop.slices], row.own, row.hole)
            found["behind"] = None if behind is None else behind + np.asarray([row.crop.x0, row.crop.y0, 0], np.float32)
            height = max(float(np.ptp(axis)) for axis in np.nonzero(body))
            limit = np.asarray(scene.size)[::-1] - 1
            x, y = np.clip(np.rint(truth[:, :2]), 0, limit).astype(int).T
            mine, known = visible[y, x], truth[:, 2] > 0
            for name, points in found.items():
                if points is None:
                    continue
                apart = np.hypot(*(points[:, :2] - truth[:, :2]).T) / height
                far[name].append((apart[known & hole[y, x] & ~mine], apart[known & mine]))
    print("| shown | people | hidden joints | mean | within .1 | visible joints, mean |\n|" + " --- |" * 6)
    for name, pairs in far.items():
        hidden, plain = (np.concatenate(column) for column in zip(*pairs, strict=True))
        near = float((hidden < 0.1).mean())
        print(f"| {name} | {len(pairs)} | {len(hidden)} | {hidden.mean():.3f} | {near:.2f} | {plain.mean():.3f} |")


if __name__ == "__main__":
    main()
