"""Kills, full disks, read-only folders, clock steps and a server under load: ``python tests/hostile/chaos.py``.

Rounds until the time is over, each of them of one kind; the random moments are a seed's. At the end a report in JSON:
what was tried, and what went wrong (``lost``, ``half``, ``stuck``, ``traceback``, ``wrong``); nothing should have.
Where mounting is not allowed the disks are left out, and the report says so.
"""

# ruff: noqa: E402

from __future__ import annotations

import argparse
import contextlib
import hashlib
import importlib
import json
import os
import random
import re
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent)]

import numpy as np
import sandbox

from mild.app.cli import streams
from mild.app.cli.app import run
from mild.layers.export import load_stack
from mild.photo import Photo
from stacks import make_photo

SIGNALS = (signal.SIGKILL, signal.SIGKILL, signal.SIGTERM, signal.SIGHUP, signal.SIGINT)
WHO = ["--mask", "mask.png", "--finder", "none"]
MASK = [*WHO, "--no-denoise"]
#: Commands that write: words, and the output that must be whole whatever happens.
COMMANDS: dict[str, tuple[list[str], str]] = {
    "erase": (["erase", "photo.png", *MASK, "-o", "out/a.png", "--force"], "a.png"),
    "erase to JPEG": (["erase", "photo.png", *MASK, "-o", "out/a.jpg", "--force"], "a.jpg"),
    "erase, request": (
        ["erase", "photo.png", *MASK, "-o", "out/a.png", "--save-request", "out/a.json", "--force"], "a.png"
    ),
    "layers, folder": (["layers", "photo.png", *WHO, "-o", "out/set", "--force"], "set"),
    "layers, PSD": (["layers", "photo.png", *WHO, "-o", "out/a.psd", "--force"], "a.psd"),
    "compose": (["compose", "stack.ora", "--show", "2", "-o", "out/b.png", "--force"], "b.png"),
    "compose to ORA": (["compose", "stack.ora", "--hide", "1", "-o", "out/b.ora", "--force"], "b.ora"),
    "compose to zip": (["compose", "stack.ora", "--hide", "1", "-o", "out/b.zip", "--force"], "b.zip"),
    "people": (["people", "photo.png", *WHO, "-o", "out/p.png", "--force"], "p.png"),
}  # fmt: skip


def command(words: Sequence[str]) -> int:
    """A command as the console script runs it."""
    streams.end_like_ctrl_c()
    return run(words)


class Report:
    """What was tried and what went wrong."""

    def __init__(self) -> None:
        self.tried: Counter[str] = Counter()
        self.wrong: list[dict[str, Any]] = []
        self.more: dict[str, Any] = {}

    def bad(self, what: str, **about: Any) -> None:
        self.wrong.append({"what": what} | about)
        print(json.dumps(self.wrong[-1])[:600], file=sys.stderr, flush=True)


def prepare(folder: Path) -> None:
    """The inputs of :data:`COMMANDS` in a folder."""
    from mild.layers.export import save_stack
    from stacks import make_stack

    folder.mkdir(parents=True)
    (folder / "out").mkdir()
    Photo.from_array(make_photo(96, 128, 0)).save(folder / "photo.png")
    mask = np.zeros((96, 128), np.uint8)
    mask[30:60, 50:80] = 255
    Photo.from_array(mask).save(folder / "mask.png")
    save_stack(make_stack(96, 128), folder / "stack.ora")


def fingerprint(path: Path) -> str:
    """Of what a reader gets from an output: pixels of a picture, every layer of a stack."""
    if path.is_dir() or path.suffix in (".psd", ".ora", ".zip"):
        stack = load_stack(path)
        parts = [stack.photo, *(layer.rgba for layer in stack.layers)]
    else:
        parts = [Photo.open(path).pixels]
    return hashlib.sha256(b"".join(part.tobytes() for part in parts)).hexdigest()


def whole(report: Report, path: Path, right: str, **about: Any) -> None:
    """The output is the old one, or the new one (which here is the same)."""
    try:
        if not path.exists():
            report.bad("lost", **about)
        elif fingerprint(path) != right:
            report.bad("half", **about)
    except Exception as error:
        report.bad("half", error=f"{type(error).__name__}: {error}"[:300], **about)


def told(report: Report, ended: sandbox.Ended, **about: Any) -> None:
    """It ended, and with a sentence if it failed."""
    if ended.code is None:
        report.bad("stuck", **about)
    elif "Traceback" in ended.said or "unexpectedly" in ended.said or ended.code == 99:
        report.bad("traceback", said=ended.said[-400:], **about)
    elif ended.code > 0 and not re.search(r"mild: .+\.\s*$", ended.said):
        report.bad("no sentence", code=ended.code, said=ended.said[-400:], **about)


class Commands:
    """Rounds of the command line."""

    def __init__(self, place: Path, rng: random.Random, report: Report) -> None:
        self.place, self.rng, self.report = place, rng, report
        self.took: dict[str, float] = {}
        self.right: dict[str, str] = {}
        self.mounts = True
        self.number = 0
        self.warm()
        for name, (words, output) in COMMANDS.items():
            folder = self.folder()
            ended = sandbox.call(command, words, folder)
            assert ended.code == 0, (name, ended)
            self.took[name], self.right[name] = ended.seconds, fingerprint(folder / "out" / output)
            shutil.rmtree(folder)

    def warm(self) -> None:
        """Import whatever the commands import, so that their forks begin with the work. Run here, they would leave
        threads and locks behind, over which forks hang."""
        folder = self.folder()
        names = folder / "names"

        def all_of_them(words: Sequence[str]) -> int:
            for words, _ in COMMANDS.values():
                assert run(words) == 0, words
            names.write_text("\n".join(name for name in sys.modules if name not in ("__main__", "__mp_main__")))
            return 0

        ended = sandbox.call(all_of_them, [], folder, seconds=300.0)
        assert ended.code == 0, ended
        for name in names.read_text().splitlines():
            with contextlib.suppress(Exception):
                importlib.import_module(name)
        shutil.rmtree(folder)

    def folder(self) -> Path:
        self.number += 1
        folder = self.place / f"round-{self.number}"
        prepare(folder)
        return folder

    def kill(self) -> None:
        """A command is killed while it writes over its former output, some times in a row; then it is run in peace."""
        name = self.rng.choice(list(COMMANDS))
        words, output = COMMANDS[name]
        folder = self.folder()
        path = folder / "out" / output
        told(self.report, sandbox.call(command, words, folder), command=name)
        (folder / "out" / "mine.txt").write_text("mine")
        for _ in range(4):
            sign = self.rng.choice(SIGNALS)
            # Most of the writing is at the end.
            at = self.took[name] * (
                self.rng.uniform(0.0, 1.2) if self.rng.random() < 0.4 else self.rng.uniform(0.7, 1.05)
            )
            self.report.tried[f"kill {sign.name}"] += 1
            ended = sandbox.call(command, words, folder, kill=(at, sign))
            about = {"command": name, "signal": sign.name, "at": round(at, 3)}
            told(self.report, ended, **about)
            whole(self.report, path, self.right[name], **about)
            left = [p.name for p in (folder / "out").rglob(".*")]
            if left and sign != signal.SIGKILL:
                self.report.bad("left behind", files=left[:5], **about)
            for file in (folder / "out").glob(".mild-*"):
                # A killed process cannot; nobody takes these for a result.
                shutil.rmtree(file) if file.is_dir() else file.unlink()
        ended = sandbox.call(command, words, folder)
        if ended.code != 0:
            self.report.bad("refused afterwards", command=name, code=ended.code, said=ended.said[-300:])
        whole(self.report, path, self.right[name], command=name, after="a run in peace")
        if (folder / "out" / "mine.txt").read_text() != "mine":
            self.report.bad("the user's file", command=name)
        shutil.rmtree(folder)

    def disk(self, *, read_only: bool = False) -> None:
        """A command writes over its former output on a disk that fills up, or can no longer be written."""
        name = self.rng.choice(list(COMMANDS))
        words, output = COMMANDS[name]
        folder = self.folder()
        left = self.rng.choice((0, 4096, 20_000, 60_000, 150_000, self.rng.randrange(400_000)))
        sign = self.rng.choice((None, None, signal.SIGTERM, signal.SIGKILL)) if not read_only else None
        kind = "read-only" if read_only else "full disk"
        found = folder / "found.json"

        def inside(arguments: Any) -> int:
            # In the fork: only here is the disk to be seen.
            code = command(arguments)
            row: dict[str, Any] = {"code": code}
            path = folder / "out" / output
            try:
                row["right"] = fingerprint(path) == self.right[name]
            except Exception as error:
                row["error"] = f"{type(error).__name__}: {error}"[:300]
            row["left"] = [p.name for p in (folder / "out").rglob(".*")]
            found.write_text(json.dumps(row))
            return code

        def disk() -> None:
            sandbox.private_mounts()
            sandbox.small_disk(folder / "out", 2 * 2**20)
            here = Path.cwd()
            os.chdir(folder)
            assert run(words) == 0
            os.chdir(here)
            if read_only:
                sandbox.read_only(folder / "out")
            else:
                sandbox.fill(folder / "out", left)

        kill = None if sign is None else (self.took[name] * self.rng.uniform(1.2, 2.2), sign)
        ended = sandbox.call(inside, words, folder, disk=disk, kill=kill)
        if ended.code == 99 and "Operation not permitted" in ended.said:
            self.mounts = False
            return
        self.report.tried[kind + ("" if sign is None else f", kill {sign.name}")] += 1
        about = {"command": name, "disk": kind, "free": left}
        if sign is None:
            told(self.report, ended, **about)
            row = json.loads(found.read_text()) if found.exists() else {"error": "it ended before"}
            if not row.get("right"):
                self.report.bad("half", **about, found=row)
            if row.get("left"):
                self.report.bad("left behind", files=row["left"][:5], **about)
            if read_only and row.get("code") == 0:
                self.report.bad("wrong", **about, said=ended.said[-200:])
            self.report.tried[f"{kind}: {'written' if row.get('code') == 0 else 'refused'}"] += 1
        shutil.rmtree(folder)


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--seconds", type=float, default=3600.0)
    options.add_argument("--seed", type=int, default=1)
    options.add_argument("--out", type=Path, default=Path("out/chaos.json"))
    options.add_argument("--part", choices=("commands", "server"), help="only this one")
    given = options.parse_args()
    os.environ |= {"MILD_THREADS": "1", "MILD_OFFLINE": "1"}
    rng = random.Random(given.seed)
    report = Report()
    begun = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="mild-chaos-") as place:
        commands = Commands(Path(place), rng, report) if given.part != "server" else None
        while time.monotonic() - begun < given.seconds:
            rounds: list[Callable[[], None]] = []
            if commands is not None:
                rounds += [commands.kill] * 3
                if commands.mounts:
                    rounds += [commands.disk] * 2 + [lambda: commands.disk(read_only=True)]
            if given.part != "commands":
                rounds += [lambda: server(Path(place), rng, report, given.seconds - (time.monotonic() - begun))] * 2
            try:
                rng.choice(rounds)()
            except Exception as error:
                report.bad("round", error=f"{type(error).__name__}: {error}"[:1000])
    asked = sorted(report.more.pop("health_seconds", []))
    if asked:
        share = {name: asked[min(len(asked) - 1, int(q * len(asked)))] for name, q in (("median", 0.5), ("99 %", 0.99))}
        slow = sum(value > 0.1 for value in asked)
        report.more["health_seconds"] = {"asked": len(asked), **share, "longest": asked[-1], "over 0.1": slow}
    mounts = commands is None or commands.mounts
    counts = Counter(row["what"] for row in report.wrong)
    result = {
        "seconds": round(time.monotonic() - begun), "seed": given.seed, "tried": dict(sorted(report.tried.items())),
        "wrong": dict(counts), "disks": "tried" if mounts else "left out: mounting is not allowed here", **report.more,
        "cases": report.wrong[:50],
    }  # fmt: skip
    given.out.parent.mkdir(parents=True, exist_ok=True)
    given.out.write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps(result, indent=1))
    return int(bool(report.wrong))


def server(place: Path, rng: random.Random, report: Report, seconds: float) -> None:
    import chaos_server

    chaos_server.round_of(place, rng, report, min(60.0, seconds))


if __name__ == "__main__":
    sys.exit(main())
