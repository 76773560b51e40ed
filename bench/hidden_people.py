"""Hidden people by eye: the default job of two models on MILD-Bench, blind pairs, where the second is best and worst.

    python bench/hidden_people.py run OUT --samples SET --model old=mild-small --model new=FOLDER [--count 100]
    python bench/hidden_people.py pairs OUT old new -o STUDY        # study.html, its key, and sheets to look at
    mild bench study read STUDY/study.key.json STUDY/*.answers.json
    python bench/hidden_people.py ends OUT old new -o FOLDER        # the ten largest gains and losses in colour
    python bench/hidden_people.py same --samples SET --model old=mild-small --model new=FOLDER [--count 100]

``run`` takes samples in which somebody who stays has at least 3 % of their body hidden, in an order drawn by chance;
the finder is off, the search for the background is made once for all models. Crops show the hidden part, enlarged.
``same`` counts, of samples in which nobody who stays is hidden, those whose picture is the same bit for bit.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

import mild
from mild import road
from mild.lab.bench.items import Item
from mild.lab.bench.metrics.fidelity import psnr
from mild.lab.bench.sets.samples import SampleSet
from mild.lab.bench.study.make import Pair, write_study
from mild.people.scene import Box
from mild.plan.kept import Kept
from real import sheets

Rgb = NDArray[np.uint8]
Mask = NDArray[np.bool_]
#: Of a body: less hidden than this is nothing to look at.
LEAST = 0.03
#: Longest side of a cell, pixels; and how many pairs stand side by side in a sheet.
CELL, ABREAST = 250, 2
QUESTION = "Of the one who stays: which looks more like a whole person?"


def hidden_of(item: Item) -> Mask:
    """What the people who go hide of those who stay; nobody's where it is less than a share of everybody's body."""
    out = np.zeros(item.scene.size, bool)
    if item.truth is None:
        return out
    gone = item.scene.mask_of(item.erase)
    for number in item.kept:
        if number in item.truth.people:
            whole = item.truth.people[number][..., 3] > 127
            if (whole & gone).sum() >= LEAST * whole.sum():
                out |= whole & gone
    return out


def drawn(samples: SampleSet, count: int, hidden: bool) -> Iterator[tuple[Item, Mask]]:
    """So many samples in which somebody is hidden, or nobody; the order is always the same."""
    ids = sorted(samples.ids())
    for k in np.random.default_rng(0).permutation(len(ids)):
        if not count:
            return
        item = samples.load(ids[k])
        part = hidden_of(item)
        if part.any() == hidden:
            count -= 1
            yield item, part


def answers(item: Item, models: dict[str, str]) -> dict[str, Rgb]:
    """The default job by each model; all but the people's layers is made once."""
    kept, made = Kept(), {}
    for name, model in models.items():
        # A folder is not taken for the embedded model, whose backgrounds keep their fill.
        request = mild.build_request(people=tuple(item.erase), backend="none", model=model, correct=False)
        made[name] = np.asarray(road.run(request, item.scene.photo, scene=item.scene, kept=kept).photo.pixels)
    return made


def run(args: argparse.Namespace) -> None:
    args.out.mkdir(parents=True, exist_ok=True)
    listed: list[dict[str, Any]] = []
    for item, hidden in drawn(SampleSet.open(args.samples), args.count, True):
        assert item.truth is not None
        paths = {name: args.out / name / f"{item.id}.png" for name in args.models}
        if not all(path.exists() for path in paths.values()):
            for name, pixels in answers(item, args.models).items():
                paths[name].parent.mkdir(exist_ok=True)
                Image.fromarray(pixels).save(paths[name])
        figures = {name: psnr(opened(path), item.truth.photo, hidden) for name, path in paths.items()}
        listed.append({"id": item.id, "photo": item.cluster, "psnr": figures})
        (args.out / "items.json").write_text(json.dumps(listed))
    print(f"{len(listed)} samples")


def same(args: argparse.Namespace) -> None:
    alike, asked = 0, 0
    for item, _ in drawn(SampleSet.open(args.samples), args.count, False):
        first, *others = answers(item, args.models).values()
        alike, asked = alike + all(np.array_equal(first, other) for other in others), asked + 1
    print(f"{alike} of {asked} are the same, bit for bit")


def opened(path: Path) -> Rgb:
    return np.asarray(Image.open(path).convert("RGB"))


def cells(item: Item, hidden: Mask, pictures: list[Rgb]) -> list[Rgb]:
    """The photo with the outline of who goes, and each picture, around what is hidden."""
    shown = item.photo.copy()
    gone = item.scene.mask_of(item.erase).astype(np.uint8)
    shown[cv2.morphologyEx(gone, cv2.MORPH_GRADIENT, np.ones((3, 3), np.uint8)) > 0] = (255, 0, 60)
    box = Box.around(hidden)
    box = box.grow(30 + max(box.width, box.height) // 3, item.scene.size)
    scale = CELL / max(box.width, box.height)
    size = round(box.width * scale), round(box.height * scale)
    return [cv2.resize(image[box.slices], size, interpolation=cv2.INTER_CUBIC) for image in (shown, *pictures)]


def pairs(args: argparse.Namespace) -> None:
    """Blind pairs: sides by chance, the key in a file of its own."""
    rng, samples = np.random.default_rng(args.seed), SampleSet.open(args.samples)
    found, shown, rows = [], [], []
    for number, entry in enumerate(json.loads((args.out / "items.json").read_text())[: args.count]):
        left, right = args.names if rng.random() < 0.5 else args.names[::-1]
        item = samples.load(entry["id"])
        both = [opened(args.out / name / f"{item.id}.png") for name in (left, right)]
        three = cells(item, hidden_of(item), both)
        found.append(Pair(item.id, "hidden people", left, right, item.id))
        shown.append(tuple(three))
        rows.append((f"{number}: photo | left | right", three))
    page, key = write_study(args.output, found, shown, QUESTION)
    beside = [rows[k : k + ABREAST] for k in range(0, len(rows), ABREAST)]
    sheets([("   ".join(t for t, _ in some), [c for _, three in some for c in three]) for some in beside], args.output)
    print(f"{len(found)} pairs\npage: {page}\nkey, to be read afterwards: {key}")


def ends(args: argparse.Namespace) -> None:
    samples, (first, second) = SampleSet.open(args.samples), args.names
    listed = json.loads((args.out / "items.json").read_text())
    listed.sort(key=lambda entry: entry["psnr"][first] - entry["psnr"][second])
    for title, chosen in (("best", listed[:10]), ("worst", listed[:-11:-1])):
        rows = []
        for entry in chosen:
            item = samples.load(entry["id"])
            both = [opened(args.out / name / f"{item.id}.png") for name in (first, second)]
            gain = entry["psnr"][second] - entry["psnr"][first]
            rows.append((f"{item.id} {gain:+.2f} dB   photo | {first} | {second}", cells(item, hidden_of(item), both)))
        sheets(rows, args.output / title)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True)
    for name, does in (("run", run), ("same", same), ("pairs", pairs), ("ends", ends)):
        one = commands.add_parser(name)
        one.set_defaults(does=does)
        if name != "same":
            one.add_argument("out", type=Path)
        one.add_argument("--samples", required=True)
        one.add_argument("--count", type=int, default=100)
        if name in ("run", "same"):
            one.add_argument("--model", action="append", required=True, metavar="NAME=MODEL")
        else:
            one.add_argument("names", nargs=2)
            one.add_argument("--output", "-o", type=Path, required=True)
            one.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    cv2.setNumThreads(1)
    if hasattr(args, "model"):
        args.models = dict(text.split("=", 1) for text in args.model)
    args.does(args)


if __name__ == "__main__":
    main()
