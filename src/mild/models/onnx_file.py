"""ONNX files written without the onnx package: as much of the format as a small convolutional net needs.

ONNX is Protocol Buffers (https://github.com/onnx/onnx/blob/main/onnx/onnx.proto): each field of a message is a key
(number and wire type) and a value. The field numbers stand beside the names below.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Attribute = int | float | str | Sequence[int]

IR_VERSION, OPSET = 8, 18
_VARINT, _BYTES, _FLOAT = 0, 2, 5
_DATA_TYPES = {"float32": 1, "int32": 6, "int64": 7, "bool": 9, "float16": 10}
#: AttributeProto.type
_IS_FLOAT, _IS_INT, _IS_STRING, _IS_INTS = 1, 2, 3, 7


class Graph:
    """A net in the making: nodes in the order in which they run, and the constants that they read."""

    def __init__(self) -> None:
        self._nodes: list[bytes] = []
        self._constants: list[bytes] = []
        self._count = 0

    def node(self, op: str, inputs: Sequence[str], outputs: int = 1, **attributes: Attribute) -> list[str]:
        """Add an operation and return the names of its outputs; an input named "" is left out."""
        names = [self._name(op) for _ in range(outputs)]
        body = [_text(1, name) for name in inputs] + [_text(2, name) for name in names] + [_text(4, op)]
        body += [_message(5, _attribute(name, value)) for name, value in attributes.items()]
        self._nodes.append(b"".join(body))
        return names

    def constant(self, values: NDArray[Any] | np.generic) -> str:
        """Add a constant array and return its name."""
        name = self._name("constant")
        values = np.array(values, order="C")
        dims = b"".join(_integer(1, n) for n in values.shape)
        raw = values.astype(values.dtype.newbyteorder("<")).tobytes()
        self._constants.append(dims + _integer(2, _DATA_TYPES[values.dtype.name]) + _text(8, name) + _message(9, raw))
        return name

    def file(self, inputs: Mapping[str, Sequence[int | str]], outputs: Mapping[str, str]) -> bytes:
        """The whole file.

        Args:
            inputs: name -> shape, with a word for a size that is free; all float32.
            outputs: name in the file -> name in this graph.
        """
        renamed = [_text(1, inner) + _text(2, name) + _text(4, "Identity") for name, inner in outputs.items()]
        graph = [_message(1, node) for node in (*self._nodes, *renamed)] + [_text(2, "net")]
        graph += [_message(5, tensor) for tensor in self._constants]
        graph += [_message(11, _value(name, shape)) for name, shape in inputs.items()]
        graph += [_message(12, _value(name, None)) for name in outputs]
        opset = _text(1, "") + _integer(2, OPSET)
        return _integer(1, IR_VERSION) + _text(2, "mild") + _message(7, b"".join(graph)) + _message(8, opset)

    def _name(self, what: str) -> str:
        self._count += 1
        return f"{what}_{self._count}"


def with_outputs(file: bytes, names: Sequence[str]) -> bytes:
    """A file whose graph gives what some of its inner nodes say, too.

    Protocol Buffers merge a message that is written in two pieces, and what is listed in both is listed after one
    another: the outputs are written behind the file.

    Args:
        names: of outputs of its nodes; all float32.
    """
    return file + _message(7, b"".join(_message(12, _value(name, None)) for name in names))


def _attribute(name: str, value: Attribute) -> bytes:
    head = _text(1, name)
    if isinstance(value, str):
        return head + _text(4, value) + _integer(20, _IS_STRING)
    if isinstance(value, float):
        return head + _key(2, _FLOAT) + struct.pack("<f", value) + _integer(20, _IS_FLOAT)
    if isinstance(value, int):
        return head + _integer(3, value) + _integer(20, _IS_INT)
    return head + b"".join(_integer(8, v) for v in value) + _integer(20, _IS_INTS)


def _value(name: str, shape: Sequence[int | str] | None) -> bytes:
    tensor = _integer(1, _DATA_TYPES["float32"])
    if shape is not None:
        dims = [_integer(1, n) if isinstance(n, int) else _text(2, n) for n in shape]
        tensor += _message(2, b"".join(_message(1, dim) for dim in dims))
    return _text(1, name) + _message(2, _message(1, tensor))


def _varint(value: int) -> bytes:
    value &= (1 << 64) - 1  # negative numbers are ten bytes of two's complement
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    out.append(value)
    return bytes(out)


def _key(field: int, wire: int) -> bytes:
    return _varint(field << 3 | wire)


def _integer(field: int, value: int) -> bytes:
    return _key(field, _VARINT) + _varint(int(value))


def _message(field: int, body: bytes) -> bytes:
    return _key(field, _BYTES) + _varint(len(body)) + body


def _text(field: int, value: str) -> bytes:
    return _message(field, value.encode())
