"""The same work on a Ray cluster, through Ray Data: a pool of actors, each with one worker process of its own.

An actor that dies, or whose machine does, is begun again by Ray, and what it was doing is done again; so what a worker
does must give the same when it is done twice. Inside an actor the worker is a process as on one machine
(:class:`mild.engines.local.Lane`), so limits of time and memory hold there too.
"""

from __future__ import annotations

import logging
import math
import os
import pickle
from collections.abc import Iterable, Iterator
from typing import Any

from mild.engines.engine import Done, Limits, Work
from mild.engines.local import Lane
from mild.errors import MildError
from mild.files import flat

#: Blocks that Ray Data is given at most; each is worked on as a whole, one item after the other.
MOST_BLOCKS = 5000
#: What Ray reads to know its cluster.
ADDRESS = "RAY_ADDRESS"


class RayEngine:
    """See :class:`mild.engines.Engine`.

    Args:
        jobs: actors; None: one per core of the cluster (or per share of a GPU, when they have some).
        address: of the cluster; None: of the environment, or else this machine alone.
        gpus: of each actor.

    Raises:
        MildError: Ray is not installed, the cluster cannot be reached or has no such GPUs.
    """

    def __init__(self, work: Work, jobs: int | None, limits: Limits, address: str | None, gpus: float) -> None:
        self._work, self._limits, self._gpus = work, limits, gpus
        self._ray = _ray()
        self._ours = not self._ray.is_initialized()
        if self._ours:
            self._connect(address or os.environ.get(ADDRESS))
        there = self._ray.cluster_resources()
        cpus = int(there.get("CPU", 1))
        self._jobs = jobs or cpus
        if gpus:
            most = int(there.get("GPU", 0) / gpus)
            if not most:
                self.close()
                raise MildError(f"No machine of the Ray cluster has {gpus:g} GPUs: leave out the GPUs per worker.")
            self._jobs = min(self._jobs, most)
        # More workers than cores: each gets its share of one.
        self._cpus = min(1.0, cpus / self._jobs)
        self.name = f"Ray, {self._jobs} actor{'s' if self._jobs > 1 else ''}"

    def run(self, items: Iterable[Any]) -> Iterator[Done]:
        rows = [{"index": index, "item": pickle.dumps(item)} for index, item in enumerate(items)]
        if not rows:
            return
        from ray.data import ActorPoolStrategy

        blocks = math.ceil(len(rows) / math.ceil(len(rows) / MOST_BLOCKS))
        done = self._ray.data.from_items(rows, override_num_blocks=blocks).map_batches(
            Actor,
            batch_size=1,
            compute=ActorPoolStrategy(size=min(self._jobs, len(rows))),
            num_cpus=self._cpus,
            num_gpus=self._gpus or None,
            fn_constructor_args=(pickle.dumps((self._work, self._limits)),),
        )
        try:
            for batch in done.iter_batches(batch_size=None, batch_format="numpy", prefetch_batches=0):
                for value in batch["done"]:
                    yield pickle.loads(value)
        except self._ray.exceptions.RayError as error:
            raise MildError(f"The Ray cluster failed ({flat(error)[:200]}); the same command goes on.") from None

    def close(self) -> None:
        if self._ours:
            self._ray.shutdown()

    def _connect(self, address: str | None) -> None:
        try:
            self._ray.init(
                address=address,
                log_to_driver=False,
                logging_level=logging.ERROR,
                include_dashboard=False if address is None else None,
                configure_logging=False,
            )
        except Exception as error:  # Ray raises ConnectionError, ValueError, RuntimeError, …
            where = f"at {address} " if address else ""
            raise MildError(f"The Ray cluster {where}cannot be reached ({flat(error)[:200]}).") from None
        from ray.data import DataContext

        context = DataContext.get_current()
        context.enable_progress_bars = False
        for name in ("ray.data", "ray"):
            logging.getLogger(name).setLevel(logging.ERROR)


class Actor:
    """What Ray starts: one worker, and its process."""

    def __init__(self, told: bytes) -> None:
        work, limits = pickle.loads(told)
        self._lane = Lane(work, limits, 1)

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        import numpy as np

        done = []
        for index, item in zip(batch["index"], batch["item"], strict=True):
            self._lane.send(pickle.loads(item))
            while not self._lane.pipe.poll(0.25):
                if self._lane.over():
                    break
            done.append(pickle.dumps(self._lane.receive(int(index))))
        return {"done": np.asarray(done, object)}


def _ray() -> Any:
    # Ray asks its makers' server who uses it, unless it is told not to.
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        import ray
        import ray.data
    except ImportError:
        raise MildError("The engine ray needs one more package: pip install 'mild-erase[ray]'.") from None
    return ray
