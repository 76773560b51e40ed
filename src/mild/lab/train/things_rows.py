"""Crops around one person of a synthetic sample, with the truth of what goes with them: what ``ThingsNet`` learns from.

A row is uint8 ``[9, 224, 224]``: colours, the visible mask, other people's, hands and feet; then the truth: alpha,
things, strength of the shadow on visible ground. Rows are kept a shard a file; what is drawn from them is turned,
shifted, scaled, mirrored and recoloured, and the mask is spoilt as a finder's is.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from mild.errors import MildError
from mild.lab.data.sample import Sample
from mild.lab.data.store import open_samples, shards_of
from mild.lab.train.things_net import INPUTS, SIDE
from mild.people.scene import Box

Rows = NDArray[np.uint8]
#: Side of a row, how far it reaches in the longer sides of a person, and how far a crop of it does.
KEPT, REACH, CROP = 224, 2.6, 2.2
#: Nobody smaller than this is learned from, pixels.
LEAST = 36
#: Wrists and ankles, among COCO's keypoints.
ENDS = (9, 10, 15, 16)


def rows_of(sample: Sample) -> Iterator[Rows]:
    """One row for each person who is tall enough."""
    clear = np.ones(sample.size, np.float32)
    alpha, thing = dict[int, NDArray[np.float32]](), dict[int, NDArray[np.float32]]()
    for layer in reversed(sample.layers):
        if layer.kind == "shadow":
            continue
        own = layer.rgba[..., 3] / np.float32(255)
        part = (alpha if layer.kind == "person" else thing).setdefault(layer.owner, np.zeros(sample.size, np.float32))
        part[layer.box.slices] += own * clear[layer.box.slices]
        clear[layer.box.slices] *= 1 - own
    for person in sample.people:
        mask = sample.index == person.id
        if not mask.any():
            continue
        box = Box.around(mask)
        longer = max(box.width, box.height)
        if longer < LEAST:
            continue
        shadow = np.zeros(sample.size, np.float32)
        for layer in sample.layers:
            if layer.kind == "shadow" and layer.owner == person.id:
                shadow[layer.box.slices] = layer.rgba[..., 3] / np.float32(255)
        nothing = np.zeros(sample.size, np.float32)
        others = (sample.index > 0) & ~mask
        truth = [alpha.get(person.id, nothing), thing.get(person.id, nothing), shadow * clear]
        maps = np.dstack([mask, others, ends(person.keypoints, sample.size, longer), *truth]) * np.float32(255)
        yield cropped(sample.photo, np.rint(maps).astype(np.uint8), box, REACH, KEPT)


def ends(keypoints: NDArray[np.float32] | None, size: tuple[int, int], longer: int) -> NDArray[np.float32]:
    """Spots ``[H, W]`` 0..1 on the wrists and ankles that are known."""
    spots = np.zeros(size, np.float32)
    if keypoints is not None:
        for x, y, sure in keypoints[list(ENDS)]:
            if sure > 0.3:
                cv2.circle(spots, (round(float(x)), round(float(y))), max(1, round(0.03 * longer)), 1.0, -1)
    return spots


def cropped(photo: NDArray[np.uint8], maps: NDArray[np.uint8], box: Box, reach: float, side: int) -> Rows:
    """The square around a box, ``[3 + m, side, side]``: the photo mirrored at its edges, maps 0 beyond them, and the
    second map (other people) full there: nothing of theirs is outside."""
    seen = window_of(box, reach)
    scale = side / seen[2]
    move = np.asarray([[scale, 0, -seen[0] * scale], [0, scale, -seen[1] * scale]], np.float32)
    # Averaged when it shrinks: a warp alone would skip pixels.
    if scale < 0.7:
        photo, maps = (cv2.GaussianBlur(a, (0, 0), 0.4 / scale) for a in (photo, maps))  # type: ignore[assignment]
    rgb = cv2.warpAffine(photo, move, (side, side), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101)
    out = [rgb[..., k] for k in range(3)]
    for k in range(maps.shape[2]):
        beyond = 255 if k == 1 else 0
        plane = np.ascontiguousarray(maps[..., k])
        out.append(cv2.warpAffine(plane, move, (side, side), borderMode=cv2.BORDER_CONSTANT, borderValue=beyond))
    return np.asarray(np.stack(out), np.uint8)


def window_of(box: Box, reach: float) -> tuple[float, float, float]:
    """Left, top and side of the square around a box, photo pixels."""
    side = max(8.0, reach * max(box.width, box.height))
    return (box.x0 + box.x1 - side) / 2, (box.y0 + box.y1 - side) / 2, side


def make_rows(samples: Path, to: Path) -> int:
    """The rows of every shard of samples that are missing in ``to``; how many rows files there are now.

    Raises:
        MildError: there are no samples.
    """
    shards = shards_of(samples)
    if not shards:
        raise MildError(f"There are no samples in {samples}.")
    to.mkdir(parents=True, exist_ok=True)
    for shard in shards:
        path = to / f"{samples.name}-{shard.stem}.npy"
        if path.exists():
            continue
        rows = [row for sample in open_samples(shard) for row in rows_of(sample)]
        scratch = path.with_suffix(".part")
        with scratch.open("wb") as file:
            np.save(file, np.stack(rows) if rows else np.zeros((0, INPUTS + 3, KEPT, KEPT), np.uint8))
        scratch.replace(path)
    return len(shards)


class RowStore:
    """All rows of a folder, read from disk as they are asked for."""

    def __init__(self, folder: Path) -> None:
        self.files = [np.load(path, mmap_mode="r") for path in sorted(folder.glob("*.npy"))]
        self.places = [(f, k) for f, rows in enumerate(self.files) for k in range(len(rows))]
        if not self.places:
            raise MildError(f"There are no rows in {folder}.")

    def __len__(self) -> int:
        return len(self.places)

    def __getitem__(self, number: int) -> Rows:
        f, k = self.places[number]
        return np.asarray(self.files[f][k])


def drawn(rng: Generator, row: Rows) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """A crop as the net gets it: ``[6, 192, 192]`` and the truth ``[3, 192, 192]``, both 0..1."""
    scale = SIDE / KEPT * REACH / CROP * float(rng.uniform(0.82, 1.18))
    turn, flip = np.deg2rad(float(rng.normal(0, 3))), -1.0 if rng.random() < 0.5 else 1.0
    cos, sin = scale * np.cos(turn), scale * np.sin(turn)
    matrix = np.asarray([[flip * cos, -sin], [flip * sin, cos]])
    middle = SIDE / 2 + rng.uniform(-0.06, 0.06, 2) * SIDE
    move = np.column_stack([matrix, middle - matrix @ np.full(2, (KEPT - 1) / 2)]).astype(np.float32)

    def moved(planes: slice, border: int) -> NDArray[np.uint8]:
        stack = np.ascontiguousarray(row[planes].transpose(1, 2, 0))
        warped = cv2.warpAffine(stack, move, (SIDE, SIDE), borderMode=border)
        return np.asarray(warped, np.uint8).transpose(2, 0, 1)

    colours = recoloured(rng, moved(slice(0, 3), cv2.BORDER_REFLECT_101))
    maps = moved(slice(3, 6), cv2.BORDER_CONSTANT).astype(np.float32) / 255
    truth = moved(slice(6, 9), cv2.BORDER_CONSTANT).astype(np.float32) / 255
    maps[0] = spoilt(rng, maps[0], truth[1])
    if rng.random() < 0.3:
        maps[2] = 0
    return np.concatenate([colours, maps]), np.asarray(truth, np.float32)


def recoloured(rng: Generator, rgb: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Another exposure, white balance, sharpness and noise, ``[3, h, w]`` 0..1."""
    out = (rgb.astype(np.float32) / 255) ** float(rng.uniform(0.7, 1.4))
    out = out * rng.uniform(0.92, 1.08, (3, 1, 1)).astype(np.float32) * np.float32(rng.uniform(0.75, 1.2))
    if rng.random() < 0.08:
        out = np.broadcast_to(out.mean(0, keepdims=True), out.shape).copy()
    if rng.random() < 0.3:
        spread = float(rng.uniform(0.4, 1.4))
        out = np.stack([cv2.GaussianBlur(plane, (0, 0), spread) for plane in out])
    if rng.random() < 0.5:
        out = out + rng.normal(0, rng.uniform(0, 0.03), out.shape).astype(np.float32)
    return np.asarray(np.clip(out, 0, 1), np.float32)


def spoilt(rng: Generator, mask: NDArray[np.float32], things: NDArray[np.float32]) -> NDArray[np.float32]:
    """A mask as a finder would have it, ``[h, w]``: rough, a piece missing or too much, some of the thing in."""
    height, width = mask.shape
    out = mask
    if rng.random() < 0.25:
        # Part of what they hold is taken for them already.
        coarse = cv2.resize(rng.normal(0, 1, (4, 4)).astype(np.float32), (width, height), interpolation=cv2.INTER_CUBIC)
        out = np.maximum(out, things * (coarse > rng.normal(0, 0.5)))
    if rng.random() < 0.3:
        rows, columns = np.nonzero(out > 0.5)
        if len(rows):
            k = int(rng.integers(len(rows)))
            disc = cv2.circle(
                np.zeros(out.shape, np.float32), (int(columns[k]), int(rows[k])), int(rng.integers(4, 14)), 1.0, -1
            )
            out = out * (1 - disc) if rng.random() < 0.6 else np.maximum(out, disc)
    if rng.random() < 0.7:
        grain = int(rng.integers(8, 32))
        noise = cv2.resize(
            rng.normal(0, 1, (grain, grain)).astype(np.float32), (width, height), interpolation=cv2.INTER_CUBIC
        )
        soft = cv2.GaussianBlur(out, (0, 0), float(rng.uniform(1.0, 3.5)))
        out = np.asarray(soft + float(rng.uniform(0, 0.25)) * noise > float(rng.uniform(0.3, 0.7)), np.float32)
    return np.asarray(cv2.GaussianBlur(np.ascontiguousarray(out), (0, 0), 0.6), np.float32)
