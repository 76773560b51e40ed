"""The one place where onnxruntime is imported, and how a graph of ours is run: silently, on one thread.

On one thread, since onnxruntime cuts a matrix product by the number of its threads, and another cut rounds otherwise:
with two threads up to 96 pixels of a photo came out up to two levels off. The default model's step takes about a tenth
of a second a layer on one thread, so there is nothing to win.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mild import machine
from mild.errors import MildError
from mild.models.onnx_file import with_outputs


def load_runtime() -> Any:
    """The module ``onnxruntime``, which reports nothing to its maker.

    Raises:
        MildError: it is not installed.
    """
    machine.settle()  # again: somebody may have changed the environment since
    try:
        import onnxruntime
    except ImportError:
        raise MildError("ONNX files need onnxruntime: pip install onnxruntime.") from None
    onnxruntime.disable_telemetry_events()
    return onnxruntime


def open_session(
    path: Path, *, optimised: bool = True, providers: Sequence[str] = (), inner: Sequence[str] = ()
) -> Any:
    """An ``InferenceSession`` of a graph.

    Args:
        path: the ``.onnx`` file.
        optimised: rewrite the graph first, which pays only when it is run often.
        providers: tried before the processor, in this order; see :func:`providers_here`.
        inner: what is to be given beside the graph's outputs, by the names of the nodes' outputs.

    Raises:
        MildError: onnxruntime is not installed.
        Exception: whatever onnxruntime says of a graph that it cannot load.
    """
    runtime = load_runtime()
    options = runtime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    level = runtime.GraphOptimizationLevel
    options.graph_optimization_level = level.ORT_ENABLE_ALL if optimised else level.ORT_DISABLE_ALL
    graph = with_outputs(path.read_bytes(), inner) if inner else str(path)
    return runtime.InferenceSession(graph, options, providers=[*providers, "CPUExecutionProvider"])


def providers_here() -> tuple[str, ...]:
    """What this onnxruntime can run on, the best first."""
    return tuple(load_runtime().get_available_providers())
