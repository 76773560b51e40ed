"""Rows from WebDataset shards of samples, for sets that are too large to be cached: made by worker processes, ahead of
the training step.

Every shard is indexed once (names and places of its members), and then read at random: the rows of a step depend on the
seed and the step's number alone, so that a run resumes exactly and for nothing, with any number of workers. Shards are
visited in an order drawn per epoch, samples are shuffled within a few neighbouring shards: reading stays local.
"""

from __future__ import annotations

import multiprocessing
import tarfile
from collections.abc import Hashable
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from mild.errors import MildError
from mild.lab.data.members import from_members
from mild.lab.data.store import shards_of
from mild.lab.train.batches import Batch, RowSource
from mild.lab.train.config import DataConfig, OptimiserConfig
from mild.lab.train.loop import Turn
from mild.lab.train.samplerows import PackedRow, packed_rows

#: Shards among whose samples the order is mixed.
NEIGHBOURS = 8
#: Batches that are made ahead.
AHEAD = 3


@dataclass(frozen=True)
class ShardIndex:
    """Where the samples of a folder of shards lie.

    Attributes:
        shards: paths.
        samples: per shard, per sample: ``{member: (offset, bytes)}``.
    """

    shards: tuple[Path, ...]
    samples: tuple[tuple[dict[str, tuple[int, int]], ...], ...]

    @classmethod
    def of(cls, folder: str | Path) -> ShardIndex:
        """Read the headers of all shards.

        Raises:
            MildError: there are none, or one is damaged.
        """
        shards = tuple(shards_of(folder))
        samples = tuple(_indexed(shard) for shard in shards)
        if not any(samples):
            raise MildError(f"There are no samples in {folder}.")
        return cls(shards, samples)

    def __len__(self) -> int:
        return sum(len(shard) for shard in self.samples)

    def order(self, seed: int, epoch: int) -> NDArray[np.int64]:
        """``[n, 2]``: shard and sample, in the order of an epoch."""
        rng = np.random.default_rng((seed, epoch))
        shuffled, out = rng.permutation(len(self.shards)), []
        for start in range(0, len(shuffled), NEIGHBOURS):
            near = [(s, i) for s in shuffled[start : start + NEIGHBOURS] for i in range(len(self.samples[s]))]
            out.append(np.asarray(near, np.int64).reshape(-1, 2)[rng.permutation(len(near))])
        return np.concatenate(out)

    def members(self, shard: int, sample: int) -> dict[str, bytes]:
        out = {}
        with self.shards[shard].open("rb") as file:
            for name, (offset, size) in self.samples[shard][sample].items():
                file.seek(offset)
                out[name] = file.read(size)
        return out


def _indexed(shard: Path) -> tuple[dict[str, tuple[int, int]], ...]:
    groups: dict[str, dict[str, tuple[int, int]]] = {}
    try:
        with tarfile.open(shard) as tar:
            for member in tar:
                key, _, name = Path(member.name).name.partition(".")
                groups.setdefault(key, {})[name] = (member.offset_data, member.size)
    except (OSError, tarfile.TarError) as error:
        raise MildError(f"The shard {shard} cannot be read ({error}).") from None
    return tuple(groups.values())


class StreamFiles:
    """The rows of one batch, as :class:`mild.lab.train.rowfiles.RowFiles` hands out those of a cache."""

    others = False
    found: NDArray[np.float32] | None = None

    def __init__(self, rows: list[PackedRow], device: torch.device) -> None:
        self.stored = torch.from_numpy(np.stack([row.pixels for row in rows])).to(device)
        self.size = self.stored.shape[1]
        self.kinds = np.asarray([row.pixels[0, 0, 5] for row in rows])
        self.keypoints = np.stack([row.keypoints for row in rows])
        self.people = np.stack([row.others for row in rows])

    def gather(self, index: torch.Tensor, other: torch.Tensor | None = None) -> torch.Tensor:
        return self.stored[index.to(self.stored.device)]


class StreamSource:
    """Batches from shards; the interface of :class:`mild.lab.train.batches.RowSource`."""

    def __init__(
        self,
        config: DataConfig,
        setting: OptimiserConfig,
        seed: int,
        device: torch.device,
        *,
        bodies: bool,
        whole: bool,
    ) -> None:
        assert config.samples is not None
        self.config, self.seed, self.device = config, seed, device
        self.count, self.accumulate = setting.batch, setting.accumulate
        self.bodies, self.whole = bodies, whole
        self.index = ShardIndex.of(config.samples)
        self.side = config.size * (2 if config.large_every else 1)
        self.pool = self._workers() if config.workers else None
        self._made: dict[Hashable, list[Future[PackedRow]]] = {}

    def batch(self, turn: Turn) -> Batch:
        if self.pool is not None:
            for ahead in range(AHEAD):
                self._ask(replace(turn, step=turn.step + ahead))
            rows = [future.result() for future in self._made.pop(_name(turn))]
        else:
            rows = [_made_row(*job) for job in self._jobs(turn)]
        files = StreamFiles(rows, self.device)
        source = RowSource(files, self.config, len(rows), bodies=self.bodies, whole=self.whole)
        return source.batch(turn, torch.arange(len(rows)))

    def _workers(self) -> ProcessPoolExecutor:
        # A fork would copy torch's threads in whatever state they are.
        return ProcessPoolExecutor(self.config.workers, mp_context=multiprocessing.get_context("spawn"))

    def close(self) -> None:
        if self.pool is not None:
            self.pool.shutdown(cancel_futures=True)

    def _ask(self, turn: Turn) -> None:
        if self.pool is not None and _name(turn) not in self._made:
            self._made[_name(turn)] = [self.pool.submit(_made_row, *job) for job in self._jobs(turn)]

    def _jobs(self, turn: Turn) -> list[tuple[str, int, int, int, int, bool, float]]:
        """What makes the rows of a turn: they are numbered through the whole run, over all processes."""
        every = self.config.large_every
        few = bool(every) and turn.step % every == every - 1
        count = max(1, self.count // 4) if few else self.count
        # Steps of fewer rows leave numbers out; every number is still used once an epoch.
        first = ((turn.step * self.accumulate + turn.micro) * turn.world + turn.rank) * self.count
        out = []
        for number in range(first, first + count):
            epoch, place = divmod(number, len(self.index))
            shard, sample = _order(self.index, self.seed, epoch)[place]
            folder = str(self.config.samples)
            out.append((folder, int(shard), int(sample), self.side, number, self.whole, self.config.people))
        return out


def _name(turn: Turn) -> tuple[int, int]:
    return turn.step, turn.micro


def _made_row(folder: str, shard: int, sample: int, side: int, number: int, whole: bool, people: float) -> PackedRow:
    """One row of a sample, a person with chance ``people`` where one is to be completed; else the next sample."""
    index = _index_of(folder)
    for attempt in range(64):
        rng = np.random.default_rng((number, attempt))
        made = from_members(index.members(shard, sample), f"{shard}/{sample}")
        rows = packed_rows(made, side, rng, layers=not whole, whole=whole)
        person = [row for row in rows if row.pixels[0, 0, 5] == 1]
        rest = [row for row in rows if row.pixels[0, 0, 5] != 1]
        pool = person if person and (not rest or rng.random() < people) else rest
        if pool:
            return pool[int(rng.integers(len(pool)))]
        sample = (sample + 1) % len(index.samples[shard])
    raise MildError(f"{folder} holds too few samples with an erased person and their whole truth.")


@lru_cache(maxsize=2)
def _index_of(folder: str) -> ShardIndex:
    return ShardIndex.of(folder)


_orders: dict[tuple[int, int, int], NDArray[np.int64]] = {}


def _order(index: ShardIndex, seed: int, epoch: int) -> NDArray[np.int64]:
    key = (id(index), seed, epoch)
    if key not in _orders:
        while len(_orders) > 3:
            _orders.pop(next(iter(_orders)))
        _orders[key] = index.order(seed, epoch)
    return _orders[key]
