"""From TensorFlow.js graph models to ONNX: each operation against torch, on a net made here."""

from __future__ import annotations

import base64
import json
from typing import Any

import numpy as np
import onnxruntime as ort
import pytest
import torch
from torch.nn import functional as F

from mild.errors import MildError
from mild.models.tfjs import convert

RNG = np.random.default_rng(0)


class Net:
    """A graph model in the making, in the form that the TensorFlow.js converter writes."""

    def __init__(self) -> None:
        self.nodes: list[dict[str, Any]] = [{"name": "x", "op": "Placeholder"}]
        self.manifest: list[dict[str, Any]] = []
        self.data = b""

    def constant(self, name: str, values: np.ndarray, half: bool = False) -> str:
        stored = values.astype(np.float16) if half else values
        entry: dict[str, Any] = {"name": name, "shape": list(values.shape), "dtype": str(values.dtype)}
        self.manifest.append(entry | ({"quantization": {"dtype": "float16"}} if half else {}))
        self.nodes.append({"name": name, "op": "Const"})
        self.data += stored.tobytes()
        return name

    def op(self, name: str, op: str, *inputs: str, **attributes: Any) -> str:
        self.nodes.append({"name": name, "op": op, "input": list(inputs), "attr": attributes})
        return name

    def onnx(self, *outputs: str) -> bytes:
        model = {"modelTopology": {"node": self.nodes}, "weightsManifest": [{"weights": self.manifest}]}
        shape = (1, "height", "width", 3)
        return convert(json.dumps(model).encode(), self.data, {"x": shape}, {name: name for name in outputs})

    def run(self, x: np.ndarray, *outputs: str) -> list[np.ndarray]:
        return ort.InferenceSession(self.onnx(*outputs)).run(list(outputs), {"x": x})


def word(text: str) -> dict[str, str]:
    return {"s": base64.b64encode(text.encode()).decode()}


def four(*values: int) -> dict[str, Any]:
    return {"list": {"i": [str(v) for v in values]}}


def fused(*names: str) -> dict[str, Any]:
    return {"list": {"s": [word(name)["s"] for name in names]}}


def random(*shape: int) -> np.ndarray:
    return RNG.standard_normal(shape).astype(np.float32)


def channels_first(x: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(x.transpose(0, 3, 1, 2)))


def channels_last(x: torch.Tensor) -> np.ndarray:
    return x.numpy().transpose(0, 2, 3, 1)


def test_convolutions_keep_tensorflows_padding_and_order() -> None:
    """SAME with stride 2 pads one pixel more after than before; depthwise kernels have the channel third."""
    net, x = Net(), random(1, 8, 10, 3)
    full, bias, deep = random(3, 3, 3, 4), random(4), random(3, 3, 4, 2)
    stride = {"strides": four(1, 2, 2, 1), "dilations": four(1, 1, 1, 1), "padding": word("SAME")}
    net.op("a", "_FusedConv2D", "x", net.constant("w", full), net.constant("b", bias), **stride,
           fused_ops=fused("BiasAdd", "Relu6"))  # fmt: skip
    valid = {"strides": four(1, 1, 1, 1), "padding": word("VALID")}
    net.op("y", "DepthwiseConv2dNative", "a", net.constant("d", deep), **valid)
    (got,) = net.run(x, "y")
    padded = F.pad(channels_first(x), (0, 1, 0, 1))
    hidden = F.conv2d(padded, torch.from_numpy(full.transpose(3, 2, 0, 1).copy()), torch.from_numpy(bias), stride=2)
    kernel = torch.from_numpy(deep.transpose(2, 3, 0, 1).reshape(8, 1, 3, 3).copy())
    np.testing.assert_allclose(got, channels_last(F.conv2d(hidden.clip(0, 6), kernel, groups=4)), atol=1e-4)


def test_resizing_to_a_size_and_by_a_factor() -> None:
    net, x = Net(), random(1, 4, 6, 3)
    half = {"half_pixel_centers": {"b": True}}
    net.op("to", "ResizeBilinear", "x", net.constant("size", np.array([2, 3], np.int32)), **half)
    net.op("shape", "Shape", "x")
    net.op("doubled", "Mul", "shape", net.constant("two", np.array([2, 2], np.int32)))
    net.op("by", "ResizeBilinear", "x", "doubled", **half)
    small, large = net.run(x, "to", "by")
    for got, size in ((small, (2, 3)), (large, (8, 12))):
        wanted = F.interpolate(channels_first(x), size=size, mode="bilinear", align_corners=False)
        np.testing.assert_allclose(got, channels_last(wanted), atol=1e-6)
    net.nodes[-1]["attr"] = {}
    with pytest.raises(MildError, match="half-pixel"):
        net.onnx("by")


def test_the_small_operations() -> None:
    net, x = Net(), random(1, 4, 6, 3)
    net.op("pad", "Pad", "x", net.constant("edges", np.array([[0, 0], [1, 2], [0, 1], [0, 0]], np.int32)))
    net.op("low", "PadV2", "x", "edges", net.constant("fill", np.float32(-9)))
    net.op("pool", "MaxPool", "low", ksize=four(1, 2, 2, 1), strides=four(1, 1, 1, 1), padding=word("VALID"))
    net.op("leaky", "LeakyRelu", "x", alpha={"f": 0.1})
    axis = net.constant("axis", np.int32(3))
    net.op("split", "SplitV", "x", net.constant("lengths", np.array([1, 2], np.int32)), axis)
    net.op("swapped", "ConcatV2", "split:1", "split", axis)
    net.op("turned", "Transpose", "x", net.constant("order", np.array([0, 3, 1, 2], np.int32)))
    net.op("sum", "AddV2", "x", net.constant("row", np.array([1, 2, 3], np.float32), half=True))
    # NanoDet's shapes are made of a sparse part and a sum of constants.
    places, shape = net.constant("places", np.array([[0], [2]])), net.constant("length", np.array([3], np.int32))
    net.op("sparse", "SparseToDense", places, shape, net.constant("sizes", np.array([1, 3])),
           net.constant("none", np.int64(0)))  # fmt: skip
    net.op("target", "Add", "sparse", net.constant("rest", np.array([0, 24, 0])))
    net.op("flat", "Reshape", "x", "target")
    got = dict(zip(names := ("pad", "pool", "leaky", "swapped", "turned", "sum", "flat"), net.run(x, *names),
                   strict=True))  # fmt: skip
    pads = [(0, 0), (1, 2), (0, 1), (0, 0)]
    low = np.pad(x, pads, constant_values=-9)
    wanted = {
        "pad": np.pad(x, pads),
        "pool": channels_last(F.max_pool2d(channels_first(low), 2, 1)),
        "leaky": np.where(x > 0, x, 0.1 * x),
        "swapped": x[..., [1, 2, 0]],
        "turned": x.transpose(0, 3, 1, 2),
        "sum": x + np.array([1, 2, 3], np.float32),
        "flat": x.reshape(1, 24, 3),
    }
    for name in names:
        np.testing.assert_allclose(got[name], wanted[name], atol=1e-6, err_msg=name)


def test_the_same_bytes_every_time() -> None:
    """The registry knows the converted file by its sum."""
    net = Net()
    net.op("y", "Sigmoid", "x")
    assert net.onnx("y") == net.onnx("y")


def test_what_cannot_be_converted_is_said() -> None:
    net = Net()
    net.op("y", "Fft", "x")
    with pytest.raises(MildError, match="operation Fft is not known"):
        net.onnx("y")
    with pytest.raises(MildError, match="cannot be converted"):
        convert(b"{}", b"", {}, {})
    net.constant("w", random(2))
    net.data += b"more"
    with pytest.raises(MildError, match="12 bytes, not 8"):
        net.onnx("y")
