"""From a TensorFlow.js graph model (a ``.json`` and a ``.bin``) to an ONNX file, with numpy alone.

Some good small nets are published in this form only. Not every operation of TensorFlow is known here: those that the
person finder's nets use. Arrays keep TensorFlow's order (N, H, W, C); where ONNX wants the channels first, they are
turned for that one operation, and onnxruntime removes the pairs of turns that cancel.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mild.errors import MildError
from mild.models.onnx_file import Graph

_SAME_SIGN = {"Add": "Add", "AddV2": "Add", "Sub": "Sub", "Mul": "Mul"}
_PLAIN = {"Identity": "Identity", "Sigmoid": "Sigmoid"}


def convert(
    topology: bytes,
    weights: bytes,
    inputs: Mapping[str, Sequence[int | str]],
    outputs: Mapping[str, str],
) -> bytes:
    """An ONNX file of a graph model.

    Args:
        topology: the ``.json``.
        weights: the ``.bin`` (all shards, joined).
        inputs: placeholder -> shape, with a word for a size that is free. Fed as float32.
        outputs: name in the ONNX file -> node of the graph. What leads to none of them is left out.

    Raises:
        MildError: the files are no graph model, do not fit each other, or use an operation that is not known here.
    """
    try:
        model = json.loads(topology)
        nodes = {node["name"]: node for node in model["modelTopology"]["node"]}
        known = _weights(model["weightsManifest"], weights)
        made = _Conversion(nodes, known, inputs)
        return made.graph.file(inputs, {name: made.get(node) for name, node in outputs.items()})
    except (KeyError, IndexError, TypeError, ValueError) as error:
        raise MildError(f"The net cannot be converted to ONNX ({type(error).__name__}: {error}).") from error


def _weights(manifest: Sequence[Mapping[str, Any]], data: bytes) -> dict[str, NDArray[Any]]:
    """The named constants; halves become float32."""
    found: dict[str, NDArray[Any]] = {}
    at = 0
    for entry in (entry for group in manifest for entry in group["weights"]):
        stored = np.dtype(entry.get("quantization", {}).get("dtype", entry["dtype"])).newbyteorder("<")
        count = int(np.prod(entry["shape"], dtype=np.int64))
        values = np.frombuffer(data, stored, count, at).reshape(entry["shape"])
        found[entry["name"]] = values.astype(entry["dtype"])
        at += count * stored.itemsize
    if at != len(data):
        raise ValueError(f"the weights have {len(data)} bytes, not {at}")
    return found


class _Conversion:
    """Walks from the outputs to the inputs; each node is converted once."""

    def __init__(
        self, nodes: Mapping[str, Any], weights: Mapping[str, NDArray[Any]], inputs: Mapping[str, Sequence[int | str]]
    ) -> None:
        self.graph = Graph()
        self._nodes, self._weights = nodes, weights
        self._done: dict[str, list[str]] = {name: [name] for name in inputs}
        self._how: dict[str, Callable[[Mapping[str, Any]], list[str]]] = {
            "Cast": lambda node: [self.get(node["input"][0])],  # every number that flows is a float32
            "Transpose": self._transpose,
            "Pad": self._pad,
            "PadV2": self._pad,
            "Conv2D": self._convolution,
            "_FusedConv2D": self._convolution,
            "DepthwiseConv2dNative": self._convolution,
            "FusedDepthwiseConv2dNative": self._convolution,
            "MaxPool": self._max_pool,
            "LeakyRelu": self._leaky,
            "ConcatV2": self._concat,
            "SplitV": self._split,
            "ResizeBilinear": self._resize,
            "Reshape": self._reshape,
        }

    def get(self, reference: str) -> str:
        """The name in the ONNX graph of what ``node`` or ``node:2`` refers to."""
        name, _, output = reference.partition(":")
        if name not in self._done:
            self._done[name] = self._converted(self._nodes[name])
        return self._done[name][int(output or 0)]

    def _converted(self, node: Mapping[str, Any]) -> list[str]:
        op = node["op"]
        if node["name"] in self._weights:
            return [self.graph.constant(self._weights[node["name"]])]
        if op in self._how:
            return self._how[op](node)
        if op in _SAME_SIGN or op in _PLAIN:
            kind = _SAME_SIGN.get(op) or _PLAIN[op]
            return self.graph.node(kind, [self.get(i) for i in node["input"] if not i.startswith("^")])
        raise MildError(f"The net cannot be converted to ONNX: the operation {op} is not known.")

    def _value(self, reference: str) -> NDArray[Any]:
        """A constant, or what follows from constants alone (the shapes of NanoDet's heads)."""
        name = reference.partition(":")[0]
        if name in self._weights:
            return self._weights[name]
        node = self._nodes[name]
        if node["op"] not in ("Add", "AddV2", "SparseToDense"):
            raise ValueError(f"{name} is no constant")
        inputs = [self._value(i) for i in node["input"]]
        if node["op"] != "SparseToDense":
            return np.asarray(inputs[0] + inputs[1])
        places, shape, values, default = inputs
        out = np.full(np.ravel(shape).astype(int), default)
        out[tuple(np.reshape(places, (-1, out.ndim)).astype(int).T)] = values
        return out

    def _channels_first(self, name: str) -> str:
        return self.graph.node("Transpose", [name], perm=(0, 3, 1, 2))[0]

    def _channels_last(self, name: str) -> list[str]:
        return self.graph.node("Transpose", [name], perm=(0, 2, 3, 1))

    def _transpose(self, node: Mapping[str, Any]) -> list[str]:
        order = tuple(int(v) for v in self._value(node["input"][1]))
        return self.graph.node("Transpose", [self.get(node["input"][0])], perm=order)

    def _pad(self, node: Mapping[str, Any]) -> list[str]:
        source, amounts, *fill = node["input"]
        edges = self._value(amounts)  # [dimensions, (before, after)]
        inputs = [self.get(source), self.graph.constant(edges.T.reshape(-1).astype(np.int64))]
        inputs += [self.graph.constant(np.float32(self._value(fill[0])))] if fill else []
        return self.graph.node("Pad", inputs) if edges.any() else inputs[:1]

    def _convolution(self, node: Mapping[str, Any]) -> list[str]:
        about, kernel = node["attr"], self._value(node["input"][1])  # [height, width, in, out]
        groups = 1
        if "Depthwise" in node["op"]:
            height, width, groups, multiple = kernel.shape
            kernel = kernel.reshape(height, width, 1, groups * multiple)
        inputs = [self._channels_first(self.get(node["input"][0]))]
        inputs.append(self.graph.constant(np.ascontiguousarray(kernel.transpose(3, 2, 0, 1))))
        fused = [_word(v) for v in about.get("fused_ops", {}).get("list", {}).get("s", ())]
        if "BiasAdd" in fused:
            inputs.append(self.graph.constant(self._value(node["input"][2])))
        (out,) = self.graph.node(
            "Conv",
            inputs,
            strides=_two(about["strides"]),
            dilations=_two(about["dilations"]) if "dilations" in about else (1, 1),
            group=int(groups),
            auto_pad=_padding(about),
        )
        for after in fused:
            if after == "Relu":
                (out,) = self.graph.node("Relu", [out])
            elif after == "Relu6":
                bounds = [self.graph.constant(np.float32(v)) for v in (0, 6)]
                (out,) = self.graph.node("Clip", [out, *bounds])
            elif after != "BiasAdd":
                raise ValueError(f"{after} in {node['name']}")
        return self._channels_last(out)

    def _max_pool(self, node: Mapping[str, Any]) -> list[str]:
        about = node["attr"]
        source = self._channels_first(self.get(node["input"][0]))
        (out,) = self.graph.node(
            "MaxPool",
            [source],
            auto_pad=_padding(about),
            kernel_shape=_two(about["ksize"]),
            strides=_two(about["strides"]),
        )
        return self._channels_last(out)

    def _leaky(self, node: Mapping[str, Any]) -> list[str]:
        return self.graph.node("LeakyRelu", [self.get(node["input"][0])], alpha=float(node["attr"]["alpha"]["f"]))

    def _concat(self, node: Mapping[str, Any]) -> list[str]:
        *parts, axis = node["input"]
        return self.graph.node("Concat", [self.get(p) for p in parts], axis=int(self._value(axis)))

    def _split(self, node: Mapping[str, Any]) -> list[str]:
        source, lengths, axis = node["input"]
        sizes = self._value(lengths).astype(np.int64)
        inputs = [self.get(source), self.graph.constant(sizes)]
        return self.graph.node("Split", inputs, outputs=len(sizes), axis=int(self._value(axis)))

    def _resize(self, node: Mapping[str, Any]) -> list[str]:
        if not node["attr"].get("half_pixel_centers", {}).get("b"):
            raise ValueError(f"{node['name']} has no half-pixel centres")
        reference, size = node["input"]
        source = self._channels_first(self.get(reference))
        try:
            target = ["", self._with_size(source, self._value(size))]
        except ValueError:
            # A size that depends on the input's: it is multiplied with constants (Keras' UpSampling2D).
            factors = np.ravel(self._value(self._nodes[size]["input"][1]))
            target = [self.graph.constant(np.array([1, 1, *factors], np.float32))]
        (out,) = self.graph.node(
            "Resize", [source, "", *target], mode="linear", coordinate_transformation_mode="half_pixel"
        )
        return self._channels_last(out)

    def _with_size(self, source: str, size: NDArray[Any]) -> str:
        """The shape N, C of ``source`` with a new H, W."""
        # Resize could be told the axes, but onnxruntime's optimizer of transposes overlooks them.
        (shape,) = self.graph.node("Shape", [source], start=0, end=2)
        return self.graph.node("Concat", [shape, self.graph.constant(size.astype(np.int64))], axis=0)[0]

    def _reshape(self, node: Mapping[str, Any]) -> list[str]:
        shape = self.graph.constant(self._value(node["input"][1]).astype(np.int64))
        return self.graph.node("Reshape", [self.get(node["input"][0]), shape])


def _word(encoded: str) -> str:
    return base64.b64decode(encoded).decode()


def _two(sizes: Mapping[str, Any]) -> tuple[int, int]:
    """Height and width of a list of four numbers, N, H, W, C."""
    values = [int(v) for v in sizes["list"]["i"]]
    return values[1], values[2]


def _padding(about: Mapping[str, Any]) -> str:
    return "VALID" if _word(about["padding"]["s"]) == "VALID" else "SAME_UPPER"
