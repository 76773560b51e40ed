"""A function of the user's own as a method."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

from mild.errors import UsageError
from mild.lab.bench.methods.base import Eraser, Plain


def load_python(rest: str) -> Eraser:
    """``package.module:name`` of a function ``(photo uint8 [H, W, 3], mask bool [H, W], seed) -> [H, W, 3]``.

    Raises:
        UsageError: it cannot be imported, or is no function.
    """
    module, _, name = rest.partition(":")
    if str(Path.cwd()) not in sys.path:
        sys.path.append(str(Path.cwd()))
    try:
        function = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise UsageError(f"The method python:{rest} cannot be imported ({error}).") from None
    if not callable(function):
        raise UsageError(f"The method python:{rest} is no function.")
    return Plain(function, seeded=True, about={"function": rest})
