"""Which engine and how many workers a user chose, and what commands that work through a list do with them."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Any

from mild.engines.choice import chosen
from mild.engines.engine import Done, Engine, Limits, Noted, Work
from mild.engines.notes import noting
from mild.errors import MildError


@dataclass(frozen=True)
class Workers:
    """A choice of workers.

    Attributes:
        engine: of :data:`mild.engines.choice.ENGINES`.
        jobs: how many; None: one per core (of the cluster). A single local one is this very process.
        address, gpus: as of :func:`mild.engines.choice.chosen`.
    """

    engine: str = "local"
    jobs: int | None = 1
    address: str | None = None
    gpus: float = 0.0

    def engine_for(self, work: Work, limits: Limits | None = None) -> Engine:
        """The engine, with its workers in processes of their own; to be closed.

        Raises:
            UsageError, MildError: as of :func:`mild.engines.choice.chosen`.
        """
        return chosen(self.engine, work, jobs=self.jobs, limits=limits, address=self.address, gpus=self.gpus)

    def run(self, work: Work, items: Iterable[Any], noted: Noted | None = None) -> Generator[Done, None, None]:
        """What became of every item, in any order.

        Args:
            noted: called with what the workers say meanwhile (:func:`mild.engines.note`).
        """
        if self._here:
            yield from _here(work, items, noted)
            return
        with closing(self.engine_for(work)) as engine:
            yield from engine.run(items, noted)

    def mapped(self, work: Work, items: Sequence[Any]) -> Iterator[Any]:
        """What was made of every item, in the order of the items.

        Raises:
            MildError: of the first that failed; what is under way is ended.
        """
        if self._here:
            yield from map(work.begin(work.setup), items)
            return
        early: dict[int, Any] = {}
        following = 0
        with closing(self.run(work, items)) as found:
            for done in found:
                if done.error is not None:
                    raise MildError(done.error)
                early[done.index] = done.value
                while following in early:
                    yield early.pop(following)
                    following += 1

    @property
    def _here(self) -> bool:
        return self.engine == "local" and self.jobs == 1


def calling(function: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """``begin`` of a work that needs none: its setup is the function."""
    return function


def _here(work: Work, items: Iterable[Any], noted: Noted | None) -> Generator[Done, None, None]:
    handle = work.begin(work.setup)
    for index, item in enumerate(items):
        with noting(noted):
            try:
                done = Done(index, handle(item))
            except MildError as error:
                done = Done(index, error=str(error), fault="raised")
        yield done
