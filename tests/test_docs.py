"""The documentation: it builds strictly and from nothing outside; what it tells people to type works."""

from __future__ import annotations

import ast
import json
import os
import re
import shlex
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from mild.app.cli import app
from mild.people.scene import Person, Scene
from mild.photo import Photo
from stacks import ellipse, make_photo

ROOT = Path(__file__).resolve().parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
FENCE = re.compile(r"^```(\w*)\n(.*?)^```", re.M | re.S)
SIZE = (240, 320)


def blocks(page: Path, *languages: str) -> Iterator[str]:
    for language, text in FENCE.findall(page.read_text("utf-8")):
        if language in languages:
            yield text


def lines_of(page: Path) -> Iterator[list[str]]:
    """Every ``mild …`` line of a page, fenced or indented, as words."""
    text = page.read_text("utf-8")
    fenced = "".join(body for language, body in FENCE.findall(text) if language in ("sh", "bash", ""))
    indented = "".join(re.findall(r"^    .*\n", FENCE.sub("", text), re.M))
    for line in (fenced + indented).replace("\\\n", " ").splitlines():
        if re.match(r"\s*mild [a-z]", line) and "…" not in line:
            words = shlex.split(line.split("  #")[0].split(" # ")[0], comments=True)
            yield [word.strip("[]") for word in words[1:]]


def pages_with_lines() -> list[Path]:
    return [page for page in PAGES if any(lines_of(page))]


@pytest.mark.parametrize("page", pages_with_lines(), ids=lambda page: str(page.relative_to(ROOT)))
def test_every_line_to_type_names_real_commands_and_options(page: Path) -> None:
    for words in lines_of(page):
        assert words[0] in app.COMMANDS, words
        group: Any = app.build(words[0])
        command, rest = group.commands[words[0]], words[1:]
        while hasattr(command, "commands") and rest and rest[0] in command.commands:
            command, rest = command.commands[rest[0]], rest[1:]
        if words[0] == "train" and hasattr(command, "commands"):
            command = command.commands["run"]  # `mild train CONFIG` is short for it
        known = {name for parameter in command.params for name in (*parameter.opts, *parameter.secondary_opts)}
        said = {word.split("=")[0] for word in rest if re.match(r"--?[a-z]", word)}
        assert said <= known, (words, said - known)


@pytest.fixture
def somewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the files that the pages speak of, and a finder that finds four people."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    picture = make_photo(*SIZE)
    for x, colour in ((40, (200, 30, 30)), (130, (20, 40, 190)), (220, (30, 160, 40)), (300, (230, 200, 20))):
        picture[ellipse(*SIZE, x, 140, 20, 60)] = colour
    Image.fromarray(picture).save("group.jpg")
    shutil.copy("group.jpg", "photo.jpg")
    mask = ellipse(*SIZE, 130, 140, 20, 60)
    Image.fromarray(mask.astype(np.uint8) * 255).save("white-is-erased.png")
    shutil.copy("white-is-erased.png", "mask.png")

    def look(photo: Photo, finder: Any = None) -> Scene:
        if finder is not None and finder.backend == "none":
            return Scene(photo)
        masks = [ellipse(*photo.size, x, 140, 20, 60) for x in (40, 130, 220, 300)]
        seen = [mask for mask in masks if mask.any()]
        return Scene(photo, tuple(Person.from_mask(i + 1, mask, score=0.9) for i, mask in enumerate(seen)))

    for module in ("mild.road", "mild.session", "mild.people.find", "mild.lab.data.curated_shard"):
        monkeypatch.setattr(f"{module}.find_people", look)
    return tmp_path


@pytest.mark.parametrize("page", ["docs/start/command-line.md"])
def test_what_is_told_to_be_typed_works(
    page: str, somewhere: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """Run in the order of the page; the other pages: test_pages.py."""
    ran = 0
    for words in lines_of(ROOT / page):
        if words[0] not in ("people", "erase", "layers", "compose") or {"--bystanders", "--also"} & set(words):
            continue  # other tests have scenes with bystanders, and several shots of one
        extra = [] if "--force" in words else ["--force"]
        assert app.run([*words, *extra]) == 0, (words, capfd.readouterr().err)
        ran += 1
    assert ran >= 5


def test_python_of_the_start_page_runs(somewhere: Path) -> None:
    page = ROOT / "docs" / "start" / "python.md"
    shutil.copy("group.jpg", "again.png.jpg")
    Image.open("group.jpg").save("again.png")
    names: dict[str, Any] = {}
    for text in blocks(page, "python"):
        exec(compile(text, str(page), "exec"), names)
    assert Path("out.png").exists() and Path("clean-again.png").exists()


def test_the_notebook_runs_and_its_results_show_themselves(somewhere: Path) -> None:
    """Cell by cell, as a notebook does; the last expression of a cell is what it shows."""
    notebook = json.loads((ROOT / "examples" / "library.ipynb").read_text("utf-8"))
    names: dict[str, Any] = {}
    shown: list[Any] = []
    for cell in notebook["cells"]:
        if cell["cell_type"] != "code":
            continue
        assert cell["outputs"] == [] and cell["execution_count"] is None, "kept without outputs"
        tree = ast.parse("".join(cell["source"]))
        last = tree.body.pop() if isinstance(tree.body[-1], ast.Expr) else None
        exec(compile(tree, "library.ipynb", "exec"), names)
        if isinstance(last, ast.Expr):
            shown.append(eval(compile(ast.Expression(last.value), "library.ipynb", "eval"), names))
    pictures = [value for value in shown if hasattr(value, "_repr_png_") and value._repr_png_()[:4] == b"\x89PNG"]
    assert len(pictures) == 4 and Path("without-2.png").exists()
    assert all(len(repr(value)) < 2000 for value in shown), "a short repr beside the picture"


def test_python_of_the_readme_runs(somewhere: Path) -> None:
    for text in blocks(ROOT / "README.md", "python"):
        exec(compile(text, "README.md", "exec"), {})
    assert Path("out.png").exists()


def test_the_reference_names_every_field() -> None:
    sys.path.insert(0, str(ROOT / "docs" / "reference"))
    try:
        import make
    finally:
        sys.path.pop(0)
    assert "`method.sampling.steps`" in make.request() and "`selection.people`" in make.request()


def test_the_site_builds_strictly_from_nothing_outside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("mkdocs", reason="the extra docs is not installed")
    from mkdocs.commands.build import build
    from mkdocs.config import load_config

    monkeypatch.chdir(ROOT)
    build(load_config(str(ROOT / "mkdocs.yml"), site_dir=str(tmp_path / "site")))
    pages = list((tmp_path / "site").rglob("*.html"))
    assert len(pages) > 15
    loaded = re.compile(r"<(?:script|img|iframe|source|video)[^>]*\ssrc=\"(https?:)?//|<link[^>]*\shref=\"(https?:)?//")
    for page in pages:
        text = page.read_text("utf-8")
        outside = [hit.group(0) for hit in loaded.finditer(text) if 'rel="canonical"' not in hit.group(0)]
        assert outside == [], (page.name, outside[:3])


def anchors(page: Path) -> set[str]:
    """The names of a page's headings that are the same on the site and on a forge, which joins them otherwise."""
    headings = re.findall(r"^#{1,6} (.+)$", FENCE.sub("", page.read_text("utf-8")), re.M)
    plain = [
        re.sub(r"[^\w\s-]", "", re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", text)).strip().lower() for text in headings
    ]
    return {re.sub(r"\s", "-", text) for text in plain} & {re.sub(r"[-\s]+", "-", text) for text in plain}


def test_links_between_files_of_the_repository_lead_somewhere() -> None:
    """Those between pages of the site are checked by mkdocs; here those of the README and its like are, and anchors."""
    generated = {ROOT / "docs" / "reference" / "request.md"}
    for page in [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]:
        for target, anchor in re.findall(r"\]\(([^)#\s]*)(?:#([^)]*))?\)", FENCE.sub("", page.read_text("utf-8"))):
            if re.match(r"[a-z]+:", target):
                continue
            path = Path(os.path.normpath(page.parent / target)) if target else page
            assert path in generated or path.exists(), (page.name, target)
            if anchor and path.suffix == ".md" and path not in generated:
                assert anchor in anchors(path), (page.name, target, anchor)
