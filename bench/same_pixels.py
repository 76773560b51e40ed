"""Hashes of 30 jobs through every way in, to show that a change of the code's structure changed no pixel.

    python bench/same_pixels.py > before.txt      # then change something
    python bench/same_pixels.py > after.txt; diff before.txt after.txt

The jobs go through the command line, the library and the HTTP API: erasing by number, place, box and mask, taking
apart, putting together again. A line is a job's name and the first half of the SHA-256 of the pixels that it wrote.
"""

from __future__ import annotations

import hashlib
import io
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"

#: Name -> photo, and the words of `mild erase`.
BY_COMMAND = {
    "bar55 1": ("bar55", "--person", "1"),
    "bar55 keep": ("bar55", "--keep", "1,2"),
    "bar55 all": ("bar55", "--all"),
    "bar55 hmg": ("bar55", "--person", "2", "--hmg", "none"),
    "cold_water 1": ("cold_water", "--person", "1"),
    "cold_water seed": ("cold_water", "--person", "2", "--seed", "7"),
    "pool 1": ("pool", "--person", "1"),
    "pool tight": ("pool", "--person", "2", "--dilate", "0", "--feather", "0"),
    "wayne 2": ("wayne", "--person", "2"),
    "wayne box": ("wayne", "--box", "100,100,220,320"),
    "wayne at": ("wayne", "--at", "200,200"),
    "wayne steps": ("wayne", "--person", "1", "--steps", "2"),
    "pool torch": ("pool", "--person", "1", "--runtime", "torch"),
}


def digest(pixels: np.ndarray) -> str:
    return hashlib.sha256(repr(pixels.shape).encode() + np.ascontiguousarray(pixels).tobytes()).hexdigest()[:32]


def of_file(path: Path | io.BytesIO) -> str:
    with Image.open(path) as image:
        return digest(np.asarray(image))


def mild(*words: str) -> str:
    done = subprocess.run([sys.executable, "-m", "mild", *words], capture_output=True, text=True)
    return "" if done.returncode == 0 else f"exit {done.returncode}"


def command_line(work: Path) -> None:
    for name, (photo, *words) in BY_COMMAND.items():
        out = work / "out.png"
        failed = mild("erase", str(EXAMPLES / f"{photo}.jpg"), *words, "-o", str(out), "--force")
        print(f"cli {name}: {failed or of_file(out)}", flush=True)
    for photo in ("bar55", "pool"):
        folder, stack = work / photo, work / f"{photo}.ora"
        failed = mild("layers", str(EXAMPLES / f"{photo}.jpg"), "-o", str(folder))
        for path in sorted(folder.rglob("*.png")):
            print(f"layers {photo} {path.name}: {failed or of_file(path)}", flush=True)
        failed = mild("layers", str(EXAMPLES / f"{photo}.jpg"), "-o", str(stack))
        out = work / "composed.png"
        failed = failed or mild("compose", str(stack), "--hide", "1", "-o", str(out), "--force")
        print(f"compose {photo}: {failed or of_file(out)}", flush=True)


def library() -> None:
    import mild as package

    for photo in ("bar55", "cold_water", "pool", "wayne"):
        pixels = np.asarray(Image.open(EXAMPLES / f"{photo}.jpg").convert("RGB"))
        mask = np.zeros(pixels.shape[:2], bool)
        mask[80:230, 100:200] = True
        result = package.erase(pixels, mask=mask, backend="none")
        print(f"library {photo} mask: {digest(result.photo.pixels)}", flush=True)
        result = package.erase(pixels, 1)
        print(f"library {photo} 1: {digest(result.photo.pixels)}", flush=True)


def over_http(work: Path) -> None:
    from fastapi.testclient import TestClient

    from mild.app.server.app import create_app
    from mild.app.server.settings import Settings

    with TestClient(create_app(Settings(state=work / "state")), base_url="http://127.0.0.1:8000") as client:
        for photo in ("bar55", "wayne", "pool"):
            answer = client.post(
                "/v1/erase",
                files={"photo": (f"{photo}.jpg", (EXAMPLES / f"{photo}.jpg").read_bytes(), "image/jpeg")},
                data={"request": json.dumps({"selection": {"people": [1]}})},
            )
            told = of_file(io.BytesIO(answer.content)) if answer.status_code == 200 else f"status {answer.status_code}"
            print(f"http {photo}: {told}", flush=True)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as name:
        library()
        command_line(Path(name))
        over_http(Path(name))
