"""Can the border of the fill be seen, and is the fill as sharp as what is around it? By size, against other methods.

    OMP_NUM_THREADS=1 python bench/seams.py --data FOLDER --size 512 --method mild --method telea
    OMP_NUM_THREADS=1 python bench/seams.py --data FOLDER --photos FOLDER --size 4096 --out FOLDER

Photos without people (the test split of ``--data``, or a folder), shrunk to the size and never enlarged, with the
outlines of held-out people painted grey; the road erases them with its own margin and soft edge. Photos from 3/4 of the
size on are taken as they are. ``--grain`` is the other test: photos of any size, enlarged, with the grain of a sensor.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mild.lab.bench.items import Trial, make_trial, ring_of, single
from mild.lab.bench.methods import load, parse
from mild.lab.bench.metrics import fidelity
from mild.lab.bench.metrics.score import around, composited
from mild.lab.data.cutouts import clean_cutout
from mild.lab.data.ingredients import Ingredients
from mild.photo import Photo

Rgb = NDArray[np.uint8]
Mask = NDArray[np.bool_]

#: What people are painted with, and the least share of the wanted size that a photo has.
GREY, LEAST = 127, 0.75
#: Width of the ring whose sharpness the fill's is compared with, as a share of the hole's side (root of its area).
RING = 0.1
FIGURES = ("seam", "sharp/ring", "sharp/truth", "psnr", "ssim", "haarpsi", "seconds")


def opened(args: argparse.Namespace) -> list[Callable[[], Rgb]]:
    """Readers of the photos that are large enough."""
    least = 0 if args.grain else LEAST * args.size
    if args.photos:
        files = [p for p in sorted(args.photos.rglob("*")) if p.suffix.lower() in (".jpg", ".png", ".webp")]
        return [lambda p=p: Photo.open(p).pixels for p in files if max(Image.open(p).size) >= least]
    photos = Ingredients.open(args.data, "test")
    fitting = [e for e in photos.backgrounds if max(e["size"]) >= least and e.get("scene_kind") != "closeup"]
    return [lambda e=e: photos.rgb(e) for e in fitting]


def sized(pixels: Rgb, size: int, grain: float, rng: np.random.Generator) -> Rgb:
    """Shrunk to a long side of ``size``; with ``grain`` (standard deviation, levels) enlarged, and grain put on it.

    The grain is white noise: of the brightness, and half as strong of each colour.
    """
    scale = size / max(pixels.shape)
    if scale < 1 or grain:
        wanted = (round(pixels.shape[1] * scale), round(pixels.shape[0] * scale))
        pixels = np.asarray(
            cv2.resize(pixels, wanted, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC), np.uint8
        )
    if not grain:
        return np.ascontiguousarray(pixels)
    noise = rng.normal(0, grain, (*pixels.shape[:2], 1)) + rng.normal(0, grain / 2, pixels.shape)
    return np.clip(pixels + noise + 0.5, 0, 255).astype(np.uint8)


def outline(photos: Ingredients, shape: tuple[int, int], rng: np.random.Generator) -> Mask:
    """Somebody whole, held out, 25 to 60 % as high as the photo's short side, anywhere in it."""
    alpha = clean_cutout(photos.rgba(photos.people[rng.integers(len(photos.people))]))[..., 3].astype(np.float32)
    scale = rng.uniform(0.25, 0.6) * min(shape) / max(alpha.shape)
    alpha = cv2.resize(alpha, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC)
    y, x = (int(rng.integers(0, whole - part + 1)) for whole, part in zip(shape, alpha.shape, strict=True))
    out = np.zeros(shape, bool)
    out[y : y + alpha.shape[0], x : x + alpha.shape[1]] = alpha > 127
    return out


def trials(args: argparse.Namespace) -> Iterator[Trial]:
    people, photos = Ingredients.open(args.data, "test"), opened(args)
    if not photos:
        raise SystemExit(f"No photo has a long side of {LEAST * args.size:.0f} pixels.")
    order = np.random.default_rng(args.seed).permutation(len(photos))
    for number in range(args.count):
        rng = np.random.default_rng((args.seed, number))
        truth = sized(photos[order[number % len(photos)]](), args.size, args.grain, rng)
        hole = outline(people, (truth.shape[0], truth.shape[1]), rng)
        photo = np.where(hole[..., None], np.uint8(GREY), truth)
        yield make_trial(replace(single(photo, hole, f"{number:03d}", truth), painted=True), "dilated")


def figures(answer: Rgb, truth: Rgb, hole: Mask) -> dict[str, float | None]:
    """What is printed, of one picture; ``sharp/ring`` is the mean gradient in the hole over that in its ring."""
    window = around(hole).grow(round(RING * hole.sum() ** 0.5) + 8, (hole.shape[0], hole.shape[1])).slices
    answer, truth, hole = answer[window], truth[window], hole[window]
    gradient = fidelity.gradient(answer)
    inner = cv2.erode(hole.view(np.uint8), np.ones((5, 5), np.uint8)) > 0
    ring = ring_of(hole, max(8, round(RING * hole.sum() ** 0.5))) & ~ring_of(hole, 2)
    return {
        "seam": fidelity.seam(answer, hole, np.zeros_like(hole)),
        "sharp/ring": float(gradient[inner].mean()) / max(1e-3, float(gradient[ring].mean())),
        "sharp/truth": fidelity.sharpness(answer, truth, hole),
        "psnr": fidelity.psnr(answer, truth, hole),
        "ssim": float(fidelity.ssim_map(answer, truth)[hole].mean()),
        "haarpsi": fidelity.haarpsi(answer, truth),
    }


def line(name: str, rows: list[dict[str, float | None]]) -> str:
    """``median (lower quartile-upper quartile) mean share`` of the first figures, medians of the others."""
    cells = [f"{name:24s}"]
    for figure in FIGURES:
        values = np.asarray([row[figure] for row in rows if row.get(figure) is not None], float)
        if not len(values):
            cells.append("-")
        elif figure in FIGURES[:3]:
            low, middle, high = np.percentile(values, (25, 50, 75))
            near = 100 * float((np.abs(values - 1) <= 0.1).mean())
            cells.append(f"{middle:.2f} ({low:.2f}-{high:.2f}) mean {values.mean():.2f}, {near:.0f} %")
        else:
            cells.append(f"{values.mean():.3f}" if figure in ("ssim", "haarpsi") else f"{values.mean():.2f}")
    return " | ".join(cells)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--data", required=True, help="folder with manifest.jsonl and the tars")
    parser.add_argument("--photos", type=Path, help="folder of photos without people; the test split by default")
    parser.add_argument("--size", type=int, default=512, help="long side, pixels")
    parser.add_argument("--count", type=int, default=24, help="holes")
    parser.add_argument("--seed", type=int, default=2026)
    parser.add_argument(
        "--grain", type=float, default=0.0, help="standard deviation of grain on enlarged photos, levels"
    )
    parser.add_argument("--method", action="append", help="as in `mild bench run`; mild by default")
    parser.add_argument("--out", type=Path, help="save the windows of the answers and of the truth here")
    parser.add_argument("--json", type=Path, help="also write every figure of every photo here")
    args = parser.parse_args()
    methods = {text: load(parse(text)) for text in args.method or ["mild"]}
    for method in methods.values():
        method.about()
    table: dict[str, list[dict[str, Any]]] = {name: [] for name in ("truth", *methods)}
    for trial in trials(args):
        assert trial.item.truth is not None
        truth = trial.item.truth.photo
        answers = {"truth": truth}
        table["truth"].append(figures(truth, truth, trial.mask))
        for name, method in methods.items():
            begun = time.process_time()
            answer = np.asarray(method(trial).pixels, np.uint8)
            seconds = time.process_time() - begun
            answers[name] = composited(answer, trial)
            table[name].append({**figures(answers[name], truth, trial.mask), "seconds": seconds})
        if args.out:
            args.out.mkdir(parents=True, exist_ok=True)
            window = around(trial.mask).slices
            for name, pixels in answers.items():
                file = args.out / f"{trial.item.id}.{name.replace(':', '-').replace('/', '_')}.png"
                cv2.imwrite(str(file), cv2.cvtColor(pixels[window], cv2.COLOR_RGB2BGR))
    print(f"{args.count} holes at {args.size} px; figure: median (quartiles) mean, share within 10 % of 1; means")
    print(" | ".join([f"{'method':24s}", *FIGURES]))
    for name, rows in table.items():
        print(line(name, rows))
    if args.json:
        args.json.write_text(json.dumps(table, indent=1))


if __name__ == "__main__":
    main()
