"""What a stranger relies on: the two commands, the pins, the files the README points at."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from mild import __version__
from mild.app.cli.reference import reference
from mild.extras import DISTRIBUTION, EXTRAS

ROOT = Path(__file__).resolve().parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
MAKEFILE = (ROOT / "Makefile").read_text()
PAGES = ["README.md", "CONTRIBUTING.md", *(str(page.relative_to(ROOT)) for page in sorted(ROOT.glob("docs/*.md")))]


def pins() -> dict[str, Version]:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    found = [Requirement(line) for line in lines if line.strip() and not line.startswith("#")]
    return {canonicalize_name(r.name): Version(next(iter(r.specifier)).version) for r in found}


def requirements() -> list[Requirement]:
    extras = PROJECT["optional-dependencies"]
    lines = [*PROJECT["dependencies"], *(line for extra in extras.values() for line in extra)]
    return [r for r in map(Requirement, lines) if r.name != PROJECT["name"]]


def test_the_two_commands_of_the_readme_are_the_makefile_s() -> None:
    promised = re.findall(r"^make (\w+)", (ROOT / "README.md").read_text(), re.M)
    assert promised == ["demo", "test"]
    phony = re.search(r"^\.PHONY: (.+)$", MAKEFILE, re.M)
    assert phony is not None
    assert phony[1].split()[:2] == promised  # what else there is, is for who works on the code
    for name, stamp in (("demo", "PLAIN"), ("test", "STAMP")):
        assert re.search(rf"^{name}: \$\({stamp}\)$", MAKEFILE, re.M)


def test_the_extras_bring_the_modules_that_the_sentences_promise() -> None:
    """Module by module, as far as they are installed here; and the plain installation has none of them."""
    owners = packages_distributions()
    extras = PROJECT["optional-dependencies"]

    def brought(lines: list[str]) -> set[str]:
        found: set[str] = set()
        for requirement in map(Requirement, lines):
            found |= {canonicalize_name(requirement.name)}
            for extra in requirement.extras:
                found |= brought(extras[extra])
        return found

    plain = brought(PROJECT["dependencies"])
    for extra, modules in EXTRAS.items():
        with_extra = brought(extras[extra])
        for module in modules:
            names = {canonicalize_name(name) for name in owners.get(module, [])}
            assert not names or names & with_extra, (extra, module)
            assert not names & plain, module


def test_no_sentence_advises_somebody_else_s_package() -> None:
    """`mild` on the index is another program; and a bracket without quotes is a pattern to zsh."""
    texts = [path for folder in ("src", "docs", "bench") for path in (ROOT / folder).rglob("*") if path.is_file()]
    texts += [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "pyproject.toml"]
    for path in texts:
        if path.suffix in (".py", ".md", ".toml", ".yaml", ".html", ".js"):
            wrong = re.findall(
                r"pip install [\"']?mild\b(?!-erase).*|pip install (?:-\S+ )*mild-erase\[.*", path.read_text()
            )
            assert wrong == [], path


def test_pytest_runs_last_so_that_its_closing_line_does() -> None:
    recipe = re.search(r"^test:.*\n((?:\t.*\n)+)", MAKEFILE, re.M)
    assert recipe is not None
    assert recipe[1].strip().splitlines()[-1].endswith("-m pytest")


def test_ci_runs_the_tests() -> None:
    script = ROOT / ".ci" / "run"
    assert os.access(script, os.X_OK)
    lines = script.read_text().splitlines()
    assert "set -euo pipefail" in lines
    assert "export MILD_BROWSER=required" in lines
    assert lines[-1] == "make test"


@pytest.mark.parametrize("requirement", requirements(), ids=str)
def test_every_dependency_is_pinned_and_the_pin_fits(requirement: Requirement) -> None:
    pinned = pins()
    name = canonicalize_name(requirement.name)
    assert name in pinned, f"{name} is missing in constraints.txt"
    assert pinned[name] in requirement.specifier


def test_no_pin_asks_for_one_build() -> None:
    assert not [name for name, version in pins().items() if version.local]


@pytest.mark.parametrize("page", PAGES)
def test_local_links_lead_somewhere(page: str) -> None:
    text = (ROOT / page).read_text()
    targets = [target.split("#")[0] for target in re.findall(r"\]\(([^)\s]+)\)", text) if "://" not in target]
    missing = [target for target in targets if target and not ((ROOT / page).parent / target).exists()]
    assert not missing


def test_one_name_and_one_version() -> None:
    assert (PROJECT["name"], PROJECT["version"]) == (DISTRIBUTION, __version__)


def test_the_citation_names_the_paper_and_the_version() -> None:
    text = (ROOT / "CITATION.cff").read_text()
    assert "arXiv:2508.06543" in text
    assert re.search(rf"^version: {re.escape(PROJECT['version'])}$", text, re.M)


def test_the_dockerfile_is_linted() -> None:
    linter = Path(sys.executable).with_name("hadolint")
    if not linter.exists():
        pytest.skip("hadolint has no wheel for this machine")
    done = subprocess.run([linter, ROOT / "Dockerfile"], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def test_the_page_of_all_options_is_up_to_date() -> None:
    """Whoever adds an option runs ``python -m mild.app.cli.reference > docs/options.md``."""
    assert (ROOT / "docs" / "options.md").read_text() == reference()


def test_the_source_archive_holds_no_picture_of_another_licence(tmp_path: Path) -> None:
    """The example photos are GPL-2+, and what was made from them; the archive says Apache-2.0."""
    hatch = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]
    left_out = {path for pattern in hatch["sdist"]["exclude"] for path in ROOT.glob(pattern.removeprefix("/"))}
    pictures = {*ROOT.glob("examples/*.jpg"), *ROOT.glob("docs/images/**/*.jpg"), *ROOT.glob("docs/images/**/*.webp")}
    assert pictures and all({path, *path.parents} & left_out for path in pictures)
    assert ROOT / "examples" / "NOTICE" not in left_out

    # The demo then says where they are to be had.
    shutil.copy(ROOT / "examples" / "demo.py", tmp_path)
    done = subprocess.run([sys.executable, str(tmp_path / "demo.py")], capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 2
    assert "kphotoalbum" in done.stderr and "PHOTO" in done.stderr and "Traceback" not in done.stderr


def test_a_report_of_the_benchmark_needs_no_torch() -> None:
    """The extra `bench` alone could write no report: the plots came from a module of the attention report."""
    code = (
        "import sys; sys.modules.update(torch=None, diffusers=None, transformers=None);"
        "import mild.lab.bench.report.write, mild.lab.bench.report.plots"
    )
    subprocess.run(
        [sys.executable, "-c", code], check=True, env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    )


def test_the_release_gives_the_index_page_links_that_lead_somewhere(tmp_path: Path) -> None:
    spec = importlib.util.spec_from_file_location("release", ROOT / "scripts" / "release.py")
    assert spec is not None and spec.loader is not None
    release = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(release)
    said = "![a](docs/a.jpg) [b](docs/b.md#c) [d](https://e.org/f) [g](#h)"
    at = "https://git.example/o/r"
    assert release.absolute(said, at + "/", "v1") == (
        f"![a]({at}/raw/v1/docs/a.jpg) [b]({at}/blob/v1/docs/b.md#c) [d](https://e.org/f) [g](#h)"
    )
    links = re.findall(r"\]\(([^)\s]+)\)", release.absolute((ROOT / "README.md").read_text(), at, "v1"))
    assert links and all(link.startswith(("https://", "#")) for link in links)
    if not (ROOT / ".git").exists():
        return
    copy = release.addressed(tmp_path / "copy", at, "1")
    project = tomllib.loads((copy / "pyproject.toml").read_text())["project"]
    assert project["urls"]["Source"] == at and project["name"] == DISTRIBUTION
