"""How well a covered part of any visible person is given back: cut-outs and instances of scenes of the test split.

    python bench/visible.py --data DATA --rows 256 mild-small FOLDER…

Rows are those of ``mild train cache --partial`` (``lab/data/partial.py``), 256 px, never learned from. Per model: IoU
of the hidden part, colour in dB where something is hidden, and SSIM of the person over grey there; differences against
the first model, row by row, with 95 % bootstrap intervals over the people's photos.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import torch

from mild.diffusion.bodies import MOST_OTHERS, SOURCES, Other
from mild.diffusion.one_step import BODY_INPUTS, LAYER_INPUTS, OneStep
from mild.fill.first import diffused_fill
from mild.lab.bench.metrics.fidelity import psnr, ssim_map
from mild.lab.data.ingredients import group_of
from mild.lab.data.partial import VisiblePeople, partial_row
from mild.lab.data.rows import HOLE, OWN, Row
from mild.lab.train.bodies import Placement, body_rows
from mild.lab.train.rowfiles import PERSON
from mild.lab.train.samplerows import numbered
from mild.models import assets
from people import interval

SIZE, LEAST = 256, 16


class _One:
    """One row as training's batches see a cache of them."""

    size = SIZE

    def __init__(self, row: Row, others: list[Other]) -> None:
        self.kinds = np.asarray([PERSON], np.uint8)
        self.keypoints = np.zeros((1, 17, 3), np.float32) if row.keypoints is None else row.keypoints[None]
        self.people = numbered(others)[None]


def feeds(row: Row, others: list[Other], sources: tuple[str, ...]) -> dict[str, Any]:
    """The graph's inputs of a row."""
    own, hole = row.regions == OWN, row.regions == HOLE
    rgb = row.rgba[..., :3]
    fill = diffused_fill(rgb, own, hole)

    def planes(image: Any) -> Any:
        return np.ascontiguousarray(np.moveaxis(image.astype(np.float32) / 127.5 - 1, 2, 0))[None]

    masks = [m[None, None].astype(np.float32) for m in (own, hole)]
    layer = (planes(rgb), *masks, planes(fill), np.ones(1, np.float32))
    zeros = torch.zeros(1, dtype=torch.long)
    rows: Any = type("Rows", (), {"own": torch.from_numpy(masks[0]), "hole": torch.from_numpy(masks[1])})()
    place = Placement(zeros > 0, zeros, zeros, zeros + 1)
    bodies = body_rows(_One(row, others), np.zeros(1, np.int64), rows, place, None, np.random.default_rng(0))
    bodies = bodies.only(sources)  # type: ignore[arg-type]
    names = ("points", "parts", "others", "point_confidence", "part_confidence", "other_confidence", "where", "limbs")
    found = [getattr(bodies, name) for name in (*names, "part_maps")]
    room = MOST_OTHERS - bodies.others.shape[1]
    for i, where in ((2, 1), (5, 1), (6, 1)):
        shape = list(found[i].shape)
        shape[where] = room
        found[i] = torch.cat([found[i], torch.zeros(shape)], where)
    return dict(zip((*LAYER_INPUTS, *BODY_INPUTS), [*layer, *(x.numpy() for x in found)], strict=True))


def scored(answer: Any, row: Row) -> dict[str, float] | None:
    """Of RGBA ``[4, h, w]`` in [-1, 1]."""
    hole, truth = row.regions == HOLE, row.rgba[..., 3] > 127
    hidden, made = truth & hole, (answer[3] > 0) & hole
    if hidden.sum() < LEAST:
        return None
    given = np.clip(np.rint(np.moveaxis(answer[:3], 0, 2) * 127.5 + 127.5), 0, 255).astype(np.uint8)
    given = np.where(hole[..., None], given, row.rgba[..., :3])
    over = [np.where(truth[..., None], image, np.uint8(127)) for image in (given, row.rgba[..., :3])]
    return {
        "iou": float((made & hidden).sum() / (made | hidden).sum()),
        "psnr": psnr(given, row.rgba[..., :3], hidden),
        "ssim": float(ssim_map(over[0], over[1])[hidden].mean()),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="+", help="mild-small or folders; FOLDER@none: without guidance by bodies")
    parser.add_argument("--data", required=True)
    parser.add_argument("--rows", type=int, default=256)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    people = VisiblePeople.open(asked.data, "test")
    loaded: dict[str, OneStep] = {}
    found: dict[str, list[tuple[str, dict[str, float]]]] = {name: [] for name in asked.models}
    for number in range(asked.rows):
        rng = np.random.default_rng((5, number))
        chosen: list[int] = []
        row, told = partial_row(rng, people, SIZE, chosen)
        line = people.line(chosen[-1])
        others = [Other((float(b.x0), float(b.y0), float(b.x1), float(b.y1)), 1.0, front) for b, front in told]
        for name in asked.models:
            folder, _, switch = name.partition("@")
            if folder not in loaded:
                loaded[folder] = OneStep(Path(folder) if Path(folder).is_dir() else assets.model_folder(folder))
            session = loaded[folder]
            given = feeds(row, others, () if switch == "none" else SOURCES)
            (answer,) = session._session.run(None, {k: v for k, v in given.items() if k in session._taken})
            figures = scored(answer[0], row)
            if figures is not None:
                found[name].append((group_of(line), figures))
    first = found[asked.models[0]]
    print(f"{len(first)} rows with something hidden, of {len({photo for photo, _ in first})} photos")
    for name, rows in found.items():
        cells = []
        for figure in ("iou", "psnr", "ssim"):
            pairs = [(photo, f[figure] - base[figure]) for (photo, f), (_, base) in zip(rows, first, strict=True)]
            mean = float(np.mean([f[figure] for _, f in rows]))
            difference, low, high = interval(pairs)
            cells.append(f"{figure} {mean:.3f} ({difference:+.3f} [{low:+.3f}, {high:+.3f}])")
        print(f"{name}: {', '.join(cells)}")


if __name__ == "__main__":
    main()
