"""How click segmenters are called: one class for each layout of exported files.

All of them look at 1024 pixels, take points in these, and answer with a few masks (above 0: inside) and their scores.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from mild.errors import MildError, UsageError
from mild.models.nets import Net
from mild.people.finders.detr import prepared

Float = NDArray[np.float32]
SIDE = 1024
#: Points that EfficientSAM's export takes.
MOST_POINTS = 6
_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class Encoded:
    """A photo as the net knows it.

    Attributes:
        values: what its decoder takes of it, by name.
        scale: the net's pixels per photo pixel, ``(y, x)``.
        used: the part of the net's square that holds the photo, ``(y, x)``; the rest is padding.
    """

    values: dict[str, NDArray[Any]]
    scale: tuple[float, float]
    used: tuple[float, float] = (1.0, 1.0)


class Clicker(Protocol):
    """A click segmenter."""

    def encode(self, pixels: NDArray[np.uint8]) -> Encoded:
        """Look at a photo, uint8 ``[H, W, 3]``."""
        ...

    def ask(self, encoded: Encoded, on: Float, off: Float, box: Float | None) -> tuple[NDArray[Any], NDArray[Any]]:
        """Masks ``[n, h, w]`` and scores ``[n]`` for points ``[k, 2]`` (x, y) and a box ``[4]`` in the net's pixels."""
        ...


class TransformersJs:
    """SAM 2.1 and EdgeTAM as transformers.js has them: the photo squashed to a square; labels are whole numbers."""

    def __init__(self, folder: Path, names: Sequence[str]) -> None:
        self._encoder = Net(folder / "vision_encoder.onnx")
        self._decoder = Net(folder / "prompt_encoder_mask_decoder.onnx")
        self._encoder.expect({"pixel_values"}, {f"image_embeddings.{i}" for i in range(3)})
        asked = {"input_points", "input_labels", "input_boxes", *self._encoder.outputs}
        self._decoder.expect(asked, {"iou_scores", "pred_masks"})

    def encode(self, pixels: NDArray[np.uint8]) -> Encoded:
        return Encoded(self._encoder.run({"pixel_values": prepared(pixels, SIDE, _MEAN, _STD)}), _squashed(pixels))

    def ask(self, encoded: Encoded, on: Float, off: Float, box: Float | None) -> tuple[NDArray[Any], NDArray[Any]]:
        points, labels = _joined(on, off)
        boxes = np.zeros((1, 0, 4), np.float32) if box is None else box.reshape(1, 1, 4)
        feeds: dict[str, NDArray[Any]] = {
            "input_points": points[None, None],
            "input_labels": labels[None, None],
            "input_boxes": boxes,
        }
        out = self._decoder.run(feeds | encoded.values)
        return out["pred_masks"][0, 0], out["iou_scores"][0, 0]


class SamExporter:
    """SAM 1, MobileSAM and SAM 2 as samexporter exports them: a box is two points with labels of their own.

    SAM 2 squashes the photo to a square; SAM 1 keeps its aspect and pads, and takes it as bytes where preprocessing is
    part of the graph.
    """

    def __init__(self, folder: Path, names: Sequence[str]) -> None:
        self._encoder, self._decoder = Net(folder / names[0]), Net(folder / names[1])
        if len(self._encoder.inputs) != 1:
            raise MildError(f"{names[0]} takes {', '.join(self._encoder.inputs)}; one photo is expected.")
        common = {"point_coords", "point_labels", "mask_input", "has_mask_input"}
        self._first = "image_embeddings" in self._decoder.inputs
        if self._first:
            common |= {"image_embeddings", "orig_im_size"}
            self._decoder.expect(common, {"iou_predictions", "low_res_masks"})
        else:
            common |= {"image_embed", "high_res_feats_0", "high_res_feats_1"}
            self._decoder.expect(common, {"iou_predictions", "masks"})

    def encode(self, pixels: NDArray[np.uint8]) -> Encoded:
        port = next(iter(self._encoder.inputs.values()))
        if not self._first:
            out = self._encoder.run({port.name: prepared(pixels, SIDE, _MEAN, _STD)})
            return Encoded({n: v for n, v in out.items() if n in self._decoder.inputs}, _squashed(pixels))
        scale = SIDE / max(pixels.shape[:2])
        h, w = (max(1, round(side * scale)) for side in pixels.shape[:2])
        small: NDArray[Any] = cv2.resize(pixels, (w, h), interpolation=cv2.INTER_LINEAR).astype(np.float32)
        if len(port.shape) == 4:
            small = (small / 255 - np.asarray(_MEAN, np.float32)) / np.asarray(_STD, np.float32)
            padded = np.pad(small, ((0, SIDE - h), (0, SIDE - w), (0, 0)))
            small = np.asarray(padded.transpose(2, 0, 1)[None], np.float32)
        out = self._encoder.run({port.name: small})
        # The decoder's own mask freezes the aspect of the photo it was exported with; the small one does not.
        return Encoded({"image_embeddings": next(iter(out.values()))}, (scale, scale), (h / SIDE, w / SIDE))

    def ask(self, encoded: Encoded, on: Float, off: Float, box: Float | None) -> tuple[NDArray[Any], NDArray[Any]]:
        points, labels = _joined(on, off)
        if box is not None:
            points, labels = np.concatenate([box.reshape(2, 2), points]), np.concatenate([[2, 3], labels])
        else:
            points, labels = np.concatenate([points, np.zeros((1, 2), np.float32)]), np.concatenate([labels, [-1]])
        feeds: dict[str, NDArray[Any]] = {
            "point_coords": points[None], "point_labels": labels[None].astype(np.float32),
            "mask_input": np.zeros((1, 1, 256, 256), np.float32), "has_mask_input": np.zeros(1, np.float32),
        }  # fmt: skip
        if self._first:
            feeds["orig_im_size"] = np.asarray([SIDE * encoded.used[0], SIDE * encoded.used[1]], np.float32)
        out = self._decoder.run(feeds | encoded.values)
        return out["low_res_masks" if self._first else "masks"][0], out["iou_predictions"][0]


class EfficientSam:
    """EfficientSAM in one graph, as OpenCV's zoo has it: six points, colours 0..1 with no mean; it looks each time."""

    def __init__(self, folder: Path, names: Sequence[str]) -> None:
        self._net = Net(folder / names[0])
        inputs = {"batched_images", "batched_point_coords", "batched_point_labels"}
        self._net.expect(inputs, {"output_masks", "iou_predictions"})

    def encode(self, pixels: NDArray[np.uint8]) -> Encoded:
        return Encoded({"batched_images": prepared(pixels, SIDE, (0, 0, 0), (1, 1, 1))}, _squashed(pixels))

    def ask(self, encoded: Encoded, on: Float, off: Float, box: Float | None) -> tuple[NDArray[Any], NDArray[Any]]:
        points, labels = _joined(on, off)
        if box is not None:
            points, labels = np.concatenate([box.reshape(2, 2), points]), np.concatenate([[2, 3], labels])
        if len(points) > MOST_POINTS:
            raise UsageError(f"EfficientSAM takes {MOST_POINTS} points at most (a box counts as two).")
        missing = MOST_POINTS - len(points)
        points = np.concatenate([points, np.zeros((missing, 2), np.float32)])
        labels = np.concatenate([labels, np.full(missing, -1)])
        feeds: dict[str, NDArray[Any]] = {
            "batched_point_coords": points[None, None],
            "batched_point_labels": labels[None, None],
        }
        out = self._net.run(feeds | encoded.values)
        return out["output_masks"][0, 0], out["iou_predictions"][0, 0]


#: Layout -> what opens a folder of its files, whose names are given.
LAYOUTS: dict[str, Callable[[Path, Sequence[str]], Clicker]] = {
    "transformers.js": TransformersJs, "samexporter": SamExporter, "efficientsam": EfficientSam,
}  # fmt: skip


def _squashed(pixels: NDArray[np.uint8]) -> tuple[float, float]:
    return SIDE / pixels.shape[0], SIDE / pixels.shape[1]


def _joined(on: Float, off: Float) -> tuple[Float, NDArray[np.int64]]:
    """Points and their labels: 1 on the thing, 0 on what is not."""
    labels = np.concatenate([np.ones(len(on), np.int64), np.zeros(len(off), np.int64)])
    return np.concatenate([on, off]), labels
