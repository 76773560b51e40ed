"""The small net for what goes with a person: its rows, a run that goes on, its ONNX."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from mild.errors import MildError
from mild.lab.data.store import write_shard
from mild.lab.train import things_run
from mild.lab.train.config import read_yaml
from mild.lab.train.things_net import INPUTS, SIDE, ThingsNet, loss_of
from mild.lab.train.things_rows import KEPT, RowStore, cropped, drawn, make_rows, rows_of, window_of
from mild.lab.train.things_run import STATE, ThingsConfig
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


def test_a_run_that_was_stopped_goes_on_as_if_it_had_not_been(rows: Path, tmp_path: Path) -> None:
    def config(name: str) -> ThingsConfig:
        return ThingsConfig(rows=rows, out=tmp_path / name, widths=NARROW, steps=3, batch=2, every=1)

    assert things_run.train(config("whole")) == 3
    assert things_run.train(config("twice"), most_steps=1) == 1
    assert things_run.train(config("twice")) == 3
    whole, twice = (things_run.load_file(str(tmp_path / name / STATE)) for name in ("whole", "twice"))
    assert whole.keys() == twice.keys() and all(torch.equal(whole[k], twice[k]) for k in whole)
    steps = [json.loads(line)["step"] for line in (tmp_path / "twice" / "log.jsonl").read_text().splitlines()]
    assert steps == [1, 2, 3]


def test_its_onnx_says_the_same(rows: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    with pytest.raises(MildError, match="no checkpoint"):
        things_run.export(run, tmp_path / "net.onnx")
    things_run.train(ThingsConfig(rows=rows, out=run, widths=NARROW, steps=1, batch=2))
    things_run.export(run, tmp_path / "net.onnx")
    crops = np.random.default_rng(1).random((2, INPUTS, SIDE, SIDE), np.float32)
    with torch.no_grad():
        expected = things_run.averaged(run)(torch.from_numpy(crops)).sigmoid().numpy()
    got = OnnxNet(tmp_path / "net.onnx")({"crops": crops})["maps"]
    assert np.abs(got - expected).max() < 1e-4


def test_the_recipe_is_good_and_the_net_is_small() -> None:
    config = ThingsConfig.model_validate(read_yaml(Path(__file__).parents[1] / "configs" / "things.yaml"))
    assert sum(p.numel() for p in ThingsNet(config.widths).parameters()) < 1_000_000
