"""Inpainters that somebody exported, alone on a window around the hole: what a tool without layers does with them.

The files are opened, called and tested by the code that the product uses (:mod:`mild.models.fill_nets`).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from mild.errors import UsageError
from mild.fill.windows import through_window
from mild.lab.bench.items import Trial
from mild.lab.bench.methods.base import Answer, options_of
from mild.models import fill_nets
from mild.models.cache import sha256_of
from mild.models.inpainter import Inpainter
from mild.models.registry import REGISTRY

_OPTIONS: dict[str, type] = {"size": int, "context": float}


class ExportedMethod:
    """A net on one window.

    Args:
        net: ready to be called.
        path: of its file, or its name in the registry.
        size: side of the square that the net is shown; None: the window as it is.
        context: visible margin around the hole, fraction of its size.
    """

    seeded = False
    kind: ClassVar[str] = ""

    def __init__(self, net: Inpainter, path: str, size: int | None = None, context: float = 0.6) -> None:
        self.net, self.path, self.size, self.context = net, path, size, context

    @classmethod
    def parse(cls, rest: str) -> Self:
        name, _, options = rest.partition(",")
        chosen = options_of(options, {**_OPTIONS, **cls.more()}, cls.kind)
        if name not in REGISTRY and not Path(name).is_file():
            raise UsageError(f"The method {cls.kind} needs a file; there is none at {name!r}.")
        return cls.opened(name, **chosen)

    @classmethod
    def more(cls) -> dict[str, type]:
        return {}

    @classmethod
    def opened(cls, name: str, **options: Any) -> Self:
        return cls(fill_nets.open_inpainter(name), name, **options)

    def __call__(self, trial: Trial) -> Answer:
        size = None if self.size is None else (self.size, self.size)
        return Answer(through_window(trial.item.photo, trial.mask, self._unit, size, 1, self.context))

    def _unit(self, rgb: NDArray[np.uint8], hole: NDArray[np.bool_]) -> NDArray[np.float32]:
        return np.asarray(self.net(rgb, hole) / np.float32(255), np.float32)

    def measure(self, trial: Trial) -> Mapping[str, Any]:
        return {}

    def about(self) -> Mapping[str, Any]:
        known = REGISTRY.get(self.path)
        return {
            "file": self.net.name,
            "sha256": known.files[0].sha256 if known is not None else sha256_of(Path(self.path)),
            "contract": self.net.contract.to_json(),
            "size": self.size,
            "context": self.context,
        }


class OnnxMethod(ExportedMethod):
    """Through onnxruntime, on the processor: ``onnx:lama`` of the registry, or ``onnx:FILE``."""

    kind = "onnx"


class TorchScriptMethod(ExportedMethod):
    """Through ``torch.jit.load``; such files are programs: ``trust=1``, or ``mild models --trust FILE`` once."""

    kind = "torchscript"

    @classmethod
    def more(cls) -> dict[str, type]:
        return {"trust": int}

    @classmethod
    def opened(cls, name: str, **options: Any) -> Self:
        path, trusted = Path(name), bool(options.pop("trust", 0))
        contract = fill_nets.contract_of(path) or fill_nets.found_contract(path, trusted=trusted)
        return cls(fill_nets.with_contract(path, contract, trusted=trusted), name, **options)
