"""Fits the net that draws people's outlines (``people/finders/outline.py``), and says what it changes.

    python bench/outline.py look DATA ROWS [--samples FOLDER]
    python bench/outline.py fit ROWS NET.onnx [--minutes 60] [--part 0]
    python bench/outline.py masks DATA [--net NET.onnx] [--split test | --part 0 | --samples FOLDER --every 16]

DATA as for bench/finder.py; FOLDER holds samples of ``mild data synth``. ``look`` writes the windows of the finds of
the train scenes (each scene as it is and as in a mirror, windows a little moved) or of the samples, with the true
outline of whoever is found: where mask or box meet by an IoU of .45, one to one. ``fit`` leaves every fifth train scene
out, of five ``--part``s (-1: none). ``masks`` gives, for people of whom a box is right, the masks with the net and
without it, of scenes or of every so many of a folder's samples. Wants torch.
"""

from __future__ import annotations

import argparse
import time
import zlib
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch

from borders import REACH, between, height_of, met, shared
from finder import FOUND, border_f, masks_of, touching_pairs
from finder_fit import CROWD, read_index, read_rgb, rows_of
from mild.lab.data.store import open_samples
from mild.people.finders import detectors, outline
from mild.people.finders.blaze_nets import Picture, Window, load_nets
from mild.people.finders.looks import Find
from mild.people.finders.search import looked
from mild.photo import Photo
from outline_net import OutlineNet, loss_of, set_components, write

PARTS = 5
#: A find is a person's from this IoU on of mask or box; so many pixels a person must have.
MEETS, LEAST = 0.45, 200
#: Windows of one file.
PER_FILE = 400
#: Windows of a step, how many of them are of scenes, learning rate, the steps over which it rises, and weight decay.
BATCH, OF_SCENES, RATE, RISE, DECAY = 16, 8, 2e-3, 50, 0.05
#: How often the landmark net's own mask is left out, and how far off what the detectors say is: a factor, an offset.
BLIND, OFF = 0.12, 0.1
#: The channel of that mask.
MASK = 3
#: How slowly the mean of the weights moves that is kept.
MEAN = 0.998
#: A mask is better or worse by more than this IoU.
SOME = 0.02
Pixels = np.ndarray


def pictures(data: Path, split: str) -> Iterator[tuple[str, Pixels, Pixels]]:
    """Name, pixels and index of each scene."""
    for row in rows_of(data, split, ("scene",)):
        yield row["file"], read_rgb(data / row["file"]), read_index(data / row["mask"])


def samples(folder: Path) -> Iterator[tuple[str, Pixels, Pixels]]:
    """Name, pixels and index of each sample of a folder."""
    return ((sample.key, sample.photo, sample.index) for sample in open_samples(folder))


def found(pixels: Pixels) -> tuple[Any, Picture, list[Find]]:
    """The detector, the picture and the finds, with the landmark net's masks."""
    detector, picture = detectors.load("nanodet"), Picture(pixels)
    return detector, picture, looked(load_nets(), picture, detector)


# Rows.


def windows(name: str, pixels: Pixels, index: Pixels, rng: np.random.Generator) -> Iterator[dict[str, Any]]:
    photo, people = Photo.from_array(pixels), masks_of(index)
    detector, picture, finds = found(pixels)
    for g, k in met(finds, people, MEETS, shared(photo, finds)).items():
        if people[g].sum() < LEAST:
            continue
        x, y, side = outline.window_of(finds[k])
        wider = max(8, round(side * rng.uniform(0.9, 1.15)))
        shift = (side - wider) / 2 + rng.uniform(-0.05, 0.05, 2) * side
        seen = outline.fed(detector, picture, finds, k, Window(round(x + shift[0]), round(y + shift[1]), wider))
        if seen is None:
            raise SystemExit("The detector has no layers to look at.")
        known = [_windowed(values, seen.window) for values in (people[g], index != CROWD)]
        told = {key: getattr(seen, key).astype(np.float16) for key in ("cells", "bodies", "things")}
        yield told | {"true": known[0], "known": known[1], "name": name}


def _windowed(mask: Pixels, window: Window) -> Pixels:
    return Picture((mask * np.uint8(255))[:, :, None].repeat(3, 2)).window(window, outline.CELLS)[:, :, 0]


def look(data: Path, out: Path, folder: Path | None) -> None:
    rows, files = list[dict[str, Any]](), 0
    out.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    for number, (name, pixels, index) in enumerate(samples(folder) if folder else pictures(data, "train"), 1):
        rows += windows(name, pixels, index, rng)
        if folder is None:
            rows += windows(name, np.ascontiguousarray(pixels[:, ::-1]), np.ascontiguousarray(index[:, ::-1]), rng)
        if number % 20 == 0:
            print(f"{number} pictures, {files * PER_FILE + len(rows)} windows", flush=True)
        while len(rows) >= PER_FILE:
            _write(out / f"{'samples' if folder else 'scenes'}-{files:03d}.npz", rows[:PER_FILE])
            rows, files = rows[PER_FILE:], files + 1
    _write(out / f"{'samples' if folder else 'scenes'}-{files:03d}.npz", rows)


def _write(path: Path, rows: list[dict[str, Any]]) -> None:
    np.savez(path, **{key: np.array([row[key] for row in rows]) for key in rows[0]})


# The fit.


def part_of(name: str) -> int:
    return zlib.crc32(name.encode()) % PARTS


def fit(folder: Path, path: Path, minutes: float, part: int) -> None:
    files = sorted(folder.glob("*.npz"))
    loaded = [dict(np.load(file)) for file in files]
    rows = {key: np.concatenate([one[key] for one in loaded]) for key in loaded[0]}
    scenes = np.concatenate(
        [np.full(len(one["name"]), f.name.startswith("scenes")) for f, one in zip(files, loaded, strict=True)]
    )
    left_out = scenes & np.array([part_of(name) == part for name in rows["name"]])
    groups = [np.flatnonzero(scenes & ~left_out), np.flatnonzero(~scenes)]
    torch.manual_seed(0)
    rng, net = np.random.default_rng(0), OutlineNet()
    set_components(net, rows["things"][:: max(1, len(rows["things"]) // 150)])
    mean = {key: value.clone() for key, value in net.state_dict().items()}
    steps = torch.optim.AdamW([p for p in net.parameters() if p.requires_grad], RATE, weight_decay=DECAY)
    begun, step, losses = time.monotonic(), 0, list[float]()
    while (gone := (time.monotonic() - begun) / 60 / minutes) < 1:
        for group in steps.param_groups:
            group["lr"] = RATE * (min(1, step / RISE) * (1 - gone) ** 0.9 + 0.01)
        counts = (OF_SCENES, BATCH - OF_SCENES) if len(groups[1]) else (BATCH, 0)
        chosen = np.concatenate([rng.choice(g, n) for g, n in zip(groups, counts, strict=True) if n])
        told, true, known = _batch(rows, chosen)
        _disturb(*told)
        loss = loss_of(*net(*told), true, known)
        steps.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        steps.step()
        step += 1
        moved = min(MEAN, step / (step + 10))
        for key, value in net.state_dict().items():
            if value.dtype.is_floating_point:
                mean[key].mul_(moved).add_(value, alpha=1 - moved)
        losses.append(loss.item())
        if step % 100 == 0:
            print(f"{step}: loss {np.mean(losses[-100:]):.3f}", flush=True)
    net.load_state_dict(mean)
    write(net, path)
    print(f"{step} steps on {sum(map(len, groups))} windows")
    if left_out.any():
        met_there = _met_windows(net.eval(), rows, left_out)
        print(f"IoU of {left_out.sum()} windows of scenes that were left out: {met_there:.4f}")


def _disturb(cells: torch.Tensor, bodies: torch.Tensor, things: torch.Tensor) -> None:
    """Another light, detectors that say it a little otherwise, and now and then no mask of the landmark net's."""
    light = torch.empty(2, len(cells), 3, 1, 1).uniform_(-0.15, 0.15)
    cells[:, :3] = cells[:, :3] * (1 + light[0]) + light[1]
    cells[torch.rand(len(cells)) < BLIND, MASK] = 0
    for layers, spread in ((bodies, OFF / 2), (things, OFF * things.std())):
        shape = (*layers.shape[:2], 1, 1)
        layers *= 1 + OFF * torch.randn(shape)
        layers += spread * torch.randn(shape)


def _batch(rows: dict[str, Pixels], chosen: Pixels) -> tuple[list[torch.Tensor], torch.Tensor, torch.Tensor]:
    told = [torch.from_numpy(rows[key][chosen].astype(np.float32)) for key in ("cells", "bodies", "things")]
    true, known = (torch.from_numpy(rows[key][chosen].astype(np.float32) / 255) for key in ("true", "known"))
    return told, true, (known > 0.98).float()


def _met_windows(net: OutlineNet, rows: dict[str, Pixels], chosen: Pixels) -> float:
    out = list[float]()
    for some in np.array_split(np.flatnonzero(chosen), max(1, int(chosen.sum()) // 32)):
        told, true, known = _batch(rows, some)
        with torch.no_grad():
            said = net(*told)[0] > 0
        both, either = (said & (true > 0.5)) * known, (said | (true > 0.5)) * known
        out += (both.sum((1, 2)) / either.sum((1, 2)).clamp(min=1)).tolist()
    return float(np.mean(out))


# What it changes.


def chosen(data: Path, split: str, part: int) -> Iterator[tuple[str, Pixels, Pixels]]:
    """The scenes of the test split, or those of the train split that a fit without this part has not seen."""
    return (one for one in pictures(data, split) if split == "test" or part_of(one[0]) == part)


def compared(those: Iterable[tuple[str, Pixels, Pixels]]) -> None:
    figures: dict[str, dict[str, list[float]]] = {"without": {}, "with": {}}
    seconds, drawn = 0.0, 0
    for _, pixels, index in those:
        people = masks_of(index)
        if not people:
            continue
        photo = Photo.from_array(pixels)
        detector, picture, finds = found(pixels)
        begun = time.process_time()
        anew = outline.outlined(detector, picture, finds)
        seconds, drawn = seconds + time.process_time() - begun, drawn + len(finds)
        for masks, kept in zip((shared(photo, finds), shared(photo, anew)), figures.values(), strict=True):
            _judge(finds, masks, people, kept)
    for name, kept in figures.items():
        print(f"{name}: " + ", ".join(f"{key} {np.mean(v):.3f} ({len(v)})" for key, v in kept.items()))
    more = np.array(figures["with"]["IoU"]) - np.array(figures["without"]["IoU"])
    error = more.std(ddof=1) / len(more) ** 0.5
    better, worse = (int((sign * more > SOME).sum()) for sign in (1, -1))
    print(f"IoU {more.mean():+.3f} (standard error {error:.3f}); by more than {SOME} {better} better, {worse} worse")
    print(f"{seconds / max(1, drawn):.3f} s a find")


def _judge(finds: list[Find], masks: list[Pixels], people: list[Pixels], kept: dict[str, list[float]]) -> None:
    whose = met(finds, people, FOUND)
    touching = {g for pair in touching_pairs(people) for g in pair}
    for g, k in whose.items():
        mine, true, area = masks[k], people[g], people[g].sum()
        value = float((mine & true).sum() / (mine | true).sum())
        for key in ("IoU", "of those who touch" if g in touching else "of those alone"):
            kept.setdefault(key, []).append(value)
        kept.setdefault("left", []).append(float((true & ~mine).sum() / area))
        kept.setdefault("beside", []).append(float((mine & ~true).sum() / area))
        kept.setdefault("outline's F", []).append(border_f(_edge(true), _edge(mine), REACH * height_of(true)))
    for drawn, own in between(people, masks, whose):
        kept.setdefault("border's F", []).append(drawn)
        kept.setdefault("on the right side", []).append(own)


def _edge(mask: Pixels) -> Pixels:
    return cv2.morphologyEx(mask.astype(np.uint8), cv2.MORPH_GRADIENT, np.ones((3, 3), np.uint8)) > 0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    jobs = parser.add_subparsers(dest="job", required=True)
    job = jobs.add_parser("look")
    job.add_argument("data", type=Path)
    job.add_argument("rows", type=Path)
    job.add_argument("--samples", type=Path)
    job = jobs.add_parser("fit")
    job.add_argument("rows", type=Path)
    job.add_argument("net", type=Path)
    job.add_argument("--minutes", type=float, default=60)
    job.add_argument("--part", type=int, default=0)
    job = jobs.add_parser("masks")
    job.add_argument("data", type=Path)
    job.add_argument("--net", type=Path, default=outline.NET)
    job.add_argument("--split", choices=("train", "test"), default="train")
    job.add_argument("--part", type=int, default=0)
    job.add_argument("--samples", type=Path)
    job.add_argument("--every", type=int, default=16)
    options = parser.parse_args()
    cv2.setNumThreads(1)
    if options.job == "look":
        look(options.data, options.rows, options.samples)
    elif options.job == "fit":
        fit(options.rows, options.net, options.minutes, options.part)
    else:
        outline.NET = options.net
        those = chosen(options.data, options.split, options.part)
        if options.samples is not None:
            those = islice(samples(options.samples), options.every // 2 - 1, None, options.every)
        compared(those)


if __name__ == "__main__":
    main()
