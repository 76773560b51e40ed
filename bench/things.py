"""What goes along with people unasked (``mild.people.things``): pictures to judge by eye, and how often it is right.

    python bench/things.py look PHOTOS OUT      # a picture of each thing, and OUT/things.json to fill in
    python bench/things.py count [FILE]         # from the judged list; default: bench/things_labels.json

``look``: the photos of a folder and below; everybody surely found is asked about. The thing is red, the person green.
In the list, ``right`` is to be set: does it lie on a thing that this person holds, wears or rides? ``split`` says on
which photos the rule was chosen (train).
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from pathlib import Path

import numpy as np
from PIL import Image

import mild
from mild.people.things import Thing, things_with

LABELS = Path(__file__).with_name("things_labels.json")
SUFFIXES = (".jpg", ".png", ".webp")


def look(photos: Path, out: Path) -> None:
    out.mkdir(parents=True)
    rows = []
    paths = sorted(p for p in photos.rglob("*") if p.suffix.lower() in SUFFIXES and not p.stem.endswith(".mask"))
    for path in paths:
        try:
            scene = mild.find_people(path)
        except mild.MildError as error:
            print(f"{path.name}: {error}")
            continue
        for thing in things_with(scene):
            rows.append({"photo": path.stem, **thing.summary(), "right": None})
            picture(scene, thing).save(out / f"{len(rows) - 1:04d}-{path.stem}-{thing.kind.replace(' ', '_')}.png")
    (out / "things.json").write_text("[\n" + ",\n".join(json.dumps(row) for row in rows) + "\n]\n")
    print(f"{len(paths)} photos, {len(rows)} things, of which {sum(row['held'] for row in rows)} would go unasked")


def picture(scene: mild.Scene, thing: Thing) -> Image.Image:
    person = scene.person(thing.person)
    shown = scene.photo.pixels.astype(np.float32)
    shown[thing.full_mask(scene.size)] = 0.4 * shown[thing.full_mask(scene.size)] + 0.6 * np.array((255, 0, 0))
    shown[person.full_mask(scene.size)] = 0.7 * shown[person.full_mask(scene.size)] + 0.3 * np.array((0, 255, 0))
    part = thing.box.union(person.box).grow(10, scene.size)
    image = Image.fromarray(shown[part.slices].astype(np.uint8))
    image.thumbnail((400, 400))
    return image


def count(path: Path) -> None:
    rows = json.loads(path.read_text())
    for split in sorted({row["split"] for row in rows}):
        there = [row for row in rows if row["split"] == split]
        for name, some in (
            ("unasked", [r for r in there if r["held"]]),
            ("suggested", [r for r in there if not r["held"]]),
        ):
            right = sum(row["right"] for row in some)
            print(f"{split}, {name}: {right} of {len(some)} right, in {len({r['photo'] for r in some})} photos")
            wrong = Counter(row["kind"] for row in some if not row["right"])
            print("  wrong:", ", ".join(f"{kind} {number}" for kind, number in wrong.most_common()) or "none")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("look", "count"))
    parser.add_argument("photos", type=Path, nargs="?", help="look: a folder of photos; count: the judged list.")
    parser.add_argument("out", type=Path, nargs="?")
    args = parser.parse_args()
    if args.what == "count":
        count(args.photos or LABELS)
    elif args.photos is None or args.out is None:
        parser.error("look needs PHOTOS and OUT")
    else:
        look(args.photos, args.out)


if __name__ == "__main__":
    main()
