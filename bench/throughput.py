"""Many photos: what `mild batch` gives over a shell loop of `mild erase` and over one warm process; and how it grows.

    python bench/throughput.py pairs PHOTOS [--count 40] [--rounds 3] [--json FILE]
    python bench/throughput.py growth PHOTOS [--counts 10,100,1000] [--json FILE]
    python bench/throughput.py engines PHOTOS [--count 40] [--side 256]
    python bench/throughput.py page FOLDER

`pairs`: so many of the folder's photos, three ways, each way once a round and in another order every round, so that
other work on the machine hits all alike. Wall time, and the processor time of all processes. Nobody is remembered from
one run to the next. `growth`: the photos, made small and no two alike, in folders of so many; seconds a photo, and the
memory of the batch's own process and of its largest worker, as it runs. `engines`: the local engine and Ray on this
machine, two workers each, in turns; processor time is that of all processes begun, looked at every fifth of a second.
`page`: how long Chromium needs to show a
batch's page (its output is FOLDER), in wall and in processor time of all its processes, and to filter it.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

from mild.engines.engine import cores

SUFFIXES = (".jpg", ".png", ".webp")
MILD = (sys.executable, "-m", "mild")
#: One process that loads the model once and does one photo after the other.
WARM = """
import sys
from pathlib import Path
import mild
models = mild.Models()
for path in sorted(Path(sys.argv[1]).iterdir()):
    request = mild.EraseRequest.build(photo=str(path), selection={"everyone": True})
    try:
        mild.run(request, models=models).save(Path(sys.argv[2]) / path.name)
    except mild.MildError as error:
        print(path.name, error)
"""


def spent(command: list[str], done: list[tuple[float, float]]) -> None:
    """Run a command; add its wall and processor seconds."""
    begun, before = time.monotonic(), os.times()
    subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False, env=environment())
    after = os.times()
    cpu = after.children_user + after.children_system - before.children_user - before.children_system
    done.append((time.monotonic() - begun, cpu))


def environment() -> dict[str, str]:
    return os.environ | {"MILD_REMEMBER": "0", "MILD_OFFLINE": "1"}


def batch(photos: Path, out: Path) -> list[str]:
    return [*MILD, "batch", str(photos), "-o", str(out), "--all"]


def loop(photos: Path, out: Path) -> list[str]:
    out.mkdir()
    mild = " ".join(MILD)
    return ["sh", "-c", f'for p in "{photos}"/*; do {mild} erase "$p" --all -o "{out}/${{p##*/}}"; done']


def warm(photos: Path, out: Path) -> list[str]:
    out.mkdir()
    return [sys.executable, "-c", WARM, str(photos), str(out)]


WAYS: dict[str, Callable[[Path, Path], list[str]]] = {"batch": batch, "loop": loop, "warm": warm}


def chosen(folder: Path, count: int) -> list[Path]:
    """So many photos, evenly spread over the folder's."""
    there = sorted(p for p in folder.rglob("*") if p.suffix.lower() in SUFFIXES and not p.stem.endswith(".mask"))
    return [there[i * len(there) // count] for i in range(min(count, len(there)))]


def pairs(args: argparse.Namespace, place: Path) -> dict[str, Any]:
    photos = place / "photos"
    photos.mkdir()
    for path in chosen(args.photos, args.count):
        shutil.copy(path, photos / path.name)
    told: dict[str, list[tuple[float, float]]] = {name: [] for name in WAYS}
    for round_ in range(args.rounds):
        names = list(WAYS)[round_ % 3 :] + list(WAYS)[: round_ % 3]
        for name in names:
            out = place / f"{name}{round_}"
            spent(WAYS[name](photos, out), told[name])
            print(f"round {round_ + 1}: {name:5} {told[name][-1][0]:7.1f} s wall {told[name][-1][1]:7.1f} s processor")
            sys.stdout.flush()
    same = alike(place / "batch0", place / "loop0")
    print(f"on {cores()} cores, a load of {os.getloadavg()[1]:.1f}")  # who is bound to one core measures one worker
    print(f"the same bytes as mild erase: {same[0]} of {same[1]} photos")
    ratios = {}
    for name in ("loop", "warm"):
        wall = [a[0] / b[0] for a, b in zip(told[name], told["batch"], strict=True)]
        cpu = [a[1] / b[1] for a, b in zip(told[name], told["batch"], strict=True)]
        ratios[name] = {"wall": wall, "processor": cpu}
        print(
            f"batch against {name}: {median(wall):.2f}x wall ({min(wall):.2f} to {max(wall):.2f}), {median(cpu):.2f}x"
        )
    return {"photos": args.count, "cores": cores(), "runs": told, "ratios": ratios, "same": same}


def alike(one: Path, other: Path) -> tuple[int, int]:
    """How many files of ``other`` are in ``one``, byte for byte; of how many."""
    files = [p for p in other.iterdir() if p.is_file()]
    return sum((one / p.name).is_file() and (one / p.name).read_bytes() == p.read_bytes() for p in files), len(files)


def tiny(photos: list[Path], folder: Path, count: int, side: int) -> None:
    """So many small JPEGs, no two alike: each a photo shrunk, and cut a pixel further each time around."""
    from PIL import Image

    small = []
    for path in photos:
        with Image.open(path) as image:
            image.thumbnail((side, side))
            small.append(image.convert("RGB"))
    for number in range(count):
        image = small[number % len(small)]
        cut = number // len(small)
        box = (cut % 8, cut // 8 % 8, image.width - cut // 64 % 8, image.height - cut // 512 % 8)
        path = folder / f"{number // 1000:02d}" / f"{number:05d}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        image.crop(box).save(path, quality=90)


class Watched:
    """Resident memory of a process and of the largest of its children, MiB, looked at every half second."""

    def __init__(self, pid: int) -> None:
        self.own: list[float] = []
        self.worker: list[float] = []
        self._pid, self._end = pid, threading.Event()
        self._thread = threading.Thread(target=self._look)
        self._thread.start()

    def _look(self) -> None:
        while not self._end.wait(0.5):
            try:
                children = Path(f"/proc/{self._pid}/task/{self._pid}/children").read_text().split()
                sizes = [resident(int(child)) for child in children]
                self.own.append(resident(self._pid))
                self.worker.append(max(sizes, default=0.0))
            except OSError:
                continue

    def stop(self) -> None:
        self._end.set()
        self._thread.join()


def resident(pid: int) -> float:
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20
    except (OSError, IndexError):
        return 0.0


def growth(args: argparse.Namespace, place: Path) -> dict[str, Any]:
    rows = []
    sources = chosen(args.photos, 40)
    for count in (int(text) for text in args.counts.split(",")):
        photos, out = place / f"photos{count}", place / f"out{count}"
        tiny(sources, photos, count, args.side)
        begun, before = time.monotonic(), os.times()
        process = subprocess.Popen(
            [*batch(photos, out), "--json"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environment()
        )
        watched = Watched(process.pid)
        said, _ = process.communicate()
        wall, after = time.monotonic() - begun, os.times()
        watched.stop()
        cpu = after.children_user + after.children_system - before.children_user - before.children_system
        halves = [
            watched.worker[len(watched.worker) // 4 : len(watched.worker) // 2],
            watched.worker[len(watched.worker) // 2 :],
        ]
        row = {
            "photos": count, "wall": wall, "processor": cpu, "said": json.loads(said),
            "own MiB": max(watched.own, default=0.0),
            "worker MiB": [median(half) if half else 0.0 for half in halves],
        }  # fmt: skip
        lines = [json.loads(line) for line in (out / "batch.jsonl").read_text().splitlines()]
        took = [line["seconds"] for line in lines if line["status"] == "done"]
        tenth = max(1, len(took) // 10)
        each = row["first, last tenth"] = [median(took[:tenth]), median(took[-tenth:])]
        rows.append(row)
        first, last = row["worker MiB"]
        print(
            f"{count} photos: {wall:.1f} s; {1000 * cpu / count:.0f} ms of processor and {1000 * wall / count:.0f} ms "
            f"of wall a photo; the first and last tenth took {each[0]:.3f} and {each[1]:.3f} s each; "
            f"own memory {row['own MiB']:.0f} MiB, a worker's {first:.0f}, later {last:.0f} MiB",
            flush=True,
        )
    return {"rows": rows}


def ticks(pid: int) -> dict[int, int]:
    """Processor ticks of all processes that a process began, and of those that they began."""
    found: dict[int, tuple[int, int]] = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
            found[int(path.parent.name)] = (int(fields[1]), int(fields[11]) + int(fields[12]))
        except (OSError, ValueError, IndexError):
            continue
    below, todo = {}, [pid]
    while todo:
        one = todo.pop()
        if one in found:
            below[one] = found[one][1]
        todo += [child for child, (parent, _) in found.items() if parent == one]
    return below


def engines(args: argparse.Namespace, place: Path) -> dict[str, Any]:
    photos = place / "photos"
    tiny(chosen(args.photos, args.count), photos, args.count, args.side)
    told: dict[str, list[tuple[float, float]]] = {"local": [], "ray": []}
    for round_ in range(args.rounds):
        for name in ("local", "ray") if round_ % 2 else ("ray", "local"):
            command = [*batch(photos, place / f"{name}{round_}"), "--engine", name, "--jobs", "2"]
            begun = time.monotonic()
            process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment())
            spent: dict[int, int] = {}
            while process.poll() is None:
                spent |= ticks(process.pid)
                time.sleep(0.2)
            cpu = sum(spent.values()) / os.sysconf("SC_CLK_TCK")
            told[name].append((time.monotonic() - begun, cpu))
            print(f"round {round_ + 1}: {name:5} {told[name][-1][0]:7.1f} s wall {cpu:7.1f} s processor", flush=True)
    same = alike(place / "ray0" / "00", place / "local0" / "00")
    print(f"the same bytes: {same[0]} of {same[1]} photos")
    for kind, unit in ((0, "wall"), (1, "processor")):
        more = [b[kind] - a[kind] for a, b in zip(told["local"], told["ray"], strict=True)]
        print(f"Ray needs {median(more):.1f} s of {unit} more ({min(more):.1f} to {max(more):.1f})")
    return {"photos": args.count, "runs": told, "same": same}


def page(args: argparse.Namespace, place: Path) -> dict[str, Any]:
    from playwright.sync_api import sync_playwright

    out = args.photos
    if not (out / "batch.html").exists():
        raise SystemExit(f"{out} is no output of a batch.")
    program = shutil.which("chromium") or shutil.which("google-chrome")
    told: list[float] = []
    worked: list[float] = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program)
        for _ in range(args.rounds):
            tab = browser.new_page()
            begun, before = time.monotonic(), sum(ticks(os.getpid()).values())
            tab.goto((out / "batch.html").resolve().as_uri(), wait_until="load")
            shown = tab.locator("article").count()
            tab.evaluate("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")
            told.append(time.monotonic() - begun)
            worked.append((sum(ticks(os.getpid()).values()) - before) / os.sysconf("SC_CLK_TCK"))
            begun = time.monotonic()
            tab.fill("#text", "777")
            tab.evaluate("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")
            filtered = time.monotonic() - begun
            title = tab.inner_text("#title")
            tab.close()
        browser.close()
    size = (out / "batch.html").stat().st_size / 2**20
    print(f"{title}; the page ({size:.1f} MiB) opened in {', '.join(f'{t:.2f}' for t in told)} s with {shown} cards")
    print(f"processor, all of Chromium: {', '.join(f'{t:.2f}' for t in worked)} s")
    print(f"a filter by name: {filtered:.2f} s")
    return {"seconds": told, "processor": worked, "filter": filtered, "size": size}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("pairs", "growth", "engines", "page"))
    parser.add_argument("photos", type=Path, help="A folder of photos; for page: a batch's output.")
    parser.add_argument("--count", type=int, default=40)
    parser.add_argument("--counts", default="10,100,1000")
    parser.add_argument("--side", type=int, default=160, help="Long side of the small photos, pixels.")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        told = {"pairs": pairs, "growth": growth, "engines": engines, "page": page}[args.what](args, Path(place))
    if args.json:
        args.json.write_text(json.dumps(told, indent=1) + "\n")


if __name__ == "__main__":
    main()
