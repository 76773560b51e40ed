"""The ablation as one command: train every variant on the same rows for the same steps, erase the same test samples
with each, and write one table and one plot with intervals.

Everything is resumable: a variant that is trained is not trained again, a sample that is scored is not scored again.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import islice
from pathlib import Path
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from mild.errors import UsageError
from mild.lab.data.sample import SCENARIOS, Sample
from mild.lab.data.store import open_samples
from mild.lab.train.ablation_scores import score
from mild.lab.train.ablation_table import write_table
from mild.lab.train.config import RunConfig, build, dump_yaml, read_yaml
from mild.lab.train.parts import PIPELINE
from mild.lab.train.run import train
from mild.lab.train.variants import VARIANTS, Variant, runs_of


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
