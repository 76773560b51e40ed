"""Inpainters that somebody exported: ONNX and TorchScript files that take an image and a mask (LaMa and its kin)."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from mild.errors import MildError, UsageError
from mild.lab.bench.items import Job
from mild.lab.bench.methods.base import Answer, options_of
from mild.lab.bench.methods.windows import through_window
from mild.models import onnx

_OPTIONS: dict[str, type] = {"size": int, "multiple": int, "context": float, "blank": int, "low": float, "high": float}


class ExportedMethod:
    """What both kinds of file share.

    The net gets the image as float ``[1, 3, h, w]`` in ``low..high`` (0..1) and the mask as float ``[1, 1, h, w]``, 1 =
    erase; what it returns may be in that range or in 0..255, which is told by the largest value.

    Args:
        path: of the file.
        size: side of the square that the net wants; None: any multiple of ``multiple``.
        context: visible margin around the hole, fraction of its size.
        blank: 1: the hole is blanked before the net sees it.
    """

    seeded = False
    kind: ClassVar[str] = ""

    def __init__(
        self, path: Path, size: int | None = None, multiple: int = 8, context: float = 0.6, blank: int = 1,
        low: float = 0.0, high: float = 1.0,
    ) -> None:  # fmt: skip
        self.path, self.size, self.multiple, self.context = path, size, multiple, context
        self.blank, self.low, self.high = bool(blank), low, high

    @classmethod
    def parse(cls, rest: str) -> Self:
        name, _, options = rest.partition(",")
        path = Path(name)
        if not path.is_file():
            raise UsageError(f"The method {cls.kind} needs a file; there is none at {name!r}.")
        return cls(path, **options_of(options, _OPTIONS, cls.kind))

    def forward(self, image: NDArray[np.float32], mask: NDArray[np.float32]) -> NDArray[np.float32]:
        raise NotImplementedError

    def __call__(self, job: Job) -> Answer:
        size = None if self.size is None else (self.size, self.size)
        pixels = through_window(job.item.photo, job.mask, self._net, size, self.multiple, self.context)
        return Answer(pixels)

    def _net(self, rgb: NDArray[np.uint8], hole: NDArray[np.bool_]) -> NDArray[np.float32]:
        image = rgb.astype(np.float32) / 255
        if self.blank:
            image[hole] = 0
        image = image * (self.high - self.low) + self.low
        out = self.forward(np.ascontiguousarray(image.transpose(2, 0, 1)[None]), hole.astype(np.float32)[None, None])
        if out.ndim != 4 or out.shape[:2] != (1, 3):
            raise MildError(f"{self.path.name} gave an array of shape {list(out.shape)} instead of [1, 3, h, w].")
        out = out[0].transpose(1, 2, 0)
        # NaN is passed on: the runner names it.
        unit = out / 255 if np.nanmax(np.abs(out)) > 2 else (out - self.low) / (self.high - self.low)
        return np.asarray(unit, np.float32)

    def measure(self, job: Job) -> Mapping[str, Any]:
        return {}

    def about(self) -> Mapping[str, Any]:
        return {
            "file": self.path.name,
            "sha256": hashlib.sha256(self.path.read_bytes()).hexdigest(),
            "size": self.size,
            "context": self.context,
        }


class OnnxMethod(ExportedMethod):
    """Through onnxruntime, on the processor; the input of one channel is taken for the mask."""

    kind = "onnx"

    def __init__(self, path: Path, **options: Any) -> None:
        super().__init__(path, **options)
        self._session = onnx.open_session(path)
        inputs = self._session.get_inputs()
        if len(inputs) != 2:
            raise UsageError(f"{path.name} takes {len(inputs)} inputs; an image and a mask are expected.")
        masks = [i for i in inputs if i.shape[1:2] == [1] or "mask" in i.name.lower()]
        if len(masks) != 1:
            raise UsageError(f"It is not clear which input of {path.name} is the mask.")
        self._mask = masks[0].name
        self._image = next(i.name for i in inputs if i.name != self._mask)
        side = inputs[0].shape[2]
        if self.size is None and isinstance(side, int):
            self.size = side

    def forward(self, image: NDArray[np.float32], mask: NDArray[np.float32]) -> NDArray[np.float32]:
        return np.asarray(self._session.run(None, {self._image: image, self._mask: mask})[0], np.float32)


class TorchScriptMethod(ExportedMethod):
    """Through ``torch.jit.load``, on the processor; called as ``net(image, mask)``."""

    kind = "torchscript"

    def __init__(self, path: Path, **options: Any) -> None:
        super().__init__(path, **options)
        import torch

        try:
            self._net_module = torch.jit.load(str(path), map_location="cpu").eval()
        except RuntimeError as error:
            raise UsageError(f"{path.name} is no TorchScript file ({str(error).splitlines()[0]}).") from None

    def forward(self, image: NDArray[np.float32], mask: NDArray[np.float32]) -> NDArray[np.float32]:
        import torch

        with torch.inference_mode():
            return np.asarray(self._net_module(torch.from_numpy(image), torch.from_numpy(mask)).float().numpy())
