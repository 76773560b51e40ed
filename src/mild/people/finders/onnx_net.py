"""A net in an ONNX file, as arrays in and arrays out by name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mild.errors import MildError
from mild.models.onnx import open_session


class OnnxNet:
    """One file, safe to share between threads.

    Args:
        path: the file.
        inner: names of what its nodes give, to be given beside its outputs.

    Raises:
        MildError: the file is no net, or onnxruntime is not installed.
    """

    def __init__(self, path: Path, inner: Sequence[str] = ()) -> None:
        try:
            self._session = open_session(path, inner=inner)
        except MildError:
            raise
        except Exception as error:  # onnxruntime has a type for each of its codes, none of them public
            raise MildError(f"The net {path.name} is damaged; run `mild models --fetch` to fetch it again.") from error
        self._names = [output.name for output in self._session.get_outputs()]

    def __call__(self, inputs: Mapping[str, NDArray[np.float32]]) -> dict[str, NDArray[np.float32]]:
        return dict(zip(self._names, self._session.run(self._names, dict(inputs)), strict=True))
