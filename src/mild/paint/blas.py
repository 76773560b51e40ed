"""Products of matrices on one thread: OpenBLAS shares them out among threads, and rounds otherwise with each number.

A last bit decides between two places that look alike, and then pixels differ between machines. What is fast enough on
one thread is done on one; other work of the process gets its threads back.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path

import numpy as np

#: What the wheels of numpy call the two functions, newest first.
_NAMES = [f"{name}_{{}}_num_threads{bits}" for name in ("scipy_openblas", "openblas") for bits in ("64_", "")]


@contextmanager
def one_thread() -> Iterator[None]:
    """Inside the block numpy multiplies matrices on one thread, where its wheel brings an OpenBLAS along."""
    found = _switch()
    before = found[0]() if found else 1
    if found is None or before == 1:
        yield
        return
    found[1](1)
    try:
        yield
    finally:
        found[1](before)


@lru_cache(maxsize=1)
def _switch() -> tuple[Callable[[], int], Callable[[int], object]] | None:
    """Get and set the number of threads; None where there is no such library."""
    package = Path(np.__file__).parent
    for folder in (package.with_name("numpy.libs"), package / ".dylibs"):
        for path in sorted(folder.glob("*openblas*")):
            library = ctypes.CDLL(str(path))
            for name in _NAMES:
                if hasattr(library, name.format("set")):
                    return getattr(library, name.format("get")), getattr(library, name.format("set"))
    return None
