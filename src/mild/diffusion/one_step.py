"""The embedded model's single step through onnxruntime: the default job, without loading torch.

The graph (see :mod:`mild.lab.train.one_step_export`) holds no weights of its own: it reads those of the model's
safetensors files. It gives what :class:`mild.diffusion.pipeline.MildPipeline` gives in one step, to some 1e-6.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mild.diffusion.bodies import MOST_OTHERS, SOURCES, BodyRow, Hmg, described, sources_of
from mild.errors import MildError
from mild.fill.canvas import LayerCrop, content_of, cut_layers
from mild.fill.fillers import Filler
from mild.layers import LayerStack
from mild.models import onnx
from mild.paint.assemble import assemble
from mild.people.scene import Scene
from mild.plan.kept import Kept
from mild.plan.planning import Plan
from mild.progress import Progress

#: The graph's file, in a model's folder.
FILE = "one_step.onnx"
#: Inputs of the graph that say where a layer's pixels come from, and those of its body, in their order.
LAYER_INPUTS = ("rgb", "own", "hole", "fill", "person")
BODY_INPUTS = (
    "points", "parts", "others", "point_confidence", "part_confidence", "other_confidence",
    "where", "limbs", "part_maps",
)  # fmt: skip
#: Which of them are what a source says.
_OF_SOURCE = {
    "pose": ("point_confidence", "limbs"),
    "parsing": ("part_confidence", "part_maps"),
    "relations": ("other_confidence",),
}


def available(folder: Path) -> bool:
    """Does the model have such a graph, and is onnxruntime here to run it?"""
    return (folder / FILE).is_file() and importlib.util.find_spec("onnxruntime") is not None


class OneStep:
    """One denoising step of a model, with its adapters, morphology guidance and, where it has any, modulation.

    Args:
        folder: of the model.
        providers: of onnxruntime, tried before the processor.

    Raises:
        MildError: the graph and the weights do not belong together.
    """

    #: Guidance by bodies is part of the graph.
    morphology = True

    def __init__(self, folder: Path, providers: Sequence[str] = ()) -> None:
        try:
            # Rewriting the graph takes longer than it saves, unless the model stays loaded for a dozen photos.
            self._session = onnx.open_session(folder / FILE, optimised=False, providers=providers)
        except Exception as error:
            raise MildError(
                f"{folder / FILE} does not fit the weights beside it; export it again "
                f"(python -m mild.lab.train.one_step_export {folder}), or choose the runtime torch."
            ) from error
        #: Where it runs: ``cpu`` or ``cuda``.
        self.device = "cuda" if "CUDAExecutionProvider" in self._session.get_providers() else "cpu"
        self._taken = {value.name for value in self._session.get_inputs()}

    def __call__(
        self,
        scene: Scene,
        plan: Plan,
        *,
        seed: int,
        prior: bool = True,
        detail: bool = True,
        hmg: Hmg = "all",
        filler: Filler | None = None,
        correct: bool = True,
        progress: Progress = lambda stage, fraction: None,
        kept: Kept | None = None,
    ) -> LayerStack:
        """The layers of a plan; arguments as of the pipeline's call."""
        fill_seed = seed % 2**32 if prior else None
        crops = cut_layers(scene, plan, fill_seed, lambda done: progress("fill", done), kept, filler)
        clean: list[NDArray[np.float32] | None] = [None] * len(crops)
        # One by one: in a batch a layer's last bits depend on its neighbours, and nothing is won on one thread.
        for i, crop in enumerate(crops):
            progress("denoise", i / len(crops))
            if correct or crop.plan.domain != "background":
                clean[i] = self.layer(crop, BodyRow.of(scene, crop.plan), hmg)
        progress("denoise", 1.0)
        return assemble(scene, plan, crops, clean, detail=detail, tell=lambda done: progress("paint", done), kept=kept)

    def layer(self, crop: LayerCrop, body: BodyRow, hmg: Hmg = "all", mirrored: bool = True) -> NDArray[np.float32]:
        """One clean layer, float32 ``[h, w, 4]`` in [-1, 1], the canvas's part that the crop fills.

        Args:
            mirrored: of a person, the mean of the answers to the row and to the row in a mirror.
        """
        (image,) = self.rows([crop], [body], hmg)
        made = content_of(image, crop.plan)
        if not mirrored or crop.plan.domain == "background":
            return made
        (image,) = self.rows([crop.mirrored()], [body.mirrored(made.shape[1])], hmg)
        return (made + content_of(image, crop.plan)[:, ::-1]) / np.float32(2)

    def rows(self, crops: Sequence[LayerCrop], bodies: Sequence[BodyRow], hmg: Hmg = "all") -> NDArray[np.float32]:
        """Clean layers of one canvas size, float32 ``[B, 4, h, w]`` in [-1, 1]."""
        (rgba,) = self._session.run(None, self.feeds(crops, bodies, hmg))
        if not np.isfinite(rgba).all():
            raise MildError("The denoiser returned values that are not numbers; choose the runtime torch.")
        return np.asarray(rgba, np.float32)

    def feeds(self, crops: Sequence[LayerCrop], bodies: Sequence[BodyRow], hmg: Hmg = "all") -> dict[str, Any]:
        """What the graph is given for layers of one canvas size."""
        columns = [np.stack(column) for column in zip(*(crop.on_canvas() for crop in crops), strict=True)]
        person = np.asarray([crop.plan.domain != "background" for crop in crops], np.float32)
        feeds: dict[str, Any] = dict(zip(LAYER_INPUTS, [*columns, person], strict=True))
        described_bodies = zip(*(described(body, MOST_OTHERS) for body in bodies), strict=True)
        feeds |= {name: np.stack(column) for name, column in zip(BODY_INPUTS, described_bodies, strict=True)}
        for source in set(SOURCES) - sources_of(hmg):
            for name in _OF_SOURCE[source]:
                feeds[name] = np.zeros_like(feeds[name])
        return {name: value for name, value in feeds.items() if name in self._taken}
