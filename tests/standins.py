"""Tiny ONNX graphs with the names, types, shapes, ranges and polarity of public weights, and answers known exactly.

No weights: they stand in for files that cannot be had here, so that adapters are tested on their contracts.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

FLOAT, UINT8, INT64 = TensorProto.FLOAT, TensorProto.UINT8, TensorProto.INT64
Shape = Sequence[int | str]


class Graph:
    """A graph that is written down operation by operation; values are known by name."""

    def __init__(self) -> None:
        self.nodes: list[Any] = []
        self.constants: list[Any] = []
        self.inputs: list[Any] = []
        self.outputs: list[Any] = []

    def takes(self, name: str, kind: int, shape: Shape) -> str:
        self.inputs.append(helper.make_tensor_value_info(name, kind, list(shape)))
        return name

    def gives(self, name: str, kind: int, shape: Shape) -> None:
        self.outputs.append(helper.make_tensor_value_info(name, kind, list(shape)))

    def constant(self, value: Any) -> str:
        name = f"c{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.asarray(value), name))
        return name

    def __call__(self, operation: str, *values: Any, out: str = "", **attributes: Any) -> str:
        """Add an operation; what is no name becomes a constant (a float becomes float32)."""
        names = [
            v if isinstance(v, str) else self.constant(np.float32(v) if isinstance(v, float) else v) for v in values
        ]
        out = out or f"v{len(self.nodes)}"
        self.nodes.append(helper.make_node(operation, names, [out], **attributes))
        return out

    def save(self, path: Path) -> Path:
        graph = helper.make_graph(self.nodes, path.stem, self.inputs, self.outputs, self.constants)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
        onnx.checker.check_model(model)
        onnx.save(model, str(path))
        return path


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def ints(*values: int) -> Any:
    return np.array(values, np.int64)


# --- inpainters: the hole becomes a grey (in the net's own range), outside the input comes back


def image_and_mask(
    path: Path,
    size: tuple[int | str, int | str] = (512, 512),
    scale: float = 255.0,
    grey: float = 0.5,
    swap: bool = False,
) -> Path:
    """LaMa as Carve (512, answers 0..255), OpenCV and greycard (any size, 0..1) export it: image 0..1, mask 1 = fill.

    Args:
        grey: what the hole becomes, 0..1.
        swap: the answer's colours are exchanged.
    """
    g = Graph()
    g.takes("image", FLOAT, ["batch", 3, *size])
    g.takes("mask", FLOAT, ["batch", 1, *size])
    known = g("Mul", "image", g("Sub", 1.0, "mask"))
    whole = g("Add", known, g("Mul", grey, "mask"))
    if swap:
        whole = g("Gather", whole, ints(2, 1, 0), axis=1)
    g("Mul", whole, scale, out="output")
    g.gives("output", FLOAT, ["batch", 3, *size])
    return g.save(path)


def red_or_blue(path: Path, blue: bool) -> Path:
    """An image and a mask, 64 pixels, that fills with the mean colour of what is known (or, wrongly, exchanged)."""
    g = Graph()
    g.takes("image", FLOAT, [1, 3, 64, 64])
    g.takes("mask", FLOAT, [1, 1, 64, 64])
    keep = g("Sub", 1.0, "mask")
    known = g("Mul", "image", keep)
    mean = g("Div", g("ReduceSum", known, ints(2, 3)), g("ReduceSum", keep, ints(2, 3)))
    if blue:
        mean = g("Gather", mean, ints(2, 1, 0), axis=1)
    g("Add", known, g("Mul", mean, "mask"), out="output")
    g.gives("output", FLOAT, [1, 3, 64, 64])
    return g.save(path)


def four_channels(path: Path, mask_first: bool = False, signed: bool = False) -> Path:
    """One input of four channels, any size: g-ronimo's LaMa (image 0..1 blanked, mask 1 = fill, answers 0..1) or, with
    ``mask_first`` and ``signed``, MI-GAN's core (0.5 - hole, image -1..1 blanked, answers -1..1)."""
    g = Graph()
    g.takes("input", FLOAT, [1, 4, "height", "width"])
    first, last = (1, 4) if mask_first else (0, 3)
    image = g("Slice", "input", ints(first), ints(last), ints(1))
    mask = g("Slice", "input", ints(0 if mask_first else 3), ints(1 if mask_first else 4), ints(1))
    if signed:
        # The mask is 0.5 where known, -0.5 where to fill: there the answer is 0.2.
        g("Add", image, g("Mul", 0.2, g("Sub", 0.5, mask)), out="output")
    else:
        g("Add", image, g("Mul", 0.5, mask), out="output")
    g.gives("output", FLOAT, [1, 3, "height", "width"])
    return g.save(path)


def migan(path: Path, leak: bool = False) -> Path:
    """MI-GAN's pipeline: uint8 in and out, any size, mask 255 = known, 0 = fill, fills with 128.

    ``leak``: as the real one, its own edge keeps 65, 35 and 11 % of the former pixels 1, 2 and 3 px inside the hole:
    the known mask is grown by a pixel and blurred.
    """
    g = Graph()
    size = ["batch_size", 3, "height", "width"]
    g.takes("image", UINT8, size)
    g.takes("mask", UINT8, ["batch_size", 1, "height", "width"])
    image, known = g("Cast", "image", to=FLOAT), g("Div", g("Cast", "mask", to=FLOAT), 255.0)
    if leak:
        grown = g("MaxPool", known, kernel_shape=[3, 3], pads=[1, 1, 1, 1])
        taps = np.exp(-((np.arange(-2, 3) / 2.0) ** 2)).astype(np.float32)
        kernel = np.outer(taps, taps) / taps.sum() ** 2
        padded = g("Pad", grown, ints(0, 0, 2, 2, 0, 0, 2, 2), mode="edge")
        known = g("Conv", padded, kernel[None, None].astype(np.float32))
    hole = g("Sub", 1.0, known)
    whole = g("Add", g("Mul", image, known), g("Mul", hole, 128.0))
    g("Cast", g("Round", whole), to=UINT8, out="result")
    g.gives("result", UINT8, size)
    return g.save(path)


# --- finders, clicks, keypoints


def rf_detr(path: Path, side: int = 96, queries: int = 20, probabilities: bool = False) -> Path:
    """RF-DETR-seg as it is exported: query 0 is a person in the left half, 1 a dog in the right, 2 a doubtful person in
    the right half's top, the rest nothing. The person's score rises with the input's red, so that order is seen."""
    g, m = Graph(), side // 4
    boxes = np.zeros((1, queries, 4), np.float32)
    boxes[0, :3] = [[0.25, 0.5, 0.5, 1], [0.75, 0.5, 0.5, 1], [0.75, 0.25, 0.5, 0.5]]
    labels = np.full((1, queries, 91), -9, np.float32)
    labels[0, 0, 1], labels[0, 1, 18], labels[0, 2, 1] = 3, 3, 0.2
    masks = np.full((1, queries, m, m), -8, np.float32)
    masks[0, 0, :, : m // 2] = masks[0, 1, :, m // 2 :] = masks[0, 2, : m // 2, m // 2 :] = 8
    if probabilities:
        masks = 1 / (1 + np.exp(-masks))
    g.takes("input", FLOAT, [1, 3, side, side])
    means = g("ReduceMean", "input", axes=[2, 3], keepdims=0)
    redness = g("Sub", g("Gather", means, ints(0), axis=1), g("Gather", means, ints(2), axis=1))
    column = np.zeros((1, 1, 91), np.float32)
    column[0, 0, 1] = 1
    zero = g("Mul", g("ReduceMean", "input", axes=[1, 2, 3], keepdims=1), 0.0)
    flat = g("Reshape", zero, ints(1, 1, 1))
    g("Add", boxes, flat, out="dets")
    g("Add", labels, g("Mul", g("Reshape", g("Mul", 0.1, redness), ints(1, 1, 1)), column), out="labels")
    g("Add", masks, zero, out="masks")
    g.gives("dets", FLOAT, [1, queries, 4])
    g.gives("labels", FLOAT, [1, queries, 91])
    g.gives("masks", FLOAT, [1, queries, m, m])
    return g.save(path)


_EMBEDDINGS = {"image_embeddings.0": (32, 256), "image_embeddings.1": (64, 128), "image_embeddings.2": (256, 64)}


def sam2(folder: Path) -> Path:
    """SAM 2.1 and EdgeTAM in the layout of transformers.js: discs of 60, 120 and 240 px (of 1024) round each positive
    point, or round the box's middle; a disc of 60 px round each negative point is taken away. Scores .7, .9, .8."""
    folder.mkdir(parents=True, exist_ok=True)
    g = Graph()
    g.takes("pixel_values", FLOAT, ["batch_size", 3, 1024, 1024])
    mean = g("ReduceMean", "pixel_values", axes=[1, 2, 3], keepdims=1)
    for name, (channels, side) in _EMBEDDINGS.items():
        g("Expand", mean, ints(1, channels, side, side), out=name)
        g.gives(name, FLOAT, ["batch_size", channels, side, side])
    g.save(folder / "vision_encoder.onnx")
    g = Graph()
    g.takes("input_points", FLOAT, ["batch_size", 1, "num_points", 2])
    g.takes("input_labels", INT64, ["batch_size", 1, "num_points"])
    g.takes("input_boxes", FLOAT, ["batch_size", "num_boxes", 4])
    for name, (channels, side) in _EMBEDDINGS.items():
        g.takes(name, FLOAT, ["batch_size", channels, side, side])
    y, x = np.mgrid[:256, :256].astype(np.float32) * 4 + 2
    # Boxes add their middle as a positive point.
    corner = [g("Slice", "input_boxes", ints(a), ints(a + 2), ints(2)) for a in (0, 2)]
    middles = g("Unsqueeze", g("Mul", 0.5, g("Add", *corner)), ints(1))
    points = g("Concat", middles, "input_points", axis=2)
    ones = g("Cast", g("ReduceSum", g("Mul", middles, 0.0), ints(3), keepdims=0), to=INT64)
    labels = g("Concat", g("Add", ones, ints(1)), "input_labels", axis=2)
    apart = g("Sub", np.stack([x, y])[None], g("Reshape", points, ints(-1, 2, 1, 1)))
    distance = g("Sqrt", g("ReduceSum", g("Mul", apart, apart), ints(1), keepdims=0))
    kinds = g("Reshape", g("Cast", labels, to=FLOAT), ints(-1, 1, 1))
    away = g("Mul", g("Sub", 1.0, kinds), -1e5)
    # The first positive point: others are as far as can be.
    nearest = g("ReduceMin", g("Sub", distance, away), axes=[0], keepdims=1)
    spoiled = g("ReduceMin", g("Add", distance, g("Mul", kinds, 1e5)), axes=[0], keepdims=1)
    discs = g("Sub", np.array([60, 120, 240], np.float32).reshape(3, 1, 1), nearest)
    masks = g("Min", discs, g("Sub", spoiled, 60.0))
    g("Reshape", masks, ints(1, 1, 3, 256, 256), out="pred_masks")
    # The encoder's mean is heard, so that the picture must have been encoded.
    heard = g("Mul", g("ReduceMean", "image_embeddings.2", axes=[1, 2, 3], keepdims=0), 0.0)
    g("Add", np.array([[[0.7, 0.9, 0.8]]], np.float32), g("Reshape", heard, ints(1, 1, 1)), out="iou_scores")
    g("Identity", np.array([[[5.0]]], np.float32), out="object_score_logits")
    g.gives("iou_scores", FLOAT, [1, 1, 3])
    g.gives("pred_masks", FLOAT, [1, 1, 3, 256, 256])
    g.gives("object_score_logits", FLOAT, [1, 1, 1])
    g.save(folder / "prompt_encoder_mask_decoder.onnx")
    return folder


def samexporter(folder: Path) -> Path:
    """SAM 2 as samexporter exports it: a disc of 100 px (of 1024) round the first point, or twice
    that round a box's middle (its corners have the labels 2 and 3); masks of 256 px."""
    folder.mkdir(parents=True, exist_ok=True)
    shapes = {"high_res_feats_0": (32, 256), "high_res_feats_1": (64, 128), "image_embed": (256, 64)}
    g = Graph()
    g.takes("image", FLOAT, [1, 3, 1024, 1024])
    mean = g("ReduceMean", "image", axes=[1, 2, 3], keepdims=1)
    for name, (channels, side) in shapes.items():
        g("Expand", mean, ints(1, channels, side, side), out=name)
        g.gives(name, FLOAT, [1, channels, side, side])
    g.save(folder / "encoder.onnx")
    g = Graph()
    for name, (channels, side) in (("image_embed", (256, 64)), ("high_res_feats_0", (32, 256)),
                                   ("high_res_feats_1", (64, 128))):  # fmt: skip
        g.takes(name, FLOAT, [1, channels, side, side])
    g.takes("point_coords", FLOAT, ["num_labels", "num_points", 2])
    g.takes("point_labels", FLOAT, ["num_labels", "num_points"])
    g.takes("mask_input", FLOAT, ["num_labels", 1, 256, 256])
    g.takes("has_mask_input", FLOAT, ["num_labels"])
    y, x = np.mgrid[:256, :256].astype(np.float32) * 4 + 2
    two = g("Cast", g("Greater", g("ReduceMax", "point_labels", axes=[0, 1], keepdims=0), 1.5), to=FLOAT)
    first = g("Slice", "point_coords", ints(0), ints(1), ints(1))
    second = g("Slice", "point_coords", ints(-1), ints(1 << 30), ints(1))
    middle = g("Add", first, g("Mul", g("Mul", g("Sub", second, first), 0.5), two))
    apart = g("Sub", np.stack([x, y])[None], g("Reshape", middle, ints(1, 2, 1, 1)))
    distance = g("Sqrt", g("ReduceSum", g("Mul", apart, apart), ints(1), keepdims=1))
    g("Sub", g("Mul", g("Add", 1.0, two), 100.0), distance, out="masks")
    heard = g("Mul", g("ReduceMean", "image_embed", axes=[1, 2, 3], keepdims=0), 0.0)
    g("Add", np.array([[0.9]], np.float32), g("Reshape", heard, ints(1, 1)), out="iou_predictions")
    g.gives("masks", FLOAT, [1, 1, 256, 256])
    g.gives("iou_predictions", FLOAT, [1, 1])
    g.save(folder / "decoder.onnx")
    return folder


def efficientsam(path: Path) -> Path:
    """EfficientSAM of OpenCV's zoo: six points, -1 pads; a disc of 100 px (of 1024) round the first positive point."""
    g = Graph()
    g.takes("batched_images", FLOAT, [1, 3, 1024, 1024])
    g.takes("batched_point_coords", FLOAT, [1, 1, 6, 2])
    g.takes("batched_point_labels", FLOAT, [1, 1, 6])
    y, x = np.mgrid[:256, :256].astype(np.float32) * 4 + 2
    apart = g("Sub", np.stack([x, y])[None], g("Reshape", "batched_point_coords", ints(6, 2, 1, 1)))
    distance = g("Sqrt", g("ReduceSum", g("Mul", apart, apart), ints(1), keepdims=0))
    # Points that are not positive are as far as can be.
    is_first = g("Cast", g("Greater", g("Reshape", "batched_point_labels", ints(6, 1, 1)), 0.5), to=FLOAT)
    far = g("Mul", g("Sub", 1.0, is_first), 1e5)
    disc = g("Sub", 100.0, g("ReduceMin", g("Add", distance, far), axes=[0], keepdims=1))
    masks = g("Expand", g("Reshape", disc, ints(1, 1, 1, 256, 256)), ints(1, 1, 3, 256, 256))
    heard = g("Mul", g("ReduceMean", "batched_images", axes=[1, 2, 3], keepdims=0), 0.0)
    g("Identity", masks, out="output_masks")
    g("Add", np.array([[[0.5, 0.9, 0.6]]], np.float32), g("Reshape", heard, ints(1, 1, 1)), out="iou_predictions")
    g.gives("output_masks", FLOAT, [1, 1, 3, 256, 256])
    g.gives("iou_predictions", FLOAT, [1, 1, 3])
    return g.save(path)


def rtmpose(path: Path) -> Path:
    """RTMPose: every keypoint in the crop's middle, its x shifted by eight times the input's mean redness."""
    x, y = np.zeros((1, 17, 384), np.float32), np.zeros((1, 17, 512), np.float32)
    x[..., 192] = y[..., 256] = 0.9
    return _pose(path, "input", {"simcc_x": x, "simcc_y": y})


def vitpose(path: Path) -> Path:
    """ViTPose as heatmaps of a quarter of the crop's size: every keypoint in the middle."""
    heat = np.zeros((1, 17, 64, 48), np.float32)
    heat[:, :, 32, 24] = 0.9
    heat[:, :, 32, 23] = heat[:, :, 31, 24] = heat[:, :, 32, 25] = heat[:, :, 33, 24] = 0.5
    return _pose(path, "input_0", {"output_0": heat})


def _pose(path: Path, name: str, answers: dict[str, Any]) -> Path:
    g = Graph()
    g.takes(name, FLOAT, ["batch", 3, 256, 192])
    batch = g("ReduceMean", name, axes=[1, 2, 3], keepdims=1)
    for out, value in answers.items():
        zero = g("Mul", batch if value.ndim == 4 else g("Reshape", batch, ints(-1, 1, 1)), 0.0)
        g("Add", value, zero, out=out)
        g.gives(out, FLOAT, ["batch", *value.shape[1:]])
    return g.save(path)
