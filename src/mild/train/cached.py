"""Batches from cached rows: crops, scales, flips, colours, and the damage that teaches when to trust the prior."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.random import Generator
from numpy.typing import NDArray

from mild.data.rows import HOLE, OWN
from mild.diffusion.rows import LayerRows
from mild.errors import MildError


@dataclass(frozen=True)
class Batch:
    """Rows and their truth.

    Attributes:
        rows: what the denoiser may know.
        target: ``[B, 4, h, w]`` in [-1, 1], the complete layer. Where a person's alpha is 0 the colour is the
            fill's: there is no truth for it.
    """

    rows: LayerRows
    target: torch.Tensor


class CachedRows:
    """The shards of a folder, memory-mapped; shards that appear later are picked up by :meth:`refresh`."""

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        self.shards: list[NDArray[np.uint8]] = []
        self.refresh()
        if not self.shards:
            raise MildError(f"{folder} holds no cached rows; make them with `python -m mild.train.cache`.")

    def refresh(self) -> None:
        paths = sorted(self.folder.glob("rows-*.npy"))
        self.shards = [np.load(path, mmap_mode="r") for path in paths]

    def __len__(self) -> int:
        return sum(len(shard) for shard in self.shards)

    def __getitem__(self, index: int) -> NDArray[np.uint8]:
        size = len(self.shards[0])
        return np.asarray(self.shards[index // size][index % size])

    def batch(self, rng: Generator, count: int, size: int) -> Batch:
        """``count`` random rows at ``size`` pixels, augmented."""
        picks = [self[int(rng.integers(len(self)))] for _ in range(count)]
        return collate([_augmented(rng, pick, size) for pick in picks], rng)


def collate(views: list[NDArray[np.float32]], rng: Generator | None = None) -> Batch:
    """Views (see :func:`view`) to a batch; with ``rng`` the prior is degraded at random."""
    data = torch.from_numpy(np.stack(views)).permute(0, 3, 1, 2).contiguous()
    rgb, alpha, own, hole, person, fill = data.split((3, 1, 1, 1, 1, 3), 1)
    if rng is not None:
        fill = _degraded(rng, fill)
    domains = ["person" if flag else "background" for flag in (person[:, 0, 0, 0] > 0.5).tolist()]
    rows = LayerRows.build(domains, rgb, own, hole, fill)
    opacity = (alpha + 1) / 2
    colour = rgb * opacity + rows.fill * (1 - opacity)
    return Batch(rows, torch.cat([colour, alpha], 1))


def view(row: NDArray[np.uint8], factor: int = 1) -> NDArray[np.float32]:
    """A cached row as float ``[S, S, 10]``: RGB, alpha in [-1, 1]; own, hole, person in {0, 1}; fill RGB.

    ``factor`` shrinks it as the pipeline shrinks a crop: a pixel is hole if any part of it is, own if all of it is.
    """
    region, person = row[..., 4:5], row[..., 5:6]
    pictures = [row[..., part].astype(np.float32) for part in (slice(0, 3), slice(3, 4), slice(6, 9))]
    hole, own = region == HOLE, region == OWN
    if factor > 1:
        pictures = [_shrunk(picture, factor) for picture in pictures]
        hole, own = _shrunk(hole.astype(np.float32), factor) > 0, _shrunk(own.astype(np.float32), factor) > 0.999
        person = person[::factor, ::factor]
    colours = [picture / 127.5 - 1 for picture in pictures]
    flags = [np.asarray(a, np.float32) for a in (own & ~hole, hole, person)]
    return np.concatenate([colours[0], colours[1], *flags, colours[2]], axis=2)


def _shrunk(image: NDArray[np.float32], factor: int) -> NDArray[np.float32]:
    h, w, c = image.shape
    return np.asarray(image.reshape(h // factor, factor, w // factor, factor, c).mean((1, 3)))


def _augmented(rng: Generator, row: NDArray[np.uint8], size: int) -> NDArray[np.float32]:
    whole = row.shape[0]
    if rng.random() < 0.5:
        row = row[:, ::-1]
    shrunk = size < whole and rng.random() < 0.6
    image = view(row, whole // size) if shrunk else view(_crop_with_hole(rng, row, size))
    # One gain and offset per colour for the truth, the evidence and the fill alike: it stays the same problem.
    gain, offset = rng.uniform(0.7, 1.15, 3), rng.uniform(-0.12, 0.12, 3)
    out = image.copy()
    for part in (slice(0, 3), slice(7, 10)):
        out[..., part] = np.clip(image[..., part] * gain + offset, -1, 1)
    return out.astype(np.float32)


def _crop_with_hole(rng: Generator, row: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    ys, xs = np.nonzero(row[..., 4] == HOLE)
    pick = int(rng.integers(len(ys)))
    y = int(np.clip(ys[pick] - rng.integers(size), 0, row.shape[0] - size))
    x = int(np.clip(xs[pick] - rng.integers(size), 0, row.shape[1] - size))
    return row[y : y + size, x : x + size]


def _degraded(rng: Generator, fill: torch.Tensor) -> torch.Tensor:
    """Per row: 8 % blanked, 6 % moved to a wrong place, 6 % noisy, 6 % blurred; the rest as it is."""
    out = fill.clone()
    for i, u in enumerate(rng.random(len(fill))):
        if u < 0.08:
            out[i] = 0
        elif u < 0.14:
            shift = tuple(int(v) for v in rng.integers(-fill.shape[-1] // 4, fill.shape[-1] // 4, 2))
            out[i] = torch.roll(fill[i], shift, (1, 2))
        elif u < 0.20:
            noise = torch.from_numpy(rng.standard_normal(tuple(fill[i].shape), np.float32))
            out[i] = (fill[i] + 0.15 * noise).clamp(-1, 1)
        elif u < 0.26:
            out[i] = F.interpolate(F.avg_pool2d(fill[i : i + 1], 4), scale_factor=4.0, mode="bilinear")[0]
    return out
