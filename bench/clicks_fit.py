"""Fits what a click is taken for: the cues of ``finders/clicked.py``, and the net of ``people/refine.py``.

    python bench/clicks_fit.py look DATA MISSED.pkl [--part 0/2]
    python bench/clicks_fit.py look DATA FOUND.pkl --found --part 0/4
    python bench/clicks_fit.py fit DATA MISSED.pkl… FOUND.pkl [--write]

DATA as for bench/finder.py; train scenes alone. ``look`` keeps, for each missed person of at least 60 pixels, every
look at the boxes under a click in their middle. ``fit`` does a ridge regression of the looks' IoU, then simulates
clicks (as finder_clicks.py), each time with a net that has not seen the photo, and fits the net to what was right after
each; twice, since it comes into other straits than the one before. It prints what one, two and three clicks give,
cross-validated by photo, and ``--write`` writes the net, fitted to all. Wants torch.
"""

from __future__ import annotations

import argparse
import pickle
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch

from finder import masks_of, matched
from finder_clicks import LEAST, innermost, worst_piece
from finder_fit import box_of, read_index, read_rgb, rows_of
from mild.people import refine
from mild.people.find import find_people
from mild.people.finders import clicked
from mild.people.finders.blaze_nets import load_nets
from mild.people.finders.blazepose import working_copy
from mild.people.guesses import Guesses, shrunk
from mild.people.scene import Box
from mild.photo import Photo
from mild.request import Finder

FOLDS, EPOCHS, HIDDEN, SAMPLED = 4, 3, (24, 12), 1000


def iou(a: np.ndarray, b: np.ndarray) -> float:
    return float((a & b).sum() / max(1, (a | b).sum()))


@dataclass
class Case:
    """Somebody, and a click on them: ``start`` is whoever was surely found there; ``kept`` are the best guesses."""

    file: str
    mask: np.ndarray
    click: tuple[int, int]
    others: np.ndarray
    start: np.ndarray | None
    cues: np.ndarray
    guesses: Guesses
    found: bool = False
    fold: int = 0
    kept: Guesses = field(default_factory=Guesses.none)
    photo: Photo = field(default_factory=lambda: Photo.from_array(np.zeros((8, 8, 3), np.uint8)))

    @property
    def met(self) -> np.ndarray:
        """IoU of each guess with the person, on a small grid, others left out, but for whoever is under the click."""
        whole = Box(0, 0, *self.mask.shape[::-1])
        grid = tuple(max(1, round(n * 192 / max(self.mask.shape))) for n in self.mask.shape[::-1])
        true, theirs = shrunk(self.mask, grid), shrunk(self.beside, grid)
        return np.array([iou((soft > 0.5) & ~theirs, true) for soft in self.guesses.inside(whole, grid)])

    @property
    def beside(self) -> np.ndarray:
        """Who was surely found, but for whoever is under the click."""
        return self.others if self.start is None else self.others & ~self.start

    def first(self) -> np.ndarray:
        """What one click gives."""
        out = self.start if self.start is not None else self.kept.outline(self.mask.shape, self.beside)
        if out is None:
            out = np.zeros(self.mask.shape, bool)
            cv2.circle(out.view(np.uint8), self.click, 8, 1, -1)
        return out


def look(data: Path, part: tuple[int, int], wanted: bool) -> list[Case]:
    """People who were found (``wanted``), or who were missed."""
    nets, detector, cases = load_nets(), clicked.detector_here(), list[Case]()
    assert detector is not None
    for row in rows_of(data, "train", ("scene",))[part[0] :: part[1]]:
        photo = Photo.from_array(read_rgb(data / row["file"]))
        scene = find_people(photo, Finder(backend="nanodet"))
        people = masks_of(read_index(data / row["mask"]))
        found = matched(people, scene)
        picture, scale = working_copy(photo)
        others = scene.mask_of(p.id for p in scene.sure)
        size = (picture.width, picture.height)
        theirs = cv2.resize(others.astype(np.uint8), size, interpolation=cv2.INTER_NEAREST) > 0
        for number, mask in enumerate(people):
            box = box_of(mask)
            if (number in found) != wanted or box[3] - box[1] < LEAST:
                continue
            x, y = innermost(mask)
            spot = (x + 0.5) * scale - 0.5, (y + 0.5) * scale - 0.5
            seen = clicked.seen_at(nets, detector, picture, *spot, theirs)
            cues, seen = clicked.cues_of(seen, detector, picture, *spot, theirs)
            guesses = clicked.guesses_of(seen, cues[:, 0], scale) if seen else Guesses.none()
            start = next((p.full_mask(scene.size) for p in scene.sure if p.full_mask(scene.size)[y, x]), None)
            cases.append(Case(row["file"], mask, (x, y), others, start, cues, guesses, wanted))
    return cases


def ridge(cases: list[Case], hold: float = 0.02) -> tuple[np.ndarray, float]:
    """Weights and bias; each case counts by the root of its looks."""
    seen = [case for case in cases if len(case.guesses) and not case.found]
    x, y = np.concatenate([case.cues for case in seen]), np.concatenate([case.met for case in seen])
    much = np.concatenate([np.full(len(case.cues), len(case.cues) ** -0.5) for case in seen])
    middle, spread = x.mean(0), x.std(0) + 1e-9
    z = np.concatenate([(x - middle) / spread, np.ones((len(x), 1))], 1)
    held = np.eye(z.shape[1]) * hold * much.sum()
    held[-1, -1] = 0
    w = np.linalg.solve((z * much[:, None]).T @ z + held, (z * much[:, None]).T @ y)
    return w[:-1] / spread, float(w[-1] - (middle * w[:-1] / spread).sum())


def valued(case: Case, weights: np.ndarray, bias: float) -> None:
    g = case.guesses
    case.kept = Guesses(g.masks, g.to_net, g.boxes, case.cues @ weights + bias).best(clicked.MOST_GUESSES)


@dataclass
class Rolled:
    """IoU after each click, and what the net was shown on the way: cues and truth of some cells."""

    met: list[float]
    shown: list[tuple[np.ndarray, np.ndarray]]


def rolled(case: Case, clicks: int, rng: np.random.Generator, blind: bool = False) -> Rolled:
    """Simulated clicks with the net in ``refine.says``."""
    guesses = Guesses.none() if blind else case.kept
    now, on, off = case.first(), [case.click], list[tuple[int, int]]()
    out = Rolled([iou(now, case.mask)], [])
    for _ in range(clicks - 1):
        newest = innermost(worst_piece(now, case.mask))
        (on if case.mask[newest[1], newest[0]] else off).append(newest)
        view = refine.viewed(case.photo, now, on, off, newest, case.beside, guesses)
        true = shrunk(case.mask[view.window.slices], view.before.shape[::-1]).ravel()
        chosen = rng.choice(true.size, min(SAMPLED, true.size), replace=False)
        out.shown.append((view.cues.reshape(-1, view.cues.shape[-1])[chosen], true[chosen]))
        now = refine.outlined(view, now, on, off)
        out.met.append(iou(now, case.mask))
    return out


def fitted_net(shown: list[tuple[np.ndarray, np.ndarray]]) -> torch.nn.Module:
    """From cues ``[cells, n]`` to logits ``[cells, 1]``; the scales of the cues are in the first layer."""
    torch.manual_seed(0)
    x, y = np.concatenate([a for a, _ in shown]), np.concatenate([b for _, b in shown]).astype(np.float32)
    middle, spread = x.mean(0), x.std(0) + 1e-6
    sizes = [x.shape[1], *HIDDEN, 1]
    linear = [torch.nn.Linear(a, b) for a, b in pairwise(sizes)]
    net = torch.nn.Sequential(*[m for one in linear for m in (one, torch.nn.ReLU())][:-1])
    steps, batch = EPOCHS * len(y) // 1024, 1024
    adam = torch.optim.Adam(net.parameters(), weight_decay=1e-4)
    rate = torch.optim.lr_scheduler.OneCycleLR(adam, 1e-2, total_steps=steps + 1)
    cells, truth = torch.tensor((x - middle) / spread), torch.tensor(y)
    for _ in range(steps):
        some = torch.randint(0, len(y), (batch,))
        loss = torch.nn.functional.binary_cross_entropy_with_logits(net(cells[some])[:, 0], truth[some])
        adam.zero_grad()
        loss.backward()
        adam.step()
        rate.step()
    with torch.no_grad():
        first, scale = linear[0], torch.tensor((1 / spread).astype(np.float32))
        first.weight *= scale
        first.bias -= first.weight @ torch.tensor(middle.astype(np.float32))
    return net.eval()


def use(net: torch.nn.Module | None) -> None:
    """Let ``refine`` ask this net; None: keep the region, but for the guesses that agree."""

    @torch.no_grad()
    def asked(cues: np.ndarray) -> np.ndarray:
        assert net is not None
        return net(torch.from_numpy(cues.reshape(-1, cues.shape[-1]))).numpy().reshape(cues.shape[:-1])

    kept: Callable[[np.ndarray], np.ndarray] = lambda cues: cues[..., 0] + cues[..., 2] + cues[..., 4]  # noqa: E731
    refine.says = kept if net is None else asked


def report(name: str, cases: list[Case], met: list[list[float]]) -> None:
    start, found = (np.array(flags) for flags in ([c.start is not None for c in cases], [c.found for c in cases]))
    kinds = {"nobody surely found there": ~start, "somebody else": start & ~found, "missed": ~found, "found": found}
    for kind, part in kinds.items():
        some = np.array(met)[part]
        print(f"{name}, {kind}: {len(some)}, IoU {some.mean(0).round(3)}, .5: {(some >= 0.5).sum(0)}", flush=True)


def loaded(data: Path, files: list[Path]) -> list[Case]:
    """All cases, their photos, and their guesses valued without the photo in question."""
    cases: list[Case] = [case for file in files for case in pickle.loads(file.read_bytes())]
    folds = {name: k % FOLDS for k, name in enumerate(sorted({case.file for case in cases}))}
    for case in cases:
        case.fold, case.photo = folds[case.file], Photo.from_array(read_rgb(data / case.file))
    for k in range(FOLDS):
        found = ridge([case for case in cases if case.fold != k])
        for case in cases:
            if case.fold == k:
                valued(case, *found)
    return cases


def fit(data: Path, files: list[Path], write: bool) -> None:
    cases = loaded(data, files)
    weights, bias = ridge(cases)
    print("weights", [round(float(w), 4) for w in weights], "bias", round(bias, 4))
    rng, begun = np.random.default_rng(0), time.process_time()
    refine.whole = lambda view, said: said
    shown: list[tuple[int, list[tuple[np.ndarray, np.ndarray]]]] = []
    nets: list[torch.nn.Module] | None = None
    for rounds in range(3):
        met = []
        for number, case in enumerate(cases):
            use(None if nets is None else nets[case.fold])
            whole = rolled(case, 4, rng)
            met.append(whole.met)
            shown.append((case.fold, whole.shown))
            if number % 3 == rounds:
                shown.append((case.fold, rolled(case, 4, rng, blind=True).shown))
        report(f"round {rounds}", cases, met)
        if rounds < 2:
            nets = [fitted_net([s for fold, part in shown for s in part if fold != k]) for k in range(FOLDS)]
        print(f"{time.process_time() - begun:.0f} s", flush=True)
    if write:
        net = fitted_net([s for _, part in shown for s in part])
        torch.onnx.export(
            net, (torch.zeros(2, shown[0][1][0][0].shape[1]),), str(refine.NET), dynamo=False, opset_version=17,
            input_names=["cues"], output_names=["says"], dynamic_axes={"cues": {0: "cells"}, "says": {0: "cells"}},
        )  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("look", "fit"))
    parser.add_argument("data", type=Path)
    parser.add_argument("files", nargs="+", type=Path)
    parser.add_argument("--part", default="0/1")
    parser.add_argument("--found", action="store_true", help="people who were found, not those who were missed")
    parser.add_argument("--write", action="store_true")
    options: Any = parser.parse_args()
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    if options.what == "fit":
        fit(options.data, options.files, options.write)
        return
    number, of = (int(v) for v in options.part.split("/"))
    options.files[0].write_bytes(pickle.dumps(look(options.data, (number, of), options.found)))


if __name__ == "__main__":
    main()
