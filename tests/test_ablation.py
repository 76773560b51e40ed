"""The ablation as one command, on tiny models and tiny samples; and `mild train` from the command line."""

from __future__ import annotations

import json
import os
import signal
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from mild.app.cli.app import run
from mild.errors import MildError, UsageError
from mild.lab.data.sample import Tags
from mild.lab.data.store import write_shard
from mild.lab.train import cache as rows_cache
from mild.lab.train.ablate import ablate, chosen
from mild.lab.train.ablation_recipe import AblationRecipe
from mild.lab.train.ablation_scores import measured
from mild.lab.train.ablation_table import compared_with, write_table
from mild.lab.train.variants import VARIANTS, runs_of
from samples import tiny_sample
from tiny_rows import write_rows

SCENARIOS = ("human-human", "human-object", "human-background")


pytestmark = pytest.mark.usefixtures("one_core")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Rows of layers and of whole pictures, three test samples, and a recipe."""
    root = tmp_path_factory.mktemp("ablation")
    layers = np.load(write_rows(root / "layers", count=8) / "rows-00000.npy")
    whole = np.load(write_rows(root / "whole", count=4, whole=True) / "rows-00000.npy")
    (root / "rows").mkdir()
    np.save(root / "rows" / "rows-00000.npy", np.concatenate([layers, whole]))
    made = [tiny_sample(f"{i:06d}", i, (64, 96), tags=Tags(scenario=SCENARIOS[i])) for i in range(3)]
    write_shard(root / "set" / "test-00000.tar", made)
    config = {
        "stage": "base", "out": "set by the ablation", "precision": "fp32", "model": {"channels": [32, 32], "rank": 2},
        "data": {"rows": str(root / "rows"), "size": 32, "large_every": 0},
        "optimiser": {"steps": 2, "batch": 2, "warmup": 0}, "log": {"judge": 100, "pictures": 0},
    }  # fmt: skip
    recipe = {
        "run": config, "out": str(root / "out"), "test": str(root / "set"), "samples": 3, "seeds": [0, 1],
        "variants": ["prior alone", "backbone", "full + few-step", "full + detail"], "resolution": 64,
        "distillation": {"teacher": 0.02},
    }  # fmt: skip
    (root / "recipe.yaml").write_text(yaml.safe_dump(recipe))
    return root


def test_one_command_trains_scores_and_draws(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["train", "ablate", str(folder / "recipe.yaml")]) == 0
    said = capsys.readouterr().out
    out = folder / "out"
    assert "### human-human, 1 samples" in said and (out / "plot.png").stat().st_size > 5000
    runs = sorted(path.name for path in (out / "runs").iterdir())
    assert runs == ["backbone-0", "full-0", "full_+_few-step-0", "full_+_few-step-0-teacher"]
    table = json.loads((out / "table.json").read_text())
    everything = {entry["variant"]: entry for entry in table if entry["scenario"] == "all"}
    assert set(everything) == {"prior alone", "backbone", "full + few-step", "full + detail"}
    for entry in everything.values():
        assert entry["psnr"]["samples"] == 3
        assert entry["psnr"]["low"] <= entry["psnr"]["mean"] <= entry["psnr"]["high"]
        if entry["variant"] == "prior alone":
            assert entry["against"] == "backbone"
            more, other = entry["psnr"]["more"], everything["backbone"]["psnr"]
            assert more["mean"] == pytest.approx(entry["psnr"]["mean"] - other["mean"])
            assert more["low"] <= more["mean"] <= more["high"]
    assert "| prior alone \u2212 backbone |" in said
    # Only what has layers completes those who stay.
    for figure in ("hidden_iou", "left", "completion_ssim"):
        assert 0 <= everything["full + detail"][figure]["mean"] <= 1 and figure not in everything["backbone"]
    # Again: nothing is trained, nothing is scored, the table is the same.
    before = {path: path.stat().st_mtime_ns for path in out.glob("scores/*.jsonl")}
    text = (out / "table.md").read_text()
    ablate(AblationRecipe.load(folder / "recipe.yaml"))
    assert {path: path.stat().st_mtime_ns for path in out.glob("scores/*.jsonl")} == before
    assert (
        (out / "table.md").read_text() == text == write_table(AblationRecipe.load(folder / "recipe.yaml")).read_text()
    )


def test_all_variants_get_the_same_steps_and_rows(folder: Path) -> None:
    recipe = AblationRecipe.load(folder / "recipe.yaml")
    for variant in VARIANTS.values():
        configs = recipe.configs(variant, 3)
        assert sum(config.optimiser.steps for config in configs) == 2
        assert {config.data.rows for config in configs} == {str(folder / "rows")}
        assert all(config.optimiser.batch == 2 and config.seed == 3 for config in configs)
    assert all(variant.against in VARIANTS for variant in VARIANTS.values() if variant.name != "backbone")
    assert [variant.name for variant in runs_of(["full + detail", "full", "backbone"])] == ["full", "backbone"]


def test_recipes_are_refused_in_a_sentence(folder: Path, tmp_path: Path) -> None:
    values = yaml.safe_load((folder / "recipe.yaml").read_text())

    def refused(**changes: Any) -> str:
        (tmp_path / "recipe.yaml").write_text(yaml.safe_dump({**values, **changes}))
        with pytest.raises(UsageError) as told:
            AblationRecipe.load(tmp_path / "recipe.yaml")
        return str(told.value)

    assert "There is no variant 'magic'" in refused(variants=["magic"])
    assert "The reference 'layers' is none of the variants" in refused(reference="layers")
    assert "The stage of run must be base" in refused(run={**values["run"], "stage": "distill"})
    assert "colour: there is no such setting." in refused(run={**values["run"], "colour": 1})
    assert "there is no such setting" in refused(speed=1)
    (tmp_path / "empty").mkdir()
    write_shard(tmp_path / "empty" / "a.tar", [tiny_sample("a", truth="none", layers=(), background=None)])
    with pytest.raises(UsageError, match="holds no sample"):
        chosen(AblationRecipe.load(folder / "recipe.yaml").model_copy(update={"test": str(tmp_path / "empty")}))


def test_only_samples_in_which_somebody_who_stays_is_covered(folder: Path, tmp_path: Path) -> None:
    behind = tiny_sample("behind", 5, (64, 96))
    others = tuple(replace(person, erase=not person.erase) for person in behind.people)
    front = tiny_sample("front", 6, (64, 96), people=others, tags=Tags(scenario="human-object"))
    write_shard(tmp_path / "test-00000.tar", [front, behind])
    recipe = AblationRecipe.load(folder / "recipe.yaml").model_copy(update={"test": str(tmp_path)})
    assert [case.key for case in chosen(recipe)] == ["front", "behind"]
    assert [case.key for case in chosen(recipe.model_copy(update={"covered": True}))] == ["behind"]


def test_a_training_that_was_stopped_went_on_with_the_next_variant(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A SIGTERM ended one training alone, and the scores then found no model."""
    asked = []
    monkeypatch.setattr("mild.lab.train.ablate.train", asked.append)
    recipe = AblationRecipe.load(folder / "recipe.yaml").model_copy(update={"out": str(tmp_path)})
    with pytest.raises(MildError, match="was stopped; the same command goes on"):
        ablate(recipe)
    assert len(asked) == 1


def test_the_figures_of_the_truth() -> None:
    truth = np.random.default_rng(0).integers(0, 255, (48, 64, 3)).astype(np.uint8)
    hole = np.zeros((48, 64), bool)
    hole[10:30, 20:50] = True
    same = measured(truth, truth, hole)
    assert same["ssim"] == pytest.approx(1) and same["sharpness"] == pytest.approx(1) and same["psnr"] > 60
    worse = measured(np.where(hole[..., None], 127, truth).astype(np.uint8), truth, hole)
    assert all(worse[name] < same[name] for name in same)


# --- the command line


def test_train_from_the_command_line(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = yaml.safe_load((folder / "recipe.yaml").read_text())["run"]
    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump({**config, "out": str(tmp_path / "run")}))
    assert run(["train", str(path), "--check"]) == 0 and not (tmp_path / "run").exists()
    assert run(["train", str(path), "--steps", "1"]) == 0
    assert run(["train", "export", str(tmp_path / "run"), "--to", str(tmp_path / "given")]) == 0
    assert (tmp_path / "given" / "model_index.json").exists()
    assert run(["train", "plot", str(tmp_path / "run"), "--to", str(tmp_path / "c.png")]) == 0
    assert (tmp_path / "c.png").exists()
    capsys.readouterr()
    assert run(["train", str(path), "--set", "data.rows=nowhere", "--set", "out=other"]) == 2
    assert "data.rows: nowhere holds no cached rows" in capsys.readouterr().err
    assert run(["train", "export", str(tmp_path / "given"), "--to", str(tmp_path / "x")]) == 2
    assert "is not the folder of a run" in capsys.readouterr().err


def test_rows_from_the_command_line(folder: Path, tmp_path: Path) -> None:
    made = ["train", "cache", "--samples", str(folder / "set"), "--out", str(tmp_path), "--size", "64", "--whole"]
    assert run([*made, "--fills", "--workers", "1"]) == 0
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == ["bodies-00000.npz", "fills-00000.npy", "made.json", "rows-00000.npy"]
    assert np.load(tmp_path / "rows-00000.npy").shape[1:] == (64, 64, 10)
    assert run(["train", "cache", "--out", str(tmp_path)]) == 2


def ended_once(samples: str, out: str, shard: int, *rest: Any, **others: Any) -> Path:
    """In place of a shard of rows; the first time the second one's process is told to end."""
    path = Path(out) / f"rows-{shard:05d}.npy"
    tried = Path(out) / "tried"
    if shard == 1 and not tried.exists():
        tried.touch()
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(60)
    path.touch()
    return path


def test_a_worker_that_is_told_to_end_costs_no_shard_of_rows(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """`mild train cache` went on with the next shard, and said nothing of the one that was lost."""
    monkeypatch.setattr(rows_cache, "SAMPLES", 1)
    monkeypatch.setattr(rows_cache, "from_samples", ended_once)
    made = ["train", "cache", "--samples", str(folder / "set"), "--out", str(tmp_path), "--workers", "2"]
    assert run(made) == 1
    assert "process died" in capsys.readouterr().err
    assert not (tmp_path / "rows-00001.npy").exists()
    assert run(made) == 0
    assert [path.name for path in sorted(tmp_path.glob("rows-*"))] == [f"rows-{k:05d}.npy" for k in range(3)]


def test_the_ready_configs_are_good() -> None:
    from mild.lab.train.config import RunConfig

    root = Path(__file__).resolve().parent.parent / "configs"
    stages = {str(p.relative_to(root)): RunConfig.load(p).stage for p in root.glob("*/*.yaml")}
    assert set(stages.values()) == {"base", "adapters", "distill", "alpha"} and len(stages) >= 10
    assert len(AblationRecipe.load(root / "ablation.yaml").variants) == len(VARIANTS)
    assert all(
        "full" in AblationRecipe.load(root / f"{name}.yaml").variants
        for name in ("ablation_longer", "ablation_seeds", "twin")
    )
    assert AblationRecipe.load(root / "ablation_parts.yaml").reference == "layers + HMG"


def test_a_shorter_ablation_compares_across_what_was_left_out() -> None:
    assert compared_with("full", VARIANTS) == "layers + HMG"
    assert compared_with("full", ["prior alone", "backbone", "full"]) == "backbone"
    assert compared_with("full, 20 steps", ["full, 20 steps", "layers"]) == "layers"
    assert compared_with("layers", ["layers"]) is None and compared_with("backbone", VARIANTS) is None
    assert (
        compared_with("backbone", VARIANTS, "layers") == "layers"
        and compared_with("layers", VARIANTS, "layers") is None
    )


def test_everything_against_one_and_one_set_of_weights_for_all_layers(folder: Path, tmp_path: Path) -> None:
    whole = AblationRecipe.load(folder / "recipe.yaml")
    one = "layers + HMG without adapters"
    names = ("layers + HMG", one, "layers + HMG without prior")
    recipe = whole.model_copy(
        update={"out": str(tmp_path), "variants": names, "reference": "layers + HMG", "seeds": (0,)}
    )
    text = ablate(recipe).read_text()
    assert "Sample by sample, against layers + HMG:" in text and f"| {one} \u2212 layers + HMG |" in text
    assert {name: trains_adapters(tmp_path, name) for name in names} == dict(
        zip(names, (True, False, True), strict=True)
    )


def trains_adapters(out: Path, name: str) -> bool:
    """Does a variant's model hold adapters?"""
    index = out / "runs" / f"{name.replace(' ', '_')}-0" / "pipeline" / "model_index.json"
    return bool(json.loads(index.read_text())["adapters"][0])
