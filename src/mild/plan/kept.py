"""What was made for one question about a photo and serves the next: answers by everything that decides them.

Only pure functions are kept, under a digest of all that they depend on; so whoever asks with a :class:`Kept` gets the
same pixels as whoever asks without one.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np

from mild.plan.planning import LayerPlan

T = TypeVar("T")

#: Bytes of arrays that are kept; what was not asked for longest goes first.
MOST_BYTES = 512 * 2**20


class Kept:
    """Answers in memory, for one photo. May be used from several threads."""

    def __init__(self, most_bytes: int = MOST_BYTES) -> None:
        self._most = most_bytes
        self._answers: dict[str, tuple[Any, int]] = {}
        self._bytes = 0
        self._lock = threading.Lock()
        #: How often an answer was there already, and how often it had to be made.
        self.hits = self.misses = 0

    def get(self, key: str, make: Callable[[], T]) -> T:
        """The answer under this key, made if it is not there. It is shared: nobody may write into it."""
        with self._lock:
            found = self._answers.pop(key, None)
            if found is not None:
                self._answers[key] = found
                self.hits += 1
                return found[0]  # type: ignore[no-any-return]
            self.misses += 1
        answer = make()
        size = _bytes_of(answer)
        with self._lock:
            if size <= self._most and key not in self._answers:
                self._answers[key] = (answer, size)
                self._bytes += size
                while self._bytes > self._most:
                    self._bytes -= self._answers.pop(next(iter(self._answers)))[1]
        return answer

    def clear(self) -> None:
        with self._lock:
            self._answers.clear()
            self._bytes = 0


def digest(*parts: object) -> str:
    """A key of arrays, layer plans and small values, whatever they are; equal parts have equal keys."""
    running = hashlib.blake2b(digest_size=20)
    for part in parts:
        if isinstance(part, LayerPlan):
            told = digest(part.domain, part.owner, part.crop, part.focus, part.bucket, part.scale, part.own, part.hole)
            running.update(told.encode())
        elif isinstance(part, np.ndarray):
            running.update(f"{part.dtype}{part.shape}".encode())
            running.update(np.ascontiguousarray(part).view(np.uint8).data)
        else:
            running.update(repr(part).encode())
        running.update(b";")
    return running.hexdigest()


def _bytes_of(answer: object) -> int:
    if isinstance(answer, np.ndarray):
        return answer.nbytes
    if isinstance(answer, list | tuple):
        return sum(_bytes_of(part) for part in answer)
    fields = getattr(answer, "__dict__", None) or getattr(answer, "__dataclass_fields__", None)
    return 0 if fields is None else sum(_bytes_of(getattr(answer, name)) for name in fields)
