"""Build a release and try it: wheel and sdist, each installed alone in fresh environments, the main job from there.

    .venv/bin/python scripts/release.py [--out dist] [--pythons python3.11 python3.12] [--url https://host/owner/repository]

For every Python from 3.11 to 3.13 on this machine the wheel, and for the first also the sdist, is installed in a new
environment with nothing else beside it; there `mild --version`, `mild --help` and one erase with a mask run on an
example photo, without a network; `import mild` must come from the installed package. Sizes and seconds are printed.
Nothing is uploaded. With --url, which is where the repository can be read, the index page gets its project URLs, and
the README's links there lead to that version of the files; without it they lead nowhere outside a checkout. Exit
status 0 only if everything worked. Before a release: the version in `pyproject.toml` and `__init__.py` are one, and
CHANGELOG.md has a section for it.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PHOTO = ROOT / "examples" / "pool.jpg"
CHECK = """
import mild, numpy as np, sys
from pathlib import Path
assert Path(mild.__file__).is_relative_to(sys.prefix), mild.__file__
from PIL import Image
photo = np.asarray(Image.open(sys.argv[1]).convert("RGB"))
mask = np.zeros(photo.shape[:2], bool)
mask[80:230, 100:200] = True
result = mild.erase(photo, mask=mask, finder="none")
changed = (result.photo.pixels != photo).any(2)
assert changed.any() and not (changed & ~result.mask).any()
result.save("out.png")
"""


def version() -> str:
    """The version, which stands in two places that must agree.

    Raises:
        SystemExit: they do not, or the changelog has no section for it.
    """
    project = re.search(r'^version = "(.+)"', (ROOT / "pyproject.toml").read_text("utf-8"), re.M)
    module = re.search(r'^__version__ = "(.+)"', (ROOT / "src/mild/__init__.py").read_text("utf-8"), re.M)
    if project is None or module is None or project[1] != module[1]:
        raise SystemExit("pyproject.toml and src/mild/__init__.py do not say the same version.")
    if f"({project[1]})" not in (log := (ROOT / "CHANGELOG.md").read_text("utf-8")) and f"## {project[1]}" not in log:
        raise SystemExit(f"CHANGELOG.md has no section for {project[1]}.")
    return project[1]


def absolute(readme: str, url: str, tag: str) -> str:
    """A README whose links to the repository's files lead there at ``url``: pages to ``blob``, pictures to ``raw``."""

    def link(found: re.Match[str]) -> str:
        kind = "raw" if found[1] else "blob"
        return f"{found[1]}[{found[2]}]({url.rstrip('/')}/{kind}/{tag}/{found[3]})"

    return re.sub(r"(!?)\[([^\]]*)\]\((?![a-z]+:|#)([^)]+)\)", link, readme)


def addressed(folder: Path, url: str, number: str) -> Path:
    """A copy of the repository's files that says where the repository is."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, check=True, capture_output=True, text=True).stdout
    for name in filter(None, listed.split("\0")):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, folder / name)
    page, project = folder / "README.md", folder / "pyproject.toml"
    page.write_text(absolute(page.read_text("utf-8"), url, f"v{number}"), "utf-8")
    urls = {"Source": url, "Changelog": f"{url.rstrip('/')}/blob/v{number}/CHANGELOG.md"}
    lines = "".join(f'{name} = "{address}"\n' for name, address in urls.items())
    project.write_text(f"{project.read_text('utf-8')}\n[project.urls]\n{lines}", "utf-8")
    return folder


def build(out: Path, url: str | None, number: str) -> tuple[Path, Path]:
    """``(wheel, sdist)``, built in an environment of their own."""
    shutil.rmtree(out, ignore_errors=True)
    with tempfile.TemporaryDirectory() as folder:
        source = ROOT if url is None else addressed(Path(folder) / "source", url, number)
        tool = environment(Path(folder) / "build", sys.executable)
        run([tool, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "build"])
        run([tool, "-m", "build", "--outdir", str(out), str(source)], quiet=True)
    wheel, sdist = next(out.glob("*.whl")), next(out.glob("*.tar.gz"))
    names = zipfile.ZipFile(wheel).namelist()
    assert any(name.endswith("one_step.onnx") for name in names), "the embedded model is not in the wheel"
    with tarfile.open(sdist) as archive:
        names += archive.getnames()
    assert not any(Path(name).suffix in (".jpg", ".pt", ".pth", ".ckpt") for name in names if "studio" not in name)
    return wheel, sdist


def environment(folder: Path, python: str) -> str:
    """A new environment; its Python."""
    run([python, "-m", "venv", str(folder)])
    return str(folder / ("Scripts" if os.name == "nt" else "bin") / "python")


def run(command: list[str], *, quiet: bool = False, **options: object) -> None:
    done = subprocess.run(command, stdout=subprocess.PIPE if quiet else None, **options)  # type: ignore[call-overload]
    if done.returncode:
        raise SystemExit(f"failed: {' '.join(command)}")


def tried(package: Path, python: str) -> str:
    """Install a package alone and run the main job; what it took, in words."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        inside = environment(folder / "env", python)
        begun = time.perf_counter()
        quiet = ["--quiet", "--disable-pip-version-check", "--constraint", str(ROOT / "constraints.txt")]
        run([inside, "-m", "pip", "install", *quiet, str(package)])
        installed = time.perf_counter() - begun
        size = sum(
            path.stat().st_size for path in (folder / "env").rglob("*") if path.is_file() and not path.is_symlink()
        )
        offline = {
            **{key: value for key, value in os.environ.items() if not key.startswith(("PYTHON", "MILD", "VIRTUAL"))},
            "MILD_OFFLINE": "1", "HF_HUB_OFFLINE": "1", "MILD_CACHE": str(folder / "cache"), "HOME": str(folder),
        }  # fmt: skip
        command = str(Path(inside).with_name("mild"))
        run([command, "--version"], env=offline, cwd=folder)
        run([command, "--help"], env=offline, cwd=folder, quiet=True)
        begun = time.perf_counter()
        run([inside, "-c", CHECK, str(PHOTO)], env=offline, cwd=folder)
        return f"{size / 1e6:.0f} MB, installed in {installed:.0f} s, first erase {time.perf_counter() - begun:.1f} s"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=ROOT / "dist")
    parser.add_argument("--pythons", nargs="*", default=["python3.11", "python3.12", "python3.13"])
    parser.add_argument("--url", help="where the repository can be read")
    given = parser.parse_args()
    number = version()
    wheel, sdist = build(given.out, given.url, number)
    print(
        f"{number}: {wheel.name} {wheel.stat().st_size / 1e6:.1f} MB, {sdist.name} {sdist.stat().st_size / 1e6:.1f} MB"
    )
    here = [python for python in given.pythons if works(python)]
    if not here:
        raise SystemExit(f"None of {', '.join(given.pythons)} is on this machine.")
    for python in here:
        print(f"wheel with {python}: {tried(wheel, python)}")
    print(f"sdist with {here[0]}: {tried(sdist, here[0])}")
    if missing := [python for python in given.pythons if python not in here]:
        print(f"not tried, since they are not on this machine: {', '.join(missing)}")


def works(python: str) -> bool:
    try:
        return subprocess.run([python, "-c", ""], capture_output=True).returncode == 0
    except OSError:
        return False


if __name__ == "__main__":
    main()
