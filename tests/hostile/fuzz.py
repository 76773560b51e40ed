"""Throw damaged inputs at every reader: ``python tests/hostile/fuzz.py --count 100000``.

Deterministic: input n of a seed is always the same. The readers run in a process of their own with bounded memory; an
input that is neither refused with a sentence nor read, that ends the process, or that takes longer than its time is
found: it is written to ``--found`` and counted. What is found and mended belongs into ``corpus/``.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import json
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import FrameType
from typing import Any

HERE = Path(__file__).resolve().parent
#: Seconds and bytes of one input.
SECONDS, MEMORY = 10, 2 * 2**30
WEIGHTS = {"photo": 30, "layered": 30, "annotations": 10, "request": 10, "cache": 8, "record": 4, "mask": 4, "code": 4}


class TooLong(BaseException):
    """The input's time is over; no reader may catch it."""


def load() -> tuple[Any, dict[str, list[tuple[str, bytes]]]]:
    """The readers, and what is damaged for each: its seeds, and the corpus."""
    sys.path.insert(0, str(HERE))
    import readers

    inputs: dict[str, list[tuple[str, bytes]]] = {}
    for kind, (_, seeds) in readers.READERS.items():
        inputs[kind] = list(seeds())
    for path in sorted((HERE / "corpus").iterdir()):
        kind = path.name.partition("-")[0]
        if kind in inputs:
            inputs[kind].append((path.suffix, path.read_bytes()))
    return readers, inputs


def one(
    number: int, seed: int, inputs: dict[str, list[tuple[str, bytes]]], only: str | None = None
) -> tuple[str, str, bytes]:
    """Input ``number`` of a seed: kind (``only`` this one), suffix, content."""
    from damage import damaged

    rng = random.Random(f"{seed}:{number}")
    kind = only or rng.choices(list(WEIGHTS), list(WEIGHTS.values()))[0]
    suffix, data = rng.choice(inputs[kind])
    return kind, suffix, damaged(data, rng)


def work(first: int, count: int, seed: int, note: Path, only: str | None = None) -> None:
    """In the process: try inputs, and say in ``note`` which one is tried; one line of JSON for what is found."""
    readers, inputs = load()
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_DATA, (MEMORY, MEMORY))

    def over(sign: int, frame: FrameType | None) -> None:
        raise TooLong

    signal.signal(signal.SIGALRM, over)
    refused = 0
    slowest = 0.0
    with tempfile.TemporaryDirectory(dir="/dev/shm" if os.path.isdir("/dev/shm") else None) as place:  # noqa: PTH112
        for number in range(first, first + count):
            kind, suffix, data = one(number, seed, inputs, only)
            note.write_text(str(number))
            folder = Path(place) / "here"
            folder.mkdir()
            begun = time.process_time()
            signal.alarm(SECONDS)
            try:
                readers.READERS[kind][0](folder, suffix, data)
            except readers.REFUSED:
                refused += 1
            except TooLong:
                print(json.dumps({"number": number, "what": "TooLong"}), flush=True)
            except Exception as error:
                print(json.dumps({"number": number, "what": f"{type(error).__name__}: {error}"[:300]}), flush=True)
            finally:
                signal.alarm(0)
            slowest = max(slowest, time.process_time() - begun)
            shutil.rmtree(folder, ignore_errors=True)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(
        json.dumps({"done": count, "refused": refused, "slowest": round(slowest, 2), "peak_mib": round(peak)}),
        flush=True,
    )


def main(arguments: list[str] | None = None) -> int:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--count", type=int, default=100_000)
    options.add_argument("--seed", type=int, default=1)
    options.add_argument("--batch", type=int, default=5000, help="inputs of one process")
    options.add_argument("--found", type=Path, default=Path("out/fuzz"), help="where inputs that are found go")
    options.add_argument("--kind", help="of reader; all but metadata, which is for itself, where none is given")
    options.add_argument("--work", nargs=3, metavar=("FIRST", "COUNT", "NOTE"), help=argparse.SUPPRESS)
    given = options.parse_args(arguments)
    if given.work:
        work(int(given.work[0]), int(given.work[1]), given.seed, Path(given.work[2]), given.kind)
        return 0
    begun = time.monotonic()
    total: dict[str, Any] = {"tried": 0, "refused": 0, "found": [], "slowest": 0.0, "peak_mib": 0}
    environment = os.environ | {"MILD_THREADS": "1", "MILD_OFFLINE": "1", "MILD_REMEMBER": "1", "PYTHONHASHSEED": "0"}
    with tempfile.TemporaryDirectory() as place:
        note = Path(place) / "note"
        first = 0
        while first < given.count:
            count = min(given.batch, given.count - first)
            call = [sys.executable, __file__, "--seed", str(given.seed), "--work", str(first), str(count), str(note)]
            call += ["--kind", given.kind] if given.kind else []
            note.write_text("")
            process = subprocess.Popen(
                call, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environment
            )
            assert process.stdout is not None
            finished = False
            for line in process.stdout:
                row = json.loads(line)
                if "done" in row:
                    finished = True
                    total["refused"] += row["refused"]
                    total["slowest"] = max(total["slowest"], row["slowest"])
                    total["peak_mib"] = max(total["peak_mib"], row["peak_mib"])
                else:
                    total["found"].append(row)
            code = process.wait()
            if finished:
                first += count
                total["tried"] += count
            else:
                text = note.read_text()
                if not text:
                    print(f"The readers could not be loaded (exit code {code}).", file=sys.stderr)
                    return 2
                at = int(text)
                total["found"].append({"number": at, "what": f"the process ended (code {code})"})
                total["tried"] += at + 1 - first
                first = at + 1
            print(f"{total['tried']} of {given.count}, {len(total['found'])} found", file=sys.stderr, flush=True)
    if total["found"]:
        _, inputs = load()
        given.found.mkdir(parents=True, exist_ok=True)
        for row in total["found"]:
            kind, suffix, data = one(row["number"], given.seed, inputs, given.kind)
            name = f"{kind}-{hashlib.sha256(data).hexdigest()[:12]}{suffix}"
            (given.found / name).write_bytes(data)
            row["file"] = name
    total["seconds"] = round(time.monotonic() - begun)
    print(json.dumps(total, indent=1))
    return int(bool(total["found"]))


if __name__ == "__main__":
    sys.exit(main())
