"""What an engine is: workers that do items, and tell what became of each."""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Iterable
from dataclasses import dataclass
from typing import Any, Protocol

#: Does one item; what it raises as a MildError is told to the user.
Handle = Callable[[Any], Any]
#: Hears what workers say of items under way, see :func:`mild.engines.note`.
Noted = Callable[[Any], None]


@dataclass(frozen=True)
class Work:
    """What a worker does.

    Attributes:
        begin: a function of a module, called once in every worker's process with ``setup``; what it returns is called
            with every item. Heavy things (a model) are loaded there, once.
        setup: for ``begin``; anything that can be pickled.
        threads: of libraries in every worker; None: its share of the cores.
    """

    begin: Callable[[Any], Handle]
    setup: Any = None
    threads: int | None = None


@dataclass(frozen=True)
class Limits:
    """What one item may cost; beyond it its worker is ended, and a new one begun.

    Attributes:
        seconds: of wall time; None: as long as it takes. A worker's first item has a minute more, for the model.
        memory: resident MiB of the worker's whole process, model and libraries too; None: as much as there is.
    """

    seconds: float | None = None
    memory: float | None = None


@dataclass(frozen=True)
class Done:
    """What became of one item.

    Attributes:
        index: the item's place among those handed over.
        value: what the worker returned; None if it failed.
        error: one sentence if it failed (it raised, died, or went over a limit), otherwise None.
        fault: ``raised``, ``died``, ``time`` or ``memory``; empty if it did not fail.
        seconds: wall time of the item in its worker.
    """

    index: int
    value: Any = None
    error: str | None = None
    fault: str = ""
    seconds: float = 0.0


class Engine(Protocol):
    """Does items with several workers. Its workers stay until it is closed, so that models stay loaded."""

    #: For the user: ``2 processes``; and how many workers there are.
    name: str
    jobs: int

    def run(self, items: Iterable[Any], noted: Noted | None = None) -> Generator[Done, None, None]:
        """What became of each item, as soon as it is known, in any order.

        ``noted`` is called with what workers say of items under way, perhaps in another thread. Whoever stops
        listening (closes the iterator) ends the workers; nothing is half handed over.
        """
        ...

    def close(self) -> None:
        """End the workers."""
        ...


def cores() -> int:
    """Cores that this process may use."""
    try:
        return max(1, len(os.sched_getaffinity(0)))
    except AttributeError:  # not on every system
        return os.cpu_count() or 1
