"""The small net for what goes with a person: its rows, a run that goes on, its ONNX."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from mild.errors import MildError
from mild.lab.data.store import write_shard
from mild.lab.train import things_run
from mild.lab.train.checkpoint import AVERAGE, checkpoint_of
from mild.lab.train.loop import fit
from mild.lab.train.settings import read_yaml
from mild.lab.train.things_net import INPUTS, SIDE, ThingsNet, loss_of
from mild.lab.train.things_rows import KEPT, RowStore, cropped, drawn, make_rows, rows_of, window_of
from mild.lab.train.things_run import ThingsConfig, ThingsTask
from mild.people.finders.onnx_net import OnnxNet
from mild.people.scene import Box
from samples import tiny_sample

NARROW = (4, 4, 4, 4, 4)


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    folder = tmp_path / "rows"
    folder.mkdir()
    rng = np.random.default_rng(0)
    np.save(folder / "a.npy", rng.integers(0, 256, (3, INPUTS + 3, KEPT, KEPT), np.uint8))
    return folder


def test_rows_hold_what_is_the_person_s_and_nothing_of_others() -> None:
    sample = tiny_sample(size=(96, 128))
    made = list(rows_of(sample))
    assert made and all(row.shape == (INPUTS + 3, KEPT, KEPT) for row in made)
    for row in made:
        mask, others, alpha, thing, shadow = (row[k].astype(int) for k in (3, 4, 6, 7, 8))
        assert mask.max() == 255 and (np.minimum(mask, others) < 250).all()
        assert alpha[mask > 250].mean() > 200, "the visible person is opaque"
        assert (shadow[mask > 250] < 200).all() and (thing[alpha > 250] < 10).all()


def test_beyond_the_photo_is_nobody_s_to_mark() -> None:
    photo, maps = np.full((40, 40, 3), 9, np.uint8), np.zeros((40, 40, 3), np.uint8)
    row = cropped(photo, maps, Box(0, 0, 20, 40), 2.0, 80)
    x, y, side = window_of(Box(0, 0, 20, 40), 2.0)
    assert (x, y, side) == (-30, -20, 80)
    assert row[4, 0, 0] == 255 and row[4, 40, 40] == 0 and row[3].max() == 0 and (row[:3] == 9).all()


def test_rows_are_made_once_and_no_samples_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "set").mkdir()
    with pytest.raises(MildError, match="no samples"):
        make_rows(tmp_path / "set", tmp_path / "rows")
    write_shard(tmp_path / "set" / "train-0.tar", [tiny_sample(size=(96, 128))])
    assert make_rows(tmp_path / "set", tmp_path / "rows") == 1
    (path,) = (tmp_path / "rows").iterdir()
    before = path.stat().st_mtime_ns
    make_rows(tmp_path / "set", tmp_path / "rows")
    assert path.stat().st_mtime_ns == before and len(RowStore(tmp_path / "rows")) > 0


def test_a_draw_is_a_function_of_its_seed_and_its_truth_is_no_input(rows: Path) -> None:
    row = RowStore(rows)[0]
    one, two = (drawn(np.random.default_rng(5), row) for _ in range(2))
    assert np.array_equal(one[0], two[0]) and np.array_equal(one[1], two[1])
    assert one[0].shape == (INPUTS, SIDE, SIDE) and one[1].shape == (3, SIDE, SIDE)
    assert one[0].min() >= 0 and one[0].max() <= 1


def test_a_loss_is_nothing_where_all_is_right() -> None:
    truth = (torch.rand(1, 3, 8, 8) > 0.5).float()
    right, wrong = loss_of(60 * truth - 30, truth), loss_of(30 - 60 * truth, truth)
    assert all(float(right[name]) < 0.02 < float(wrong[name]) for name in right)


def config_of(rows: Path, out: Path, steps: int) -> ThingsConfig:
    short: dict[str, Any] = {"optimiser": {"steps": steps, "batch": 2, "warmup": 0}, "log": {"every": 1, "pictures": 0}}
    return ThingsConfig.model_validate({"rows": str(rows), "out": str(out), "widths": NARROW, **short})


def test_a_run_that_was_stopped_goes_on_as_if_it_had_not_been(rows: Path, tmp_path: Path) -> None:
    def trained(name: str, most_steps: int | None = None) -> bool:
        config = config_of(rows, tmp_path / name, 3)
        return fit(ThingsTask(config), config, most_steps=most_steps)

    assert trained("whole") and not trained("twice", most_steps=1) and trained("twice")
    for name in ("model.safetensors", AVERAGE):
        whole, twice = (load_file(str(checkpoint_of(tmp_path / run) / name)) for run in ("whole", "twice"))
        assert whole.keys() == twice.keys() and all(torch.equal(whole[k], twice[k]) for k in whole)
    lines = (tmp_path / "twice" / "log.jsonl").read_text().splitlines()
    assert [json.loads(line)["step"] for line in lines] == [1, 2, 3]


def test_its_onnx_says_the_same(rows: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    with pytest.raises(MildError, match="no complete checkpoint"):
        things_run.export(run, tmp_path / "net.onnx")
    config = config_of(rows, run, 1)
    fit(ThingsTask(config), config)
    things_run.export(run, tmp_path / "net.onnx")
    crops = np.random.default_rng(1).random((2, INPUTS, SIDE, SIDE), np.float32)
    with torch.no_grad():
        expected = things_run.averaged(run)(torch.from_numpy(crops)).sigmoid().numpy()
    got = OnnxNet(tmp_path / "net.onnx")({"crops": crops})["maps"]
    assert np.abs(got - expected).max() < 1e-4


def test_what_is_exported_is_the_average_with_the_statistics_of_the_last_step(rows: Path, tmp_path: Path) -> None:
    config = config_of(rows, tmp_path, 3)
    fit(ThingsTask(config), config)
    net, last = (
        things_run.averaged(tmp_path).state_dict(),
        load_file(str(checkpoint_of(tmp_path) / "model.safetensors")),
    )
    assert torch.equal(net["stem.1.running_mean"], last["net.stem.1.running_mean"])
    average = load_file(str(checkpoint_of(tmp_path) / AVERAGE))
    assert torch.equal(net["stem.0.weight"], average["things.net.stem.0.weight"])
    assert not torch.equal(net["stem.0.weight"], last["net.stem.0.weight"])


def test_the_recipe_is_good_and_the_net_is_small() -> None:
    config = ThingsConfig.model_validate(read_yaml(Path(__file__).parents[1] / "configs" / "things.yaml"))
    assert sum(p.numel() for p in ThingsNet(config.widths).parameters()) < 1_000_000
