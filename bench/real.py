"""Real photos, by eye: methods on the same masks, crops at 100 % side by side, blind pairs for `mild bench study`.

    python bench/real.py run OUT --data FOLDER --count 60 --kind own --kind rough \\
        --method ours=mild --method fill=mild:denoise=off --method patchmatch=patchmatch
    python bench/real.py pairs OUT ours patchmatch -o STUDY      # study.html, its key, and sheets to look at
    mild bench study read STUDY/study.key.json STUDY/*.answers.json

FOLDER holds a ``manifest.jsonl`` with licensed scenes and the tar files it names; the photos are never committed, the
answers are (``bench/votes/``). Every photo loses one person, chosen by the photo's name. Kinds of masks: ``own``, the
outline that the scene comes with; ``rough``, the same as a hurried hand draws it; ``net``, what the finder found of
that person. ``sky``, ``fence``, ``text``, ``dark``, ``night``, ``blurred``, ``jpeg``: ten photos each (``kinds.py``).
Another version of the program runs with its own sources: ``PYTHONPATH=OLD/src … --method old=mild``.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import subprocess
import sys
import tarfile
import tempfile
import zlib
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from kinds import HARMS, PLACED, TEN, placed
from mild.people.finders.coco import decode_rle, encode_rle
from mild.people.scene import Box
from mild.photo import Photo

Rgb = NDArray[np.uint8]
BoolMask = NDArray[np.bool_]
Runner = Callable[[dict[str, Any], Photo, BoolMask], Rgb]

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"
#: A person who goes covers between these parts of the photo.
SMALLEST, LARGEST = 0.008, 0.2
KINDS = ("own", "rough", "net")
#: Each with ten photos of its own (``kinds.py``).
HARD = (*PLACED, *HARMS)
#: Side of a cell of a sheet, pixels; larger crops are shown from the middle of the mask.
CELL = 500


def rough(mask: BoolMask, rng: np.random.Generator) -> BoolMask:
    """The outline as a hurried hand draws it: wider by 1 to 5 % of its size, here more and there less."""
    box = Box.around(mask)
    size = (box.width * box.height) ** 0.5
    noise = cv2.GaussianBlur(rng.standard_normal(mask.shape).astype(np.float32), (0, 0), max(2.0, 0.12 * size))
    noise = (noise - noise.min()) / max(float(np.ptp(noise)), 1e-6)
    away = cv2.distanceTransform((~mask).astype(np.uint8), cv2.DIST_L2, 5)
    return np.asarray(away <= size * (0.01 + 0.04 * noise))


def items(
    data: Path, count: int, kinds: list[str], split: str | None, only: frozenset[str] = frozenset()
) -> list[dict[str, Any]]:
    """Photos and masks: test scenes first, then others; one person of each goes.

    ``only``: these photos, by their names without suffix.
    """
    rows = [json.loads(line) for line in (data / "manifest.jsonl").read_text().splitlines()]
    rows = [r for r in rows if r["kind"] == "scene" and (split is None or r["split"] == split)]
    # Whose licence lets a picture be shown comes first, within a split.
    rows.sort(key=lambda r: (r["split"] != "test", r["tier"], r["file"]))
    out: list[dict[str, Any]] = []
    photos = 0
    for row in rows:
        if not set(kinds) - set(PLACED):
            break
        labels = labels_of(data, row)
        shares = {int(i): float((labels == i).mean()) for i in np.unique(labels) if i}
        able = [i for i, share in shares.items() if SMALLEST <= share <= LARGEST]
        if not able or photos == count or (only and Path(row["file"]).stem not in only):
            continue
        photos += 1
        rng = np.random.default_rng(zlib.crc32(row["file"].encode()))
        mask = labels == able[int(rng.integers(len(able)))]
        for kind in kinds:
            item = item_of(row, kind)
            if kind in PLACED or (kind in HARMS and photos > TEN):
                continue
            if kind in HARMS:
                item |= {"harm": kind, "people": encode_rle(labels > 0)}
            if kind == "net":
                found = of_net(Photo.of(photo_of(data, item)), mask)
                if found is None:
                    continue
                item["person"], shown = found
            else:
                shown = rough(mask, rng) if kind == "rough" else mask
            out.append(item | {"mask": encode_rle(shown)})
    by_name = {Path(row["file"]).stem: row for row in rows}
    for kind in (k for k in kinds if k in PLACED):
        for name, whose, x, feet, height in PLACED[kind]:
            if {name, whose} <= by_name.keys() and (not only or name in only):
                labels = labels_of(data, by_name[whose])
                person = labels == 1 + int(np.argmax(np.bincount(labels.ravel())[1:]))
                size = labels_of(data, by_name[name]).shape[:2]
                shown = placed(person[Box.around(person).slices], x, feet, height, size)
                out.append(item_of(by_name[name], kind) | {"mask": encode_rle(shown)})
    return out


def labels_of(data: Path, row: dict[str, Any]) -> NDArray[np.uint8]:
    """The number of the person at each pixel of a scene; 0: nobody."""
    return np.asarray(cv2.imdecode(np.frombuffer(member(data, row["mask_shard"], row["mask"]), np.uint8), 0))


def item_of(row: dict[str, Any], kind: str) -> dict[str, Any]:
    common = {key: row[key] for key in ("file", "shard", "licence", "credit", "split")}
    return common | {"name": f"{Path(row['file']).stem}-{kind}", "kind": kind}


def of_net(photo: Photo, mask: BoolMask) -> tuple[int, BoolMask] | None:
    """Number and mask of the find that is the person of ``mask``; None where nobody found them."""
    from mild.people.find import find_people

    best: tuple[float, int, BoolMask] | None = None
    for person in find_people(photo).people:
        full = person.full_mask(photo.size)
        alike = float((full & mask).sum() / (full | mask).sum())
        if alike > 0.3 and (best is None or alike > best[0]):
            best = alike, person.id, full
    return None if best is None else best[1:]


@lru_cache(maxsize=4)
def _tar(path: Path) -> tarfile.TarFile:
    return tarfile.open(path)


def member(data: Path, shard: str, name: str) -> bytes:
    opened = _tar(data / shard).extractfile(name)
    if opened is None:
        raise SystemExit(f"{data / shard} does not hold {name}.")
    return opened.read()


def photo_of(data: Path, item: dict[str, Any]) -> Rgb:
    from PIL import Image

    photo = np.asarray(Image.open(io.BytesIO(member(data, item["shard"], item["file"]))).convert("RGB"))
    if "harm" not in item:
        return photo
    rng = np.random.default_rng(zlib.crc32((item["file"] + item["harm"]).encode()))
    return HARMS[item["harm"]](photo, decode_rle(item["people"], photo.shape[:2]), rng)


def ours(options: dict[str, Any]) -> Runner:
    """The road, with fields of the request by their own names."""
    import mild

    def run(item: dict[str, Any], photo: Photo, mask: BoolMask) -> Rgb:
        chosen: dict[str, Any] = {"people": (item["person"],)} if "person" in item else {"mask": mask}
        return np.asarray(mild.erase(photo, **chosen, **options).photo.pixels)

    return run


def patchmatch(options: dict[str, Any]) -> Runner:
    """PatchMatch alone, on the whole photo."""
    from mild.fill.prior import exemplar_fill

    def run(item: dict[str, Any], photo: Photo, mask: BoolMask) -> Rgb:
        return exemplar_fill(photo.pixels, ~mask, mask, follow=False, **options)

    return run


def shiftmap(options: dict[str, Any]) -> Runner:
    """OpenCV contrib's shift-map graph cut (He and Sun 2012); what it leaves unfilled is mended by PatchMatch.

    ``python``: an interpreter, or ``path``: a folder, with opencv-contrib-python.
    """
    code = (
        "import cv2,sys,numpy as np; z=np.load(sys.argv[1]); out=np.zeros_like(z['lab']);"
        "cv2.xphoto.inpaint(z['lab'], z['known'], out, cv2.xphoto.INPAINT_SHIFTMAP); np.save(sys.argv[2], out)"
    )

    def run(item: dict[str, Any], photo: Photo, mask: BoolMask) -> Rgb:
        from mild.fill.prior import exemplar_fill

        with tempfile.TemporaryDirectory() as folder:
            given, got = f"{folder}/in.npz", f"{folder}/out.npy"
            lab = cv2.cvtColor(photo.pixels, cv2.COLOR_RGB2LAB)
            np.savez(given, lab=lab, known=np.where(mask, 0, 255).astype(np.uint8))
            environment = os.environ | {"PYTHONPATH": options.get("path", "")}
            command = [options.get("python", sys.executable), "-c", code, given, got]
            subprocess.run(command, check=True, env=environment, capture_output=True)
            lab = np.load(got)
        left = mask & (lab == 0).all(2)
        out = np.where(mask[..., None], cv2.cvtColor(lab, cv2.COLOR_LAB2RGB), photo.pixels)
        return exemplar_fill(out, ~mask, left, follow=False) if left.any() else out

    return run


def resynthesizer(options: dict[str, Any]) -> Runner:
    """The engine of GIMP's Resynthesizer (Harrison 2005), with the values that its "Heal selection" gives it.

    ``python``: an interpreter with the package resynthesizer. As there, what it copies from lies near the selection
    (``near`` pixels at most, 50 there; here of the selection's box).
    """
    code = (
        "import sys,numpy as np; from PIL import Image;"
        "from resynthesizer.resynthesizer import resynthesize, TImageSynthParameters as T;"
        "z=np.load(sys.argv[1]); p=T(0, 0, 1, 0.0, 0.117, 16, 500);"
        "out=resynthesize(Image.fromarray(z['photo']), Image.fromarray(z['hole']), p);"
        "np.save(sys.argv[2], np.asarray(out.convert('RGB')))"
    )

    def run(item: dict[str, Any], photo: Photo, mask: BoolMask) -> Rgb:
        at = Box.around(mask).grow(int(options.get("near", 50)), photo.size).slices
        with tempfile.TemporaryDirectory() as folder:
            given, got = f"{folder}/in.npz", f"{folder}/out.npy"
            np.savez(given, photo=photo.pixels[at], hole=mask[at].view(np.uint8) * np.uint8(255))
            subprocess.run(
                [options.get("python", sys.executable), "-c", code, given, got], check=True, capture_output=True
            )
            filled = np.load(got)
        out = photo.pixels.copy()
        out[at] = np.where(mask[at][..., None], filled, out[at])
        return out

    return run


METHODS: dict[str, Callable[[dict[str, Any]], Runner]] = {
    "mild": ours, "patchmatch": patchmatch, "shiftmap": shiftmap, "resynthesizer": resynthesizer,
}  # fmt: skip


def method_of(spec: str) -> tuple[str, Runner]:
    """``NAME=KIND[:field=value,…]``."""
    name, _, rest = spec.partition("=")
    kind, _, fields = rest.partition(":")
    if kind not in METHODS:
        raise SystemExit(f"{spec}: there is {', '.join(METHODS)}.")
    options: dict[str, Any] = {}
    for part in filter(None, fields.split(",")):
        key, _, value = part.partition("=")
        words: dict[str, Any] = {"on": True, "off": False}
        try:
            options[key] = words[value] if value in words else json.loads(value)
        except ValueError:
            options[key] = value
    return name, METHODS[kind](options)


def run(args: argparse.Namespace) -> None:
    from PIL import Image

    args.out.mkdir(parents=True, exist_ok=True)
    listed = args.out / "items.json"
    if not listed.exists():
        only = frozenset(filter(None, args.only.split(",")))
        found = items(args.data, args.count, args.kind or list(KINDS), args.split, only)
        listed.write_text(json.dumps(found))
    for spec in args.method:
        name, runner = method_of(spec)
        (args.out / name).mkdir(exist_ok=True)
        spent: dict[str, float] = {}
        for item in json.loads(listed.read_text()):
            path = args.out / name / f"{item['name']}.png"
            if path.exists() or (args.kind and item["kind"] not in args.kind):
                continue
            photo = Photo.of(photo_of(args.data, item))
            begun = sum(os.times()[:4])
            pixels = runner(item, photo, decode_rle(item["mask"], photo.size))
            spent[item["name"]] = sum(os.times()[:4]) - begun
            Image.fromarray(pixels).save(path)
        if spent:
            print(f"{name}: {len(spent)} pictures, {np.mean(list(spent.values())):.2f} s CPU each", flush=True)


def crops(data: Path, item: dict[str, Any], pictures: list[Rgb]) -> list[Rgb]:
    """The photo with the mask's outline, and each picture, around the mask at 100 %."""
    photo = photo_of(data, item)
    mask = decode_rle(item["mask"], photo.shape[:2])
    box = Box.around(mask)
    box = box.grow(40 + round(0.25 * max(box.width, box.height)), photo.shape[:2])
    shown = photo.copy()
    edge = cv2.morphologyEx(mask.astype(np.uint8), cv2.MORPH_GRADIENT, np.ones((3, 3), np.uint8)) > 0
    shown[edge] = (255, 0, 60)
    out = []
    for image in (shown, *pictures):
        part = image[box.slices]
        scale = min(1.0, CELL / max(part.shape[:2]))
        size = (round(part.shape[1] * scale), round(part.shape[0] * scale))
        out.append(part if scale == 1 else cv2.resize(part, size, interpolation=cv2.INTER_AREA))
    return out


def sheet(rows: list[tuple[str, list[Rgb]]], path: Path) -> None:
    """Rows of cells with a line of text above each."""
    from PIL import Image, ImageDraw

    gap, line = 6, 14
    width = max(sum(c.shape[1] + gap for c in cells) for _, cells in rows)
    height = sum(max(c.shape[0] for c in cells) + line + gap for _, cells in rows)
    out = Image.new("RGB", (width, height), (40, 40, 40))
    draw, y = ImageDraw.Draw(out), 0
    for text, cells in rows:
        draw.text((2, y + 1), text, fill=(255, 255, 255))
        x = 0
        for cell in cells:
            out.paste(Image.fromarray(cell), (x, y + line))
            x += cell.shape[1] + gap
        y += max(c.shape[0] for c in cells) + line + gap
    path.parent.mkdir(parents=True, exist_ok=True)
    out.save(path)


def sheets(rows: list[tuple[str, list[Rgb]]], folder: Path) -> None:
    """As many rows to a sheet as an eye (and a screen) holds."""
    page: list[tuple[str, list[Rgb]]] = []
    number, height = 1, 0
    for row in rows:
        tall = max(c.shape[0] for c in row[1]) + 20
        if page and height + tall > 1150:
            sheet(page, folder / f"sheet-{number:02d}.png")
            page, number, height = [], number + 1, 0
        page.append(row)
        height += tall
    if page:
        sheet(page, folder / f"sheet-{number:02d}.png")


def picture(out: Path, method: str, item: dict[str, Any]) -> Rgb:
    from PIL import Image

    return np.asarray(Image.open(out / method / f"{item['name']}.png").convert("RGB"))


def shared(args: argparse.Namespace, methods: list[str]) -> list[dict[str, Any]]:
    """Items of the kinds asked for that all the methods answered."""
    listed = json.loads((args.out / "items.json").read_text())
    return [
        item for item in listed
        if (not args.kind or item["kind"] in args.kind)
        and all((args.out / m / f"{item['name']}.png").exists() for m in methods)
    ]  # fmt: skip


def show(args: argparse.Namespace) -> None:
    """Sheets with names: to find causes, not to vote."""
    rows = []
    for item in shared(args, args.methods):
        cells = crops(args.data, item, [picture(args.out, m, item) for m in args.methods])
        rows.append((f"{item['name']}   photo | " + " | ".join(args.methods), cells))
    sheets(rows, args.output)


def pairs(args: argparse.Namespace) -> None:
    """Blind pairs: sides and order by chance, the key in a file of its own. Equal pictures are counted, not asked."""
    from mild.lab.bench.study.make import Pair, write_study

    a, b = args.methods
    rng = np.random.default_rng(args.seed)
    both = shared(args, [a, b])
    chosen = [i for i in both if (picture(args.out, a, i) != picture(args.out, b, i)).any()]
    equal = len(both) - len(chosen)
    chosen = [chosen[i] for i in rng.permutation(len(chosen))][: args.count]
    found, shown, rows = [], [], []
    for number, item in enumerate(chosen):
        left, right = (a, b) if rng.random() < 0.5 else (b, a)
        cells = crops(args.data, item, [picture(args.out, m, item) for m in (left, right)])
        found.append(Pair(item["name"], "real", left, right, item["name"]))
        shown.append(tuple(cells))
        rows.append((f"{number}   photo | left | right", cells))
    page, key = write_study(args.output, found, shown)
    sheets(rows, args.output)
    print(f"{len(found)} pairs; {equal} more are equal, bit for bit\npage: {page}\nkey, to be read afterwards: {key}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True)
    for name, does in (("run", run), ("show", show), ("pairs", pairs)):
        one = commands.add_parser(name)
        one.set_defaults(does=does)
        one.add_argument("out", type=Path)
        one.add_argument("--data", type=Path, required=True)
        one.add_argument("--kind", action="append", choices=(*KINDS, *HARD))
        one.add_argument("--count", type=int, default=60)
        if name == "run":
            one.add_argument("--method", action="append", required=True, metavar="NAME=KIND[:FIELD=VALUE,…]")
            one.add_argument("--split", choices=("train", "test"))
            one.add_argument("--only", default="", metavar="NAME,…", help="these photos, by their names without suffix")
        else:
            one.add_argument("methods", nargs="+" if name == "show" else 2)
            one.add_argument("--output", "-o", type=Path, required=True)
            one.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    args.does(args)


if __name__ == "__main__":
    main()
