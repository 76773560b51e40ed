"""Fits the net that sees the whole window of a click (``people/window.py``), after ``bench/clicks_fit.py``.

    python bench/clicks_window.py views DATA VIEWS.npz MISSED.pkl… FOUND.pkl…
    python bench/clicks_window.py fit DATA VIEWS.npz MISSED.pkl… FOUND.pkl… [--write]

DATA and the files of looks as for clicks_fit.py; train scenes alone. ``views`` simulates clicks with the net of cells,
each time with one that has not seen the photo, and keeps what there is to see after each with what is right: as a user
would click, and with other clicks, estimates shaken, looks left out (of people who were found the best above all, so
that they are like those who were missed). ``fit`` fits a net for each of four parts of the photos, without these, and
says what one to four clicks give on them beside the net of cells alone (without files: nothing of this); ``--write``
writes the net, fitted to all. Wants torch.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from torch.nn.functional import avg_pool2d

from clicks_fit import FOLDS, Case, fitted_net, iou, loaded, report, rolled, use
from clicks_window_net import SAID, Shipped, WindowNet, entropy, soft_iou, write
from finder_clicks import innermost, worst_piece
from mild.people import refine, window
from mild.people.guesses import Guesses, shrunk
from mild.people.scene import Box

#: The U-Net sees means of 4 x 4 cells; in training every second cell is asked, along either side.
COARSE, STRIDE = 4, 2
STEPS, BATCH, RATE, DECAY = 1500, 16, 2e-3, 1e-3
#: How much a person counts who was found, beside one who was missed.
FOUND = 0.5
#: The channels of colour.
LAB = slice(21, 24)
PLACED = np.random.default_rng(1)
Rows = list[dict[str, Any]]


def nets_of_cells(cases: list[Case], rng: np.random.Generator) -> list[torch.nn.Module]:
    """The net of cells, fitted without each part of the photos to clicks that were made with the one that ships."""
    shown = [(case.fold, rolled(case, 4, rng).shown) for case in cases]
    return [fitted_net([one for fold, part in shown for one in part if fold != k]) for k in range(FOLDS)]


# What a user does.


def wrong_pieces(now: np.ndarray, mask: np.ndarray) -> list[np.ndarray]:
    """The pieces that are marked wrongly or missing, the largest first; no specks."""
    sized = []
    for wrong in (now & ~mask, mask & ~now):
        count, pieces, stats, _ = cv2.connectedComponentsWithStats(wrong.astype(np.uint8), connectivity=4)
        sized += [(int(stats[k, cv2.CC_STAT_AREA]), pieces == k) for k in range(1, count)]
    return [piece for area, piece in sorted(sized, key=lambda one: -one[0]) if area > 12]


def somewhere(piece: np.ndarray, rng: np.random.Generator) -> tuple[int, int]:
    """A pixel at least half as deep in a piece as its middle."""
    depth = cv2.distanceTransform(np.pad(piece, 1).astype(np.uint8), cv2.DIST_L2, 5)[1:-1, 1:-1]
    rows, columns = np.nonzero(depth >= depth.max() * rng.uniform(0.5, 1))
    k = rng.integers(len(rows))
    return int(columns[k]), int(rows[k])


def looks_met(case: Case) -> np.ndarray:
    """IoU of each look that is kept with the person, on a small grid."""
    grid = tuple(max(1, round(n * 96 / max(case.mask.shape))) for n in case.mask.shape[::-1])
    true, frame = shrunk(case.mask, grid), Box(0, 0, *case.mask.shape[::-1])
    return np.array([iou(soft > 0.5, true) for soft in case.kept.inside(frame, grid)])


def shaken(case: Case, rng: np.random.Generator) -> tuple[np.ndarray, Guesses, tuple[int, int]]:
    """Another beginning: what was there, what the click may mean, and the click."""
    guesses, click = case.kept, somewhere(case.mask, rng)
    if len(guesses):
        keep = rng.random(len(guesses)) < 0.8
        if case.found or rng.random() < 0.5:
            keep &= looks_met(case) < rng.uniform(0.35, 0.8)
        values = guesses.values + rng.normal(0, 0.03, len(guesses))
        guesses = Guesses(guesses.masks[keep], guesses.to_net[keep], guesses.boxes[keep], values[keep])
    start = guesses.outline(case.mask.shape, case.beside)
    if case.start is not None and rng.random() < 0.3:
        start = case.start
    start = np.zeros(case.mask.shape, bool) if start is None else start.copy()
    if not start[click[1], click[0]]:
        cv2.circle(start.view(np.uint8), click, 4, 1, -1)
    return start, guesses, click


def walked(case: Case, clicks: int, rng: np.random.Generator | None = None, rows: Rows | None = None) -> list[float]:
    """IoU after each click; with ``rng`` a user who errs and other looks, else as finder_clicks.py has it."""
    start, guesses, click = (case.first(), case.kept, case.click) if rng is None else shaken(case, rng)
    now, on, off, newest = start, [click], list[tuple[int, int]](), click
    met = [iou(now, case.mask)]
    for number in range(clicks):
        if number:
            wrong = wrong_pieces(now, case.mask)
            if not wrong:
                break
            if rng is None:
                newest = innermost(worst_piece(now, case.mask))
            else:
                newest = somewhere(wrong[int(len(wrong) > 1 and rng.random() < 0.25)], rng)
            (on if case.mask[newest[1], newest[0]] else off).append(newest)
        view = refine.viewed(case.photo, now, on, off, newest, case.beside, guesses)
        # The first click alone is shown where it would be answered by looks.
        told = number > 0 or case.start is None or (rng is not None and rng.random() < 0.5)
        if rows is not None and told:
            true = shrunk(case.mask[view.window.slices], view.before.shape[::-1])
            cells = window.channels(view, refine.says(view.cues))
            rows.append({"fold": case.fold, "found": case.found, **packed(cells, true)})
        if number:
            now = refine.outlined(view, now, on, off)
            met.append(iou(now, case.mask))
    return met + [met[-1]] * (clicks - len(met))


def packed(cells: np.ndarray, true: np.ndarray) -> dict[str, np.ndarray]:
    """A window somewhere in its frame: means of 4 x 4 cells, every second cell, and is that theirs?"""
    top, left = (int(PLACED.integers(0, refine.GRID - n + 1)) for n in true.shape)
    whole, right = (window.framed(a, top, left) for a in (cells, true[..., None].astype(np.float32)))
    n = refine.GRID // COARSE
    means = whole.reshape(n, COARSE, n, COARSE, -1).mean((1, 3))
    dy, dx = PLACED.integers(0, STRIDE, 2)
    some = slice(int(dy), None, STRIDE), slice(int(dx), None, STRIDE)
    return {
        "means": means.astype(np.float16),
        "cells": whole[some].astype(np.float16),
        "true": right[some][..., 0] > 0.5,
    }


def views(data: Path, files: list[Path]) -> dict[str, np.ndarray]:
    """What there is to see after simulated clicks, and what is right."""
    rng, rows = np.random.default_rng(0), Rows()
    cases = loaded(data, files)
    nets = nets_of_cells(cases, rng)
    refine.whole = lambda view, said: said
    for case in cases:
        use(nets[case.fold])
        walked(case, 4, None, rows)
        for _ in range(2 if case.found else 3):
            walked(case, 4, rng, rows)
    return {name: np.stack([row[name] for row in rows]) for name in rows[0]}


# The net.


def fitted(seen: dict[str, np.ndarray], without: int | None) -> WindowNet:
    """The net, fitted to all views but those of one part of the photos."""
    torch.manual_seed(0)
    rng, net = np.random.default_rng(0), WindowNet().to(memory_format=torch.channels_last)
    some = np.flatnonzero(seen["fold"] != without)
    often = np.where(seen["found"][some], FOUND, 1.0)
    adam = torch.optim.AdamW(net.parameters(), weight_decay=DECAY)
    rate = torch.optim.lr_scheduler.OneCycleLR(adam, RATE, total_steps=STEPS + 1, pct_start=0.15)
    for _ in range(STEPS):
        chosen = rng.choice(some, BATCH, p=often / often.sum())
        cells, means, true = (seen[name][chosen].astype(np.float32) for name in ("cells", "means", "true"))
        turned = rng.random(BATCH) < 0.5
        light = (rng.normal(size=(BATCH, 1, 1, 3)) * (0.25, 0.08, 0.08)).astype(np.float32)
        silent = rng.random(BATCH) < 0.15
        means[silent, ..., SAID] = 0
        for part in (cells, means):
            part[..., LAB] += light * part[..., -1:]
        for part in (cells, means, true):
            part[turned] = part[turned][:, :, ::-1]
        x, coarse = (torch.from_numpy(part).permute(0, 3, 1, 2) for part in (cells, means))
        right = torch.from_numpy(true)
        said, roughly = net(x, coarse)
        loss = entropy(said, right, x[:, -1]) + 0.5 * (1 - soft_iou(said.sigmoid(), right, x[:, -1]))
        loss = (loss + 0.3 * entropy(roughly, avg_pool2d(right[:, None], COARSE // STRIDE)[:, 0], coarse[:, -1])).mean()
        adam.zero_grad()
        loss.backward()
        adam.step()
        rate.step()
    return net.eval()


def use_whole(net: WindowNet) -> None:
    """Let ``refine`` ask this net of whole windows."""
    ships = Shipped(net).eval()

    @torch.no_grad()
    def whole(view: Any, said: np.ndarray) -> np.ndarray:
        return window.joined(said, ships(torch.from_numpy(window.fed(view, said))).numpy())

    refine.whole = whole


def fit(data: Path, seen: dict[str, np.ndarray], files: list[Path]) -> None:
    cases = loaded(data, files)
    cells = nets_of_cells(cases, np.random.default_rng(0))
    nets = [fitted(seen, k) for k in range(FOLDS)]
    met: dict[str, list[list[float]]] = {"cells alone": [], "whole windows": []}
    for case in cases:
        use(cells[case.fold])
        refine.whole = lambda view, said: said
        met["cells alone"].append(walked(case, 4))
        use_whole(nets[case.fold])
        met["whole windows"].append(walked(case, 4))
    for name, rows in met.items():
        report(name, cases, rows)
    missed = np.array([not case.found for case in cases])
    gained = (np.array(met["whole windows"]) - np.array(met["cells alone"]))[missed]
    error = gained.std(0, ddof=1) / len(gained) ** 0.5
    print("gained by those who were missed", gained.mean(0).round(4), "±", error.round(4))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("views", "fit"))
    parser.add_argument("data", type=Path)
    parser.add_argument("views", type=Path)
    parser.add_argument("files", nargs="*", type=Path)
    parser.add_argument("--write", action="store_true")
    options = parser.parse_args()
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    if options.what == "views":
        np.savez(options.views, **views(options.data, options.files))
        return
    with np.load(options.views) as file:
        seen = {name: file[name] for name in file.files}
    if options.files:
        fit(options.data, seen, options.files)
    if options.write:
        write(fitted(seen, None), window.NET)


if __name__ == "__main__":
    main()
