"""A whole run on small photos: bad methods are recorded, a stopped run goes on, two runs are the same."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from bench_items import triples, two_people
from mild.app.cli import app as cli
from mild.engines import Workers
from mild.errors import MildError, UsageError
from mild.files import read_json_lines
from mild.lab.bench.compare import compare, load_results
from mild.lab.bench.items import describe, make_trial
from mild.lab.bench.listing import load_sets, wanted
from mild.lab.bench.methods import load, parse
from mild.lab.bench.recipe import BenchRecipe
from mild.lab.bench.records import FAILED
from mild.lab.bench.report.write import write_report
from mild.lab.bench.runner import run
from mild.lab.bench.sets import choose, load_set
from mild.lab.bench.summary import summarise
from mild.lab.data.store import write_shard
from samples import tiny_sample
from studio_browser import QUIET, find_browser

GOOD = ("mean@python:bench_items:mean", "noisy@python:bench_items:noisy", "bright@python:bench_items:brighter")
BAD = {
    "size": "python:bench_items:size",
    "nan": "python:bench_items:nan",
    "type": "python:bench_items:flat",
    "error": "python:bench_items:raises",
    "crash": "python:bench_items:dies",
    "hang": "python:bench_items:sleeps",
}


def recipe_for(folder: Path) -> dict[str, Any]:
    return {
        "sets": [
            {
                "source": f"triples:{folder},name=meadow",
                "masks": ["tight", "box"],
                "methods": ["mean", "noisy", "bright"],
            },
            {"source": f"triples:{folder},name=few", "limit": 1, "masks": ["tight"], "seeds": [0]},
        ],
        "methods": [*GOOD, "input", *(f"{name}@{text}" for name, text in BAD.items()), "gone@onnx:nowhere.onnx"],
        "seeds": [0, 1],
        "seconds": 3,
        "redetect": False,
        "flip": False,
        "resamples": 200,
    }


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run with its report."""
    root = tmp_path_factory.mktemp("bench")
    triples(root / "set", 4)
    out = run(BenchRecipe.build(**recipe_for(root / "set")), root / "run")
    write_report(out)
    return out


def test_methods_that_go_wrong_are_recorded_and_the_run_goes_on(done: Path) -> None:
    results = load_results(done)
    few = next(s for s in results["sets"] if s["name"] == "few")["masks"]["tight"]
    for status in BAD:
        assert few[status]["statuses"] == {status: few[status]["asked"]}, status
        assert few[status]["answered"] == 0
        assert few[status]["means"] == {}
    assert few["input"]["statuses"] == {"unchanged": 1}
    assert few["mean"]["answered"] == few["mean"]["asked"] == 1
    assert "there is none at" in results["methods"]["gone"]["failed"]
    text = (done / "report.md").read_text()
    assert re.search(r"\| hang \| 1 hang \| p2: hang: no answer within 3 s", text)
    assert "exit code 3" in text
    assert "ValueError: no luck" in text


def test_every_picture_has_an_id_and_a_hash(done: Path) -> None:
    items = read_json_lines(done / "items" / "meadow.jsonl")
    assert [row["id"] for row in items] == ["p0", "p1", "p2", "p3"]
    for record in read_json_lines(done / "records" / "mean" / "meadow.jsonl"):
        assert {len(v) for v in record["sha256"].values()} == {64}
        assert (done / "pictures" / "mean" / "meadow" / f"{record['key']}.webp").is_file()
    assert {len(v) for row in items for v in row["sha256"].values()} == {64}


def test_figures_rank_as_they_must(done: Path) -> None:
    meadow = next(s for s in load_results(done)["sets"] if s["name"] == "meadow")["masks"]["tight"]
    psnr = {m: row["means"]["hole.psnr"]["value"] for m, row in meadow.items()}
    assert psnr["mean"] > psnr["noisy"]
    assert meadow["noisy"]["means"]["hole.psnr"]["seeds"] > 0
    assert meadow["mean"]["means"]["identity.outside"]["value"] == 1
    assert meadow["bright"]["means"]["identity.outside"]["value"] < 0.1
    assert meadow["bright"]["means"]["leak.total"]["value"] > 5 * meadow["mean"]["means"]["leak.total"]["value"]


def test_a_run_that_was_stopped_is_continued_and_gives_the_same(done: Path, tmp_path: Path) -> None:
    recipe = recipe_for(done.parent / "set")
    recipe["methods"] = list(GOOD[:2])
    recipe["sets"][0]["methods"] = ["mean", "noisy"]
    told: list[str] = []

    class Stop(Exception):
        pass

    def stop(line: str) -> None:
        told.append(line)
        if "noisy on meadow: 5 of" in line:
            raise Stop

    with pytest.raises(Stop):
        run(BenchRecipe.build(**recipe), tmp_path / "run", tell=stop)
    path = tmp_path / "run" / "records" / "noisy" / "meadow.jsonl"
    path.write_text(path.read_text() + '{"key": "half a li')  # as a machine that lost its power leaves it
    run(BenchRecipe.build(**recipe), tmp_path / "run", tell=told.append)
    assert "noisy on meadow: 11 to do, 5 done before" in told, [line for line in told if "done before" in line]
    assert "mean on meadow: 0 to do, 16 done before" in told
    again = compare(load_results(done), summarise(tmp_path / "run"))
    assert again.same_pixels == again.same_figures == again.answers > 30
    assert len(summarise(tmp_path / "run")["sets"][0]["answers"]["noisy"]) == 16
    assert all(row.paired.difference == 0 for row in again.rows)


def test_two_processes_give_the_same_as_one(done: Path, tmp_path: Path) -> None:
    recipe = recipe_for(done.parent / "set") | {"methods": list(GOOD[:2]), "jobs": 2}
    recipe["sets"] = [{**recipe["sets"][0], "methods": ["mean", "noisy"]}]
    told: list[str] = []
    one, two = load_results(done), summarise(run(BenchRecipe.build(**recipe), tmp_path / "run", tell=told.append))
    again = compare(one, two)
    assert again.same_pixels == again.same_figures == again.answers == 32
    assert told.count("noisy on meadow: 8 to do, 0 done before") == 2  # half of the items each
    first, second = (next(s for s in of["sets"] if s["name"] == "meadow") for of in (one, two))
    assert first["items"] == second["items"]
    for method, row in second["masks"]["tight"].items():
        assert row["means"] == first["masks"]["tight"][method]["means"]  # to the last bit


@pytest.mark.slow
def test_a_ray_cluster_gives_the_same_figures(done: Path, tmp_path: Path) -> None:
    pytest.importorskip("ray.data")
    recipe = recipe_for(done.parent / "set") | {"methods": list(GOOD[:2])}
    recipe["sets"] = [{**recipe["sets"][0], "methods": ["mean", "noisy"]}]
    told: list[str] = []
    ray = Workers("ray", 2)
    two = summarise(run(BenchRecipe.build(**recipe), tmp_path / "run", tell=told.append, workers=ray))
    again = compare(load_results(done), two)
    assert again.same_pixels == again.same_figures == again.answers == 32
    assert told.count("noisy on meadow: 8 to do, 0 done before") == 2


def test_a_fault_in_one_of_two_processes_is_told(done: Path, tmp_path: Path) -> None:
    recipe = recipe_for(done.parent / "set") | {"methods": ["mean@python:bench_items:mean"], "jobs": 2}
    recipe["sets"] = [{**recipe["sets"][1]}]
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "recipe.json").write_text("{}")
    (tmp_path / "run" / "methods").write_text("no folder")
    with pytest.raises(MildError, match=r"methods.* cannot be written: (Not a directory|File exists)"):
        run(BenchRecipe.build(**recipe), tmp_path / "run")


def test_people_are_looked_for_in_some_answers_only(done: Path) -> None:
    recipe = recipe_for(done.parent / "set") | {"redetect": True, "cag": 3}
    recipe["sets"][0] |= {"redetect": 2, "cag": 1}
    built = BenchRecipe.build(**recipe)
    some, few = load_sets(built)
    assert len(some.looked(built)) == 2
    assert len(some.probed(built)) == 1 and some.probed(built) < some.looked(built)
    assert few.looked(built) == set(few.ids)
    assert few.probed(built) <= set(few.ids)
    off = built.model_copy(update={"redetect": False})
    assert not some.looked(off)
    assert built.scoring_digest(some.choice) != built.scoring_digest(some.choice.model_copy(update={"redetect": 3}))


def test_other_weights_or_pictures_are_asked_again(done: Path, tmp_path: Path) -> None:
    results = tmp_path / "ready"
    results.mkdir()
    recipe = {
        "sets": [{"source": f"triples:{done.parent / 'set'},name=few", "limit": 1, "masks": ["tight"]}],
        "methods": [f"ready@folder:{results}"],
        "redetect": False,
        "flip": False,
    }
    told: list[str] = []
    run(BenchRecipe.build(**recipe), tmp_path / "run", tell=told.append)
    assert any("has no result for" in line for line in told)
    item = load_set(recipe["sets"][0]["source"]).load("p2")  # type: ignore[index]
    Image.fromarray(item.photo[::-1].copy()).save(results / "p2.png")
    run(BenchRecipe.build(**recipe), tmp_path / "run", tell=told.append)
    assert summarise(tmp_path / "run")["sets"][0]["masks"]["tight"]["ready"]["answered"] == 1


def test_compare_says_what_changed(done: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = compare(load_results(done), load_results(done), ("mean", "noisy"))
    row = next(r for r in found.rows if r.figure.key == "hole.psnr" and r.set == "meadow")
    assert row.second < row.first
    assert not found.same
    with pytest.raises(UsageError, match="no method"):
        compare(load_results(done), load_results(done), ("mean", "nobody"))
    assert cli.run(["bench", "compare", str(done), str(done), "--exact"]) == 0
    assert "The numbers are the same." in capsys.readouterr().out


def test_the_report_names_nothing_outside_itself(done: Path) -> None:
    html = (done / "report.html").read_text()
    addresses = set(re.findall(r"https?://[^\s\"'<>)]+", html))
    assert addresses <= {"http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"}
    assert not re.findall(r"<(?:link|script)[^>]+(?:src|href)=", html)
    assert "no weights were given" in html


def test_the_report_in_a_browser(done: Path, tmp_path: Path) -> None:
    chromium = find_browser()
    from playwright.sync_api import sync_playwright

    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=chromium, args=QUIET)
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        faults: list[str] = []
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.goto((done / "report.html").as_uri())
        section = page.locator("section", has=page.locator("h2", has_text=re.compile("^meadow$")))
        # Sliders: the share of the photo that is shown follows the pointer and the arrow keys.
        slider = section.locator(".pair input").first
        slider.scroll_into_view_if_needed()
        box = slider.bounding_box()
        assert box is not None
        page.mouse.click(box["x"] + box["width"] * 0.2, box["y"] + box["height"] / 2)
        shown = slider.evaluate("s => s.parentElement.style.getPropertyValue('--at')")
        assert 15 <= float(shown.rstrip("%")) <= 25
        slider.press("ArrowRight")
        moved = slider.evaluate("s => s.parentElement.style.getPropertyValue('--at')")
        assert float(moved.rstrip("%")) == float(shown.rstrip("%")) + 1
        before = section.locator(".before").first
        assert before.evaluate("i => i.naturalWidth") == 128
        section.locator(".truth").first.click()
        assert section.locator(".truth").first.get_attribute("aria-pressed") == "true"
        # Another method's cases.
        section.locator(".which").select_option("noisy")
        assert section.locator(".cases figure:visible").count() == 3
        assert "worst" in section.locator(".cases figure:visible figcaption").all_inner_texts()[0]
        # Tables sort both ways.
        table = section.locator("table.sorts").first
        head = table.locator("th button", has_text="PSNR hole")
        head.click()
        down = [
            float(v)
            for v in table.locator("tbody tr td:nth-child(3)").evaluate_all("cells => cells.map(c => c.dataset.value)")
        ]
        head.click()
        up = [
            float(v)
            for v in table.locator("tbody tr td:nth-child(3)").evaluate_all("cells => cells.map(c => c.dataset.value)")
        ]
        assert down == sorted(down, reverse=True) == up[::-1]
        page.screenshot(path=str(tmp_path / "report.png"), full_page=True)
        assert not faults
        browser.close()


# --- the parts


def test_masks_spare_those_who_stay_and_differ_by_kind() -> None:
    item = two_people()
    sizes = {}
    for kind in ("tight", "dilated", "box"):
        trial = make_trial(item, kind)  # type: ignore[arg-type]
        assert not (trial.mask & item.kept_mask).any()
        assert trial.mask[item.scene.mask_of((2,))].all()
        sizes[kind] = int(trial.mask.sum())
    assert sizes["tight"] == item.scene.person(2).area < min(sizes["dilated"], sizes["box"])


def test_choosing_fewer_keeps_proportions_and_more_adds_only(tmp_path: Path) -> None:
    class Strata:
        name, about = "s", {}

        def ids(self) -> list[str]:
            return [f"{i:03d}" for i in range(100)]

        def stratum(self, id: str) -> str:
            return "rare" if int(id) < 20 else "often"

        def load(self, id: str) -> Any:
            raise AssertionError("nothing need be decoded")

    whole = Strata()
    ten = choose(whole, 10, 3)
    assert sum(int(i) < 20 for i in ten) == 2
    assert set(ten) < set(choose(whole, 25, 3))
    assert choose(whole, 10, 3) == ten != choose(whole, 10, 4)
    assert choose(whole, 1000) == whole.ids()


def test_the_ready_recipes_need_a_folder_that_the_user_names(capfd: pytest.CaptureFixture[str]) -> None:
    configs = Path(__file__).resolve().parent.parent / "configs"
    for path in configs.rglob("*.yaml"):
        assert "../" not in path.read_text("utf-8"), f"{path.name} names what lies beside somebody's repository"
    for name in ("bench", "bench_parts", "through_training"):
        path = configs / f"{name}.yaml"
        with pytest.raises(UsageError, match="--photos FOLDER"):
            BenchRecipe.open(path)
        made = BenchRecipe.open(path, "here")
        assert {one.options.get("photos", one.source) for one in made.sets} <= {
            "here", "outlines:here", "photos:examples"
        }  # fmt: skip
        other = BenchRecipe.open(path, sets=[{"source": "photos:x"}])
        assert [one.source for one in other.sets] == ["photos:x"], "nothing is asked for that is not needed"
    assert BenchRecipe.open(configs / "bench_real.yaml").methods
    assert cli.run(["bench", "run", "--recipe", str(configs / "bench.yaml")]) == 2
    assert "--photos FOLDER" in capfd.readouterr().err


def test_wrong_recipes_are_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no method 'nothing'"):
        parse("nothing:x")
    with pytest.raises(UsageError, match="two methods are called telea"):
        BenchRecipe.build(sets=[{"source": "photos:x"}], methods=["telea", "telea"])
    with pytest.raises(UsageError, match="does not know 'colour=1'"):
        load(parse("telea:colour=1"))
    with pytest.raises(UsageError, match=r"method\.sma|sma"):
        load(parse("mild:sma=maybe"))
    with pytest.raises(UsageError, match="no set 'nothing'"):
        load_set("nothing:x")
    with pytest.raises(MildError, match="no photos"):
        load_set(f"photos:{tmp_path}")
    with pytest.raises(UsageError, match="none of the methods"):
        BenchRecipe.build(sets=[{"source": "photos:x"}], methods=["telea"], reference="ns").reference_name  # noqa: B018
    assert cli.run(["bench", "run"]) == 2


def test_methods_without_a_seed_are_asked_once(tmp_path: Path) -> None:
    recipe = BenchRecipe.build(sets=[{"source": f"triples:{triples(tmp_path / 's', 2)}"}], methods=["telea"])
    loaded = load_sets(recipe)[0]
    assert len(wanted(loaded, recipe, seeded=True)) == 6
    assert len(wanted(loaded, recipe, seeded=False)) == 2
    assert set(FAILED) == set(BAD)


def test_items_are_described_by_what_the_bins_need() -> None:
    row = describe(two_people())
    assert row["people"] == 2
    assert 0.05 < row["occlusion"] < 0.5
    assert json.loads(json.dumps(row)) == row
    assert row["sha256"]["photo"] != describe(two_people(seed=1))["sha256"]["photo"]


def test_without_a_finder_s_nets_nothing_is_silently_zero(done: Path) -> None:
    results = load_results(done)
    for one in results["sets"]:
        for part in one["masks"].values():
            assert not any("redetected" in row["means"] for row in part.values())


@pytest.fixture(autouse=True)
def _in_tests(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Workers import :mod:`bench_items` from here."""
    monkeypatch.syspath_prepend(str(Path(__file__).resolve().parent))
    yield


def test_nothing_of_the_truth_reaches_a_method() -> None:
    from mild.lab.bench.worker import MethodProcess

    sent: list[Any] = []

    class Pipe:
        def send(self, message: Any) -> None:
            sent.append(message)

    class Alive:
        def is_alive(self) -> bool:
            return True

    worker = MethodProcess(parse("telea"), seconds=1)
    worker._pipe, worker._process = Pipe(), Alive()  # type: ignore[assignment]
    worker._send(make_trial(two_people(), "tight"), False)
    assert sent[0][0].item.truth is None


def test_a_set_that_was_made_anew_is_asked_again(tmp_path: Path) -> None:
    """Answers to an older set of the same name once stood in one table with those to the newer."""
    folder = triples(tmp_path / "set", 2)
    fields = {
        "sets": [{"source": f"triples:{folder},name=meadow", "masks": ["tight"]}],
        "methods": ["telea", "ns"], "redetect": False, "flip": False, "resamples": 100,
    }  # fmt: skip
    run(BenchRecipe.build(**fields), tmp_path / "run")
    Image.fromarray(two_people(seed=9).photo).save(folder / "img" / "p0.png")
    told: list[str] = []
    run(BenchRecipe.build(**{**fields, "methods": ["telea"]}), tmp_path / "run", tell=told.append)
    assert "telea on meadow: 1 to do, 1 done before" in told
    answers = summarise(run(BenchRecipe.build(**fields), tmp_path / "run"))["sets"][0]["answers"]
    for key, answer in answers["telea"].items():
        assert answer["sha256"]["photo"] == answers["ns"][key]["sha256"]["photo"]


def test_a_method_that_cannot_be_run_ends_with_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A slip in an option: a report without the method, and an exit status that said that all was well."""
    write_shard(tmp_path / "set" / "train-00000.tar", [tiny_sample()])
    line = ["bench", "run", "--set", f"samples:{tmp_path / 'set'}", "-m", "input", "-m", "mild:foo=1", "-q"]
    assert cli.run([*line, "-o", str(tmp_path / "out")]) == 1
    told = capsys.readouterr()
    assert "report: " in told.out and "mild:foo=1 could not be run; the report says why" in told.err
    assert json.loads((tmp_path / "out" / "results.json").read_text())["methods"]["mild:foo=1"]["failed"]


def test_a_damaged_set_and_a_folder_of_others_are_told(tmp_path: Path) -> None:
    """`ReadError: unexpected end of data`; and `sets/*.json` of whomsoever were deleted."""
    write_shard(tmp_path / "set" / "train-00000.tar", [tiny_sample()])
    whole = (tmp_path / "set" / "train-00000.tar").read_bytes()
    recipe = BenchRecipe.build(sets=[{"source": f"samples:{tmp_path / 'set'}"}], methods=["input"])
    (tmp_path / "mine" / "sets").mkdir(parents=True)
    (tmp_path / "mine" / "sets" / "one.json").write_text("mine")
    with pytest.raises(MildError, match="holds sets, and no run of the benchmark; name another folder"):
        run(recipe, tmp_path / "mine")
    assert (tmp_path / "mine" / "sets" / "one.json").read_text() == "mine"
    (tmp_path / "set" / "train-00000.tar").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(MildError, match=r"train-00000.tar is damaged \(.*\); make the set anew"):
        run(recipe, tmp_path / "out")
