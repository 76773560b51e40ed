"""Statistics, sets and the study with people."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench_items import triples, two_people
from ingredients import make_ingredients
from mild.errors import MildError, UsageError
from mild.lab.bench.items import Item, make_trial
from mild.lab.bench.listing import load_sets
from mild.lab.bench.metrics.score import Scoring, score
from mild.lab.bench.recipe import BenchRecipe
from mild.lab.bench.runner import run
from mild.lab.bench.sets import load_set
from mild.lab.bench.sets.make import ensure
from mild.lab.bench.sets.samples import item_of, shrunk
from mild.lab.bench.stats import holm, interval, mean_of, paired, shared_seeds, spearman
from mild.lab.bench.study.make import choose_pairs, make_study
from mild.lab.bench.study.read import agreement, read_study, told
from mild.lab.bench.summary import summarise
from mild.lab.data.store import write_folder, write_shard
from mild.people.finders.coco import to_coco
from mild.photo import Photo
from samples import tiny_sample
from studio_browser import QUIET, find_browser


def test_an_item_s_seeds_are_one_photo() -> None:
    found = mean_of({"a": {0: 1.0, 1: 3.0}, "b": {0: 5.0, 1: 7.0}}, 200)
    assert found is not None
    assert (found.value, found.items) == (4.0, 2)
    assert found.seeds == pytest.approx(np.std([3.0, 5.0], ddof=1))
    assert found.low <= found.value <= found.high
    assert mean_of({}) is None


def test_the_spread_over_seeds_is_that_of_the_same_items() -> None:
    """Items with a part of the seeds only made two means differ by what they show."""
    found = mean_of({"a": {0: 1.0, 1: 3.0}, "b": {0: 100.0}})
    assert found is not None and found.seeds == pytest.approx(np.std([1.0, 3.0], ddof=1))
    alone = mean_of({"a": {0: 1.0}, "b": {1: 100.0}})
    assert alone is not None and alone.seeds is None


def test_seeds_are_compared_with_the_same_seeds() -> None:
    """Three seeds of one method against one of another gave a switch that does nothing -0.039 dB."""
    switch, whole = {"a": {0: 1.0}, "b": {0: 5.0}, "c": {1: 9.0}}, {"a": {0: 1.0, 1: 4.0}, "b": {0: 5.0}, "c": {0: 2.0}}
    mine, base = shared_seeds(switch, whole)
    assert mine == base == {"a": 1.0, "b": 5.0}


def test_intervals_cover_what_they_should_and_repeat() -> None:
    values = np.random.default_rng(0).normal(0, 1, 400)
    low, high = interval(values)
    assert interval(values) == (low, high)
    # The normal interval of a mean: 1.96 / sqrt(400) on each side.
    assert (high - low) / 2 == pytest.approx(1.96 * values.std() / 20, rel=0.1)
    assert interval(np.full(5, 3.0)) == (3.0, 3.0)


def test_copies_of_a_photo_are_no_further_evidence() -> None:
    """Ten items of each of forty photos, all alike: the interval is that of forty values, not of four hundred."""
    photos = np.random.default_rng(0).normal(0, 1, 40)
    items = np.repeat(photos, 10)
    names = [f"photo {k:02d}" for k in range(40) for _ in range(10)]
    assert interval(items, clusters=names) == pytest.approx(interval(photos))
    # 1.96 / sqrt(40) on each side; without the clusters it would be sqrt(10) times narrower.
    low, high = interval(items, clusters=names)
    assert (high - low) / 2 == pytest.approx(1.96 * photos.std() / 40**0.5, rel=0.1)
    few, more = interval(items)
    assert (high - low) / (more - few) == pytest.approx(10**0.5, rel=0.1)
    assert interval(items[:10], clusters=names[:10]) == (items[0], items[0])


def test_cluster_intervals_cover_the_mean_where_plain_ones_do_not() -> None:
    """Normal photos and items, half of the variance each: 95 % intervals of 30 photos with 10 items."""
    rng, names = np.random.default_rng(5), [str(k) for k in range(30) for _ in range(10)]
    inside = {"clusters": 0, "plain": 0}
    for _ in range(200):
        values = np.repeat(rng.normal(size=30), 10) + rng.normal(size=300)
        for kind, given in (("clusters", names), ("plain", None)):
            low, high = interval(values, 300, given)
            inside[kind] += low <= 0 <= high
    assert inside["clusters"] > 0.89 * 200
    assert inside["plain"] < 0.75 * 200


def test_paired_and_rank_statistics_count_photos_once() -> None:
    rng = np.random.default_rng(2)
    shift = rng.normal(0.3, 1, 12)
    base = {f"{k}.{i}": 20.0 + k for k in range(12) for i in range(5)}
    better = {name: value + shift[int(name.split(".")[0])] for name, value in base.items()}
    clusters = {name: name.split(".")[0] for name in base}
    found = paired(better, base, clusters=clusters)
    once = paired({str(k): 20.0 + k + shift[k] for k in range(12)}, {str(k): 20.0 + k for k in range(12)})
    alone = paired(better, base)
    assert found is not None and once is not None and alone is not None
    assert found.p == pytest.approx(once.p)
    assert (found.items, found.clusters) == (60, 12)
    assert alone.p is not None and found.p is not None and alone.p < found.p / 10
    x = np.repeat(rng.normal(size=12), 5)
    y = x + np.repeat(rng.normal(size=12), 5)
    wide, narrow = spearman(x, y, clusters=[str(k // 5) for k in range(60)]), spearman(x, y)
    assert wide.rho == narrow.rho
    assert wide.high is not None and wide.low is not None and narrow.high is not None and narrow.low is not None
    assert wide.high - wide.low > 1.5 * (narrow.high - narrow.low)
    assert wide.p is None and narrow.p is not None


def test_paired_tests_see_a_shift_that_the_means_hide() -> None:
    rng = np.random.default_rng(1)
    base = {str(i): float(v) for i, v in enumerate(rng.normal(20, 5, 40))}
    better = {k: v + 0.3 + 0.1 * rng.normal() for k, v in base.items()}
    found = paired(better, base)
    assert found is not None and found.p is not None
    assert found.difference == pytest.approx(0.3, abs=0.06)
    assert found.p < 1e-6
    assert found.wins > 0.9
    same = paired(base, base)
    assert same is not None
    assert (same.p, same.difference, same.wins) == (1.0, 0.0, 0.5)
    assert holm([0.01, None, 0.04]) == [pytest.approx(0.02), None, pytest.approx(0.04)]


def test_rank_correlation_of_any_falling_curve_is_minus_one() -> None:
    x = np.linspace(0, 1, 20)
    assert spearman(x, np.exp(-5 * x)).rho == pytest.approx(-1)
    assert spearman(x, np.ones(20)).rho is None


# --- sets


def test_a_sample_becomes_an_item_with_its_truth(tmp_path: Path) -> None:
    sample = tiny_sample()
    write_shard(tmp_path / "set" / "test-00000.tar", [sample])
    write_folder(tmp_path / "plain", sample)
    for place in ("set", "plain"):
        loaded = load_set(f"samples:{tmp_path / place}")
        assert list(loaded.ids()) == [sample.key]
        item = loaded.load(sample.key)
        assert item.truth is not None
        assert set(item.erase) == set(sample.erased)
        assert item.cluster == next(s.group for s in sample.sources if s.kind == "background")
        assert (item.truth.photo == sample.erased_truth()).all()
        for person, rgba in item.truth.people.items():
            assert ((rgba[..., 3] > 127) >= item.scene.mask_of((person,))).mean() > 0.99
    small = shrunk(item_of(sample), 0.5)
    assert small.truth is not None
    assert small.photo.shape == small.truth.photo.shape
    assert np.abs(small.photo.mean((0, 1)) - sample.photo.mean((0, 1))).max() < 3


def test_a_pair_of_a_static_camera_is_an_item_without_layers() -> None:
    sample = replace(tiny_sample(), truth="plate", layers=())
    item = item_of(sample)
    assert item.truth is not None
    assert not item.truth.people
    trial = make_trial(item, "dilated")
    truth = item.truth.photo
    answer = np.where(trial.mask[..., None], truth, item.photo)
    found = score(answer, trial, Scoring(finder=None, flip=False))
    assert found["hole.psnr"] == 80
    assert found["leak.total"] == 0
    assert (score(item.photo, trial, Scoring(finder=None, flip=False))["leak.total"] or 0) > 0.05


def test_mild_bench_is_made_once_and_another_set_in_its_folder_is_refused(tmp_path: Path) -> None:
    photos, folder = make_ingredients(tmp_path / "photos"), tmp_path / "set"
    ensure(folder, photos, count=3, size=128)
    made = {p.name: p.stat().st_mtime_ns for p in folder.glob("*.tar")}
    loaded = load_set(f"samples:{folder}")
    assert len(loaded.ids()) == 3
    assert loaded.load(loaded.ids()[0]).cluster.startswith("test_scene")
    ensure(folder, photos, count=3, size=128)
    assert {p.name: p.stat().st_mtime_ns for p in folder.glob("*.tar")} == made
    with pytest.raises(MildError, match="other settings"):
        ensure(folder, photos, count=3, size=96)


def test_outlines_know_their_background(tmp_path: Path) -> None:
    photos = make_ingredients(tmp_path / "photos")
    loaded = load_set(f"outlines:{photos}", {"count": 6, "size": 96})
    items = [loaded.load(id) for id in loaded.ids()]
    assert all(item.cluster.startswith(("test_scene", "test_cloth")) for item in items)
    assert len({item.cluster for item in items}) > 1
    assert items[3].cluster == loaded.load("0003").cluster


def test_triples_are_matched_by_name_and_fitted(tmp_path: Path) -> None:
    root = triples(tmp_path / "set", 2)
    (root / "mask" / "p0.png").rename(root / "mask" / "p0_mask.png")
    (root / "gt" / "p1.png").unlink()
    loaded = load_set(f"triples:{root}")
    assert list(loaded.ids()) == ["p0", "p1"]
    assert loaded.load("p0").truth is not None
    assert loaded.load("p1").truth is None
    with pytest.raises(UsageError, match="no folder of the masks"):
        load_set(f"triples:{root},mask=nowhere")


def test_coco_people_and_found_people(tmp_path: Path) -> None:
    item = two_people(gap=0.3)
    Photo.from_array(item.photo).save(tmp_path / "a.png")
    (tmp_path / "people.json").write_text(json.dumps(to_coco(item.scene, "a.png")))
    loaded = load_set(f"coco:{tmp_path}", {"annotations": str(tmp_path / "people.json")})
    made: Item = loaded.load("a")
    areas = sorted(p.area for p in made.scene.people)
    assert made.scene.person(made.erase[0]).area == areas[-2]
    with pytest.raises(MildError, match="None of the"):
        load_set(f"coco:{tmp_path},people=3", {"annotations": str(tmp_path / "people.json")})
    nobody = load_set(f"photos:{tmp_path},finder=none")
    with pytest.raises(MildError, match="Nobody was surely found"):
        nobody.load("a")


# --- the study


def answers(study: str, rater: str, chosen: dict[int, str]) -> dict[str, Any]:
    return {"study": study, "rater": rater, "answers": {str(k): v for k, v in chosen.items()}}


def write(path: Path, value: Any) -> Path:
    path.write_text(json.dumps(value))
    return path


def test_a_study_s_outcome_and_agreement(tmp_path: Path) -> None:
    pairs = [{"left": "a", "right": "b"}, {"left": "b", "right": "a"}, {"left": "a", "right": "b"}] * 4
    key = write(tmp_path / "key.json", {"study": "s", "pairs": pairs})
    # Both always prefer method a, whatever its side.
    side = {i: "left" if p["left"] == "a" else "right" for i, p in enumerate(pairs)}
    one = write(tmp_path / "1.json", answers("s", "anna", side))
    two = write(tmp_path / "2.json", answers("s", "ben", side))
    duels, raters = read_study(key, [one, two])
    assert duels[0].first == "a"
    assert (duels[0].share, duels[0].answers, duels[0].photos) == (1.0, 24, 12)
    assert duels[0].p == pytest.approx(2 * 0.5**12)
    assert raters.fleiss == pytest.approx(1)
    assert raters.cohen == pytest.approx(1)
    assert "100 %" in told(duels, raters)
    with pytest.raises(UsageError, match="two files of the rater"):
        read_study(key, [one, one])
    with pytest.raises(UsageError, match="another study"):
        read_study(key, [write(tmp_path / "3.json", answers("t", "c", {}))])
    with pytest.raises(UsageError, match="is none"):
        read_study(key, [write(tmp_path / "4.json", answers("s", "c", {99: "left"}))])


def test_kappas_are_the_textbook_s() -> None:
    """Two raters, 50 photos: agreement .7, by chance .5, so Cohen's kappa .4 (the usual textbook table)."""
    first = ["left"] * 25 + ["right"] * 25
    second = ["left"] * 20 + ["right"] * 5 + ["left"] * 10 + ["right"] * 15
    found = agreement({"a": dict(enumerate(first)), "b": dict(enumerate(second))})
    assert found.cohen == pytest.approx(0.4, abs=1e-4)
    # Fleiss with two raters is Scott's pi: chance from the pooled shares .55 and .45.
    chance = 0.55**2 + 0.45**2
    assert found.fleiss == pytest.approx((0.7 - chance) / (1 - chance), abs=1e-4)
    alone = agreement({"a": {0: "left"}})
    assert alone.fleiss is None and alone.cohen is None


def test_a_study_in_a_browser(tmp_path: Path) -> None:
    chromium = find_browser()
    from playwright.sync_api import sync_playwright

    folder = triples(tmp_path / "set", 4)
    recipe = BenchRecipe.build(
        sets=[{"source": f"triples:{folder},name=meadow", "masks": ["tight"]}],
        methods=["telea", "grey@ns:radius=1"], redetect=False, flip=False, resamples=100,
    )  # fmt: skip
    summary = summarise(run(recipe, tmp_path / "run"))
    pairs = choose_pairs(summary, count=4, seed=1)
    assert len(pairs) == 4
    page_file, key = make_study(tmp_path / "study", tmp_path / "run", summary, load_sets(recipe), pairs)
    html = page_file.read_text()
    assert "telea" not in html and "grey" not in html.replace("greyscale", "")
    assert not re.findall(r"https?://", html)
    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=chromium, args=QUIET)
        page = browser.new_page()
        faults: list[str] = []
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.goto(page_file.as_uri())
        page.locator("#rater").fill("anna")
        page.locator("#begin").click()
        assert page.locator("#left").evaluate("i => i.naturalWidth") == 128
        page.keyboard.press("1")
        page.keyboard.press("2")
        assert page.locator("#place").inner_text() == "3 of 4"
        page.keyboard.press("Backspace")
        assert page.locator("#place").inner_text() == "2 of 4"
        for press in ("=", "2", "1"):
            page.keyboard.press(press)
        with page.expect_download() as download:
            page.locator("#save").click()
        download.value.save_as(tmp_path / "anna.json")
        assert not faults
        browser.close()
    given = json.loads((tmp_path / "anna.json").read_text())
    assert given["answers"] == {"0": "left", "1": "same", "2": "right", "3": "left"}
    duels, raters = read_study(key, [tmp_path / "anna.json"])
    assert duels[0].answers == 4
    assert raters.raters == ("anna",)
