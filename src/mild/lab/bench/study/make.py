"""Make a study: one page to send to people, and a key that stays at home."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mild.errors import UsageError
from mild.files import write_bytes, write_json
from mild.lab.bench.listing import LoadedSet
from mild.lab.bench.report.cases import picture, whole_answer

#: Long side of a picture in a study, pixels.
SIDE = 640
QUESTION = "Which photo looks more as if nobody had ever been there?"


@dataclass(frozen=True)
class Pair:
    """Two answers to one trial, in the order in which they are shown."""

    item: str
    set: str
    left: str
    right: str
    key: str


def choose_pairs(summary: Mapping[str, Any], methods: Sequence[str] = (), count: int = 30, seed: int = 0) -> list[Pair]:
    """Pairs of methods on items that both answered; every two methods equally often, sides and order by chance.

    Raises:
        UsageError: fewer than two methods, or no item that two of them answered.
    """
    rng = np.random.default_rng(seed)
    known = [name for name, m in summary["methods"].items() if "failed" not in m]
    for name in methods:
        if name not in known:
            raise UsageError(f"There is no method {name!r} in this run (there are: {', '.join(known)}).")
    chosen = list(methods) or known
    found: dict[tuple[str, str], list[tuple[str, str, str]]] = {}
    for one in summary["sets"]:
        for a, b in combinations(chosen, 2):
            both = one["answers"].get(a, {}), one["answers"].get(b, {})
            for key in sorted(set(both[0]) & set(both[1])):
                first, second = both[0][key], both[1][key]
                shown = "window" in first and "window" in second and first["mask"] == one["main_mask"]
                differ = first["sha256"].get("composited") != second["sha256"].get("composited")
                if shown and differ and first["seed"] == 0:
                    found.setdefault((a, b), []).append((one["name"], first["item"], key))
    if not found:
        raise UsageError("A study needs two methods that answered the same photos differently.")
    for jobs in found.values():
        rng.shuffle(jobs)
    pairs: list[Pair] = []
    while len(pairs) < count and any(found.values()):
        for (a, b), jobs in found.items():
            if jobs and len(pairs) < count:
                of, item, key = jobs.pop()
                left, right = (a, b) if rng.random() < 0.5 else (b, a)
                pairs.append(Pair(item, of, left, right, key))
    return [pairs[i] for i in rng.permutation(len(pairs))]


def make_study(
    out: str | Path, run: Path, summary: Mapping[str, Any], sets: Sequence[LoadedSet], pairs: Sequence[Pair],
    question: str = QUESTION,
) -> tuple[Path, Path]:  # fmt: skip
    """A study of pairs of a run's answers: see :func:`write_study`."""
    by_name = {one.name: one for one in sets}
    shown = []
    for pair in pairs:
        item = by_name[pair.set].items.load(pair.item)
        answers = []
        for method in (pair.left, pair.right):
            slug = summary["methods"][method]["slug"]
            answer = next(s for s in summary["sets"] if s["name"] == pair.set)["answers"][method][pair.key]
            path = run / "pictures" / slug / pair.set / f"{pair.key}.webp"
            answers.append(whole_answer(item, path, answer["window"]))
        shown.append((item.photo, *answers))
    return write_study(out, pairs, shown, question)


def write_study(
    out: str | Path, pairs: Sequence[Pair], shown: Sequence[Sequence[NDArray[np.uint8]]], question: str = QUESTION
) -> tuple[Path, Path]:
    """Write ``OUT/study.html`` (nothing in it says which method made what) and ``OUT/study.key.json``.

    Args:
        shown: of each pair the photo, the left and the right answer, uint8 ``[H, W, 3]``.
    """
    from jinja2 import Environment
    from markupsafe import Markup

    out = Path(out)
    out.mkdir(parents=True, exist_ok=True)
    name = np.random.default_rng([len(pairs), *map(ord, "".join(p.key + p.left for p in pairs))]).integers(2**48)
    entries = [
        {side: picture(image, SIDE) for side, image in zip(("photo", "left", "right"), images, strict=True)}
        for images in shown
    ]

    def file(which: str) -> Markup:
        return Markup(files("mild.lab.bench.study").joinpath(which).read_text(encoding="utf-8"))

    # In a script only "</" could end it; the pictures are base64 and hold none.
    data = json.dumps({"study": f"{name:012x}", "pairs": entries}).replace("</", "<\\/")
    template = Environment(autoescape=True).from_string(str(file("study.html")))
    html = template.render(style=file("study.css"), script=file("study.js"), data=Markup(data), question=question)
    key = {"study": f"{name:012x}", "question": question, "pairs": [vars(pair) for pair in pairs]}
    page, secret = out / "study.html", out / "study.key.json"
    write_bytes(page, html.encode())
    write_json(secret, key)
    return page, secret
