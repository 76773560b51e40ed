"""The ablation as one command: train every variant on the same rows for the same steps, erase the same test samples
with each, and write one table and one plot with intervals.

Everything is resumable: a variant that is trained is not trained again, a sample that is scored is not scored again.
"""

from __future__ import annotations

from itertools import islice
from pathlib import Path

from mild.errors import UsageError
from mild.lab.data.sample import SCENARIOS, Sample
from mild.lab.data.store import open_samples
from mild.lab.train.ablation_recipe import AblationRecipe
from mild.lab.train.ablation_scores import score
from mild.lab.train.ablation_table import write_table
from mild.lab.train.config import dump_yaml
from mild.lab.train.parts import PIPELINE
from mild.lab.train.run import train
from mild.lab.train.variants import VARIANTS, runs_of


def ablate(recipe: AblationRecipe, *, score_only: bool = False) -> Path:
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


def chosen(recipe: AblationRecipe) -> list[Sample]:
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
