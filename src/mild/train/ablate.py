"""The ablation as one command: train every variant on the same rows for the same steps, erase the same test samples
with each, and write one table and one plot with intervals.

Everything is resumable: a variant that is trained is not trained again, a sample that is scored is not scored again.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, model_validator

from mild.data.sample import SCENARIOS, Sample
from mild.data.store import open_samples
from mild.diffusion.canvas import LayerCrop, cut_layers
from mild.diffusion.plan import Plan
from mild.errors import MildError, UsageError
from mild.request import Region
from mild.scene import Scene
from mild.train.config import RunConfig, build, dump_yaml, read_yaml
from mild.train.parts import PIPELINE
from mild.train.run import train
from mild.train.samplerows import layer_plan, whole_plan
from mild.train.variants import VARIANTS, Variant, runs_of

#: Figures of the table, larger is better but for the sharpness, whose best value is 1.
FIGURES = ("psnr", "ssim", "haarpsi", "sharpness")
HEADINGS = {"psnr": "PSNR, dB", "ssim": "SSIM", "haarpsi": "HaarPSI", "sharpness": "sharpness"}


class Recipe(BaseModel):
    """What is compared, and on what."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    run: dict[str, Any] = Field(description="A training config (stage base); each variant changes its model section.")
    out: str = Field(min_length=1)
    test: str = Field(description="Samples to erase from: shards or folders, split test.")
    samples: int = Field(60, ge=1, description="So many of them, evenly from all scenarios.")
    variants: tuple[str, ...] = tuple(VARIANTS)
    seeds: tuple[int, ...] = Field((0, 1, 2), min_length=1, description="Of sampling.")
    training_seeds: tuple[int, ...] = Field((0,), min_length=1)
    steps: int = Field(1, ge=1, le=100, description="Denoising steps when erasing, where a variant says nothing.")
    resolution: int = Field(256, ge=64, le=2048, multiple_of=64, description="Of the denoiser's canvas, pixels.")
    distilled: float = Field(0.25, gt=0, lt=1, description="Share of the steps of a few-step variant that distil.")
    distillation: dict[str, Any] = Field(
        default_factory=lambda: {"adversarial": 0.005, "teacher": 0.02, "gradient": 0.02, "texture": 0.01},
        description="Weights of the losses of that share.",
    )

    @model_validator(mode="after")
    def _known(self) -> Self:
        unknown = [name for name in self.variants if name not in VARIANTS]
        if unknown:
            raise ValueError(f"there is no variant {unknown[0]!r}; there are {', '.join(VARIANTS)}")
        if self.run.get("stage") != "base":
            raise ValueError("the stage of run must be base: every variant is trained from the start")
        return self

    @classmethod
    def load(cls, path: str | Path) -> Recipe:
        """Read a YAML file; ``run`` may name another file, relative to this one.

        Raises:
            UsageError: one sentence per mistake.
        """
        values = read_yaml(path)
        if isinstance(values.get("run"), str):
            values["run"] = read_yaml(Path(path).parent / values["run"])
        recipe = build(cls, values, str(path))
        for name in recipe.variants:  # each config is refused now, not after hours
            recipe.configs(VARIANTS[name], recipe.training_seeds[0])
        return recipe

    def folder(self, variant: Variant, seed: int) -> Path:
        return Path(self.out) / "runs" / f"{(variant.weights or variant.name).replace(' ', '_')}-{seed}"

    def configs(self, variant: Variant, seed: int) -> list[RunConfig]:
        """The run, or the two runs, of a variant: all have the recipe's number of steps together."""
        folder, base = self.folder(variant, seed), dict(self.run)
        model = {**base.get("model", {}), **variant.model}
        values = {**base, "seed": seed, "model": model, "out": str(folder)}
        steps = int(values.get("optimiser", {}).get("steps", 6000))
        if not variant.distilled:
            return [build(RunConfig, values, f"variant {variant.name}")]
        late = max(1, round(steps * self.distilled))
        first = {**values, "out": str(folder) + "-teacher", "optimiser": _steps(values, steps - late)}
        second = {
            **values, "stage": "distill", "optimiser": _steps(values, late),
            "model": {**model, "start": first["out"], "kept": None},
            "loss": {**values.get("loss", {}), **self.distillation},
            "noise": {"first": 0.25, "steps": int(variant.switches.get("steps", 4)), "teacher_steps": 4},
        }  # fmt: skip
        return [build(RunConfig, part, f"variant {variant.name}") for part in (first, second)]


def _steps(values: Mapping[str, Any], steps: int) -> dict[str, Any]:
    setting = dict(values.get("optimiser", {}))
    return {**setting, "steps": steps, "warmup": min(setting.get("warmup", 200), steps)}


def ablate(recipe: Recipe, *, score_only: bool = False) -> Path:
    """Train, score, and write ``table.md``, ``table.json`` and ``plot.png``; returns the table's path."""
    out = Path(recipe.out)
    out.mkdir(parents=True, exist_ok=True)
    dump_yaml(recipe, out / "recipe.yaml")
    cases = chosen(recipe)
    for seed in recipe.training_seeds:
        if not score_only:
            for variant in runs_of(list(recipe.variants)):
                for config in recipe.configs(variant, seed):
                    if not (Path(config.out) / PIPELINE / "model_index.json").exists():
                        print(f"training {variant.name}, seed {seed}: {config.stage}", flush=True)
                        train(config)
        score(recipe, [VARIANTS[name] for name in recipe.variants], seed, cases)
    return write_table(recipe)


def chosen(recipe: Recipe) -> list[Sample]:
    """The test samples: as many as possible of every scenario, in the order of the set."""
    pools: dict[str, list[Sample]] = {}
    share = -(-recipe.samples // len(SCENARIOS))
    for sample in open_samples(recipe.test):
        pool = pools.setdefault(sample.tags.scenario, [])
        if len(pool) < share and sample.truth == "layers" and sample.erased:
            pool.append(sample)
        if len(pools) >= len(SCENARIOS) and all(len(pools.get(s, [])) >= share for s in SCENARIOS):
            break
    turns = max((len(pool) for pool in pools.values()), default=0)
    found = [pool[i] for i in range(turns) for pool in pools.values() if i < len(pool)]
    if not found:
        raise UsageError(f"{recipe.test} holds no sample with an erased person and its whole truth.")
    return list(islice(found, recipe.samples))


def score(recipe: Recipe, variants: Sequence[Variant], seed: int, cases: Sequence[Sample]) -> None:
    """Erase from every sample with every sampling seed; figures go to ``scores/NAME-SEED.jsonl``, a line each.

    Sample by sample, all variants in turn: those that are shown the same fill share its search.
    """
    folder = Path(recipe.out) / "scores"
    folder.mkdir(exist_ok=True)
    paths = {variant.name: folder / _scores_name(variant.name, seed) for variant in variants}
    done = {
        (name, line["sample"], line["seed"]) for name, path in paths.items() for line in _lines(path)
    }  # fmt: skip
    from mild.bench.sets.samples import cluster_of

    pipelines: dict[str, Any] = {}
    with ExitStack() as stack:
        files = {name: stack.enter_context(path.open("a", encoding="utf-8")) for name, path in paths.items()}
        for case in cases:
            for sampling in recipe.seeds:
                cuts: dict[tuple[bool, bool], Cut] = {}
                for variant in variants:
                    if (variant.name, case.key, sampling) in done:
                        continue
                    line: dict[str, Any] = {"sample": case.key, "seed": sampling, "scenario": case.tags.scenario}
                    line["cluster"] = cluster_of(case)
                    shown = (variant.single, bool(variant.switches.get("prior", True)))
                    try:
                        if shown not in cuts:
                            cuts[shown] = Cut.of(case, recipe.resolution, shown[0], sampling if shown[1] else None)
                        answer = _erased(recipe, variant, seed, cuts[shown], sampling, pipelines)
                        line |= measured(answer, case.erased_truth(), cuts[shown].hole)
                    except MildError as error:  # nothing to erase is visible, for one; the table counts samples
                        line["failed"] = str(error)
                    files[variant.name].write(json.dumps(line) + "\n")
                    files[variant.name].flush()


def _erased(
    recipe: Recipe, variant: Variant, seed: int, cut: Cut, sampling: int, pipelines: dict[str, Any]
) -> NDArray[np.uint8]:
    """A variant's answer ``[H, W, 3]``; its pipeline is loaded when it is first needed, and kept."""
    from mild.diffusion.pipeline import MildPipeline

    config = recipe.configs(variant, seed)[-1]
    if config.out not in pipelines:
        pipeline: Any = MildPipeline.from_pretrained(Path(config.out) / PIPELINE, torch_dtype=torch.float32)
        pipeline.to("cuda" if torch.cuda.is_available() else "cpu")
        pipeline.set_progress_bar_config(disable=True)
        pipelines[config.out] = pipeline
    switches = {"detail": False, "sma": config.model.sma, "hmg": config.model.hmg, **variant.switches}
    made = pipelines[config.out](
        scene=cut.scene, plan=cut.plan, crops=[cut.crops], output_type="np",
        num_inference_steps=int(switches.pop("steps", recipe.steps)),
        generator=torch.Generator().manual_seed(sampling), **switches,
    )  # fmt: skip
    answer: NDArray[np.uint8] = made.images[0]
    return answer


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
    from mild.bench.metrics import fidelity
    from mild.scene import Box

    window = Box.around(hole).grow(8, (hole.shape[0], hole.shape[1])).slices
    sharp = fidelity.sharpness(answer, truth, hole)
    return {
        "psnr": round(fidelity.psnr(answer, truth, hole), 4),
        "ssim": round(float(fidelity.ssim_map(answer, truth)[hole].mean()), 5),
        "haarpsi": round(fidelity.haarpsi(answer[window], truth[window]), 5),
        **({} if sharp is None else {"sharpness": round(sharp, 4)}),
    }


def write_table(recipe: Recipe) -> Path:
    """The table (Markdown and JSON) and the plot, from the scores that there are.

    Intervals are bootstrapped over background photos, with all samples of each; a sample's sampling (and training)
    seeds are averaged first.
    """
    from mild.bench.stats import mean_of

    out, table = Path(recipe.out), []
    for name in recipe.variants:
        lines = [line | {"run": seed} for seed in recipe.training_seeds for line in _scores(recipe, name, seed)]
        for scenario in ("all", *SCENARIOS):
            here = [line for line in lines if scenario in ("all", line["scenario"])]
            entry: dict[str, Any] = {"variant": name, "scenario": scenario}
            for figure in FIGURES:
                by_item: dict[str, dict[int, float]] = {}
                for line in here:
                    if figure in line:
                        by_item.setdefault(line["sample"], {})[line["seed"] + 1000 * line["run"]] = line[figure]
                mean = mean_of(
                    by_item, clusters={line["sample"]: line["cluster"] for line in here if "cluster" in line}
                )
                if mean is not None:
                    entry[figure] = {"mean": mean.value, "low": mean.low, "high": mean.high, "samples": mean.items}
            table.append(entry)
    (out / "table.json").write_text(json.dumps(table, indent=1), encoding="utf-8")
    path = out / "table.md"
    path.write_text(_markdown(recipe, table), encoding="utf-8")
    _plot(table, out / "plot.png")
    return path


def _markdown(recipe: Recipe, table: Sequence[Mapping[str, Any]]) -> str:
    setting = recipe.run.get("optimiser", {})
    lines = [
        f"Every variant: {setting.get('steps', 6000)} steps of {setting.get('batch', 32)} rows, the same rows; "
        f"training seeds {list(recipe.training_seeds)}, sampling seeds {list(recipe.seeds)}; figures of the hole, "
        "mean and 95 % bootstrap interval over the samples' background photos.",
        "",
    ]
    for scenario in ("all", *SCENARIOS):
        rows = [entry for entry in table if entry["scenario"] == scenario and "psnr" in entry]
        if not rows:
            continue
        lines += [f"### {scenario}, {rows[0]['psnr']['samples']} samples", ""]
        lines += ["| variant | " + " | ".join(HEADINGS[f] for f in FIGURES) + " |", "| --- |" + " --- |" * len(FIGURES)]
        for entry in rows:
            cells = [_cell(entry.get(figure), 2 if figure == "psnr" else 3) for figure in FIGURES]
            lines.append(f"| {entry['variant']} | " + " | ".join(cells) + " |")
        lines.append("")
    return "\n".join(lines)


def _cell(mean: Mapping[str, float] | None, digits: int) -> str:
    if mean is None:
        return "-"
    return f"{mean['mean']:.{digits}f} ({mean['low']:.{digits}f} to {mean['high']:.{digits}f})"


def _plot(table: Sequence[Mapping[str, Any]], to: Path) -> None:
    from matplotlib.figure import Figure

    names = list(dict.fromkeys(entry["variant"] for entry in table))
    figure = Figure(figsize=(4 * len(FIGURES), 0.32 * len(names) + 1.2), layout="constrained")
    all_axes = figure.subplots(1, len(FIGURES), sharey=True)
    for axes, kind in zip(np.atleast_1d(all_axes), FIGURES, strict=True):
        for i, scenario in enumerate(("all", *SCENARIOS)):
            rows = [(names.index(e["variant"]), e[kind]) for e in table if e["scenario"] == scenario and kind in e]
            if not rows:
                continue
            places = np.asarray([place + 0.16 * (i - 1.5) for place, _ in rows])
            means = np.asarray([m["mean"] for _, m in rows])
            spans = np.abs(np.asarray([[m["mean"] - m["low"], m["high"] - m["mean"]] for _, m in rows])).T
            axes.errorbar(means, places, xerr=spans, fmt="o", markersize=3, linewidth=1, label=scenario)
        axes.set_yticks(range(len(names)), names, fontsize=7)
        axes.set_title(HEADINGS[kind], fontsize=9)
    np.atleast_1d(all_axes)[0].invert_yaxis()
    np.atleast_1d(all_axes)[0].legend(fontsize=6)
    figure.savefig(to, dpi=100)


def _scores(recipe: Recipe, name: str, seed: int) -> Iterator[dict[str, Any]]:
    yield from _lines(Path(recipe.out) / "scores" / _scores_name(name, seed))


def _scores_name(variant: str, seed: int) -> str:
    return f"{variant.replace(' ', '_')}-{seed}.jsonl"


def _lines(path: Path) -> list[dict[str, Any]]:
    if not path.exists():
        return []
    out = []
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            out.append(json.loads(line))
        except ValueError:
            continue  # cut short by a kill
    return out
