"""What becomes of hidden people, row by row, without the rest of the job: fills, canvases, networks, plain diffusions.

    python bench/people.py --samples out/mild-bench VARIANT...

Every kept person of the samples whom an erased one covered is a row; its layer is made by each variant and compared
with the truth: IoU of the hidden part, alpha's absolute error in parts of the hidden one, PSNR and SSIM of the colour
where the truth is hidden (over grey), which share of the hidden part is left empty, how much is made where nothing is
(as a share of the hidden part), and processor seconds. Differences are against the first variant, row by row, with
95 % bootstrap intervals over the background photos. A variant is ``name=key:value,…`` of

    fill: person (what the road does), exemplar, none         canvas: fine (the road's), shared (a budget of 1.1)
    paint: detail (the road's), enlarged (the canvas as it is), copied (own pixels painted whatever the size)
    hmg: all, none, or sources with +       sma: on, off, beta, gamma       adapters: on, off
    mirror: yes (the mean with the mirrored row), no, untold (the mirrored row is told nothing of bodies)
    model: a folder
    pose: given (the samples'; two thirds of the people have none), found (by the default finder), none
    again: yes (as the road does, joints that are the finder's or nobody's are looked for once more), no
    steps: of the denoiser (1: the road's)
    alone: telea, ns (no network: colour and alpha are diffused from the person's own pixels)
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any
from unittest.mock import patch

import cv2
import numpy as np
from numpy.typing import NDArray

from mild.diffusion.bodies import BodyRow
from mild.diffusion.denoiser import Denoiser
from mild.diffusion.one_step import OneStep
from mild.diffusion.sampling import denoised_both_ways
from mild.fill.canvas import LayerCrop, View
from mild.fill.first import diffused_fill
from mild.fill.prior import exemplar_fill
from mild.lab.bench.items import Item
from mild.lab.bench.methods.layered import LayeredDiffusion
from mild.lab.bench.metrics.fidelity import psnr, ssim_map
from mild.lab.bench.sets.samples import SampleSet
from mild.models import assets
from mild.paint import assemble
from mild.people.find import find_people
from mild.people.parsing import with_parts
from mild.people.scene import Person, Scene
from mild.plan.joints import looked_again
from mild.plan.planning import LayerPlan, Plan, plan_layers
from mild.request import Finder, Region

Rgb = NDArray[np.uint8]
#: Fewer hidden pixels than this are in no mean.
LEAST = 16
#: A found person is one of the sample's from this IoU of their visible parts.
LIKE = 0.4
#: From this share of a person hidden, occlusion is called severe.
SEVERE = 0.4
FIGURES = ("iou", "alpha", "psnr", "ssim", "left", "invented", "cpu")


@dataclass(frozen=True)
class Variant:
    """One way to make a person's layer; see the module."""

    name: str
    fill: str = "person"
    canvas: str = "fine"
    mirror: str = "yes"
    model: str = "mild-small"
    paint: str = "detail"
    hmg: str = "all"
    sma: str = "on"
    adapters: str = "on"
    steps: str = "1"
    pose: str = "given"
    again: str = "yes"
    alone: str = ""

    @classmethod
    def parse(cls, text: str) -> Variant:
        name, _, rest = text.partition("=")
        return cls(name, **dict(part.split(":", 1) for part in filter(None, rest.split(","))))

    def layer(self, scene: Scene, plan: Plan, row: LayerPlan) -> tuple[Rgb, NDArray[np.float32]]:
        """Colour ``[H, W, 3]`` and opacity ``[H, W]`` of the person in the focus of their row."""
        photo = scene.photo.pixels[row.crop.slices]
        inner = row.focus.inside(row.crop).slices
        if self.alone:
            seen = np.where(row.own[..., None], photo, np.uint8(0))
            made = LayeredDiffusion(self.alone).completed(seen, row)[inner]
            return np.rint(made[..., :3] * 127.5 + 127.5).astype(np.uint8), (made[..., 3] + 1) / 2
        crop = self._cut(photo, row)
        model = _model(self.model)
        body = BodyRow.of(scene, row)
        sources: Any = self.hmg if self.hmg in ("all", "none") else tuple(self.hmg.split("+"))
        if self.sma != "on" or self.adapters != "on" or self.steps != "1":
            clean = self._in_torch(crop, body, sources)
        else:
            clean = model.layer(crop, body, sources, mirrored=self.mirror == "yes")
            if self.mirror == "untold":
                turned = model.layer(crop.mirrored(), body.mirrored(clean.shape[1]), "none", mirrored=False)
                clean = (clean + turned[:, ::-1]) / np.float32(2)
        with patch.object(assemble, "ENLARGED", 0.0 if self.paint == "copied" else assemble.ENLARGED):
            colour = assemble._colour(crop, clean, plan.mattes, self.paint != "enlarged", True)
        return np.clip(np.rint(colour), 0, 255).astype(np.uint8), assemble._alpha(row, clean)[inner]

    def _in_torch(self, crop: LayerCrop, body: BodyRow, hmg: Any) -> NDArray[np.float32]:
        """The clean layer ``[h, w, 4]`` by the pipeline's parts, some of them off."""
        import torch

        pipe = _pipeline(self.model)
        adapters = pipe.adapters if self.adapters == "on" else None
        denoiser = Denoiser(pipe.unet, pipe.codec, adapters, pipe.modulation, self.sma, morphology=pipe.morphology)
        noise = pipe.prepare_latents(crop.plan, torch.Generator().manual_seed(0))
        with torch.no_grad():
            (made,) = denoised_both_ways(
                denoiser, pipe.scheduler, [crop], [body], noise, hmg=hmg, steps=int(self.steps), strength=1.0,
                device=torch.device("cpu"), on_step=lambda number, count, time, latents: latents,
            )  # fmt: skip
        return made

    def _cut(self, photo: Rgb, row: LayerPlan) -> LayerCrop:
        if self.fill == "person":
            return LayerCrop.cut(photo, row, 0)
        if self.fill == "none":
            return LayerCrop.cut(photo, row, None)
        visible = np.asarray(cv2.copyTo(photo, row.own.view(np.uint8)), np.uint8)
        view = View.of(visible, row.own, row.hole, row.sizes.searched)
        make = {"exemplar": exemplar_fill, "diffused": diffused_fill}[self.fill]
        return LayerCrop(
            row, photo, View.of(visible, row.own, row.hole, row.sizes.content), make(view.rgb, view.own, view.hole)
        )


@lru_cache(maxsize=8)
def _model(name: str) -> OneStep:
    return OneStep(Path(name) if Path(name).is_dir() else assets.model_folder(name))


@lru_cache(maxsize=4)
def _pipeline(name: str) -> Any:
    from mild.diffusion.pipeline import MildPipeline

    return MildPipeline.from_pretrained(name if Path(name).is_dir() else str(assets.model_folder(name)))


def _with_poses(item: Item) -> Scene:
    """The item's people with the poses of those whom the finder sees in their places."""
    found = find_people(item.scene.photo, Finder()).people
    size = item.scene.size

    def overlap(person: Person, other: Person) -> float:
        one, two = person.full_mask(size), other.full_mask(size)
        return float((one & two).sum() / max(1, (one | two).sum()))

    people = []
    for person in item.scene.people:
        like, best = max(((overlap(person, other), other.id) for other in found), default=(0.0, 0))
        pose = next((other for other in found if other.id == best and like > LIKE), None)
        points, finer = (None, None) if pose is None else (pose.keypoints, pose.landmarks)
        people.append(replace(person, keypoints=points, landmarks=finer))
    return replace(item.scene, people=tuple(people))


def planned(
    item: Item, given: Scene, budget: float | None = None
) -> tuple[Scene, Plan, list[LayerPlan], NDArray[np.bool_]]:
    """The scene with its people's parts, the plan, the rows of people, and all that goes, bool ``[H, W]``."""
    plan = plan_layers(given, item.erase, Region(), budget=budget)
    rows = [row for row in plan.layers if row.owner is not None]
    scene = with_parts(given, [row.owner for row in rows if row.owner is not None])
    hole = np.zeros(scene.size, bool)
    for box, matte in plan.mattes.values():
        hole[box.slices] |= matte > 0
    return scene, plan, rows, hole


def judged(item: Item, variant: Variant, given: Scene) -> Iterator[dict[str, Any]]:
    """The figures of every hidden person of an item; ``given``: its scene, as the variant knows it."""
    scene, plan, rows, hole = planned(item, given, {"fine": None, "shared": 1.1}[variant.canvas])
    if variant.again == "yes":
        scene = looked_again(scene, plan)
    for row in rows:
        whole = item.truth.people.get(row.owner) if item.truth is not None and row.owner is not None else None
        if whole is None or row.owner is None:
            continue
        begun = time.process_time()
        colour, alpha = variant.layer(scene, plan, row)
        spent = time.process_time() - begun
        visible = scene.mask_of((row.owner,))
        opacity, given = np.zeros(scene.size, np.float32), scene.photo.pixels.copy()
        opacity[row.focus.slices] = alpha
        opacity[visible] = 1
        given[row.focus.slices] = colour
        given[visible] = scene.photo.pixels[visible]
        truth = whole[..., 3] > 127
        hidden = truth & hole & ~visible
        made = (opacity > 127 / 255) & hole
        if hidden.sum() < LEAST:
            # Nothing of them is hidden: whatever is made is too much.
            yield {"id": item.id, "photo": item.cluster, "owner": row.owner, "hidden": 0.0, "cpu": spent,
                   "invented_px": int((made & ~truth).sum())}  # fmt: skip
            continue
        over = [np.where(truth[..., None], image, np.uint8(127)) for image in (given, whole[..., :3])]
        yield {
            "id": item.id,
            "photo": item.cluster,
            "owner": row.owner,
            "hidden": float(hidden.sum() / truth.sum()),
            "alpha": float(np.abs(opacity - whole[..., 3] / np.float32(255))[hole].sum() / hidden.sum()),
            "iou": float((made & truth & hole).sum() / ((made | truth) & hole).sum()),
            "psnr": psnr(given, whole[..., :3], hidden),
            "ssim": float(ssim_map(over[0], over[1])[hidden].mean()),
            "left": float((hidden & ~made).sum() / hidden.sum()),
            "invented": float((made & ~truth).sum() / hidden.sum()),
            "cpu": spent,
        }


def interval(values: list[tuple[str, float]], draws: int = 1000) -> tuple[float, float, float]:
    """Mean and 95 % bootstrap interval over photos."""
    groups: dict[str, list[float]] = {}
    for photo, value in values:
        groups.setdefault(photo, []).append(value)
    sums = np.asarray([[sum(v), len(v)] for v in groups.values()])
    picks = np.random.default_rng(0).integers(len(sums), size=(draws, len(sums)))
    means = sums[picks].sum(1)
    low, high = np.percentile(means[:, 0] / means[:, 1], [2.5, 97.5])
    return float(sums[:, 0].sum() / sums[:, 1].sum()), float(low), float(high)


def table(found: dict[str, list[dict[str, Any]]], least: float = 0.0) -> str:
    """Means per variant, and differences against the first one; ``least``: share hidden at least."""
    names = list(found)
    first = {(r["id"], r["owner"]): r for r in found[names[0]]}
    lines = ["| variant | " + " | ".join(FIGURES) + " |", "| --- |" + " --- |" * len(FIGURES)]
    for name in names:
        rows = [r for r in found[name] if "iou" in r and r["hidden"] >= least]
        cells = []
        for figure in FIGURES:
            mean = float(np.mean([r[figure] for r in rows]))
            pairs = [(r["photo"], r[figure] - first[r["id"], r["owner"]][figure]) for r in rows]
            difference, low, high = interval(pairs)
            apart = "" if name == names[0] else f" ({difference:+.3f} [{low:+.3f}, {high:+.3f}])"
            cells.append(f"{mean:.3f}{apart}")
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    counted = [r for r in found[names[0]] if "iou" in r and r["hidden"] >= least]
    photos = len({r["photo"] for r in counted})
    return "\n".join([f"{len(counted)} hidden people, {photos} photos", "", *lines])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("variants", nargs="+", type=Variant.parse)
    parser.add_argument("--samples", required=True, help="shards of samples (`mild data synth --preset test`)")
    parser.add_argument("--limit", type=int, help="of samples")
    parser.add_argument("--json", type=Path, help="keep all figures here")
    asked = parser.parse_args()
    cv2.setNumThreads(1)
    samples = SampleSet.open(asked.samples)
    found: dict[str, list[dict[str, Any]]] = {v.name: [] for v in asked.variants}
    for id in list(samples.ids())[: asked.limit]:
        item = samples.load(id)
        scenes = {"given": item.scene}
        if any(variant.pose == "found" for variant in asked.variants):
            scenes["found"] = _with_poses(item)
        scenes["none"] = replace(item.scene, people=tuple(replace(p, keypoints=None) for p in item.scene.people))
        for variant in asked.variants:
            found[variant.name] += judged(item, variant, scenes[variant.pose])
    if asked.json:
        asked.json.write_text(json.dumps(found))
    print(table(found))
    print(f"\nSevere (at least {SEVERE:.0%} of the person hidden): {table(found, SEVERE)}")


if __name__ == "__main__":
    main()
