"""What a margin costs and saves: composites whose alpha is known, with exact masks and with wrong ones.

    python bench/margins.py --data FOLDER [--count 16] [--json FILE]
    python bench/margins.py --data FOLDER --count 40 --plan     # nothing is painted

A person of the test split (``--split train``: to choose by) is pasted on a background of the same. Masks: the person's
outline, and the same eroded, shifted, made blobby, or rough, as finders and hands draw it. PSNR is that of the result
against the background where the person is (alpha above 0); ``left`` is the share of the person's alpha that is still in
the result; ``beside`` is what is replaced where neither person nor mask is, in parts of the person. The finder is off,
but with ``--finder`` (then all is as in a default job), and for the kind ``found`` (--plan alone): the mask is the
finder's own, and whom it misses does not count. ``--plan`` also compares the matte that is erased with the true alpha,
as of a matting method: the sum of absolute differences and the gradient error (Rhemann et al. 2009; sigma 1.4), both in
thousands of pixels and a photo; ``mask`` is the same of the mask before the margin. ``--moved N``
counts, of N real scenes of the split, how many outlines are taken to lie beside their person (``plan/beside.py``), and
to have cut something off (``plan/cutoff.py``): how much that is, in parts of the mask, how much of it is the person's,
and how much another's. ``--touching N`` erases, of N real scenes, whoever touches another, one at a time with the
finder on, and counts how much of the others goes outside the mask, in parts of whoever is erased, and how many stay.
"""

from __future__ import annotations

import argparse
import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

import mild
from mild import road
from mild.lab.bench.metrics.fidelity import haarpsi
from mild.people.find import find_people
from mild.people.finders.coco import decode_rle, encode_rle
from mild.people.scene import Box, Person, Scene
from mild.people.selection import select
from mild.photo import Photo
from mild.plan.beside import MOVED, moved
from mild.plan.cutoff import cut_off
from mild.plan.margin import Margin
from mild.plan.planning import plan_layers
from mild.request import Finder, Region, Selection
from real import item_of, items, labels_of, member, photo_of, rough

Rgb = NDArray[np.uint8]
BoolMask = NDArray[np.bool_]

METHODS: dict[str, dict[str, Any]] = {
    "default": {},
    "exact": {"dilate": 0.0, "feather": 0.0},
    "wide": {"dilate": 0.015, "feather": 0.008},
}


def composites(data: Path, count: int, split: str = "test") -> list[tuple[Rgb, Rgb, NDArray[np.float32]]]:
    """Background, photo and alpha."""
    rows = [json.loads(line) for line in (data / "manifest.jsonl").read_text().splitlines()]
    places = [r for r in rows if r["kind"] == "background" and r["split"] == split and min(r["size"]) >= 300]
    people = [r for r in rows if r["kind"] == "person" and r["split"] == split]
    rng = np.random.default_rng(0)
    out = []
    for i in rng.permutation(len(places))[:count]:
        place = decoded(data, places[i])[..., :3].copy()
        height, width = place.shape[:2]
        rgba = decoded(data, people[int(rng.integers(len(people)))])
        scale = min(rng.uniform(0.35, 0.6) * height / rgba.shape[0], 0.4 * width / rgba.shape[1])
        rgba = cv2.resize(rgba, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        h, w = rgba.shape[:2]
        x, y = int(rng.integers(0.1 * width, 0.9 * width - w)), int(rng.integers(0.3 * height, 0.97 * height - h + 1))
        alpha = np.zeros((height, width), np.float32)
        alpha[y : y + h, x : x + w] = rgba[..., 3] / np.float32(255)
        photo = place.astype(np.float32)
        a = alpha[y : y + h, x : x + w, None]
        photo[y : y + h, x : x + w] = a * rgba[..., :3] + (1 - a) * photo[y : y + h, x : x + w]
        out.append((place, np.rint(photo).astype(np.uint8), alpha))
    return out


def decoded(data: Path, row: dict[str, Any]) -> Rgb:
    image = cv2.imdecode(np.frombuffer(member(data, row["shard"], row["file"]), np.uint8), cv2.IMREAD_UNCHANGED)
    return np.asarray(cv2.cvtColor(image, cv2.COLOR_BGRA2RGBA if image.shape[2] == 4 else cv2.COLOR_BGR2RGB))


def wrong(mask: BoolMask, how: str, number: int = 0) -> BoolMask:
    box = Box.around(mask)
    size = (box.width * box.height) ** 0.5
    step = max(1, round(0.03 * size))
    if how == "rough":
        return rough(mask, np.random.default_rng(number))
    if how == "eroded":
        return cv2.erode(mask.view(np.uint8), np.ones((2 * step + 1,) * 2, np.uint8)) > 0
    if how == "shifted":
        return np.roll(mask, (step // 2, step), (0, 1))
    if how == "blobby":
        return cv2.GaussianBlur(mask.astype(np.float32), (0, 0), 1.5 * step) > 0.5
    return mask


def found(photo: Rgb, alpha: NDArray[np.float32]) -> Person | None:
    """Whom the finder takes for the person."""
    scene = find_people(Photo.of(photo), Finder())
    true = alpha > 0.5

    def met(person: Person) -> float:
        mask = person.full_mask(scene.size)
        return float((mask & true).sum() / (mask | true).sum())

    best = max(scene.people, key=met, default=None)
    return best if best is not None and met(best) > 0.5 else None


def drawn(photo: Rgb, mask: BoolMask, source: str, finder: bool) -> tuple[Scene, tuple[int, ...]]:
    """The scene in which a mask goes, and the numbers that go."""
    if not finder:
        return Scene(Photo.of(photo), (Person.from_mask(1, mask, source=source),)), (1,)
    # What it finds in a photo is remembered.
    return select(find_people(Photo.of(photo), Finder()), Selection(mask_rle=encode_rle(mask)))


def replaced(mattes: dict[int, tuple[Box, Rgb]], size: tuple[int, int]) -> NDArray[np.float32]:
    """How strongly each pixel is replaced ``[H, W]``, 0..1."""
    matte = np.zeros(size, np.float32)
    for box, soft in mattes.values():
        window = matte[box.slices]
        np.maximum(window, soft / np.float32(255), out=window)
    return matte


def differences(matte: NDArray[np.float32], alpha: NDArray[np.float32]) -> tuple[float, float]:
    """Sum of absolute differences, and the gradient error, in thousands."""
    sizes = []
    for field in (matte, alpha):
        smooth = cv2.GaussianBlur(field.astype(np.float32), (0, 0), 1.4)
        sizes.append(np.hypot(*np.gradient(smooth)))
    return float(np.abs(matte - alpha).sum()) / 1e3, float(np.square(sizes[0] - sizes[1]).sum()) / 1e3


def planned(
    photo: Rgb, alpha: NDArray[np.float32], kind: str, number: int, source: str, finder: bool
) -> tuple[float, float, float, float, float, float] | None:
    """What is left of a person, and what is replaced beside them and the mask, in %; SAD and gradient error of the
    matte and of the mask. None: nobody was found."""
    person = found(photo, alpha) if kind == "found" else None
    if kind == "found" and person is None:
        return None
    if person is None:
        mask = wrong(alpha > 0.5, kind, number)
        scene, going = drawn(photo, mask, source, finder)
    else:
        scene, going = Scene(Photo.of(photo), (replace(person, id=1),)), (1,)
        mask = person.full_mask(scene.size)
    matte = replaced(plan_layers(scene, going, Region()).mattes, alpha.shape)
    beside = (matte > 0) & ~mask & (alpha <= 0)
    left, besides = float((alpha * (1 - matte)).sum() / alpha.sum()), float(beside.sum() / (alpha > 0.5).sum())
    return 100 * left, 100 * besides, *differences(matte, alpha), *differences(mask.astype(np.float32), alpha)


def count_moved(data: Path, count: int, split: str) -> None:
    scenes = items(data, count, ["own"], split)
    rows = {r["file"]: r for r in map(json.loads, (data / "manifest.jsonl").read_text().splitlines())}
    for kind in ("own", "rough", "eroded", "shifted", "blobby"):
        number, parts = 0, []
        for i, item in enumerate(scenes):
            photo = photo_of(data, item)
            own = decode_rle(item["mask"], photo.shape[:2])
            mask = wrong(own, kind, i)
            if not mask.any():
                continue
            person = Person.from_mask(1, mask)
            number += moved(photo, person, MOVED * Margin.of(person, Region()).reach) is not None
            scene, going = drawn(photo, mask, "mask", True)
            for more in filter(None, (cut_off(photo, scene.person(one)) for one in going)):
                there = more.full_mask(scene.size)
                another = there & ~own & (labels_of(data, rows[item["file"]]) > 0)
                parts.append([float(m.sum() / mask.sum()) for m in (there, there & own, another)])
        shares = (
            "" if not parts else " ({:.1%} of the mask: {:.1%} theirs, {:.1%} another's)".format(*np.mean(parts, 0))
        )
        print(f"{kind:8s} {number} of {len(scenes)} moved, {len(parts)} cut off{shares}", flush=True)


def count_touching(data: Path, count: int, split: str, kinds: list[str]) -> None:
    rows = [json.loads(line) for line in (data / "manifest.jsonl").read_text().splitlines()]
    rows = sorted((r for r in rows if r["kind"] == "scene" and r["split"] == split), key=lambda r: str(r["file"]))
    sums: dict[str, list[float]] = {kind: [0, 0, 0, 0] for kind in kinds}
    scenes = 0
    for row in rows:
        labels = labels_of(data, row)
        masks = {int(i): labels == i for i in np.unique(labels) if i and 0.001 <= (labels == i).mean() <= 0.35}
        near = {i: cv2.dilate(mask.view(np.uint8), np.ones((7, 7), np.uint8)) > 0 for i, mask in masks.items()}
        touching = [i for i in masks if (near[i] & ~masks[i] & (labels > 0)).sum() >= 10]
        if not touching or scenes == count:
            continue
        scenes += 1
        photo = photo_of(data, item_of(row, "own"))
        for i, kind in ((i, kind) for i in touching for kind in kinds):
            mask = wrong(masks[i], kind, i)
            if mask.sum() < 64:
                continue
            scene, going = drawn(photo, mask, "mask", True)
            matte = replaced(plan_layers(scene, going, Region()).mattes, labels.shape)
            others = (labels > 0) & ~masks[i] & ~mask
            more = 1, float(masks[i].sum()), float(matte[others].sum()), len(scene.people) - len(going)
            sums[kind] = [a + b for a, b in zip(sums[kind], more, strict=True)]
    for kind, (number, area, lost, staying) in sums.items():
        print(f"{kind:8s} {number} of {scenes} scenes  others lose {lost / area:.3%}, {staying} stay")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--count", type=int, default=16)
    parser.add_argument("--split", choices=("train", "test"), default="test")
    parser.add_argument("--kinds", default="exact,eroded,shifted,blobby")
    parser.add_argument("--method", action="append", default=[], metavar="NAME:FIELD=VALUE,…")
    parser.add_argument("--source", default="mask", help="mask: by hand; blazepose: as a finder's")
    parser.add_argument("--finder", action="store_true", help="leave the finder on")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--plan", action="store_true", help="left and beside alone, of the default")
    parser.add_argument("--moved", type=int, default=0, metavar="N")
    parser.add_argument("--touching", type=int, default=0, metavar="N")
    args = parser.parse_args()
    methods = dict(METHODS)
    for spec in args.method:
        name, _, fields = spec.partition(":")
        methods[name] = {k: json.loads(v) for k, v in (part.split("=") for part in fields.split(",") if part)}
    if args.moved:
        count_moved(args.data, args.moved, args.split)
        return
    if args.touching:
        count_touching(args.data, args.touching, args.split, args.kinds.split(","))
        return
    figures: dict[str, dict[str, Any]] = {}
    made = composites(args.data, args.count, args.split)
    if args.plan:
        for kind in args.kinds.split(","):
            rows = [
                planned(photo, alpha, kind, i, args.source, args.finder) for i, (_, photo, alpha) in enumerate(made)
            ]
            seen = [row for row in rows if row is not None]
            left, beside, sad, gradient, plain, plain_gradient = np.mean(seen, 0)
            print(
                f"{kind:8s} {len(seen)} of {len(rows)}  left {left:5.2f} %  beside {beside:5.1f} %  "
                f"SAD {sad:.2f} (mask {plain:.2f})  gradient {gradient:.2f} (mask {plain_gradient:.2f})",
                flush=True,
            )
        return
    for kind in args.kinds.split(","):
        for name, options in methods.items():
            rows = []
            for place, photo, alpha in made:
                mask = wrong(alpha > 0.5, kind)
                if mask.sum() < 64:
                    continue
                scene, going = drawn(photo, mask, args.source, args.finder)
                begun = sum(os.times()[:4])
                result = road.run(mild.build_request(people=going, **options), scene.photo, scene=scene)
                spent = sum(os.times()[:4]) - begun
                out, where = result.photo.pixels, alpha > 0
                error = float(np.square(out[where].astype(np.float32) - place[where]).mean())
                matte = replaced(result.plan.mattes, alpha.shape)
                around = Box.around(where).grow(8, scene.size).slices
                rows.append(
                    (
                        10 * np.log10(255**2 / max(error, 0.1)),
                        haarpsi(out[around], place[around]),
                        100 * float((alpha * (1 - matte)).sum() / alpha.sum()),
                        spent,
                    )
                )
            mean = np.mean(rows, 0)
            figures.setdefault(kind, {})[name] = dict(
                zip(("psnr", "haarpsi", "left %", "cpu"), np.round(mean, 3).tolist(), strict=True)
            )
            print(f"{kind:8s} {name:10s} {mean[0]:6.2f} dB  HaarPSI {mean[1]:.3f}  left {mean[2]:5.2f} %  "
                  f"{mean[3]:.2f} s CPU", flush=True)  # fmt: skip
    if args.json:
        args.json.write_text(json.dumps(figures, indent=1) + "\n")


if __name__ == "__main__":
    main()
