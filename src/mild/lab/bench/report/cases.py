"""Which answers the page shows, and their pictures: best, median and worst of every method, and real photos."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mild.errors import MildError
from mild.lab.bench.items import Item
from mild.lab.bench.listing import LoadedSet
from mild.people.scene import Box

Rgb = NDArray[np.uint8]
#: Long side of a picture on the page.
SHOWN = 448


@dataclass(frozen=True)
class Case:
    """One answer on the page; pictures are data addresses.

    Attributes:
        set, method, item, label: for the caption.
        value: the figure that it was chosen by, as text.
        before, after, truth: pictures; no truth for real photos.
    """

    set: str
    method: str
    item: str
    label: str
    value: str
    before: str
    after: str
    truth: str | None


def cases(out: Path, summary: Mapping[str, Any], sets: Sequence[LoadedSet], figure: str = "hole.psnr") -> list[Case]:
    """Best, median and worst of every method by ``figure``; of sets without a truth, the first three answers."""
    loaded = {one.name: one for one in sets}
    found: list[Case] = []
    for one in summary["sets"]:
        for method, answers in one["answers"].items():
            slug = summary["methods"][method]["slug"]
            for label, key, answer in _chosen(one, answers, figure):
                case = _case(out, loaded.get(one["name"]), one["name"], method, slug, label, key, answer, figure)
                if case is not None:
                    found.append(case)
    return found


def _chosen(
    one: Mapping[str, Any], answers: Mapping[str, Any], figure: str
) -> list[tuple[str, str, Mapping[str, Any]]]:
    shown = {k: a for k, a in answers.items() if "window" in a and a["mask"] == one["main_mask"]}
    scored = sorted((a["figures"][figure], k) for k, a in shown.items() if figure in a["figures"])
    if not scored:
        return [("example", k, shown[k]) for k in sorted(shown)[:3]]
    picks = {"worst": 0, "median": (len(scored) - 1) // 2, "best": len(scored) - 1}
    return [(label, scored[i][1], shown[scored[i][1]]) for label, i in picks.items()]


def _case(
    out: Path, loaded: LoadedSet | None, name: str, method: str, slug: str, label: str, key: str,
    answer: Mapping[str, Any], figure: str,
) -> Case | None:  # fmt: skip
    path = out / "pictures" / slug / name / f"{key}.webp"
    if loaded is None or not path.is_file():
        return None
    try:
        item = loaded.items.load(answer["item"])
    except MildError:
        return None
    after = whole_answer(item, path, answer["window"])
    value = f"{figure} {answer['figures'][figure]:.2f}" if figure in answer["figures"] else ""
    truth = None if item.truth is None else picture(item.truth.photo)
    return Case(name, method, answer["item"], label, value, picture(item.photo), picture(after), truth)


def whole_answer(item: Item, path: Path, window: Sequence[int]) -> Rgb:
    """The composited answer ``[H, W, 3]``: the photo with its kept window put back."""
    out = item.photo.copy()
    with Image.open(path) as image:
        out[Box(*window).slices] = np.asarray(image.convert("RGB"))
    return out


def picture(pixels: Rgb, longest: int = SHOWN) -> str:
    """A picture as a data address: WebP of good quality, at most ``longest`` wide or high."""
    scale = min(1.0, longest / max(pixels.shape[:2]))
    if scale < 1:
        size = (max(1, round(pixels.shape[1] * scale)), max(1, round(pixels.shape[0] * scale)))
        pixels = np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), np.uint8)
    stream = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels)).save(stream, "WEBP", quality=85)
    return "data:image/webp;base64," + base64.b64encode(stream.getvalue()).decode()
