"""Erasing the ablation's test samples with every variant, and the figures of what comes out, a line each."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from mild.diffusion.pipeline import MildPipeline
from mild.errors import MildError
from mild.files import read_json_lines
from mild.fill.canvas import LayerCrop, cut_layers
from mild.lab.bench.items import Item
from mild.lab.bench.metrics import fidelity
from mild.lab.bench.metrics.layered import layer_figures
from mild.lab.bench.sets.samples import cluster_of, item_of
from mild.lab.data.sample import Sample
from mild.lab.train.ablation_recipe import AblationRecipe
from mild.lab.train.parts import PIPELINE
from mild.lab.train.samplerows import layer_plan, whole_plan
from mild.lab.train.variants import Variant
from mild.layers import LayerStack
from mild.people.scene import Box, Scene
from mild.plan.planning import Plan
from mild.request import Region

#: Of people who stay: the IoU of their alpha in the hole, what of the hidden part is left empty, what is made where
#: nothing is (in parts of it), and the colour's SSIM (``layered.py``).
HIDDEN = ("hidden_iou", "left", "invented", "completion_ssim")


def score(recipe: AblationRecipe, variants: Sequence[Variant], cases: Sequence[Sample]) -> None:
    """Erase from every sample with every model and sampling seed, a line each of ``scores/NAME-SEED.jsonl``.

    Sample by sample, all trainings of all variants in turn: those that are shown the same fill share its search.
    """
    folder = Path(recipe.out) / "scores"
    folder.mkdir(exist_ok=True)
    models = [(variant, seed) for seed in recipe.training_seeds for variant in variants]
    paths = {(variant.name, seed): folder / scores_name(variant.name, seed) for variant, seed in models}
    done = {
        (*model, line["sample"], line["seed"]) for model, path in paths.items() for line in read_json_lines(path)
    }  # fmt: skip
    pipelines: dict[str, Any] = {}
    with ExitStack() as stack:
        files = {model: stack.enter_context(path.open("a", encoding="utf-8")) for model, path in paths.items()}
        for case in cases:
            for sampling in recipe.seeds:
                cuts: dict[tuple[bool, bool], Cut] = {}
                for variant, seed in models:
                    if (variant.name, seed, case.key, sampling) in done:
                        continue
                    line: dict[str, Any] = {"sample": case.key, "seed": sampling, "scenario": case.tags.scenario}
                    line["cluster"] = cluster_of(case)
                    shown = (variant.single, bool(variant.switches.get("prior", True)))
                    try:
                        if shown not in cuts:
                            cuts[shown] = Cut.of(case, recipe.resolution, shown[0], sampling if shown[1] else None)
                        made = _erased(recipe, variant, seed, cuts[shown], sampling, pipelines)
                        line |= measured(made.images[0], case.erased_truth(), cuts[shown].hole)
                        if not variant.single:
                            line |= hidden(made.stacks[0], item_of(case), cuts[shown].hole)
                    except MildError as error:  # nothing to erase is visible, for one; the table counts samples
                        line["failed"] = str(error)
                    files[variant.name, seed].write(json.dumps(line) + "\n")
                    files[variant.name, seed].flush()


def _erased(
    recipe: AblationRecipe, variant: Variant, seed: int, cut: Cut, sampling: int, pipelines: dict[str, Any]
) -> Any:
    """A variant's answer, as the pipeline gives it; the pipeline is loaded when it is first needed, and kept."""
    config = recipe.configs(variant, seed)[-1]
    if config.out not in pipelines:
        pipeline: Any = MildPipeline.from_pretrained(Path(config.out) / PIPELINE, torch_dtype=torch.float32)
        pipeline.to("cuda" if torch.cuda.is_available() else "cpu")
        pipeline.set_progress_bar_config(disable=True)
        pipelines[config.out] = pipeline
    switches = {"detail": False, "sma": config.model.sma, "hmg": config.model.hmg, **variant.switches}
    return pipelines[config.out](
        scene=cut.scene, plan=cut.plan, crops=[cut.crops], output_type="np",
        num_inference_steps=int(switches.pop("steps", recipe.steps)),
        generator=torch.Generator().manual_seed(sampling), **switches,
    )  # fmt: skip


@dataclass(frozen=True)
class Cut:
    """A sample as one kind of variant is shown it: what goes, the plan, and the crops with their fills."""

    scene: Scene
    plan: Plan
    crops: list[LayerCrop]
    hole: NDArray[np.bool_]

    @classmethod
    def of(cls, case: Sample, size: int, single: bool, seed: int | None) -> Cut:
        """``single``: as one path sees it; ``seed`` of the fills, None: no fills. The hole is the same in all."""
        region = Region(feather=0.0)
        scene = case.scene()
        ids = tuple(i for i in case.erased if any(p.id == i for p in scene.people))
        plan = layer_plan(scene, ids, region, size)
        hole = np.zeros(scene.size, bool)
        for box, matte in plan.mattes.values():
            hole[box.slices] |= matte > 0
        if single:
            scene, plan = whole_plan(scene, plan, region, size)
        return cls(scene, plan, cut_layers(scene, plan, seed), hole)


def measured(answer: NDArray[np.uint8], truth: NDArray[np.uint8], hole: NDArray[np.bool_]) -> dict[str, float]:
    """Figures of the hole; HaarPSI of the window around it."""
    window = Box.around(hole).grow(8, (hole.shape[0], hole.shape[1])).slices
    sharp = fidelity.sharpness(answer, truth, hole)
    return {
        "psnr": round(fidelity.psnr(answer, truth, hole), 4),
        "ssim": round(float(fidelity.ssim_map(answer, truth)[hole].mean()), 5),
        "haarpsi": round(fidelity.haarpsi(answer[window], truth[window]), 5),
        **({} if sharp is None else {"sharpness": round(sharp, 4)}),
    }


def hidden(stack: LayerStack, item: Item, hole: NDArray[np.bool_]) -> dict[str, float]:
    """How well those who stay are completed: figures of :data:`HIDDEN`; nothing where nobody was covered."""
    found = layer_figures(stack, item, hole)
    return {name: round(found[name], 5) for name in HIDDEN if name in found}


def scores_name(variant: str, seed: int) -> str:
    """File of a variant's figures, of one training seed."""
    return f"{variant.replace(' ', '_')}-{seed}.jsonl"
