"""Plays the newcomer: fresh environments, each extra alone, the README's own lines; prints sizes and seconds.

    python bench/newcomer.py [--extra NAME …] [--python PATH …]

For every Python that is here (3.11 to 3.13): a clone of the last commit, a fresh environment, and the README's lines
of "Install", "Use it" and "As a library", copied by this program; then each extra alone, in an environment of its own,
from a wheel. Packages come from the index that pip uses; the nets are fetched once, into a cache of this run's own, and
after that no network is used (``MILD_OFFLINE``). It ends with 1 if a line failed, or a missing extra was not named.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PYTHONS = ("python3.11", "python3.12", "python3.13")
_BOX = "erase group.jpg --box 500,90,620,460 --finder none"
_SIGNED = f"{_BOX} --sign-cert cert.pem --private-key key.pem"
#: Commands of each extra, as words after ``mild``; they run in a folder with group.jpg and people.json in it.
TRIED = {
    "torch": [f"{_BOX} --steps 2 --correct -o two.png --force"],
    "heic": [f"{_BOX} -o out.heic --force"],
    "server": ["serve"],
    "c2pa": [f"{_SIGNED} -o signed.jpg"],
    "stores": ["batch file://HOME/photos -o file://HOME/clean --ledger books --all"],
    "data": ["data curate photos set --licence CC0-1.0 --finder blazepose --overwrite", "data validate set",
             "data stats set -o stats"],
    "train": ["train --check stage.yaml"],
    "bench": ["bench methods", "bench run --set photos:photos -m telea -o report --limit 1"],
}  # fmt: skip
#: What the plain installation answers with the extra's name.
LACKING = {
    "torch": f"{_BOX} --steps 2 --correct -o no.png",
    "heic": f"{_BOX} -o no.heic",
    "server": "serve",
    "c2pa": f"{_SIGNED} -o no.jpg",
    "stores": "batch file://HOME/photos -o no --all",
    "data": "data curate photos no --licence CC0-1.0 --finder blazepose",
    "train": "train stage.yaml",
    "bench": "bench run --set photos:photos -m telea -o no",
}


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--extra", action="append", help="only these; plain is the installation without any")
    options.add_argument("--python", action="append", help="only these interpreters")
    asked = options.parse_args()
    pythons = [found for found in (asked.python or PYTHONS) if works(found)]
    failed = 0
    with tempfile.TemporaryDirectory() as scratch:
        wheel = build(Path(scratch))
        os.environ["MILD_CACHE"] = str(Path(scratch) / "cache")
        print(f"{'python':12} {'install':8} {'seconds':>8} {'packages':>9} {'MiB':>6}")
        for python in pythons:
            for extra in asked.extra or ["plain", *TRIED]:
                failed += one(python, extra, wheel, Path(scratch))
    return 1 if failed else 0


def works(python: str) -> bool:
    try:
        done = subprocess.run([python, "-c", "import venv, ensurepip"], capture_output=True)
    except OSError:
        return False
    return done.returncode == 0


def build(folder: Path) -> Path:
    pip = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "-w", str(folder), str(ROOT)]
    subprocess.run(pip, check=True, capture_output=True)
    return next(folder.glob("mild_erase-*.whl"))


def one(python: str, extra: str, wheel: Path, scratch: Path) -> int:
    """Install, measure, type; returns how many lines failed."""
    home = Path(tempfile.mkdtemp(dir=scratch))
    env = home / "env"
    subprocess.run([python, "-m", "venv", str(env)], check=True)
    bare, where = size(env), home
    begun = time.perf_counter()
    if extra == "plain":
        where = home / "clone"
        subprocess.run(["git", "clone", "--quiet", "--depth", "1", f"file://{ROOT}", str(where)], check=True)
        install = next(line for line in block("Install") if line.startswith("pip "))
    else:
        install = f"pip install {wheel}[{extra}]"
    pip = [str(env / "bin" / "pip"), "--quiet", "--disable-pip-version-check", *install.split()[1:]]
    done = subprocess.run([*pip, "-c", str(ROOT / "constraints.txt")], capture_output=True, text=True, cwd=where)
    if done.returncode:
        print(f"{python:12} {extra:8} could not be installed: {done.stderr.strip().splitlines()[-1]}")
        return 1
    took = time.perf_counter() - begun
    listed = subprocess.run([str(env / "bin" / "pip"), "list", "--format", "freeze", "--disable-pip-version-check"],
                            capture_output=True, text=True).stdout.splitlines()  # fmt: skip
    packages = [line for line in listed if not line.startswith(("pip=", "setuptools="))]
    print(f"{python:12} {extra:8} {took:8.1f} {len(packages):9} {(size(env) - bare) / 2**20:6.0f}", flush=True)
    prepare(home, extra)
    mild = str(env / "bin" / "mild")
    failed = 0
    if extra == "plain":
        for line in block("Install"):
            failed += typed(mild, line.removeprefix("mild "), home, offline=False) if line.startswith("mild ") else 0
        for line in used():
            failed += typed(mild, line, home)
        failed += library(str(env / "bin" / "python"), home)
        for name, line in LACKING.items():
            failed += typed(mild, line, home, lacking=name)
    else:
        if not Path(os.environ["MILD_CACHE"]).is_dir():
            subprocess.run([mild, "models", "--fetch"], capture_output=True, cwd=home, check=True)
        for line in TRIED[extra]:
            failed += typed(mild, line, home)
    shutil.rmtree(home)
    return failed


def size(folder: Path) -> int:
    return sum(p.lstat().st_blocks * 512 for p in folder.rglob("*") if p.is_file() and not p.is_symlink())


def block(title: str, language: str = "sh") -> list[str]:
    """The lines of the first block under a title of the README, or after a sentence; without their comments."""
    found = (ROOT / "README.md").read_text().split(title + "\n", 1)[1].split(f"```{language}\n")[1].split("```")[0]
    return [line.split("#")[0].strip() for line in found.splitlines() if line.split("#")[0].strip()]


def used() -> list[str]:
    """The lines of "Use it", as words after ``mild``; those that need an extra are tried with it."""
    lines = [line.removeprefix("mild ") for line in block("## Use it")]
    # The layered file made by the line before is a PSD.
    lines = [line.replace("group.ora", "group.psd") for line in lines]
    return [line for line in lines if line.split()[0] not in ("studio", "serve")]


def library(python: str, home: Path) -> int:
    """The README's Python."""
    code = "\n".join(block("As a library:", "python"))
    done = subprocess.run([python, "-c", code], capture_output=True, text=True, cwd=home, env=quietly())
    wrong = done.returncode != 0 or bool(done.stderr)
    print(f"    {'WRONG' if wrong else 'ok':5}           as a library {done.stderr[-400:]}")
    return int(wrong)


def quietly() -> dict[str, str]:
    return {**os.environ, "MILD_OFFLINE": "1", "HF_HUB_OFFLINE": "1", "MILD_REMEMBER": "0"}


def prepare(home: Path, extra: str) -> None:
    """What the README's lines speak of: a photo, a mask, a layered file; and small inputs for the extras."""
    shutil.copy(ROOT / "examples" / "bar55.jpg", home / "group.jpg")
    (home / "photos").mkdir()
    shutil.copy(ROOT / "examples" / "pool.jpg", home / "photos")
    (home / "stage.yaml").write_text("stage: base\nout: run\ndata: {rows: rows}\n")
    python = str(home / "env" / "bin" / "python")
    env = {**os.environ, "PYTHONPATH": str(ROOT / "tests")}
    made = {"train": "from pathlib import Path; from tiny_rows import write_rows; write_rows(Path('rows'))",
            "c2pa": "from pathlib import Path; from certificates import chain; chain(Path())"}  # fmt: skip
    if extra in made:
        subprocess.run([python, "-c", made[extra]], cwd=home, check=True, env=env)
    code = (
        "from PIL import Image, ImageDraw\n"
        "mask = Image.new('L', Image.open('group.jpg').size)\n"
        "ImageDraw.Draw(mask).ellipse((500, 90, 620, 460), fill=255)\n"
        "mask.save('white-is-erased.png')\n"
        "Image.open('group.jpg').rotate(1, Image.Resampling.BICUBIC).crop((20, 20, 780, 570)).save('other.jpg')\n"
    )
    subprocess.run([python, "-c", code], cwd=home, check=True)


def typed(mild: str, line: str, home: Path, lacking: str = "", offline: bool = True) -> int:
    """Run one line; 1 if it did not do what it should, which is told."""
    # The README's lines write one file again and again.
    words = line.split() + (
        ["--force"] if " -o " in f" {line} " and line.split()[0] in ("erase", "layers", "compose") else []
    )
    words = [word.replace("HOME", str(home)) for word in words]
    env = quietly() if offline else {**os.environ}
    if line == "serve" and not lacking:
        return served(mild, home, env)
    begun = time.perf_counter()
    words = list(dict.fromkeys(words)) if words.count("--force") > 1 else words
    done = subprocess.run([mild, *words], capture_output=True, text=True, cwd=home, env=env, stdin=subprocess.DEVNULL)
    took = time.perf_counter() - begun
    if lacking:
        right = done.returncode == 1 and re.search(rf"pip install 'mild-erase\[{lacking}\]'", done.stderr) is not None
        right = right and done.stderr.count("\n") == 1
    else:
        # Nothing that other libraries print may come through.
        right = done.returncode == 0 and not re.search(r"INFO:|WARNING:|Warning|Traceback", done.stderr)
    mark = "ok" if right else "WRONG"
    print(f"    {mark:5} {took:6.1f} s  mild {line}{f'  (without {lacking})' if lacking else ''}", flush=True)
    if not right:
        print("          " + (done.stderr.strip() or f"ended with {done.returncode}")[-400:])
    return 0 if right else 1


def served(mild: str, home: Path, env: dict[str, str]) -> int:
    """Start the server, ask for its health, end it."""
    server = subprocess.Popen([mild, "serve", "--port", "0", "--state", str(home / "state")], env=env, text=True,
                              stderr=subprocess.PIPE, cwd=home)  # fmt: skip
    try:
        assert server.stderr is not None
        said = server.stderr.readline()
        address = re.search(r"http://\S+", said)
        answer = urllib.request.urlopen(f"{address[0]}/health", timeout=20).status if address else said
    except OSError as error:
        answer = str(error)
    finally:
        server.terminate()
        server.wait(30)
    print(f"    {'ok' if answer == 200 else f'WRONG {answer}'}    mild serve")
    return 0 if answer == 200 else 1


if __name__ == "__main__":
    sys.exit(main())
