"""Nets that somebody else exported: opened and run with a sentence for whatever can be wrong with such a file."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mild.errors import MildError, UsageError
from mild.files import flat, write_json
from mild.models.cache import cache_dir, sha256_of
from mild.models.onnx import open_session

#: Suffixes of files that run code of their own when they are loaded.
CODE = (".pt", ".pth", ".ckpt", ".bin", ".pkl", ".pickle", ".torchscript", ".jit")
_TYPES = {
    "tensor(float)": np.float32,
    "tensor(uint8)": np.uint8,
    "tensor(int64)": np.int64,
    "tensor(float16)": np.float16,
}


@dataclass(frozen=True)
class Port:
    """An input or output: its shape (None where any number will do) and type."""

    name: str
    shape: tuple[int | None, ...]
    type: Any


class Net:
    """An ONNX graph on the processor.

    Raises:
        MildError: there is no such file, or it is damaged, or lacks a file that belongs beside it.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        if not path.is_file():
            raise UsageError(f"There is no file {path}.")
        try:
            self._session = open_session(path)
        except MildError:
            raise
        except Exception as error:
            raise MildError(
                f"{path.name} is no ONNX file that can be run here: it is damaged or cut short, or a file that belongs "
                f"beside it is missing ({_short(error)})."
            ) from None
        self.inputs = {port.name: port for port in map(_port, self._session.get_inputs())}
        self.outputs = {port.name: port for port in map(_port, self._session.get_outputs())}

    def expect(self, inputs: set[str], outputs: set[str]) -> None:
        """:class:`MildError` unless the graph has these (it may have more outputs)."""
        if set(self.inputs) != inputs or not outputs <= set(self.outputs):
            raise MildError(
                f"{self.path.name} is another net than expected: it takes {', '.join(self.inputs)} and gives "
                f"{', '.join(self.outputs)}."
            )

    def run(self, feeds: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """All outputs by name.

        Raises:
            MildError: the net does not take such arrays, or fails.
        """
        cast = {name: np.ascontiguousarray(value, self.inputs[name].type) for name, value in feeds.items()}
        try:
            return dict(zip(self.outputs, self._session.run(None, cast), strict=True))
        except Exception as error:
            raise MildError(f"{self.path.name} failed ({_short(error)}).") from None


def trust(path: Path) -> str:
    """Write down that the user trusts this file, which runs code of its own; returns its sha256."""
    if not path.is_file():
        raise UsageError(f"There is no file {path}.")
    sha256 = sha256_of(path)
    write_json(_trusted(), sorted({*_read_trusted(), sha256}))
    return sha256


def expect_trusted(path: Path) -> None:
    """:class:`UsageError` if the file may run code of its own and the user never said that it may."""
    if path.suffix.lower() in CODE and sha256_of(path) not in _read_trusted():
        raise UsageError(
            f"{path.name} is a program as much as a model: loading it runs what is in it. If you trust its "
            f"maker, say `mild models --trust {path}` once."
        )


def _trusted() -> Path:
    return cache_dir() / "trusted.json"


def _read_trusted() -> set[str]:
    try:
        found = json.loads(_trusted().read_text("utf-8"))
    except (OSError, ValueError):
        return set()
    return {str(one) for one in found} if isinstance(found, list) else set()


def _port(value: Any) -> Port:
    shape = tuple(side if isinstance(side, int) and side > 0 else None for side in value.shape or ())
    return Port(value.name, shape, _TYPES.get(value.type))


def _short(error: Exception) -> str:
    # "[ONNXRuntimeError] : 1 : FAIL : Load model from … failed:…": what comes last says most.
    text = flat(error)
    return text if len(text) < 160 else "…" + text[-150:]
