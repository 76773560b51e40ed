"""Load the server on loopback: is anything lost, crossed, or left in memory?

``python bench/server_load.py [--requests 200] [--at-once 8] [--real PHOTO]`` starts a server of its own (a road without
a model, unless ``--real`` names a photo to erase person 1 from), sends the requests, compares every answer with what
own photo and seed must give, and the memory of the server after with that before. One JSON line; exit 1 if it fails.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import io
import json
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from PIL import Image

TESTS = Path(__file__).parents[1] / "tests"
sys.path.insert(0, str(TESTS))
from fake_road import FakeRoad  # noqa: E402
from mild.photo import Photo  # noqa: E402
from mild.request import EraseRequest  # noqa: E402
from stacks import make_photo  # noqa: E402
from test_serve_process import free_port  # noqa: E402

PHOTOS = 8


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--requests", type=int, default=200)
    options.add_argument("--at-once", type=int, default=8)
    options.add_argument("--real", type=Path, help="a photo; the real road erases its person 1")
    options.add_argument("--model", default="mild-small", help="of the real road: a name or a folder")
    options.add_argument("--steps", type=int, default=1, help="denoising steps of the real road")
    given = options.parse_args()
    with tempfile.TemporaryDirectory() as state:
        port = free_port()
        command = [sys.executable, str(TESTS / "serve_fake.py"), state, str(port), "0"]
        process = subprocess.Popen([*command, *([given.model] if given.real else [])], stderr=subprocess.DEVNULL)
        try:
            report = load(f"http://127.0.0.1:{port}", process.pid, given)
        finally:
            process.terminate()
            process.wait(60)
        left = [path.name for path in Path(state).rglob("*.part")]
    report["part_files_left"] = len(left)
    print(json.dumps(report))
    good = not (report["lost"] or report["crossed"] or left) and report["memory_ratio"] <= 1.10
    return 0 if good else 1


def load(address: str, pid: int, given: argparse.Namespace) -> dict[str, Any]:
    """Send the requests; ``given`` are the command line's."""
    wait(address)
    jobs = [job(n, given) for n in range(given.requests)]
    warm = jobs[: 4 if given.real else 2 * PHOTOS]
    want = {key: digest(call(address, body)) for key, body in warm} if given.real else {}
    with ThreadPoolExecutor(
        given.at_once
    ) as pool:  # as in the measured part: its threads and buffers count as "before"
        list(pool.map(lambda item: call(address, item[1]), [*warm, *warm]))
    time.sleep(1)
    before = psutil.Process(pid).memory_info().rss
    lost = crossed = 0
    times: list[float] = []

    def send(item: tuple[str, dict[str, Any]]) -> tuple[str, dict[str, Any], bytes | None]:
        begun = time.monotonic()
        try:
            answer = call(address, item[1])
        except (OSError, urllib.error.HTTPError):
            return *item, None
        times.append(time.monotonic() - begun)
        return *item, answer

    begun = time.monotonic()
    with ThreadPoolExecutor(given.at_once) as pool:
        for key, body, answer in pool.map(send, jobs):
            if answer is None:
                lost += 1
            elif digest(answer) != (want[key] if given.real else expected(body)):
                crossed += 1
    seconds = time.monotonic() - begun
    time.sleep(1)
    after = psutil.Process(pid).memory_info().rss
    return {
        "road": "real" if given.real else "fake",
        "requests": given.requests,
        "at_once": given.at_once,
        "lost": lost,
        "crossed": crossed,
        "seconds": round(seconds, 1),
        "median_seconds": round(float(np.median(times)), 3) if times else None,
        "memory_before_mib": round(before / 2**20, 1),
        "memory_after_mib": round(after / 2**20, 1),
        "memory_ratio": round(after / before, 3),
    }


def job(n: int, given: argparse.Namespace) -> tuple[str, dict[str, Any]]:
    """Request ``n``: one of a few photos, one of a few choices; the key names what the answer must be."""
    k = n % (4 if given.real else 2 * PHOTOS)
    if given.real:
        data, people, seed = given.real.read_bytes(), [1], k
    else:
        out = io.BytesIO()
        Image.fromarray(make_photo(360, 480, k % PHOTOS)).save(out, "png")
        data, people, seed = out.getvalue(), [1 + k % 3], k
    request: dict[str, Any] = {"selection": {"people": people}, "seed": seed}
    if given.real:
        request["method"] = {"steps": given.steps, "model": given.model}
    return str(k), {"photo": base64.b64encode(data).decode(), "request": request}


def expected(body: dict[str, Any]) -> str:
    photo = Photo.from_pil(Image.open(io.BytesIO(base64.b64decode(body["photo"]))))
    request = EraseRequest.model_validate(body["request"])
    return fingerprint(FakeRoad(steps=0).run(request, photo, lambda stage, share: None).photo.pixels)


def digest(answer: bytes) -> str:
    return fingerprint(np.asarray(Image.open(io.BytesIO(answer)).convert("RGB")))


def fingerprint(pixels: Any) -> str:
    return hashlib.sha256(np.ascontiguousarray(pixels).tobytes()).hexdigest()


def call(address: str, body: dict[str, Any]) -> bytes:
    headers = {"content-type": "application/json"}
    request = urllib.request.Request(f"{address}/v1/erase", json.dumps(body).encode(), headers)
    with urllib.request.urlopen(request, timeout=600) as answer:
        if answer.status != 200:
            raise OSError(f"status {answer.status}")
        return bytes(answer.read())


def wait(address: str) -> None:
    end = time.monotonic() + 120
    while time.monotonic() < end:
        try:
            urllib.request.urlopen(f"{address}/health", timeout=5).close()
            return
        except OSError:
            time.sleep(0.1)
    raise SystemExit("the server does not answer")


if __name__ == "__main__":
    sys.exit(main())
