"""The rows of a cache (see ``cache.py``), as tensors: from memory-mapped shards, or from the device's memory.

A set of some thousand rows fits into a GPU whole (a row of 256 pixels is 0.6 MB): then a batch is one gather, and the
GPU never waits for a disk or a processor core.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal, Protocol
from zipfile import BadZipFile

import numpy as np
import torch
from numpy.typing import NDArray

from mild.diffusion.bodies import MOST_OTHERS
from mild.errors import MildError
from mild.lab.train.shards import Side, beside, damaged, lacking, loaded, shards_in

#: Other people told of a row, and numbers of each: a box (x0, y0, x1, y1), the confidence, 1 for who stands in front.
OTHER_NUMBERS = 6
#: What a cached row is (channel 5): a background, a person, or a whole picture with all masks as one.
BACKGROUND, PERSON, WHOLE = 0, 1, 2


class Rows(Protocol):
    """What batches are composed of: attributes as of :class:`RowFiles`."""

    size: int
    kinds: NDArray[np.uint8]
    keypoints: NDArray[np.float32]
    people: NDArray[np.float32]
    found: NDArray[np.float32] | None

    def gather(self, index: torch.Tensor, other: torch.Tensor | None = None) -> torch.Tensor:
        """Stored rows ``[B, S, S, C]``."""


class RowFiles:
    """All rows of a folder.

    Attributes:
        size: side of a row, pixels.
        kinds: uint8 ``[N]``: ``BACKGROUND``, ``PERSON`` or ``WHOLE``.
        keypoints: float32 ``[N, 17, 3]``, zeros where unknown.
        people: float32 ``[N, MOST_OTHERS, OTHER_NUMBERS]``, who else is there (see
            :class:`mild.lab.train.samplerows.PackedRow`).
        found: float32 ``[N, 17, 3]``, joints as the landmark net sees them in the row, zeros where it sees nobody; None
            unless every shard has them.
        others: has every shard second fills, of another patch size and seed?
    """

    def __init__(
        self,
        folder: str | Path,
        device: torch.device | str = "cpu",
        resident: Literal["auto", "yes", "no"] = "auto",
    ) -> None:
        self.folder, self.device = Path(folder), torch.device(device)
        paths = shards_in(self.folder)
        if not paths:
            raise MildError(f"{folder} holds no cached rows; make them with `mild train cache`.")
        self.shards = [loaded(path) for path in paths]
        for path, shard in zip(paths, self.shards, strict=True):
            if shard.ndim != 4 or shard.shape[1:] != self.shards[0].shape[1:]:
                raise MildError(
                    f"{path} holds rows of another size or kind than {paths[0]}; make all of a cache with one --size, "
                    "either of samples and with --partial, or of ingredients without it."
                )
        self.size = int(self.shards[0].shape[1])
        self.starts = np.cumsum([0, *(len(shard) for shard in self.shards)])
        self.kinds = np.concatenate([np.asarray(shard[:, 0, 0, 5]) for shard in self.shards])
        self.keypoints, self.people = self._bodies(paths)
        self.found = self._joints(paths)
        self.others = not lacking(paths, "fills")
        self.fills = self._beside(paths, "fills") if self.others else []
        wanted = resident == "yes" or (resident == "auto" and self.device.type != "cpu")
        self.resident = self._moved(self.shards) if wanted else None
        self.resident_fills = self._moved(self.fills) if wanted and self.others else None

    def __len__(self) -> int:
        return len(self.kinds)

    def gather(self, index: torch.Tensor, other: torch.Tensor | None = None) -> torch.Tensor:
        """Rows ``index [B]`` as uint8 ``[B, S, S, C]`` on the device; where ``other [B]`` with the second fill."""
        index = index.cpu()
        if self.resident is not None:
            rows = self.resident[index.to(self.device)]
        else:
            rows = torch.from_numpy(np.stack([self._one(self.shards, int(i)) for i in index])).to(self.device)
        if other is not None and self.others and bool(other.any()):
            chosen = index[other.cpu()]
            if self.resident_fills is not None:
                fills = self.resident_fills[chosen.to(self.device)]
            else:
                fills = torch.from_numpy(np.stack([self._one(self.fills, int(i)) for i in chosen])).to(self.device)
            rows[other.to(self.device), ..., 6:9] = fills
        return rows

    def _one(self, shards: list[NDArray[np.uint8]], index: int) -> NDArray[np.uint8]:
        shard = int(np.searchsorted(self.starts, index, side="right")) - 1
        return np.asarray(shards[shard][index - self.starts[shard]])

    def _moved(self, shards: list[NDArray[np.uint8]]) -> torch.Tensor:
        whole = torch.empty((len(self), *shards[0].shape[1:]), dtype=torch.uint8, device=self.device)
        for start, shard in zip(self.starts, shards, strict=False):
            whole[start : start + len(shard)] = torch.from_numpy(np.array(shard)).to(self.device)
        return whole

    def _beside(self, paths: list[Path], side: Side) -> list[NDArray[Any]]:
        """What lies beside each shard, memory-mapped."""
        out = [loaded(beside(path, side)) for path in paths]
        for path, stored, shard in zip(paths, out, self.shards, strict=True):
            if len(stored) != len(shard):
                raise damaged(beside(path, side), f"it is about {len(stored)} rows, and {path.name} has {len(shard)}")
        return out

    def _joints(self, paths: list[Path]) -> NDArray[np.float32] | None:
        return None if lacking(paths, "joints") else np.concatenate(self._beside(paths, "joints"))

    def _bodies(self, paths: list[Path]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        keypoints = np.zeros((len(self), 17, 3), np.float32)
        people = np.zeros((len(self), MOST_OTHERS, OTHER_NUMBERS), np.float32)
        for path, start, end in zip(paths, self.starts, self.starts[1:], strict=False):
            side = beside(path, "bodies")
            if not side.exists():
                continue
            try:
                with np.load(side) as stored:
                    keypoints[start:end] = stored["keypoints"]
                    if "people" in stored:
                        people[start:end] = stored["people"]
                    else:  # caches of before held the box of one person in front
                        people[start:end, 0, :4] = stored["front"]
                        people[start:end, 0, 4:] = stored["front"].any(1, keepdims=True)
            except (OSError, ValueError, KeyError, EOFError, BadZipFile) as error:
                raise damaged(side, error) from None
        # Three joints make no pose.
        keypoints[(keypoints[..., 2] > 0).sum(1) <= 3] = 0
        return keypoints, people
