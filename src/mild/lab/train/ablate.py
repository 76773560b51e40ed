"""The ablation as one command: train every variant on the same rows for the same steps, erase the same test samples
with each, and write one table and one plot with intervals.

Everything is resumable: a variant that is trained is not trained again, a sample that is scored is not scored again.
"""

from __future__ import annotations

from itertools import islice
from pathlib import Path

from mild.errors import MildError, UsageError
from mild.lab.bench.metrics.layered import LEAST
from mild.lab.data.sample import SCENARIOS, Sample, whole_person
from mild.lab.data.store import open_samples
from mild.lab.train.ablation_recipe import AblationRecipe
from mild.lab.train.ablation_scores import score
from mild.lab.train.ablation_table import write_table
from mild.lab.train.parts import PIPELINE
from mild.lab.train.run import train
from mild.lab.train.settings import dump_yaml
from mild.lab.train.variants import VARIANTS, runs_of


def ablate(recipe: AblationRecipe, *, score_only: bool = False) -> Path:
    """Train, score, and write ``table.md``, ``table.json`` and ``plot.png``; returns the table's path.

    Raises:
        MildError: a training was stopped (SIGTERM); what there is stays, and the same call goes on.
    """
    out = Path(recipe.out)
    out.mkdir(parents=True, exist_ok=True)
    dump_yaml(recipe, out / "recipe.yaml")
    cases = chosen(recipe)
    if not score_only:
        for seed in recipe.training_seeds:
            for variant in runs_of(list(recipe.variants)):
                for config in recipe.configs(variant, seed):
                    if not (Path(config.out) / PIPELINE / "model_index.json").exists():
                        print(f"training {variant.name}, seed {seed}: {config.stage}", flush=True)
                        if train(config) is None:
                            raise MildError("The training was stopped; the same command goes on where it was.")
    score(recipe, [VARIANTS[name] for name in recipe.variants], cases)
    return write_table(recipe)


def chosen(recipe: AblationRecipe) -> list[Sample]:
    """The test samples, in the order of the set: as many as possible of every scenario, or those in which somebody who
    stays is covered."""
    usable = (sample for sample in open_samples(recipe.test) if sample.truth == "layers" and sample.erased)
    if recipe.covered:
        return _some(list(islice((sample for sample in usable if _covers(sample)), recipe.samples)), recipe)
    pools: dict[str, list[Sample]] = {}
    share = -(-recipe.samples // len(SCENARIOS))
    for sample in usable:
        pool = pools.setdefault(sample.tags.scenario, [])
        if len(pool) < share:
            pool.append(sample)
        if len(pools) >= len(SCENARIOS) and all(len(pools.get(s, [])) >= share for s in SCENARIOS):
            break
    turns = max((len(pool) for pool in pools.values()), default=0)
    found = [pool[i] for i in range(turns) for pool in pools.values() if i < len(pool)]
    return _some(found[: recipe.samples], recipe)


def _some(found: list[Sample], recipe: AblationRecipe) -> list[Sample]:
    if not found:
        raise UsageError(f"{recipe.test} holds no sample with an erased person and its whole truth.")
    return found


def _covers(sample: Sample) -> bool:
    """Does somebody who goes stand in front of somebody who stays?"""
    gone = sample.scene().mask_of(sample.erased)
    return any(int(((whole_person(sample, k)[..., 3] > 127) & gone).sum()) >= LEAST for k in sample.kept)
