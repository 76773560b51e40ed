"""An inpainter of one pass, called as its contract says, on windows of any size."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from mild.errors import MildError, UsageError
from mild.models.contracts import FillContract
from mild.models.nets import Net, Port, expect_trusted

Rgb = NDArray[np.uint8]
BoolMask = NDArray[np.bool_]
Float = NDArray[np.float32]
#: Arrays by role, ``image`` ``[1, 3 or 4, h, w]`` and ``mask`` ``[1, 1, h, w]`` -> ``[1, 3, h, w]``.
Forward = Callable[[Float, Float | None], NDArray[Any]]


class Inpainter:
    """rgb and hole in, the whole window filled out.

    Attributes:
        size: ``(h, w)`` that the file fixes, or None.
        bytes: do image and mask go in as whole numbers 0..255?
        stamp: tells one state of its file from another.
    """

    def __init__(
        self,
        name: str,
        forward: Forward,
        contract: FillContract,
        size: tuple[int, int] | None = None,
        bytes: tuple[bool, bool] = (False, False),
    ) -> None:
        self.name, self.contract, self.size, self.bytes = name, contract, size, bytes
        self.stamp = ""
        self._forward = forward

    def under(self, contract: FillContract) -> Inpainter:
        """The same net, called as another contract says."""
        return Inpainter(self.name, self._forward, contract, self.size, self.bytes)

    def __call__(self, rgb: Rgb, hole: BoolMask, *, blank: bool = True) -> Float:
        """Fill.

        Args:
            rgb: uint8 ``[h, w, 3]``, any size.
            hole: bool ``[h, w]``, true where it is to be filled.
            blank: blank the hole before the net sees it; off only for tests of the net.

        Returns:
            float32 ``[h, w, 3]`` 0..255, known pixels as the net gives them back.

        Raises:
            MildError: the net failed, or gave what is no picture.
        """
        h, w = hole.shape
        if self.size is not None:
            scale = min(self.size[0] / h, self.size[1] / w)
            inner = (max(1, round(h * scale)), max(1, round(w * scale)))
            small, small_hole = resized(rgb, hole, inner)
            out = self._padded(small, small_hole, self.size, blank)[: inner[0], : inner[1]]
            way = cv2.INTER_CUBIC if scale < 1 else cv2.INTER_AREA
            return np.clip(cv2.resize(out, (w, h), interpolation=way), 0, 255)
        multiple, least = self.contract.multiple, self.contract.least
        target = (max(h, least) + -max(h, least) % multiple, max(w, least) + -max(w, least) % multiple)
        return self._padded(rgb, hole, target, blank)[:h, :w]

    def _padded(self, rgb: Rgb, hole: BoolMask, size: tuple[int, int], blank: bool) -> Float:
        """Filled at ``size``, at least the window's, which lies in the top left corner, mirrored beyond its edges."""
        pad = ((0, size[0] - hole.shape[0]), (0, size[1] - hole.shape[1]))
        rgb, hole = np.pad(rgb, (*pad, (0, 0)), mode="symmetric"), np.pad(hole, pad, mode="symmetric")
        if self.contract.grow:
            # A square: such edges come of windows of pixels, which reach furthest at corners.
            reach = 2 * self.contract.grow + 1
            hole = cv2.dilate(hole.astype(np.uint8), np.ones((reach, reach), np.uint8)) > 0
        low, high = self.contract.output_range
        unit = (self.raw(rgb, hole, blank=blank) - low) * (255 / (high - low))
        if self.contract.colours == "BGR":
            unit = unit[..., ::-1]
        return np.ascontiguousarray(np.clip(unit, 0, 255))

    def raw(self, rgb: Rgb, hole: BoolMask, *, blank: bool) -> Float:
        """The net's own numbers, float32 ``[h, w, 3]``, for a window of a size that it takes; errors as of a call."""
        out = self._forward(*self._feeds(rgb, hole, blank))
        wanted = (1, 3, *hole.shape)
        if out.shape != wanted:
            raise MildError(f"{self.name} gave an array of shape {list(out.shape)} instead of {list(wanted)}.")
        if not np.isfinite(out).all():
            raise MildError(f"{self.name} gave values that are not numbers.")
        return np.asarray(out[0].transpose(1, 2, 0), np.float32)

    def _feeds(self, rgb: Rgb, hole: BoolMask, blank: bool) -> tuple[Float, Float | None]:
        contract = self.contract
        (low, high), (known, fill) = contract.image_range, contract.mask_range
        image = rgb.astype(np.float32) * ((high - low) / 255) + low
        if blank:
            # The net's own zero: what a product with the mask would leave.
            image[hole] = 0
        if contract.colours == "BGR":
            image = image[..., ::-1]
        planes = image.transpose(2, 0, 1)[None]
        mask = np.where(hole, np.float32(fill), np.float32(known))[None, None]
        if contract.layout == "image+mask":
            return planes, mask
        parts = (planes, mask) if contract.layout == "image,mask" else (mask, planes)
        return np.concatenate(parts, 1), None


def resized(rgb: Rgb, hole: BoolMask, size: tuple[int, int]) -> tuple[Rgb, BoolMask]:
    """At another size; whatever holds some of the hole is hole, so that nothing of it becomes evidence."""
    shrinks = size[0] < hole.shape[0]
    # Linear, where it grows: that looks at no pixel beyond those that make it hole.
    way = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    small = np.asarray(cv2.resize(rgb, size[::-1], interpolation=way), np.uint8)
    return small, cv2.resize(hole.astype(np.float32), size[::-1], interpolation=way) > 0


class OnnxInpainter(Inpainter):
    """From an ONNX file; which input is the mask, the types and a fixed size are read from it.

    Without a contract it is only good for :func:`mild.models.probe.probe`.

    Raises:
        UsageError: the file does not take an image and a mask.
        MildError: it cannot be run.
    """

    def __init__(self, path: Path, contract: FillContract | None = None) -> None:
        self.net = Net(path)
        image, mask = ports(self.net)
        contract = contract or FillContract("image+mask" if mask is not None else "image,mask")
        if (mask is None) != (contract.layout != "image+mask"):
            takes = "one input of four channels" if mask is None else "an image and a mask"
            raise UsageError(f"{path.name} takes {takes}, but its contract says {contract.layout}.")
        answer = next((p.name for p in self.net.outputs.values() if p.shape[1:2] == (3,)), next(iter(self.net.outputs)))

        def forward(planes: Float, mask_plane: Float | None) -> NDArray[Any]:
            feeds = {image.name: _as(planes, image)}
            if mask is not None and mask_plane is not None:
                feeds[mask.name] = _as(mask_plane, mask)
            return self.net.run(feeds)[answer]

        height, width = image.shape[2:]
        size = None if height is None or width is None else (height, width)
        types = (image.type == np.uint8, mask is not None and mask.type == np.uint8)
        super().__init__(path.name, forward, contract, size, types)


class TorchScriptInpainter(Inpainter):
    """From a TorchScript file that the user trusts, called as ``net(image, mask)`` or ``net(both)``.

    Raises:
        UsageError: it is not trusted, or no TorchScript.
    """

    def __init__(self, path: Path, contract: FillContract, *, trusted: bool = False) -> None:
        if not trusted:
            expect_trusted(path)
        import torch

        try:
            module = torch.jit.load(str(path), map_location="cpu").eval()
        except RuntimeError as error:
            raise UsageError(f"{path.name} is no TorchScript file ({str(error).splitlines()[0]}).") from None

        def forward(planes: Float, mask: Float | None) -> NDArray[Any]:
            given = [torch.from_numpy(np.ascontiguousarray(a)) for a in (planes, mask) if a is not None]
            try:
                with torch.inference_mode():
                    return np.asarray(module(*given).float().numpy())
            except Exception as error:
                raise MildError(f"{path.name} failed ({str(error).strip().splitlines()[-1]}).") from None

        super().__init__(path.name, forward, contract)


def ports(net: Net) -> tuple[Port, Port | None]:
    """The image's input and the mask's, None where one input holds both.

    Raises:
        UsageError: it is neither.
    """
    found = list(net.inputs.values())
    name = net.path.name
    if any(len(port.shape) != 4 or port.type is None for port in found):
        said = ", ".join(f"{p.name} {['?' if s is None else s for s in p.shape]}" for p in found)
        raise UsageError(f"{name} takes {said}; an inpainter of channels, height and width is expected.")
    if len(found) == 1 and found[0].shape[1] in (4, None):
        return found[0], None
    if len(found) == 2:
        masks = [p for p in found if p.shape[1] == 1] or [p for p in found if "mask" in p.name.lower()]
        if len(masks) == 1:
            return next(p for p in found if p is not masks[0]), masks[0]
    raise UsageError(f"{name} takes {', '.join(p.name for p in found)}; an image and a mask are expected.")


def _as(values: Float, port: Port) -> NDArray[Any]:
    if port.type == np.uint8:
        return np.clip(np.rint(values), 0, 255).astype(np.uint8)
    return values.astype(port.type)
