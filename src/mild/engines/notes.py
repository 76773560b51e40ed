"""What a worker says while it works: :func:`note` there, and whoever started the engine hears it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from mild.engines.engine import Noted

_listener: Noted | None = None


@dataclass(frozen=True)
class Note:
    """A note on its way; anything that can be pickled."""

    value: Any


def note(value: Any) -> None:
    """Say something, for instance how far the item is; nobody need listen."""
    if _listener is not None:
        _listener(value)


@contextmanager
def noting(listener: Noted | None) -> Iterator[None]:
    """In this process ``listener`` hears what is said."""
    global _listener
    before, _listener = _listener, listener
    try:
        yield
    finally:
        _listener = before
