"""What runs the embedded network fastest, and what that costs: onnxruntime as shipped, optimised, in 8 bits; OpenVINO.

    OMP_NUM_THREADS=1 python bench/runtimes.py --samples sets/test --count 12 [--json FILE]

The layers of MILD samples, through each runtime on one thread: processor seconds per layer (after a first, untimed
run) and to load, the PSNR of the answer's colours against the shipped runtime's, and of a composed hole against the
truth. What is not installed is left out and named. ``torch`` is the network alone, as the pipeline runs it.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mild.diffusion.bodies import BodyRow
from mild.diffusion.one_step import FILE, OneStep
from mild.fill.canvas import LayerCrop, content_of, cut_layers
from mild.lab.data.sample import Sample
from mild.lab.data.store import open_samples
from mild.lab.train.samplerows import layer_plan
from mild.models import onnx
from mild.request import Region

MODEL = Path(__file__).resolve().parents[1] / "src/mild/weights/mild-small"
Feeds = dict[str, Any]
Run = Callable[[Feeds], NDArray[np.float32]]


def layers_of(samples: Sequence[Sample]) -> list[tuple[Sample, LayerCrop, BodyRow]]:
    out = []
    for sample in samples:
        scene = sample.scene()
        ids = tuple(i for i in sample.erased if any(p.id == i for p in scene.people))
        plan = layer_plan(scene, ids, Region(feather=0.0), 256)
        out += [(sample, crop, BodyRow.of(scene, crop.plan)) for crop in cut_layers(scene, plan, 0)]
    return out


def session(graph: Path, optimised: bool) -> Run:
    running = onnx.open_session(graph, optimised=optimised)
    return lambda feeds: np.asarray(running.run(None, feeds)[0], np.float32)


def eight_bits(folder: Path) -> Run:
    """Dynamic quantisation: 8-bit weights, activations quantised on the way; the graph in 32 bits first."""
    onnx.load_runtime()
    from onnxruntime.quantization import QuantType, quantize_dynamic
    from onnxruntime.quantization.shape_inference import quant_pre_process

    quant_pre_process(str(MODEL / FILE), str(folder / "whole.onnx"), skip_symbolic_shape=True)
    quantize_dynamic(str(folder / "whole.onnx"), str(folder / "int8.onnx"), weight_type=QuantType.QUInt8)
    return session(folder / "int8.onnx", optimised=True)


def openvino(_: Path) -> Run:
    import openvino as ov

    core = ov.Core()
    settings = {"INFERENCE_NUM_THREADS": 1, "INFERENCE_PRECISION_HINT": "f32"}
    compiled = core.compile_model(core.read_model(str(MODEL / FILE)), "CPU", settings)
    return lambda feeds: np.asarray(compiled(feeds)[0], np.float32)


RUNTIMES: dict[str, Callable[[Path], Run]] = {
    "onnxruntime, as shipped": lambda _: session(MODEL / FILE, optimised=False),
    "onnxruntime, graph rewritten": lambda _: session(MODEL / FILE, optimised=True),
    "onnxruntime, 8 bits": eight_bits,
    "OpenVINO": openvino,
}


def psnr(a: NDArray[Any], b: NDArray[Any]) -> float:
    return float(10 * np.log10(4 / max(1e-10, np.square(a.astype(np.float64) - b).mean())))


def measured(run: Run, feeds: Sequence[Feeds]) -> tuple[float, list[NDArray[np.float32]]]:
    run(feeds[0])
    begun = time.process_time()
    answers = [run(one) for one in feeds]
    return (time.process_time() - begun) / len(feeds), answers


def truth_of(sample: Sample, crop: LayerCrop) -> NDArray[np.float32]:
    """The erased photo on the layer's canvas, in [-1, 1]."""
    import cv2

    height, width = crop.plan.sizes.content
    there = sample.erased_truth()[crop.plan.crop.slices].astype(np.float32)
    return np.asarray(cv2.resize(there, (width, height), interpolation=cv2.INTER_AREA), np.float32) / 127.5 - 1


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", required=True)
    parser.add_argument("--count", type=int, default=12)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    chosen = []
    for sample in open_samples(options.samples):
        chosen.append(sample)
        if len(chosen) == options.count:
            break
    layers = layers_of(chosen)
    one = OneStep(MODEL, threads=1)
    feeds = [one.feeds([crop], [body]) for _, crop, body in layers]
    table: dict[str, dict[str, float]] = {}
    shipped: list[NDArray[np.float32]] = []
    with tempfile.TemporaryDirectory() as folder:
        for name, make in RUNTIMES.items():
            begun = time.process_time()
            try:
                run = make(Path(folder))
            except ImportError as error:
                print(f"{name}: not measured ({error}).")
                continue
            loading = time.process_time() - begun
            seconds, answers = measured(run, feeds)
            shipped = shipped or answers
            holes = []
            for (sample, crop, _), answer in zip(layers, answers, strict=True):
                if crop.plan.domain == "background" and crop.canvas.hole.any():
                    made = content_of(answer[0], crop.plan)[..., :3]
                    holes.append(psnr(made[crop.canvas.hole], truth_of(sample, crop)[crop.canvas.hole]))
            same = float(np.mean([min(99.0, psnr(a[:, :3], b[:, :3])) for a, b in zip(answers, shipped, strict=True)]))
            table[name] = {"load": loading, "layer": seconds, "as shipped": same, "truth": float(np.mean(holes))}
            figures = table[name]
            print(
                f"{name:30s} load {loading:5.2f} s, layer {seconds:6.3f} s, against the shipped "
                f"{figures['as shipped']:5.1f} dB, backgrounds' holes against the truth {figures['truth']:.3f} dB"
            )
    if options.json:
        options.json.write_text(json.dumps(table, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
