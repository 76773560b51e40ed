"""MILD's layers with a plain diffusion in the network's place: what the network must beat.

Every layer of the plan is completed from its own pixels alone, colour and alpha, by OpenCV's Telea or Navier-Stokes,
and the layers are composed as MILD composes its own. A person's alpha is known to be 1 on their visible pixels and 0
on everybody else's; in their hole it is diffused like a colour.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from mild.lab.bench.items import Trial
from mild.lab.bench.methods.base import Answer, Eraser, options_of
from mild.plan.planning import LayerPlan

FLAGS = {"telea": cv2.INPAINT_TELEA, "ns": cv2.INPAINT_NS}


class LayeredDiffusion:
    """Telea or Navier-Stokes, layer by layer, at the photo's own resolution."""

    seeded = False

    def __init__(self, kind: str, radius: float = 5.0) -> None:
        self.kind, self.radius = kind, radius

    @classmethod
    def parse(cls, rest: str) -> Eraser:
        """From ``telea`` or ``ns,radius=3``."""
        kind, _, more = rest.partition(",")
        if kind not in FLAGS:
            kind, more = "telea", rest
        return cls(kind, **options_of(more, {"radius": float}, "layered"))

    def __call__(self, trial: Trial) -> Answer:
        from mild.fill.canvas import LayerCrop, View
        from mild.paint.assemble import assemble
        from mild.plan.planning import plan_layers

        scene = trial.item.scene
        # A canvas as large as the photo: nothing is shrunk.
        plan = plan_layers(
            scene, trial.item.erase, trial.region, resolution=64 * (max(scene.size) // 64 + 1), budget=None
        )
        crops, clean = [], []
        for row in plan.layers:
            photo = scene.photo.pixels[row.crop.slices]
            visible = np.asarray(cv2.copyTo(photo, row.own.view(np.uint8)), np.uint8)
            crops.append(LayerCrop(row, photo, View.of(visible, row.own, row.hole, row.sizes.content), None))
            clean.append(self.completed(visible, row))
        stack = assemble(scene, plan, crops, clean, detail=False)
        return Answer(stack.compose(), stack, {"layers": len(plan.layers)})

    def completed(self, visible: NDArray[np.uint8], row: LayerPlan) -> NDArray[np.float32]:
        """The layer ``[H, W, 4]`` in [-1, 1] from its own pixels ``[H, W, 3]``, 0 elsewhere."""
        flag = FLAGS[self.kind]
        colour = cv2.inpaint(visible, (~row.own).view(np.uint8), self.radius, flag)
        alpha = np.where(row.own | (row.domain == "background"), 255, 0).astype(np.uint8)
        if row.domain == "person":
            alpha = np.asarray(cv2.inpaint(alpha, row.hole.view(np.uint8), self.radius, flag), np.uint8)
        return np.asarray(np.dstack([colour, alpha]).astype(np.float32) / 127.5 - 1, np.float32)

    def measure(self, trial: Trial) -> Mapping[str, Any]:
        return {}

    def about(self) -> Mapping[str, Any]:
        return {"opencv": cv2.__version__, "radius": self.radius, "layers": "MILD's"}
