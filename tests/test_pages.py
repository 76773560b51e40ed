"""What the pages of the documentation tell people to type is typed here, in the order of the page, on small inputs.

A line that is not typed is named below, with the reason: nothing is left out in silence.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

from ingredients import make_ingredients
from mild.app.cli import app
from mild.lab.data.store import open_samples
from test_docs import PAGES, ROOT, lines_of, somewhere
from tiny_rows import write_rows

__all__ = ["somewhere"]

#: Not typed here, by what the line begins with: why, and where it is tested.
NOT_HERE = {
    "models --fetch": "the network; test_download.py, test_assets.py",
    "studio": "a server that stays; test_studio.py",
    "serve": "a server that stays; test_server.py",
    "train configs/": "hours of training; test_train.py starts every shipped recipe",
    "train config.yaml --minutes": "an hour of training; test_train.py",
    "train config.yaml --set": "a training of the full net; test_train.py",
    "train ablate": "hours of training; test_ablation.py",
    "bench run --recipe": "hours; test_bench_run.py reads every shipped recipe",
    "bench run --set samples:sets/test -o out/backbones": "others' weights of gigabytes; test_bench_methods.py",
    "bench study read": "answers of people; test_bench_study.py",
    "data synth photos/": "the same as on its own page",
    "data pairs clip.avi": "a video; test_data_curate.py",
    "bench run --set samples:out/pairs": "what data pairs makes of the video",
    "erase group.jpg --bystanders": "bystanders; test_batch.py",
    "bench run -m patchmatch": "the same as on the benchmark's page",
    "doctor": "the default job's time; test_cli.py",
    "erase group.jpg --person 2 --also": "two shots of one scene; test_shots.py",
    "batch trip/": "times of shots; test_batch.py",
    "batch bursts/": "several shots of scenes; test_batch.py",
    "batch frames/": "a clean plate; test_batch.py",
    "erase photo.jpg --person 2 --also-at": "a thing at that place; test_belongings.py",
    "people photo.jpg --at": "the nets; test_clicks.py",
    "erase photo.jpg --at": "the nets; test_clicks.py",
}
#: What makes a line small, by what it begins with.
SMALLER = {
    "data synth": ["--count", "3", "--size", "64", "--jobs", "1", "--overwrite"],
    "data stats": ["--jobs", "1"],
    "data card": ["--jobs", "1", "--force"],
    "data validate": ["--jobs", "1"],
    "data curate": ["--min-side", "16", "--blur", "99", "--duplicates", "-1", "--min-person", "1", "--overwrite"],
    "data export": ["--force"],
    "bench run": ["--limit", "1", "--seed", "0", "--quiet"],
    "bench study make": ["--method", "mild", "--method", "telea", "--count", "1"],
    "train cache --samples": ["--size", "64", "--workers", "1"],
    "train cache --data": ["--size", "64", "--rows", "2", "--workers", "1"],
    "batch": ["--engine", "local", "--jobs", "1"],
}
#: Pages that test_docs.py types already.
TYPED = ("docs/start/command-line.md",)


def test_every_line_is_typed_or_has_a_reason() -> None:
    said = {" ".join(words) for page in PAGES for words in lines_of(page)}
    for start in NOT_HERE:
        assert any(line.startswith(start) for line in said), f"no page says {start}; take it off the list"


@pytest.fixture
def laboratory(somewhere: Path) -> Path:
    """Beside the photos: ingredients, sets, runs and answers, each as small as it goes."""
    make_ingredients(Path("INGREDIENTS"))
    for name in ("set", "SET", "sets/train"):
        assert app.run(["data", "synth", "INGREDIENTS", name, "--count", "6", "--size", "96", "--jobs", "1"]) == 0
    return somewhere


def smaller(words: list[str]) -> list[str]:
    line = " ".join(words)
    return [*words, *next((more for start, more in SMALLER.items() if line.startswith(start)), [])]


def prepared(page: str) -> None:
    """What a page supposes to be there."""
    if page == "docs/data-synth.md":
        shutil.rmtree("SET")
        shutil.copytree("INGREDIENTS", "PHOTOS")
    if page == "docs/data-real.md":
        shutil.rmtree("SET")
        Path("PHOTOS").mkdir()
        rng = np.random.default_rng(0)
        for i in range(2):
            Image.fromarray(rng.integers(0, 256, (240, 320, 3), np.uint8)).save(f"PHOTOS/{i}.png")
        Path("licences.csv").write_text("file,licence,credit,origin\n0.png,CC0-1.0,A,web\n1.png,CC0-1.0,A,web\n")
    if page == "README.md":
        Path("photos").mkdir()
        shutil.copy("group.jpg", "photos/one.jpg")
        assert app.run(["layers", "group.jpg", "-o", "group.ora"]) == 0
    if page == "docs/batch.md":
        Path("photos").mkdir()
        shutil.copy("group.jpg", "photos/one.jpg")
    if page == "docs/training.md":
        write_rows(Path("rows"), size=64)
        base = (ROOT / "configs" / "mild-small" / "1-base.yaml").read_text("utf-8")
        recipe = yaml.safe_load(base)
        recipe["data"] |= {"rows": "rows", "test": "rows", "size": 64}
        Path("config.yaml").write_text(yaml.safe_dump(recipe))


def typed(page: Path) -> list[list[str]]:
    """The lines of a page that are typed here."""
    if str(page.relative_to(ROOT)) in TYPED:
        return []
    return [words for words in lines_of(page) if not any(" ".join(words).startswith(start) for start in NOT_HERE)]


@pytest.mark.parametrize("page", [str(p.relative_to(ROOT)) for p in PAGES if typed(p)])
def test_the_lines_of_a_page_work(
    page: str, laboratory: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    lines = typed(ROOT / page)
    prepared(page)
    for words in lines:
        if "out/a" in words and not Path("out/a").exists():
            for out in ("out/a", "out/b"):
                shutil.copytree("out/quick", out)
        if "decisions.json" in words:
            kept = {sample.key: "accept" for sample in open_samples("SET")}
            Path("decisions.json").write_text(json.dumps({"format": "mild-decisions/1", "decisions": kept}))
        force = ["--force"] if words[0] in ("erase", "layers", "compose") and "--force" not in words else []
        assert app.run([*smaller(words), *force]) == 0, (words, capfd.readouterr().err)
