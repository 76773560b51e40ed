"""A small cache of training rows, drawn without a search: the fill is the truth, shifted."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from mild.lab.data.rows import FOREIGN, HOLE, OWN
from mild.lab.train.rowfiles import BACKGROUND, PERSON, WHOLE


def write_rows(folder: Path, count: int = 12, size: int = 64, seed: int = 0, whole: bool = False) -> Path:
    """``count`` rows, backgrounds and people in turn (or whole pictures), smooth colours, a hole in each."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    rows = np.zeros((count, size, size, 10), np.uint8)
    keypoints, front = np.zeros((count, 17, 3), np.float32), np.zeros((count, 4), np.float32)
    span = np.linspace(0, 1, size)
    for i in range(count):
        kind = WHOLE if whole else (BACKGROUND, PERSON)[i % 2]
        wave = rng.uniform(2, 9, 3)[:, None, None] * (span[None, :, None] + rng.uniform(0, 1, 3)[:, None, None] * span)
        rows[i, ..., :3] = np.moveaxis(127 + 90 * np.sin(wave), 0, 2)
        rows[i, ..., 3], rows[i, ..., 5] = 255, kind
        x = int(rng.integers(size // 4, size // 2))
        rows[i, ..., 4] = OWN
        rows[i, size // 8 : -size // 8, x : x + size // 4, 4] = HOLE
        rows[i, :, -size // 8 :, 4] = FOREIGN
        if kind == PERSON:
            body = np.zeros((size, size), bool)
            body[4:-4, size // 5 : -size // 4] = True
            rows[i, ..., 3] = 255 * body
            rows[i, ..., 4][~body & (rows[i, ..., 4] == OWN)] = FOREIGN
            rows[i, ..., 9] = np.where(rows[i, ..., 4] == OWN, 2, 0)
            keypoints[i] = np.column_stack(
                [rng.uniform(size / 5, size * 0.75, 17), rng.uniform(4, size - 4, 17), np.ones(17)]
            )
            front[i] = [x, size // 8, x + size // 4, size - size // 8]
        rows[i, ..., 6:9] = np.roll(rows[i, ..., :3], 5, 1)
    np.save(folder / "rows-00000.npy", rows)
    np.savez(folder / "bodies-00000.npz", keypoints=keypoints, front=front)
    return folder
