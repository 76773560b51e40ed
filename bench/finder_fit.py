"""Fits the judge of a finder that goes by boxes: how sure is a place? Prints the numbers for ``detectors.py``.

    python bench/finder_fit.py look DATA OUT.jsonl [--finder nanodet] [--part 0/2]
    python bench/finder_fit.py fit OUT.jsonl…
    python bench/finder_fit.py thresholds OUT.jsonl… [--finder nanodet]

DATA holds the unpacked scenes and backgrounds and their manifest.jsonl (docs/data-real.md). Only the train split is
looked at. ``look`` writes one line per photo: for each place the cues and how well the mask meets a person; ``fit``
does the logistic regression; ``thresholds`` says what the judge as it is keeps at which thresholds.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from mild.people.finders.blaze_nets import Picture, load_nets
from mild.people.finders.boxes import iou
from mild.people.finders.detectors import load
from mild.people.finders.looks import look_at
from mild.people.finders.search import full_mask

#: A place is a person's when its mask or its box meets one this well; nobody's when both stay below LOW.
RIGHT, LOW = 0.5, 0.4
#: Backgrounds that do hold people, small ones: looked at by eye after a first fit.
PEOPLED = ("venice_sunset_1k",)
CROWD = 255


def rows_of(data: Path, split: str, kinds: tuple[str, ...]) -> list[dict[str, Any]]:
    rows = [json.loads(line) for line in (data / "manifest.jsonl").read_text("utf-8").splitlines()]
    return [row for row in rows if row["split"] == split and row["kind"] in kinds]


def read_rgb(path: Path) -> np.ndarray:
    return np.ascontiguousarray(cv2.imread(str(path))[:, :, ::-1])


def read_index(path: Path) -> np.ndarray:
    index = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    return index if index.ndim == 2 else index[:, :, 0]


def looked(data: Path, row: dict[str, Any], detector: Any) -> dict[str, Any]:
    """The places of a photo with their cues and what they meet."""
    picture, nets = Picture(read_rgb(data / row["file"])), load_nets()
    index = read_index(data / row["mask"]) if row["kind"] == "scene" else np.zeros((picture.height, picture.width))
    people = [index == k for k in np.unique(index) if k not in (0, CROWD)]
    boxes = [box_of(mask) for mask in people]
    begun, places = time.process_time(), []
    for place in detector.places(picture):
        find = look_at(nets, picture, place, detector.judge)
        if find is None:
            continue
        mask = full_mask(find, picture)
        meets = [float((mask & m).sum() / max(1, (mask | m).sum())) for m in people]
        framed = [iou(place.box, box) for box in boxes]
        x0, y0, x1, y1 = (round(v) for v in place.box)
        marks = find.candidate.landmarks
        places.append(
            {
                "box": [round(v, 1) for v in place.box],
                "scores": list(place.scores),
                "peak": marks.peak,
                "presence": marks.presence,
                "fit": find.fit,
                "mask_iou": max(meets, default=0.0),
                "box_iou": max(framed, default=0.0),
                "crowd": float((index[y0:y1, x0:x1] == CROWD).mean()) if x1 > x0 and y1 > y0 else 0.0,
            }
        )
    return {"file": row["file"], "kind": row["kind"], "places": places, "cpu": time.process_time() - begun}


def box_of(mask: np.ndarray) -> tuple[float, float, float, float]:
    ys, xs = np.nonzero(mask)
    return float(xs.min()), float(ys.min()), float(xs.max() + 1), float(ys.max() + 1)


def logistic(x: np.ndarray, y: np.ndarray, ridge: float = 2.0) -> np.ndarray:
    """Weights and bias of a logistic regression by Newton's method; the bias is not held back."""
    x = np.concatenate([x, np.ones((len(x), 1))], 1)
    w, hold = np.zeros(x.shape[1]), np.diag([ridge] * (x.shape[1] - 1) + [1e-6])
    for _ in range(50):
        p = 1 / (1 + np.exp(-x @ w))
        step = np.linalg.solve((x.T * (p * (1 - p))) @ x + hold, x.T @ (p - y) + hold @ w)
        w = w - step
        if np.abs(step).max() < 1e-8:
            break
    return w


def auc(p: np.ndarray, y: np.ndarray) -> float:
    order = np.argsort(np.argsort(p))
    positive = y > 0
    n, m = int(positive.sum()), int((~positive).sum())
    return float((order[positive].sum() - n * (n - 1) / 2) / (n * m))


def read(files: list[Path]) -> list[dict[str, Any]]:
    photos = [json.loads(line) for file in files for line in file.read_text("utf-8").splitlines()]
    return [photo for photo in photos if not any(name in photo["file"] for name in PEOPLED)]


def told(photos: list[dict[str, Any]]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Cues ``[n, k]`` of places that are surely somebody's or nobody's, 1 or 0 ``[n]``, the photo's number ``[n]``."""
    x, y, of = [], [], []
    for number, photo in enumerate(photos):
        for place in photo["places"]:
            right = max(place["mask_iou"], place["box_iou"] - 0.1) > RIGHT
            wrong = max(place["mask_iou"], place["box_iou"] - 0.1) < LOW
            if right or (wrong and place["crowd"] < 0.3):
                x.append([place["peak"], *place["scores"], place["fit"]])
                y.append(float(right))
                of.append(number)
    return np.array(x), np.array(y), np.array(of)


def thresholds(files: list[Path], finder: str) -> None:
    photos = read(files)
    x, y, of = told(photos)
    judge = load(finder).judge
    p = 1 / (1 + np.exp(-(x @ judge.weights + judge.bias)))
    free = np.array([photo["kind"] == "background" for photo in photos])
    surest = np.zeros(len(photos))
    np.maximum.at(surest, of, p)
    for sure in (0.5, 0.55, 0.6):
        for first in sorted({sure, 0.6, 0.62, 0.65, 0.7}):
            if first >= sure:
                hit = (p >= sure) & (surest[of] >= first)
                print(
                    f"sure {sure:.2f}, first {first:.2f}: people's places kept {y[hit].sum() / y.sum():.3f}, of kept "
                    f"in scenes right {y[hit & ~free[of]].mean():.3f}, photos without people with a find "
                    f"{int((surest[free] >= first).sum())} of {int(free.sum())}"
                )


def fit(files: list[Path]) -> None:
    photos = read(files)
    x, y, of = told(photos)
    fold, p = of % 5, np.zeros(len(y))
    for k in range(5):
        w = logistic(x[fold != k], y[fold != k])
        p[fold == k] = 1 / (1 + np.exp(-(x[fold == k] @ w[:-1] + w[-1])))
    w = logistic(x, y)
    print("places", len(y), "people's", int(y.sum()), "AUC, cross-validated by photo", round(auc(p, y), 4))
    print("weights", [round(float(v), 3) for v in w[:-1]], "bias", round(float(w[-1]), 3))
    free = {n for n, photo in enumerate(photos) if photo["kind"] == "background"}
    for least in np.arange(0.4, 0.96, 0.05):
        hit = p >= least
        false_photos = len({int(n) for n in of[hit] if int(n) in free})
        print(
            f"{least:.2f}: people's places kept {y[hit].sum() / y.sum():.3f}, of kept right {y[hit].mean():.3f}, "
            f"photos without people with a find {false_photos} of {len(free)} ({false_photos / max(1, len(free)):.4f})"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("look", "fit", "thresholds"))
    parser.add_argument("paths", nargs="+", type=Path)
    parser.add_argument("--finder", default="nanodet")
    parser.add_argument("--kind", choices=("scene", "background"))
    parser.add_argument("--every", type=int, default=1, help="only every n-th photo")
    options = parser.parse_args()
    if options.what == "fit":
        fit(options.paths)
        return
    if options.what == "thresholds":
        thresholds(options.paths, options.finder)
        return
    data, out = options.paths
    kinds = (options.kind,) if options.kind else ("scene", "background")
    detector = load(options.finder)
    with out.open("w", encoding="utf-8") as file:
        for row in rows_of(data, "train", kinds)[:: options.every]:
            file.write(json.dumps(looked(data, row, detector)) + "\n")
            file.flush()


if __name__ == "__main__":
    main()
