"""A batch that is killed with -9 again and again, and gone on: is it the undisturbed one, byte for byte?

    python bench/kills.py PHOTOS [--count 300] [--kills 10] [--jobs 2] [--side 640] [--engine ray] [--out FOLDER]

So many of the photos, shrunk to a long side of 640 pixels, go through `mild batch --all`: once undisturbed (with
the local engine), and once more, killed at random moments, with all its processes left to end by themselves. With
`--engine ray` no command is killed but one worker process of the cluster, in the middle, and the run goes on by itself.
It is said whether all files are the same, every photo is in the ledger, and how often each was done.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from throughput import SUFFIXES

MILD = [sys.executable, "-m", "mild"]


def shrunk(folder: Path, out: Path, count: int, side: int) -> int:
    """The first photos of a folder, as PNG-free copies of at most so many pixels; how many there are."""
    from PIL import Image

    there = sorted(p for p in folder.rglob("*") if p.suffix.lower() in SUFFIXES and not p.stem.endswith(".mask"))
    for path in there[:count]:
        place = out / path.relative_to(folder)
        place.parent.mkdir(parents=True, exist_ok=True)
        with Image.open(path) as image:
            if max(image.size) <= side:
                shutil.copy(path, place)
            else:
                image.thumbnail((side, side))
                image.save(place, quality=92)
    return min(count, len(there))


def started(photos: Path, out: Path, *more: str) -> subprocess.Popen[bytes]:
    environment = os.environ | {"MILD_OFFLINE": "1"}
    log = (out.parent / f"{out.name}.log").open("ab")
    return subprocess.Popen(
        [*MILD, "batch", str(photos), "-o", str(out), "--all", *more], stdout=log, stderr=log, env=environment
    )


def lines(out: Path) -> list[dict[str, object]]:
    path = out / "batch.jsonl"
    rows = []
    for line in path.read_text().splitlines() if path.exists() else []:
        try:
            rows.append(json.loads(line))
        except ValueError:
            rows.append({"cut": True})
    return rows


def files(out: Path) -> dict[str, bytes]:
    found = {str(p.relative_to(out)): p for p in out.rglob("*") if p.is_file()}
    return {name: p.read_bytes() for name, p in found.items() if not name.startswith("batch.")}


def killed(photos: Path, out: Path, total: int, kills: int, jobs: str) -> int:
    """Kill the command at random moments, and go on; returns how often it was killed."""
    draw = random.Random(0)
    # In the middle of so many photos, and of one.
    moments = sorted(draw.sample(range(1, total - 1), kills))
    done = 0
    for moment in moments:
        process = started(photos, out, "--jobs", jobs)
        while process.poll() is None and len(lines(out)) < moment:
            time.sleep(0.05)
        time.sleep(draw.uniform(0, 1.5))
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
            done += 1
        process.wait()
    process = started(photos, out, "--jobs", jobs)
    if process.wait():
        print("the last run did not end well")
    return done


def ray(photos: Path, out: Path, total: int, jobs: str) -> int:
    """One of the cluster's worker processes is killed in the middle, and its actor with another shot later."""
    process = started(photos, out, "--engine", "ray", "--jobs", jobs)
    done = 0
    for part, what in ((0.35, "spawn_main"), (0.6, "ray::")):
        while process.poll() is None and len(lines(out)) < part * total:
            time.sleep(0.1)
        victims = [
            pid for pid in below(process.pid) if what in told(pid) and (what != "ray::" or "MapWorker" in told(pid))
        ]
        if victims:
            os.kill(victims[0], signal.SIGKILL)
            print(f"killed {told(victims[0])[:60] or what} at {len(lines(out))} photos", flush=True)
            done += 1
    if process.wait():
        print("the run did not end well")
    return done


def told(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except OSError:
        return ""


def below(pid: int) -> list[int]:
    """All processes that a process began, and those they began."""
    parents = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            parents[int(path.parent.name)] = int(path.read_text().rpartition(")")[2].split()[1])
        except (OSError, ValueError):
            continue
    found, todo = [], [pid]
    while todo:
        one = todo.pop()
        children = [child for child, parent in parents.items() if parent == one]
        found += children
        todo += children
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", type=Path)
    parser.add_argument("--count", type=int, default=300)
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--jobs", default="2")
    parser.add_argument("--side", type=int, default=640)
    parser.add_argument("--engine", choices=("local", "ray"), default="local")
    parser.add_argument("--out", type=Path, help="Kept there; an undisturbed run that is there is not made again.")
    args = parser.parse_args()
    place = args.out or Path(tempfile.mkdtemp())
    photos = place / "photos"
    total = shrunk(args.photos, photos, args.count, args.side)
    begun = time.monotonic()
    whole, cut = place / "whole", place / f"cut-{args.engine}"
    if started(photos, whole, "--jobs", args.jobs).wait():
        print("the undisturbed run did not end well")
    print(f"undisturbed: {total} photos, {time.monotonic() - begun:.0f} s", flush=True)
    shutil.rmtree(cut, ignore_errors=True)
    begun = time.monotonic()
    times = (
        killed(photos, cut, total, args.kills, args.jobs)
        if args.engine == "local"
        else ray(photos, cut, total, args.jobs)
    )
    print(f"killed {times} times: {time.monotonic() - begun:.0f} s")
    rows = lines(cut)
    often = Counter(str(row["output"]) for row in rows if "output" in row)
    a, b = files(whole), files(cut)
    same = sum(b.get(name) == data for name, data in a.items())
    print(f"files the same: {same} of {len(a)}; more than in the undisturbed run: {len(b.keys() - a.keys())}")
    print(
        f"in the ledger: {len(often)} of {total} photos, most often {max(often.values())} times; "
        f"lines cut short: {sum('cut' in row for row in rows)}; {dict(Counter(str(row.get('status')) for row in rows))}"
    )
    if not args.out:
        shutil.rmtree(place)


if __name__ == "__main__":
    main()
