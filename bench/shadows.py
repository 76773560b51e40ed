"""What a net of ``mild.lab.train.things_run`` marks beside people: pictures to judge by eye, and how often it is right.

    python bench/shadows.py look NET.onnx DATA OUT [--split test] [--least 0.2] [--thing 0.5]
    python bench/shadows.py count [FILE]         # from the judged list; default: bench/shadows_labels.json

DATA as for bench/finder.py. ``look``: everybody surely found in the scenes of a split is asked about; each connected
area of a thing (red) or a shadow (blue) that is marked gets a line in OUT/areas.json and a picture beside the photo as
it is. ``right`` is to be set there: does most of the area lie on a shadow that this person casts (a thing that they
hold or wear), and would one erase it with them? A list of judged files is what ``count`` reads.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from finder_fit import read_rgb, rows_of
from mild.lab.train.things_net import SIDE
from mild.lab.train.things_rows import CROP, cropped, ends, window_of
from mild.people.find import find_people
from mild.people.finders.onnx_net import OnnxNet
from mild.people.scene import Person, Scene
from mild.photo import Photo
from mild.request import Finder

LABELS = Path(__file__).with_name("shadows_labels.json")
KINDS = ("alpha", "thing", "shadow")
#: Nobody lower than this is asked about, pixels; nothing smaller than this part of the person is an area.
LOWEST, SMALL = 60, 0.01


def maps_of(net: OnnxNet, scene: Scene, person: Person) -> np.ndarray:
    """Alpha, things, shadow of a person ``[3, H, W]``, 0..1, in the photo."""
    mask = person.full_mask(scene.size)
    others = scene.mask_of(p.id for p in scene.sure if p.id != person.id) & ~mask
    longer = max(person.box.width, person.box.height)
    maps = np.dstack([mask, others, ends(person.keypoints, scene.size, longer)]).astype(np.float32)
    pixels = np.asarray(scene.photo.pixels)
    row = cropped(pixels, np.rint(maps * 255).astype(np.uint8), person.box, CROP, SIDE)
    out = net({"crops": row[None].astype(np.float32) / 255})["maps"][0]
    x, y, side = window_of(person.box, CROP)
    back = np.asarray([[side / SIDE, 0, x], [0, side / SIDE, y]], np.float32)
    size = (scene.size[1], scene.size[0])
    return np.stack([cv2.warpAffine(plane, back, size, flags=cv2.INTER_LINEAR) for plane in out])


def areas_of(maps: np.ndarray, scene: Scene, person: Person, least: dict[str, float]) -> list[dict[str, Any]]:
    """The connected areas that are marked, each with its mask."""
    taken = scene.mask_of(p.id for p in scene.sure) | person.full_mask(scene.size)
    out = []
    for kind in ("thing", "shadow"):
        seen = maps[KINDS.index(kind)]
        marked = (seen > least[kind]) & ~taken
        count, pieces, stats, _ = cv2.connectedComponentsWithStats(marked.astype(np.uint8), connectivity=8)
        for k in range(1, count):
            piece = pieces == k
            # A spot is where it is surest, else a few stray pixels would be an area each.
            if stats[k, cv2.CC_STAT_AREA] >= SMALL * person.area + 12:
                peak = float(seen[piece].max())
                out.append({"kind": kind, "peak": round(peak, 3), "area": int(piece.sum()), "mask": piece})
    return out


def picture(scene: Scene, person: Person, mask: np.ndarray, kind: str) -> np.ndarray:
    """The photo, and the photo with the area and the person's outline, around both."""
    box = person.box.grow(round(0.6 * max(person.box.width, person.box.height)), scene.size)
    shown = np.asarray(scene.photo.pixels).copy()
    colour = np.asarray((255, 0, 0) if kind == "thing" else (40, 60, 255), np.float32)
    shown[mask] = (0.45 * shown[mask] + 0.55 * colour).astype(np.uint8)
    rim = cv2.morphologyEx(person.full_mask(scene.size).astype(np.uint8), cv2.MORPH_GRADIENT, np.ones((3, 3)))
    shown[rim > 0] = (0, 220, 0)
    pair = np.hstack([np.asarray(scene.photo.pixels)[box.slices], shown[box.slices]])
    scale = 240 / pair.shape[0]
    return np.asarray(cv2.resize(pair, (round(pair.shape[1] * scale), 240), interpolation=cv2.INTER_AREA))


def look(options: argparse.Namespace) -> None:
    net, (data, out) = OnnxNet(options.paths[0]), options.paths[1:]
    out.mkdir(parents=True)
    least = {"thing": options.thing, "shadow": options.least}
    lines: list[dict[str, Any]] = []
    photos = asked = 0
    for row in rows_of(data, options.split, ("scene",))[options.first :: options.every]:
        scene = find_people(Photo.from_array(read_rgb(data / row["file"])), Finder(backend="nanodet"))
        photos += 1
        for person in scene.sure:
            if person.box.height < LOWEST:
                continue
            asked += 1
            for area in areas_of(maps_of(net, scene, person), scene, person, least):
                mask = area.pop("mask")
                shown = picture(scene, person, mask, area["kind"])
                cv2.imwrite(str(out / f"{len(lines):04d}.png"), shown[..., ::-1])
                lines.append({"photo": Path(row["file"]).stem, "person": person.id, **area, "right": None})
    about = {"split": options.split, "photos": photos, "people": asked, "areas": lines}
    (out / "areas.json").write_text(json.dumps(about, indent=1))
    print(photos, "photos", asked, "people", len(lines), "areas")


def count(path: Path) -> None:
    for about in json.loads(path.read_text("utf-8")):
        for kind in ("shadow", "thing"):
            judged = [a for a in about["areas"] if a["kind"] == kind and a["right"] is not None]
            for peak in (0.0, 0.3, 0.4, 0.5, 0.6):
                part = [a for a in judged if a["peak"] >= peak]
                right = sum(bool(a["right"]) for a in part)
                print(f"{about['split']}, {kind}, peak at least {peak}: {right} of {len(part)} areas right")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("look", "count"))
    parser.add_argument("paths", nargs="*", type=Path)
    parser.add_argument("--split", choices=("test", "train"), default="test")
    parser.add_argument("--least", type=float, default=0.2, help="strength from which a shadow is marked")
    parser.add_argument("--thing", type=float, default=0.5, help="chance from which a thing is marked")
    parser.add_argument("--every", type=int, default=1)
    parser.add_argument("--first", type=int, default=0)
    options = parser.parse_args()
    if options.what == "look":
        look(options)
    else:
        count(options.paths[0] if options.paths else LABELS)


if __name__ == "__main__":
    main()
