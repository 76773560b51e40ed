"""Inputs that are led by what they reach: ``python tests/hostile/guided.py --seconds 600``; needs atheris.

What ``fuzz.py`` does blindly: the same readers, the same closed list of what they may raise, the same damage; but an
input that reaches a new place of our code or of Pillow's is kept (``--corpus``) and damaged further. Not deterministic.
What is found is written to ``--found``; once mended, it belongs into ``corpus/`` beside this file, where both begin.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import importlib.util
import json
import os
import random
import resource
import shutil
import subprocess
import sys
import tempfile
import time
import traceback
from pathlib import Path
from typing import Any

import fuzz

HERE = Path(__file__).resolve().parent
#: Longest input.
LARGEST = 64 * 1024


def pack(suffixes: list[str], suffix: str, data: bytes) -> bytes:
    """One input as a file of libFuzzer's: its suffix is its first byte."""
    return bytes([suffixes.index(suffix)]) + data


def work(kind: str, found: Path, options: list[str]) -> None:
    """In a process of its own: libFuzzer's loop over one kind. It ends the process itself."""
    import atheris

    with atheris.instrument_imports(include=["mild", "PIL"]):
        readers, inputs = fuzz.load()
    from damage import damaged

    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_DATA, (2 * fuzz.MEMORY, 2 * fuzz.MEMORY))
    suffixes = sorted({suffix for suffix, _ in inputs[kind]})
    corpus = Path(options[-1])
    for suffix, data in inputs[kind]:
        if len(data) < LARGEST:
            (corpus / f"seed-{hashlib.sha256(data).hexdigest()[:16]}").write_bytes(pack(suffixes, suffix, data))
    place = Path(tempfile.mkdtemp(dir="/dev/shm" if os.path.isdir("/dev/shm") else None))  # noqa: PTH112
    seen: set[str] = set()

    def once(packed: bytes) -> None:
        if not packed:
            return
        suffix, data = suffixes[packed[0] % len(suffixes)], packed[1:]
        folder = place / "here"
        folder.mkdir()
        try:
            readers.READERS[kind][0](folder, suffix, data)
        except readers.REFUSED:
            pass
        except Exception as error:
            # The same fault in the same place is told once; the loop goes on.
            last = traceback.extract_tb(error.__traceback__)[-1]
            mark = f"{type(error).__name__} in {Path(last.filename).name}:{last.lineno}"
            if mark not in seen:
                seen.add(mark)
                name = f"{kind}-{hashlib.sha256(data).hexdigest()[:12]}{suffix}"
                (found / name).write_bytes(data)
                told = {"file": name, "what": f"{mark}: {error}"[:300]}
                with (found / "told.jsonl").open("a") as file:
                    file.write(json.dumps(told) + "\n")
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def mutate(packed: bytes, most: int, seed: int) -> bytes:
        rng = random.Random(seed)
        if rng.random() < 0.5 or len(packed) < 2:
            return bytes(atheris.Mutate(packed, most))
        return (packed[:1] + damaged(packed[1:], rng))[:most]

    atheris.Setup([sys.argv[0], *options], once, custom_mutator=mutate)
    atheris.Fuzz()


def run(kind: str, seconds: float, corpus: Path, found: Path) -> dict[str, Any]:
    """Let one kind run; begun again where an input ends the process, which is found, too."""
    row: dict[str, Any] = {"runs": 0, "ended": []}
    environment = os.environ | {"MILD_THREADS": "1", "MILD_OFFLINE": "1", "MILD_REMEMBER": "1"}
    end = time.monotonic() + seconds
    here = corpus / kind
    here.mkdir(parents=True, exist_ok=True)
    while (left := end - time.monotonic()) > 5:
        options = [
            f"-max_total_time={int(left)}", f"-timeout={fuzz.SECONDS}", f"-max_len={LARGEST}", "-rss_limit_mb=3072",
            f"-artifact_prefix={found}/{kind}-packed-", "-print_final_stats=1", str(here),
        ]  # fmt: skip
        call = [sys.executable, __file__, "--found", str(found), "--work", kind, *options]
        done = subprocess.run(call, env=environment, capture_output=True, text=True, errors="replace")
        for line in done.stderr.splitlines():
            if line.startswith("stat::number_of_executed_units:"):
                row["runs"] += int(line.split()[-1])
        if done.returncode == 0:
            break
        row["ended"].append({"code": done.returncode, "said": done.stderr[-500:]})
        if "stat::" not in done.stderr and "artifact" not in done.stderr:
            break  # it did not even begin
    row["kept"] = len(list(here.iterdir()))
    return row


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--seconds", type=float, default=60.0, help="of each kind")
    options.add_argument("--kind", action="append", choices=list(fuzz.WEIGHTS), help="only this one; repeatable")
    options.add_argument("--corpus", type=Path, default=Path("out/fuzz-corpus"), help="what reached new places")
    options.add_argument("--found", type=Path, default=Path("out/fuzz"), help="where inputs that are found go")
    options.add_argument("--work", nargs=argparse.REMAINDER, help=argparse.SUPPRESS)
    given = options.parse_args()
    if given.work:
        work(given.work[0], given.found, given.work[1:])
        return 0
    if importlib.util.find_spec("atheris") is None:
        print("atheris is not installed (pip install atheris): no inputs led by what they reach.", file=sys.stderr)
        return 0
    found = given.found.resolve()
    found.mkdir(parents=True, exist_ok=True)
    (found / "told.jsonl").unlink(missing_ok=True)
    result: dict[str, Any] = {}
    for kind in given.kind or fuzz.WEIGHTS:
        result[kind] = run(kind, given.seconds, given.corpus.resolve(), found)
        print(f"{kind}: {json.dumps(result[kind])}", file=sys.stderr, flush=True)
    told = (found / "told.jsonl").read_text().splitlines() if (found / "told.jsonl").exists() else []
    result["found"] = [json.loads(line) for line in told]
    print(json.dumps(result, indent=1))
    return int(bool(told or any(row["ended"] for name, row in result.items() if name != "found")))


if __name__ == "__main__":
    sys.exit(main())
