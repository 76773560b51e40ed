"""`mild data synth`: samples that compose exactly, follow from the seed, and fill the quota; sets that resume."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from unittest import mock

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ingredients import edit_manifest, make_ingredients
from mild.app.cli.app import run
from mild.engines import Workers
from mild.errors import MildError
from mild.lab.data import factory
from mild.lab.data.factory import Order, make_set
from mild.lab.data.inspection import inspect
from mild.lab.data.layout import arrange
from mild.lab.data.library import PERSON_PER_CAMERA, Ground, Library
from mild.lab.data.rules import breaches_of, check
from mild.lab.data.sample import SCENARIOS
from mild.lab.data.store import open_samples, shards_of
from mild.lab.data.synth import SetRecipe, make_sample
from test_data_format import assert_same

RECIPE = SetRecipe(size=96, seed=5)


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    return make_ingredients(tmp_path_factory.mktemp("photos"))


@pytest.fixture(scope="module")
def library(photos):
    return Library(photos, "train")


def digests(folder) -> dict[str, str]:
    return {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in shards_of(folder)}


@settings(max_examples=24, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(number=st.integers(0, 10**6), seed=st.integers(0, 10**6), size=st.sampled_from([64, 96]))
def test_every_sample_keeps_every_rule_whatever_the_seed(library, number, seed, size):
    recipe = dataclasses.replace(RECIPE, seed=seed, size=size)
    sample = make_sample(library, recipe, number)
    assert list(breaches_of(sample)) == []
    # Stronger than the rule, which grants a rounding: the same program gives the same pixels.
    assert np.array_equal(sample.compose(), sample.photo)
    assert sample.tags.scenario == SCENARIOS[number % 3]
    # Depth is a total order, and whoever is drawn later hides whoever was drawn before, never the other way round.
    assert sorted(sample.order) == [p.id for p in sample.people]
    front = sample.layer_of(sample.order[-1])
    solid = front.rgba[..., 3] > 127
    seen = (sample.index[front.box.slices] == front.owner) | (sample.belongings[front.box.slices] > 0)
    assert seen[solid].all()


def test_the_erased_leave_no_trace_and_the_kept_stay(library):
    for number in range(6):
        sample = make_sample(library, RECIPE, number)
        truth = sample.erased_truth()
        away = dataclasses.replace(sample, layers=tuple(la for la in sample.layers if la.owner in sample.kept))
        assert np.array_equal(truth, away.compose())
        untouched = np.ones(sample.size, bool)
        for layer in sample.layers:
            if layer.owner in sample.erased:
                untouched[layer.box.slices] = False
        assert np.array_equal(truth[untouched], sample.photo[untouched])


def test_a_sample_follows_from_seed_and_number_alone(photos, library):
    again = Library(photos, "train")
    make_sample(again, RECIPE, 3)
    assert_same(make_sample(library, RECIPE, 7), make_sample(again, RECIPE, 7))
    other = make_sample(library, dataclasses.replace(RECIPE, seed=6), 7)
    assert not np.array_equal(other.photo, make_sample(library, RECIPE, 7).photo)


def test_the_scenarios_are_what_they_are_called(library):
    for number in range(18):
        sample = make_sample(library, RECIPE, number)
        tags = sample.tags
        if tags.scenario == "human-human":
            assert sample.erased and sample.kept and tags.occlusion >= 0.05
            assert any(p.hidden > 0.04 for p in sample.people)
        elif tags.scenario == "human-object":
            held = {layer.owner for layer in sample.layers if layer.kind == "object"}
            assert held & set(sample.erased) and tags.entangled > 0 and (sample.belongings > 0).any()
        else:
            assert tags.contrast <= 20 or tags.shadow >= 0.012


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    seed=st.integers(0, 10**6),
    horizon=st.floats(-0.2, 0.6),
    below=st.floats(0.05, 0.3),
    scenario=st.sampled_from(SCENARIOS),
)
def test_feet_are_on_the_ground_and_heights_follow_the_perspective(library, seed, horizon, below, scenario):
    ground = Ground(horizon, horizon + below)
    plan = arrange(np.random.default_rng(seed), library, ground, scenario, grey=False, size=96)
    if plan is None:
        return
    rows = [figure.feet for figure in plan.figures]
    assert rows == sorted(rows)
    for figure in plan.figures:
        assert figure.cut or figure.feet >= ground.ground
        # A person as tall as the camera is high would just reach the horizon; people differ by a tenth.
        assert figure.height == pytest.approx(PERSON_PER_CAMERA * (figure.feet - horizon), rel=0.22)
    assert np.triu(plan.hidden, 1).sum() == plan.hidden.sum()


def test_a_set_is_the_same_with_one_process_and_with_two_and_the_quota_is_met(photos, tmp_path):
    order = Order(photos, tmp_path / "one", RECIPE, count=9, per_shard=4)
    told = {"one": [], "two": []}
    outcome = make_set(order, tell=lambda done, total: told["one"].append((done, total)))
    assert (outcome.made, outcome.kept, outcome.problems) == (9, 0, ())
    two = dataclasses.replace(order, out=tmp_path / "two")
    assert make_set(two, workers=Workers(jobs=2), tell=lambda *said: told["two"].append(said)).made == 9
    assert told["one"] == told["two"] == [(n, 9) for n in range(1, 10)]
    assert digests(tmp_path / "one") == digests(tmp_path / "two") and len(digests(tmp_path / "one")) == 3
    verdict = check([tmp_path / "one"])
    assert verdict.breaches == () and len(verdict.facts) == 9
    assert {s: sum(f.scenario == s for f in verdict.facts) for s in SCENARIOS} == dict.fromkeys(SCENARIOS, 3)
    assert sorted(p.name for p in (tmp_path / "one" / "sheets").iterdir()) == ["00000.jpg", "00001.jpg", "00002.jpg"]


@pytest.mark.slow
def test_a_ray_cluster_makes_the_same_set(photos, tmp_path):
    pytest.importorskip("ray.data")
    arguments = [str(photos), "--count", "9", "--per-shard", "2", "--size", "64"]
    assert run(["data", "synth", arguments[0], str(tmp_path / "one"), *arguments[1:], "--jobs", "1"]) == 0
    ray = ["--engine", "ray", "--jobs", "2"]
    assert run(["data", "synth", arguments[0], str(tmp_path / "ray"), *arguments[1:], *ray]) == 0
    assert digests(tmp_path / "one") == digests(tmp_path / "ray") and len(digests(tmp_path / "one")) == 5


def test_a_worker_that_dies_costs_its_shard_alone(photos, tmp_path):
    """One dead process was the end of every shard that was still to be made."""
    order = Order(photos, tmp_path / "set", RECIPE, count=8, per_shard=2)
    with mock.patch.object(factory, "_begin", dying):
        outcome = make_set(order, workers=Workers(jobs=2))
    assert outcome.made == 6 and len(outcome.problems) == 1
    assert outcome.problems[0] == "train-00001.tar: Its process died (signal 9). Run it again."
    assert make_set(order, workers=Workers(jobs=2)).made == 2


def dying(setup):
    """As the factory's workers begin; the second shard kills them."""
    handle = factory._begin(setup)
    return lambda shard: os.kill(os.getpid(), signal.SIGKILL) if shard == 1 else handle(shard)


def test_an_interrupted_set_goes_on(photos, tmp_path):
    order = Order(photos, tmp_path / "set", RECIPE, count=6, per_shard=2)
    make_set(order)
    whole = digests(tmp_path / "set")
    order.path(1).unlink()
    order.sheet(0).unlink()
    (tmp_path / "set" / ".train-00001.tar.99.part").write_bytes(b"half a shard")
    outcome = make_set(order)
    assert (outcome.made, outcome.kept) == (2, 4) and digests(tmp_path / "set") == whole
    assert order.sheet(0).exists() and not list((tmp_path / "set").glob(".*.part"))


def test_a_shard_that_exists_is_never_overwritten_unasked(photos, tmp_path):
    order = Order(photos, tmp_path / "set", RECIPE, count=2, per_shard=2)
    make_set(order)
    other = dataclasses.replace(order, recipe=dataclasses.replace(RECIPE, seed=9))
    before = digests(tmp_path / "set")
    with pytest.raises(MildError, match="other settings"):
        make_set(other)
    (tmp_path / "set" / "set.json").unlink()
    with pytest.raises(MildError, match="nobody knows"):
        make_set(order)
    assert digests(tmp_path / "set") == before
    make_set(other, overwrite=True)
    assert digests(tmp_path / "set") != before and check([tmp_path / "set"]).breaches == ()


def test_killed_and_run_again_gives_the_same_bytes(photos, tmp_path):
    """kill -9 in the middle of a shard."""
    arguments = [str(photos), "--count", "16", "--per-shard", "4", "--size", "64", "--jobs", "1"]
    assert run(["data", "synth", arguments[0], str(tmp_path / "whole"), *arguments[1:]]) == 0
    command = [sys.executable, "-m", "mild", "data", "synth", arguments[0], str(tmp_path / "cut"), *arguments[1:]]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    first, until = tmp_path / "cut" / "train-00000.tar", time.monotonic() + 60
    while not first.exists() and process.poll() is None and time.monotonic() < until:
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert first.exists() and len(shards_of(tmp_path / "cut")) < 4, "it was killed too late to show anything"
    assert run(["data", "synth", arguments[0], str(tmp_path / "cut"), *arguments[1:]]) == 0
    assert digests(tmp_path / "cut") == digests(tmp_path / "whole")
    assert not list((tmp_path / "cut").glob(".*"))


def test_a_full_disk_is_said_and_nothing_half_written_is_left(photos, tmp_path, monkeypatch):
    written = factory.write_members
    full = {"train-00001.tar"}

    def write(path, samples, **options):
        def until_full():
            yield next(iter(samples))
            raise OSError(28, "No space left on device")

        return written(path, until_full() if path.name in full else samples, **options)

    monkeypatch.setattr(factory, "write_members", write)
    order = Order(photos, tmp_path / "set", RECIPE, count=6, per_shard=2)
    outcome = make_set(order)
    assert outcome.made == 4 and len(outcome.problems) == 1 and "No space left" in outcome.problems[0]
    assert sorted(p.name for p in shards_of(tmp_path / "set")) == ["train-00000.tar", "train-00002.tar"]
    assert not list((tmp_path / "set").glob(".*.part"))
    full.clear()
    assert make_set(order).made == 2


def test_photos_that_cannot_be_used_are_named_and_the_run_goes_on(tmp_path, capsys):
    root = make_ingredients(tmp_path / "photos")
    (root / "train_scene0.png").write_bytes(b"no picture")
    (root / "train_scene1.png").write_bytes((root / "train_scene1.png").read_bytes()[:900])
    (root / "train_person0.png").unlink()

    def edit(lines):
        by = {line["file"]: line for line in lines}
        by["train_person1.png"]["licence"] = " "
        by["train_person2.png"]["size"] = [71, 200]
        lines.append({"kind": "person", "file": "x.png", "licence": "CC0", "split": "train"})

    edit_manifest(root, edit)
    with (root / "manifest.jsonl").open("a") as manifest:
        manifest.write("{half a line\n")
    out = tmp_path / "set"
    assert run(["data", "synth", str(root), str(out), "--count", "6", "--size", "64", "--jobs", "1"]) == 1
    said = capsys.readouterr().err
    for words in (
        "train_scene0.png cannot be read",
        "train_scene1.png cannot be read",
        "train_person0.png cannot be read",
        "train_person1.png has no licence",
        "train_person2.png is 70 x 200, but the manifest says 71 x 200",
        "(x.png) has no size",
        "is not a JSON object",
        "7 things went wrong",
    ):
        assert words in said, words
    used = {source.file for sample in open_samples(out) for source in sample.sources}
    assert used <= {"train_scene2.png", "train_cloth0.png", "train_person3.png", "train_person4.png"}
    assert check([out]).breaches == ()


def test_a_person_without_alpha_or_with_nobody_in_it_is_left_out(tmp_path):
    import cv2

    root = make_ingredients(tmp_path)
    cv2.imwrite(str(root / "train_person0.png"), np.zeros((200, 70, 3), np.uint8))
    cv2.imwrite(str(root / "train_person1.png"), np.zeros((200, 70, 4), np.uint8))
    found = inspect(root, "train")
    assert found.left_out == {"train_person0.png", "train_person1.png"}
    assert any("no transparency" in p for p in found.problems) and any("empty" in p for p in found.problems)


def test_a_tar_that_is_not_there_is_one_sentence_and_an_unpacked_one_serves(tmp_path):
    root = make_ingredients(tmp_path / "unpacked")
    edit_manifest(root, lambda lines: [line.update(shard="photos.tar") for line in lines])
    assert inspect(root, "train").problems == ()
    for file in root.glob("train_*.png"):
        file.unlink()
    (said,) = inspect(root, "train").problems
    assert "has no photos.tar" in said


def test_nothing_to_make_it_from_is_one_clear_sentence(tmp_path, capsys):
    assert run(["data", "synth", str(tmp_path), str(tmp_path / "out")]) == 1
    assert "has no manifest.jsonl" in capsys.readouterr().err
    (tmp_path / "manifest.jsonl").write_text("")
    assert run(["data", "synth", str(tmp_path), str(tmp_path / "out")]) == 1
    assert "0 whole people" in capsys.readouterr().err


def test_no_original_photo_is_in_two_splits(tmp_path):
    """A leak of the shared folder: views of one panorama, some for training, some for the test."""
    root = make_ingredients(tmp_path / "photos")

    def edit(lines):
        by = {line["file"]: line for line in lines}
        by["train_scene0.png"]["source"] = by["test_scene0.png"]["source"] = "repo:hdri/hall_1k.hdr"
        by["train_person0.png"]["source_image"] = "000000001234.jpg"
        by["test_scene1.png"]["source"] = "COCO val2017 000000001234.jpg"
        by["train_person1.png"]["group"] = by["test_person1.png"]["group"] = "one afternoon"

    edit_manifest(root, edit)
    for split in ("train", "test"):
        order = Order(root, tmp_path / split, dataclasses.replace(RECIPE, size=64, split=split), 12, 12)
        make_set(order)
    verdict = check([tmp_path / "train", tmp_path / "test"])
    assert verdict.breaches == ()
    used = {
        split: {s.file for f in verdict.facts if f.split == split for s in f.sources} for split in ("train", "test")
    }
    assert not used["test"] & {"test_scene0.png", "test_scene1.png", "test_person1.png"}
    assert used["train"] & {"train_scene0.png", "train_person0.png", "train_person1.png"}


def test_without_notes_the_frame_cuts_everybody_off(tmp_path):
    """Nobody floats where nobody knows the ground."""
    library = Library(make_ingredients(tmp_path, notes=False), "train")
    assert not library.grounded and library.backdrops and library.standing
    for number in range(6):
        sample = make_sample(library, RECIPE, number if number % 3 != 2 else number + 1)
        assert all(p.cut for p in sample.people)
        for person in sample.people:
            assert sample.layer_of(person.id).box.y1 == sample.size[0]


def test_rate_and_json(photos, tmp_path, capsys):
    arguments = ["data", "synth", str(photos), str(tmp_path / "s"), "--count", "3", "--size", "64", "--jobs", "1"]
    assert run([*arguments, "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["made"] == 3 and said["samples_per_second"] > 0 and said["problems"] == []
    assert run(arguments) == 0
    assert "0 samples made, 3 were there" in capsys.readouterr().out
