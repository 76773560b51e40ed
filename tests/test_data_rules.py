"""`mild data validate`, `stats` and `card`: damage made on purpose is named, by sample and rule."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest

from mild.app.cli.app import run
from mild.errors import MildError
from mild.lab.data.card import write_card
from mild.lab.data.facts import facts_of, short_licence
from mild.lab.data.members import to_members
from mild.lab.data.rules import breaches_of, check
from mild.lab.data.sample import Sample, SampleLayer, Tags
from mild.lab.data.stats import summary
from mild.lab.data.store import write_members, write_shard
from mild.people.scene import Box
from samples import tiny_sample


def changed(**fields):
    return lambda sample: dataclasses.replace(sample, **fields)


def with_person(number: int, **fields):
    def damage(s: Sample) -> Sample:
        people = tuple(dataclasses.replace(p, **fields) if p.id == number else p for p in s.people)
        return dataclasses.replace(s, people=people)

    return damage


def with_layer(name: str, edit):
    def damage(s: Sample) -> Sample:
        return dataclasses.replace(s, layers=tuple(edit(la) if la.name == name else la for la in s.layers))

    return damage


def with_source(number: int, **fields):
    def damage(s: Sample) -> Sample:
        sources = list(s.sources)
        sources[number] = dataclasses.replace(sources[number], **fields)
        return dataclasses.replace(s, sources=tuple(sources))

    return damage


def repainted(s: Sample) -> Sample:
    photo = s.photo.copy()
    photo[20, 20] ^= 8
    return dataclasses.replace(s, photo=photo)


def off_by_one(s: Sample) -> Sample:
    photo = s.photo.copy()
    photo[20, 20] ^= 1
    return dataclasses.replace(s, photo=photo)


def moved(box: Box):
    return lambda la: SampleLayer(la.kind, la.owner, la.name, box, la.rgba)


def emptied(la: SampleLayer) -> SampleLayer:
    return dataclasses.replace(la, rgba=np.zeros_like(la.rgba))


def overlapping(s: Sample) -> Sample:
    belongings = s.belongings.copy()
    belongings[s.index == 1] = 1
    return dataclasses.replace(s, belongings=belongings)


def relabelled(name: str, value: int):
    def damage(s: Sample) -> Sample:
        pixels = getattr(s, name).copy()
        pixels[0, 0] = value
        return dataclasses.replace(s, **{name: pixels})

    return damage


POINT = np.zeros((17, 3), np.float32)
POINT[0] = (500, 4, 1)

DAMAGE = {
    "a pixel of the photo": (repainted, "recomposition", "1 pixels differ"),
    "a layer missing": (lambda s: dataclasses.replace(s, layers=s.layers[:-1]), "layers", "person 2 has 0 layers"),
    "an empty layer": (with_layer("person 2", emptied), "layers", "is empty"),
    "a layer beyond the frame": (with_layer("bag", moved(Box(60, 24, 70, 34))), "inside", "beyond the frame"),
    "a layer of nobody": (with_layer("bag", lambda la: dataclasses.replace(la, owner=9)), "layers", "belongs to 9"),
    "a coloured shadow": (
        with_layer("shadow 1", lambda la: dataclasses.replace(la, rgba=la.rgba + np.uint8(1))),
        "layers",
        "not black",
    ),
    "a circular order": (changed(order=(1, 2, 1)), "order", "circle"),
    "an incomplete order": (changed(order=(1,)), "order", "not complete"),
    "another order than the layers'": (changed(order=(2, 1)), "order", "stacked"),
    "nobody in the index": (changed(index=np.zeros((48, 64), np.uint8)), "people", "nowhere to be seen"),
    "a stranger in the index": (relabelled("index", 7), "people", r"knows \[7\]"),
    "a mask of another size": (
        changed(index=np.ones((48, 63), np.uint8)),
        "sizes",
        "index is 63 x 48, the photo 64 x 48",
    ),
    "a background of another size": (changed(background=np.ones((24, 32, 3), np.uint8)), "sizes", "background is 32"),
    "a person larger than the scene": (
        changed(index=np.pad(np.ones((47, 64), np.uint8), ((0, 1), (0, 0)), constant_values=2)),
        "people",
        "larger than the scene",
    ),
    "nobody to erase": (with_person(2, erase=False), "task", "nobody is to be erased"),
    "a number twice": (with_person(2, id=1), "people", "not different"),
    "no licence": (with_source(1, licence="  "), "licence", "people/a.webp has no licence"),
    "a source missing": (with_person(1, source="people/z.webp"), "licence", "not among the sources"),
    "keypoints outside": (with_person(1, keypoints=POINT), "inside", "keypoints of person 1 lie outside"),
    "two claims to a pixel": (overlapping, "maps", "claim the same pixels"),
    "an unknown part": (relabelled("parts", 8), "maps", "label 8"),
    "a shadow nobody casts": (relabelled("shadow", 200), "maps", "shadow map is not what the layers show"),
    "a scenario of its own": (changed(tags=Tags("crowd")), "tags", "'crowd' is not known"),
    "a scenario that it is not": (changed(tags=Tags("human-human", 0.0)), "tags", "called human-human"),
    "hidden more than all": (with_person(1, hidden=1.5), "tags", "less than nothing or more than all"),
    "a truth without background": (changed(background=None), "layers", "no background"),
    "layers without truth": (changed(truth="none"), "layers", "yet it has layers"),
    "a split of its own": (changed(split="dev"), "split", "neither train nor test"),
}


def test_a_sound_sample_breaks_no_rule():
    assert list(breaches_of(tiny_sample())) == []
    assert list(breaches_of(off_by_one(tiny_sample()))) == []
    plain = tiny_sample(background=None, layers=(), truth="none", tags=Tags())
    assert list(breaches_of(plain)) == []


@pytest.mark.parametrize("name", DAMAGE)
def test_damage_is_named_by_sample_and_rule(name):
    damage, rule, says = DAMAGE[name]
    found = list(breaches_of(damage(tiny_sample("000007"))))
    assert rule in {b.rule for b in found}, found
    import re

    assert any(b.where == "000007" and b.rule == rule and re.search(says, b.says) for b in found), found


def test_validate_names_what_it_finds_and_goes_on(tmp_path, capsys):
    """Ten kinds of damage in one set, two of them so bad that the sample cannot be read."""
    kinds = list(DAMAGE)[:8]
    samples = [tiny_sample("sound")]
    samples += [DAMAGE[kind][0](tiny_sample(f"bad{i}")) for i, kind in enumerate(kinds)]
    rows = [(s.key, to_members(s)) for s in samples]
    cut = to_members(tiny_sample("cut"))
    rows.append(("cut", {**cut, "photo.webp": cut["photo.webp"][:50]}))
    rows.append(("bare", {name: data for name, data in to_members(tiny_sample("bare")).items() if name != "index.png"}))
    rows.append(("renamed", to_members(tiny_sample("other"))))
    write_members(tmp_path / "set" / "train-00000.tar", rows)
    assert run(["data", "validate", str(tmp_path / "set"), "--jobs", "1"]) == 1
    told = capsys.readouterr()
    for i, kind in enumerate(kinds):
        assert f"bad{i}: {DAMAGE[kind][1]}: " in told.out, kind
    assert "cut: readable: The picture photo.webp of sample cut" in told.out
    assert "bare: readable: Sample bare has no index.png" in told.out
    assert "renamed: key: its JSON calls it 'other'" in told.out
    assert "sound:" not in told.out and "are broken" in told.err

    write_shard(tmp_path / "good.tar", [tiny_sample()])
    assert run(["data", "validate", str(tmp_path / "good.tar"), "--jobs", "1"]) == 0
    assert "1 samples read, 0 breaches" in capsys.readouterr().out


def test_what_only_the_whole_set_shows(tmp_path):
    home = tmp_path / "set"
    write_shard(home / "train-00000.tar", [tiny_sample("a", 0), tiny_sample("b", 1), tiny_sample("c", 2)])
    write_shard(home / "train-00001.tar", [tiny_sample("a", 3)])
    said = {"samples": 5, "recipe": {"scenarios": ["human-human", "human-object", "human-background"]}}
    (home / "set.json").write_text(json.dumps(said))
    rules = {b.rule: b for b in check([home]).breaches}
    assert set(rules) == {"key", "count", "quota"} and rules["key"].where == "a"
    assert "4 human-human, 0 human-object" in rules["quota"].says


def test_a_photo_in_two_splits_is_found(tmp_path):
    write_shard(tmp_path / "train.tar", [tiny_sample("t", 0)])
    shared = with_source(0, group="another field")(tiny_sample("u", 1, split="test"))
    write_shard(tmp_path / "test.tar", [shared])
    leaks = [b for b in check([tmp_path / "train.tar", tmp_path / "test.tar"]).breaches if b.rule == "leak"]
    assert len(leaks) == 2 and all("u (test) and t (train)" in b.where for b in leaks)
    assert {b.says.split()[-1] for b in leaks} == {"a.jpg", "b.jpg"}


def test_a_damaged_shard_does_not_stop_the_others(tmp_path):
    write_shard(tmp_path / "train-00001.tar", [tiny_sample()])
    (tmp_path / "train-00000.tar").write_bytes(b"rubbish")
    verdict = check([tmp_path])
    assert len(verdict.facts) == 1 and [b.rule for b in verdict.breaches] == ["readable"]


def test_stats_count_and_plot(tmp_path, capsys):
    pytest.importorskip("matplotlib")
    write_shard(tmp_path / "set" / "train-00000.tar", [tiny_sample(f"{i}", i) for i in range(4)])
    out = tmp_path / "numbers"
    assert run(["data", "stats", str(tmp_path / "set"), "--out", str(out), "--jobs", "1", "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said == json.loads((out / "stats.json").read_text()) and (out / "stats.png").stat().st_size > 5000
    assert (said["samples"], said["people"], said["scenarios"]) == (4, 8, {"human-human": 4})
    assert said["distributions"]["people"]["50"] == 2 and said["objects"] == {"bag": 4}
    area = facts_of(tiny_sample()).areas[1]
    assert area == pytest.approx((tiny_sample().index == 2).mean(), abs=1e-5)
    assert run(["data", "stats", str(tmp_path / "set"), "--jobs", "1"]) == 0
    assert "licence" in capsys.readouterr().out


def test_the_card_has_front_matter_licences_and_credits(tmp_path, capsys):
    yaml = pytest.importorskip("yaml")
    home = tmp_path / "set"
    write_shard(home / "train-00000.tar", [tiny_sample(f"{i}", i) for i in range(3)])
    assert run(["data", "card", str(home), "--jobs", "1", "--name", "My set"]) == 0
    text = (home / "README.md").read_text()
    front = yaml.safe_load(text.split("---")[1])
    assert front["pretty_name"] == "My set" and front["size_categories"] == ["n<1K"]
    assert front["configs"][0]["data_files"] == [{"split": "train", "path": "train-*.tar"}]
    assert "| CC-BY-2.0 | 2 | 3 |" in text and "3 photos (64 x 48) with 6 people" in text
    rows = [line.split("\t") for line in (home / "CREDITS.tsv").read_text().splitlines()]
    assert rows[0] == ["kind", "file", "licence", "credit", "origin"] and len(rows) == 4
    assert ["person", "people/a.webp", "CC-BY-2.0", "A. Author", "web"] in rows
    assert run(["data", "card", str(home), "--jobs", "1"]) == 2
    assert "exists already" in capsys.readouterr().err
    with pytest.raises(MildError, match="no licence"):
        write_card([facts_of(with_source(0, licence="")(tiny_sample()))], home)


def test_short_licences_keep_their_name():
    assert short_licence("CC-BY-4.0 (book); photo credit: (credit: X)") == "CC-BY-4.0 (book)"
    assert short_licence("Unsplash License (repo LICENSE.md; file names)") == "Unsplash License (repo LICENSE.md)"


def test_no_samples_to_count_is_said():
    with pytest.raises(MildError, match="no samples"):
        summary([])


def test_what_cannot_be_read_is_missed_in_figures_and_credits(tmp_path, capsys):
    """A damaged shard: the figures were of the others and the card lacked its credits, and nothing was said."""
    home = tmp_path / "set"
    write_shard(home / "train-00000.tar", [tiny_sample("0")])
    (home / "train-00001.tar").write_bytes(b"rubbish")
    assert run(["data", "stats", str(home), "--jobs", "1"]) == 1
    told = capsys.readouterr()
    assert "1 samples" in told.out and "train-00001.tar: readable" in told.err and "of the rest" in told.err
    assert run(["data", "card", str(home), "--jobs", "1"]) == 1
    assert "credits would be missing" in capsys.readouterr().err and not (home / "README.md").exists()
