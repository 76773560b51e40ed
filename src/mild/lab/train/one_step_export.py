"""Write the embedded model's single step as an ONNX graph that reads the weights of the safetensors files beside it.

    python -m mild.lab.train.one_step_export FOLDER

ONNX (onnx.ai) lets a tensor live in another file at an offset, and that is how safetensors keeps them: the graph is
small, and there is one truth for the weights. It must be written again only when the architecture changes.
"""

from __future__ import annotations

import json
import struct
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from mild.diffusion.bodies import MOST_OTHERS, OTHER_FEATURES, PART_FEATURES, POINT_FEATURES
from mild.diffusion.denoiser import Denoiser
from mild.diffusion.morphology_rows import MorphologyRows
from mild.diffusion.one_step import BODY_INPUTS, FILE, LAYER_INPUTS
from mild.diffusion.rows import LayerRows
from mild.errors import MildError
from mild.extras import needs

#: Components whose weights the graph reads (SMA's amplitudes, where a model has them), and the file that each keeps
#: them in.
PARTS = ("unet", "adapters", "morphology")
OPTIONAL = ("modulation",)
WEIGHTS = "diffusion_pytorch_model.safetensors"
OPSET = 17


class _Step(nn.Module):
    """What is traced: rows in, clean RGBA out, from pure noise in one step.

    At the first timestep the signal is 0: the noise carries nothing, and the answer does not depend on it.
    """

    def __init__(self, pipeline: Any) -> None:
        super().__init__()
        self.unet, self.adapters = pipeline.unet, pipeline.adapters
        self.modulation, self.morphology, self.codec = pipeline.modulation, pipeline.morphology, pipeline.codec

    def forward(
        self,
        rgb: torch.Tensor,
        own: torch.Tensor,
        hole: torch.Tensor,
        fill: torch.Tensor,
        person: torch.Tensor,
        *bodies: torch.Tensor,
    ) -> torch.Tensor:
        rows = LayerRows.build(["person"] * rgb.shape[0], rgb, own, hole, fill)
        flag = person.view(-1, 1, 1, 1)
        # LayerRows reads the domains' names, which a graph does not have: the base of a background is opaque.
        base = torch.cat([rows.fill, (rows.own - rows.foreign) * flag + (1 - flag)], 1)
        known = replace(self.codec.known(rows), base=self.codec.encode(base))
        parts = Denoiser(self.unet, self.codec, None, self.modulation, morphology=self.morphology)
        gate = torch.stack([1 - person, person], 1)
        with self.adapters.attached(self.unet, gate), parts.installed(rows, MorphologyRows(*bodies)) as predict:
            predict.known = known
            predict.tokens = (0 * person).view(-1, 1, 1).expand(-1, 1, self.unet.config.cross_attention_dim)
            clean = predict(torch.zeros_like(known.base), torch.full_like(person, 999.0), torch.zeros_like(person))
        answer: torch.Tensor = self.codec.decode(clean)
        return answer


def example_inputs(rows: int, height: int, width: int, seed: int = 0) -> tuple[torch.Tensor, ...]:
    """Random inputs of the graph, in the order of :data:`LAYER_INPUTS` and :data:`BODY_INPUTS`."""
    source = torch.Generator().manual_seed(seed)

    def some(*shape: int) -> torch.Tensor:
        return torch.rand(rows, *shape, generator=source)

    hole = (some(1, height, width) > 0.7).float()
    own = (some(1, height, width) > 0.3).float() * (1 - hole)
    person = (torch.arange(rows) % 2).float()
    layers = (some(3, height, width) * 2 - 1, own, hole, some(3, height, width) * 2 - 1, person)
    tokens = (some(17, POINT_FEATURES), some(7, PART_FEATURES), some(MOST_OTHERS, OTHER_FEATURES))
    confidences = (some(17), some(7), some(MOST_OTHERS))
    maps = (
        some(1 + MOST_OTHERS, height // 8, width // 8),
        some(10, height // 4, width // 4),
        some(7, height // 4, width // 4),
    )
    return (*layers, *tokens, *confidences, *maps)


def export(pipeline: Any, folder: Path) -> Path:
    """Write the graph of ``pipeline``, whose weights lie in ``folder``; returns the file.

    Raises:
        MildError: a model that this does not serve, or the package onnx is missing.
    """
    missing = [name for name in (*PARTS, "codec") if getattr(pipeline, name, None) is None]
    if missing or pipeline.adapters.domains != ("background", "person"):
        raise MildError("A one-step graph is for models like mild-small: a codec, adapters and morphology.")
    with needs("Writing a graph", "train"):
        import onnx
    step = _Step(pipeline.to(torch.float32)).eval()
    inputs = example_inputs(2, 128, 192)
    names = [*LAYER_INPUTS, *BODY_INPUTS]
    axes: dict[str, dict[int, str]] = {name: {0: "rows"} for name in (*names, "rgba")}
    for unit, sized in (
        ("", ("rgb", "own", "hole", "fill", "rgba")),
        ("/8", ("where",)),
        ("/4", ("limbs", "part_maps")),
    ):
        for name in sized:
            axes[name] |= {2: f"height{unit}", 3: f"width{unit}"}
    path = folder / FILE
    with torch.no_grad():
        torch.onnx.export(
            step, inputs, str(path), dynamo=False, opset_version=OPSET, do_constant_folding=False,
            input_names=names, output_names=["rgba"], dynamic_axes=axes,
        )  # fmt: skip
    model = onnx.load(str(path))
    _read_weights_from(model, folder, [*PARTS, *(n for n in OPTIONAL if getattr(pipeline, n, None) is not None)])
    onnx.save(model, str(path))
    return path


def _read_weights_from(model: Any, folder: Path, parts: Sequence[str]) -> None:
    """Replace the graph's weights by places in the safetensors files; half precision is widened when it is loaded."""
    from onnx import TensorProto, helper

    places = {f"{part}.{name}": place for part in parts for name, place in _places(folder / part / WEIGHTS).items()}
    kinds = {"F16": TensorProto.FLOAT16, "F32": TensorProto.FLOAT}
    kept, widened = [], []
    for tensor in model.graph.initializer:
        place = places.get(tensor.name)
        if place is None:
            kept.append(tensor)
            continue
        kind, shape, offset, length = place
        if list(tensor.dims) != shape:
            raise MildError(f"The weight {tensor.name} is {list(tensor.dims)} in the graph but {shape} in the file.")
        half = kind == "F16"
        stored = TensorProto(name=f"{tensor.name}.half" if half else tensor.name, data_type=kinds[kind], dims=shape)
        stored.data_location = TensorProto.EXTERNAL
        where = {"location": f"{tensor.name.split('.')[0]}/{WEIGHTS}", "offset": offset, "length": length}
        for key, value in where.items():
            stored.external_data.add(key=key, value=str(value))
        kept.append(stored)
        if half:
            widened.append(helper.make_node("Cast", [stored.name], [tensor.name], to=TensorProto.FLOAT))
    nodes = [*widened, *model.graph.node]
    del model.graph.initializer[:], model.graph.node[:]
    model.graph.initializer.extend(kept)
    model.graph.node.extend(nodes)


def _places(path: Path) -> dict[str, tuple[str, list[int], int, int]]:
    """Type, shape, offset in the file and length of every tensor of a safetensors file (its header is JSON)."""
    with path.open("rb") as file:
        (size,) = struct.unpack("<Q", file.read(8))
        header = json.loads(file.read(size))
    header.pop("__metadata__", None)
    return {
        name: (t["dtype"], t["shape"], 8 + size + t["data_offsets"][0], t["data_offsets"][1] - t["data_offsets"][0])
        for name, t in header.items()
    }


if __name__ == "__main__":
    from mild.diffusion.pipeline import MildPipeline

    model_folder = Path(sys.argv[1])
    print(export(MildPipeline.from_pretrained(str(model_folder)), model_folder))
