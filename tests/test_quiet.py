"""Nothing is sent home, and the number of threads decides nothing but the time."""

from __future__ import annotations

import importlib
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from mild import machine
from mild.errors import UsageError
from mild.photo import Photo
from stacks import make_photo

ROOT = Path(__file__).resolve().parent.parent

#: The default job, with the model held for a moment: telemetry begins in the background.
JOB = """
import sys, time
import numpy as np
import mild
from stacks import make_photo
mask = np.zeros((96, 128), bool)
mask[30:60, 50:80] = True
mild.erase(make_photo(96, 128, 0), mask=mask, finder="none").photo.save(sys.argv[1])
time.sleep(1)
"""
SERVER = """
import sys
from pathlib import Path
from fastapi.testclient import TestClient
from mild.app.server import Settings
from mild.app.server.app import create_app
with TestClient(create_app(Settings(state=Path(sys.argv[1])))) as client:
    assert client.get("/docs/").status_code == 200 and client.get("/health").status_code == 200
"""


def environment(tmp_path: Path, **more: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.endswith("_NUM_THREADS")}
    path = os.pathsep.join([str(ROOT / "tests"), str(ROOT / "src")])
    home = {"HOME": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path / "cache"), "MILD_CACHE": str(tmp_path / "mild")}
    # What a user's environment may hold; the promise stands above it.
    return kept | home | {"PYTHONPATH": path, "ORT_DISABLE_TELEMETRY": "0", "MILD_OFFLINE": "1"} | more


@pytest.mark.parametrize("script", [JOB, SERVER], ids=["job", "server"])
def test_no_process_of_ours_looks_up_a_name_or_opens_a_connection(tmp_path: Path, script: str) -> None:
    strace = shutil.which("strace")
    if strace is None:
        pytest.skip("strace is not installed")
    log = tmp_path / "calls"
    # Internet sockets, and the daemon that is asked for names; tests' clients speak without sockets.
    call = [strace, "-f", "-qq", "-e", "trace=socket,connect", "-o", str(log), sys.executable, "-c", script]
    done = subprocess.run(
        [*call, str(tmp_path / "out.png")], env=environment(tmp_path), capture_output=True, text=True, timeout=120
    )
    if "ptrace" in done.stderr.lower() and "permitted" in done.stderr.lower():
        pytest.skip("processes may not be watched here")
    assert done.returncode == 0, done.stderr
    assert [line for line in log.read_text().splitlines() if re.search(r"AF_INET|nscd|resolve|:53", line)] == []


def test_the_default_job_leaves_no_library_s_notes_in_the_cache(tmp_path: Path) -> None:
    call = [sys.executable, "-c", JOB, str(tmp_path / "out.png")]
    subprocess.run(call, env=environment(tmp_path), check=True, timeout=120, capture_output=True)
    assert not list(tmp_path.rglob("*onnxruntime*")) and not list(tmp_path.rglob("*Microsoft*"))


def test_onnxruntime_is_imported_in_one_place() -> None:
    found = [
        str(path.relative_to(ROOT))
        for folder in ("src", "bench", "examples")
        for path in (ROOT / folder).rglob("*.py")
        if re.search(r"^\s*(import onnxruntime|from onnxruntime import)", path.read_text("utf-8"), re.M)
    ]
    assert found == ["src/mild/models/onnx.py"]


def test_importing_mild_settles_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    import mild

    monkeypatch.setenv("ORT_DISABLE_TELEMETRY", "0")
    monkeypatch.setenv("OMP_NUM_THREADS", "many")
    monkeypatch.setenv("MILD_THREADS", "3")
    monkeypatch.delenv("OPENBLAS_NUM_THREADS", raising=False)
    importlib.reload(mild)
    assert os.environ["ORT_DISABLE_TELEMETRY"] == "1"
    assert os.environ["OMP_NUM_THREADS"] == os.environ["OPENBLAS_NUM_THREADS"] == "3"
    assert machine.threads() == 3 and machine.threads(most=2) == 2


@pytest.mark.parametrize("nonsense", ["", "0", "-1", "two", "1e9", "99999", "1,2", "٣"])
def test_nonsense_for_the_threads_is_one_sentence(nonsense: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MILD_THREADS", nonsense)
    machine.settle()
    with pytest.raises(UsageError, match="MILD_THREADS must be a whole number"):
        machine.threads()


def test_the_same_pixels_on_one_thread_and_on_many(tmp_path: Path) -> None:
    Photo.from_array(make_photo(96, 128, 0)).save(tmp_path / "in.png")
    seen = []
    for count in ("1", "2"):
        out = tmp_path / f"{count}.png"
        call = [sys.executable, "-c", JOB.replace("time.sleep(1)", ""), str(out)]
        subprocess.run(
            call, env=environment(tmp_path, MILD_THREADS=count), check=True, timeout=120, capture_output=True
        )
        seen.append(Photo.open(out).pixels)
    assert np.array_equal(seen[0], seen[1])


def test_the_page_of_the_api_asks_nobody_else_for_anything(tmp_path: Path) -> None:
    pytest.importorskip("fastapi")
    from fastapi.testclient import TestClient

    from mild.app.server import Settings
    from mild.app.server.app import create_app

    with TestClient(create_app(Settings(state=tmp_path))) as client:
        page = client.get("/docs")
        assert page.url.path == "/docs/" and "default-src 'none'" in page.headers["content-security-policy"]
        named = re.findall(r"(?:src|href)=\"([^\"]+)\"", page.text)
        assert "swagger-ui-bundle.js" in named and not [name for name in named if "//" in name]
        for name in named:
            assert name == "data:," or client.get(f"/docs/{name}").status_code == 200
        assert client.get("/docs/LICENSE").status_code == 404 and client.get("/docs/../app.py").status_code == 404
