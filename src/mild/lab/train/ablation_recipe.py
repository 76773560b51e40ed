"""What an ablation compares, and on what: the recipe of `mild train ablate`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from mild.lab.train.config import RunConfig
from mild.lab.train.settings import build, read_yaml
from mild.lab.train.variants import VARIANTS, Variant


class AblationRecipe(BaseModel):
    """What is compared, and on what."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    run: dict[str, Any] = Field(description="A training config (stage base); each variant changes its model section.")
    out: str = Field(min_length=1)
    test: str = Field(description="Samples to erase from: shards or folders, split test.")
    samples: int = Field(60, ge=1, description="So many of them, evenly from all scenarios.")
    covered: bool = Field(False, description="Only those in which somebody who stays is covered, of any scenario.")
    variants: tuple[str, ...] = tuple(VARIANTS)
    reference: str | None = Field(
        None, description="The variant that all others are compared with; none: each with the nearest before it."
    )
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
        if self.reference is not None and self.reference not in self.variants:
            raise ValueError(f"the reference {self.reference!r} is none of the variants")
        if self.run.get("stage") != "base":
            raise ValueError("the stage of run must be base: every variant is trained from the start")
        return self

    @classmethod
    def load(cls, path: str | Path) -> AblationRecipe:
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
