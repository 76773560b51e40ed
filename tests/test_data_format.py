"""The sample format: members, shards, folders, and what a sample says of itself."""

from __future__ import annotations

import dataclasses
import hashlib

import numpy as np
import pytest

from mild.errors import MildError
from mild.lab.data.members import from_members, to_members
from mild.lab.data.sample import Sample
from mild.lab.data.store import open_members, open_samples, write_folder, write_shard
from mild.people.body import PARTS
from samples import tiny_sample


def assert_same(a: Sample, b: Sample) -> None:
    for field in dataclasses.fields(Sample):
        x, y = getattr(a, field.name), getattr(b, field.name)
        if isinstance(x, np.ndarray):
            assert np.array_equal(x, y), field.name
        elif field.name == "layers":
            assert [(la.kind, la.owner, la.name, la.box) for la in x] == [
                (la.kind, la.owner, la.name, la.box) for la in y
            ]
            assert all(np.array_equal(p.rgba, q.rgba) for p, q in zip(x, y, strict=True))
        elif field.name == "people":
            for p, q in zip(x, y, strict=True):
                assert np.allclose(p.keypoints, q.keypoints, atol=0.005)
                plain = np.zeros((17, 3), np.float32)
                assert str(dataclasses.replace(p, keypoints=plain)) == str(dataclasses.replace(q, keypoints=plain))
        else:
            assert x == y, field.name


def test_members_bring_the_sample_back():
    sample = tiny_sample()
    assert_same(sample, from_members(to_members(sample)))


def test_a_photo_alone_needs_no_background_and_no_layers():
    sample = tiny_sample(background=None, layers=(), truth="none")
    members = to_members(sample)
    assert "background.webp" not in members and "layers.webp" not in members
    assert_same(sample, from_members(members))
    with pytest.raises(MildError, match="not known"):
        sample.erased_truth()


def test_the_layers_compose_to_the_photo_and_without_the_erased_to_the_truth():
    sample = tiny_sample()
    assert np.array_equal(sample.compose(), sample.photo)
    truth = sample.erased_truth()
    assert np.array_equal(truth[:, 45:], sample.background[:, 45:])
    # Person 1 is complete where person 2 stood before them, and their bag is there.
    assert (truth[26:34, 24:26] == (30, 30, 200)).all() and (sample.photo[26:34, 25] == (30, 200, 30)).all()
    everybody = dataclasses.replace(sample, people=tuple(dataclasses.replace(p, erase=True) for p in sample.people))
    assert np.array_equal(everybody.erased_truth(), sample.background)


def test_the_scene_says_who_is_where_and_belongings_go_with_their_owner():
    sample = tiny_sample()
    scene = sample.scene()
    assert scene.order == (1, 2) and scene.in_front(2, 1)
    one = scene.person(1)
    assert one.full_mask(sample.size)[30, 23] and one.parts[30 - one.box.y0, 23 - one.box.x0] == PARTS["belongings"]
    assert not sample.scene(belongings=False).person(1).full_mask(sample.size)[30, 23]
    assert scene.person(1).keypoints is not None and scene.person(2).keypoints is None
    assert sample.layer_of(1).rgba[..., 3].any() and sample.index[30, 25] == 2


def test_shards_and_folders_hold_the_same_and_shards_are_the_same_bytes(tmp_path):
    samples = [tiny_sample(f"{i:06d}", i) for i in range(3)]
    assert write_shard(tmp_path / "a" / "x-00000.tar", samples) == 3
    write_shard(tmp_path / "b.tar", samples)
    digest = {hashlib.sha256(p.read_bytes()).hexdigest() for p in (tmp_path / "a" / "x-00000.tar", tmp_path / "b.tar")}
    assert len(digest) == 1
    for sample in samples:
        write_folder(tmp_path / "plain", sample)
    for path in (tmp_path / "a", tmp_path / "b.tar", tmp_path / "plain"):
        for given, read in zip(samples, open_samples(path), strict=True):
            assert_same(given, read)
    assert [key for key, _, _ in open_members(tmp_path / "plain" / "000001")] == ["000001"]


def test_a_shard_that_exists_is_not_overwritten_and_a_failed_one_leaves_nothing(tmp_path):
    write_shard(tmp_path / "x.tar", [tiny_sample()])
    before = (tmp_path / "x.tar").read_bytes()
    with pytest.raises(MildError, match="already exists"):
        write_shard(tmp_path / "x.tar", [])

    def fails():
        yield tiny_sample()
        raise RuntimeError("interrupted")

    with pytest.raises(RuntimeError):
        write_shard(tmp_path / "x.tar", fails(), overwrite=True)
    with pytest.raises(MildError, match="Two samples"):
        write_shard(tmp_path / "y.tar", [tiny_sample(), tiny_sample()])
    assert [p.name for p in tmp_path.iterdir()] == ["x.tar"] and (tmp_path / "x.tar").read_bytes() == before


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (lambda m: m.pop("index.png"), "no index.png"),
        (lambda m: m.update({"photo.webp": m["photo.webp"][:40]}), "photo.webp of sample 7"),
        (lambda m: m.update({"json": b"{"}), "JSON of sample 7 cannot be read"),
        (lambda m: m.update({"json": m["json"].replace(b"mild-sample/1", b"mild-sample/9")}), "mild-sample/9"),
        (lambda m: m.update({"json": m["json"].replace(b'"order"', b'"other"')}), "lacks a field"),
    ],
)
def test_damaged_members_are_named(damage, says):
    members = to_members(tiny_sample())
    damage(members)
    with pytest.raises(MildError, match=says):
        from_members(members, "7")


def test_no_samples_is_said(tmp_path):
    with pytest.raises(MildError, match="no samples"):
        next(open_samples(tmp_path))
    (tmp_path / "x.tar").write_bytes(b"no tar at all")
    with pytest.raises(MildError, match="damaged"):
        next(open_samples(tmp_path))


def test_hugging_face_datasets_reads_the_shards(tmp_path, monkeypatch):
    datasets = pytest.importorskip("datasets")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    from mild.lab.data.store import load_huggingface

    home = tmp_path / "set"
    write_shard(home / "train-00000.tar", [tiny_sample(f"{i:06d}", i) for i in range(3)])
    write_shard(home / "train-00001.tar", [tiny_sample(f"{i:06d}", i) for i in range(3, 9)])
    loaded = datasets.load_dataset("webdataset", data_dir=str(home), cache_dir=str(tmp_path / "cache"), split="train")
    assert len(loaded) == 9
    assert np.array_equal(np.asarray(loaded[4]["photo.webp"].convert("RGB")), tiny_sample(seed=4).photo)
    assert loaded[4]["json"]["tags"]["scenario"] == "human-human"
    assert sum(1 for _ in load_huggingface(home, streaming=True)) == 9
