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
import socket
import sys
import threading
from collections.abc import Generator, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from mild.engines.engine import Done, Limits, Noted, Work
from mild.engines.local import Lane
from mild.engines.notes import Note
from mild.errors import MildError
from mild.files import flat

#: Blocks that Ray Data is given at most; each is worked on as a whole, one item after the other.
MOST_BLOCKS = 5000
#: What Ray reads to know its cluster.
ADDRESS = "RAY_ADDRESS"
#: Where Ray keeps the token of its clusters.
TOKEN = Path("~/.ray/auth_token")


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
        address = address or os.environ.get(ADDRESS)
        self._ray = _ray(address)
        self._ours = not self._ray.is_initialized()
        if self._ours:
            self._connect(address)
        there = self._ray.cluster_resources()
        cpus = int(there.get("CPU", 1))
        self.jobs = jobs or cpus
        if gpus:
            most = int(there.get("GPU", 0) / gpus)
            if not most:
                self.close()
                raise MildError(f"No machine of the Ray cluster has {gpus:g} GPUs: leave out the GPUs per worker.")
            self.jobs = min(self.jobs, most)
        # More workers than cores: each gets its share of one.
        self._cpus = min(1.0, cpus / self.jobs)
        self.name = f"Ray, {self.jobs} actor{'s' if self.jobs > 1 else ''}"

    def run(self, items: Iterable[Any], noted: Noted | None = None) -> Generator[Done, None, None]:
        rows = [{"index": index, "item": pickle.dumps(item)} for index, item in enumerate(items)]
        if not rows:
            return
        from ray.data import ActorPoolStrategy

        told = (list(sys.path), str(Path.cwd()), _settings(), pickle.dumps((self._work, self._limits)))
        blocks = math.ceil(len(rows) / math.ceil(len(rows) / MOST_BLOCKS))
        with self._heard(noted) as queue:
            done = self._ray.data.from_items(rows, override_num_blocks=blocks).map_batches(
                Actor,
                batch_size=1,
                compute=ActorPoolStrategy(size=min(self.jobs, len(rows))),
                num_cpus=self._cpus,
                num_gpus=self._gpus or None,
                fn_constructor_args=(told, queue),
            )
            try:
                for batch in done.iter_batches(batch_size=None, batch_format="numpy", prefetch_batches=0):
                    for value in batch["done"]:
                        yield pickle.loads(value)
            except self._ray.exceptions.RayError as error:
                raise MildError(f"The Ray cluster failed ({flat(error)[:200]}); the same command goes on.") from None

    @contextmanager
    def _heard(self, noted: Noted | None) -> Iterator[Any]:
        """A queue for what workers say, read in a thread of its own; None if nobody listens."""
        if noted is None:
            yield None
            return
        from ray.util.queue import Empty, Queue

        queue = Queue(actor_options={"num_cpus": 0})
        ended = threading.Event()

        def listen() -> None:
            while True:
                last = ended.is_set()
                with suppress(Empty, self._ray.exceptions.RayError):
                    for value in queue.get_nowait_batch(queue.qsize()):
                        noted(value)
                if last:
                    return
                ended.wait(0.5)

        thread = threading.Thread(target=listen, daemon=True)
        thread.start()
        try:
            yield queue
        finally:
            ended.set()
            thread.join(10)
            queue.shutdown(force=True)

    def close(self) -> None:
        if self._ours:
            self._ray.shutdown()

    def _connect(self, address: str | None) -> None:
        where = f"at {address} " if address else ""
        if address is not None and not _answers(address):
            raise MildError(f"The Ray cluster {where}cannot be reached (nothing answers there).")
        # Ray gives its workers a low priority, and then they starve beside anything else; ours have the user's own.
        os.environ.setdefault("RAY_worker_niceness", "0")
        try:
            self._ray.init(
                # Said outright: Ray would join whatever cluster ran here last.
                address=address or "local",
                log_to_driver=False,
                logging_level=logging.ERROR,
                include_dashboard=False if address is None else None,
                configure_logging=False,
            )
        except Exception as error:  # Ray raises ConnectionError, ValueError, RuntimeError, …
            hint = "; does it want a token? See RAY_AUTH_MODE" if address else ""
            raise MildError(f"The Ray cluster {where}cannot be reached ({flat(error)[:200]}{hint}).") from None
        from ray.data import DataContext

        context = DataContext.get_current()
        context.enable_progress_bars = False
        for name in ("ray.data", "ray"):
            logging.getLogger(name).setLevel(logging.ERROR)


class Actor:
    """What Ray starts: one worker, and its process."""

    def __init__(self, told: tuple[list[str], str, Mapping[str, str], bytes], queue: Any) -> None:
        path, folder, settings, work_and_limits = told
        sys.path += [place for place in path if place not in sys.path]
        # Names that are not absolute count from where the command was typed, if this machine has that folder.
        with suppress(OSError):
            os.chdir(folder)
        os.environ.update(settings)
        work, limits = pickle.loads(work_and_limits)
        self._lane, self._queue = Lane(work, limits, work.threads or 1), queue

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        import numpy as np

        done = [self._done(int(i), pickle.loads(item)) for i, item in zip(batch["index"], batch["item"], strict=True)]
        return {"done": np.asarray([pickle.dumps(one) for one in done], object)}

    def _done(self, index: int, item: Any) -> Done:
        self._lane.send(item)
        while True:
            while not self._lane.pipe.poll(0.25):
                if self._lane.over():
                    break
            told = self._lane.receive(index)
            if not isinstance(told, Note):
                return told
            if self._queue is not None:
                self._queue.put(told.value)


def _settings() -> Mapping[str, str]:
    """What our own variables say here, for workers of a cluster that was started elsewhere."""
    return {name: value for name, value in os.environ.items() if name.startswith("MILD_")}


def _answers(address: str) -> bool:
    """Does anything listen at ``host:port`` (or ``ray://host:port``)? Ray itself waits for minutes. Other forms do."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not host or not port.isdigit():
        return True
    try:
        with socket.create_connection((host.strip("[]"), int(port)), timeout=10):
            return True
    except (OSError, OverflowError):
        return False


def _ray(address: str | None) -> Any:
    if address is not None and "ray" not in sys.modules and TOKEN.expanduser().is_file():
        # A cluster that is begun where there is a token asks for it; whoever joins must say so before Ray is loaded.
        os.environ.setdefault("RAY_AUTH_MODE", "token")
    try:
        import ray
        import ray.data
    except ImportError:
        raise MildError("The engine ray needs one more package: pip install 'mild-erase[ray]'.") from None
    return ray
