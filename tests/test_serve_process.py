"""The server as a process: killed and stopped in the middle of a job."""

from __future__ import annotations

import io
import json
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from mild.app.cli.app import run
from stacks import make_photo


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Process:
    """``serve_fake.py`` on a free port."""

    def __init__(self, state: Path, pause: float) -> None:
        self.address = f"http://127.0.0.1:{(port := free_port())}"
        script = Path(__file__).with_name("serve_fake.py")
        self.process = subprocess.Popen(
            [sys.executable, script, state, str(port), str(pause)], stderr=subprocess.PIPE, text=True
        )
        end = time.monotonic() + 60
        while time.monotonic() < end:
            try:
                self.call("GET", "/health")
                return
            except OSError:
                assert self.process.poll() is None, self.process.stderr and self.process.stderr.read()
                time.sleep(0.1)
        raise AssertionError("the server does not answer")

    def call(self, method: str, path: str, body: Any = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.address + path, data, {"content-type": "application/json"}, method=method)
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.loads(answer.read())

    def start_jobs(self, count: int) -> list[str]:
        import base64

        out = io.BytesIO()
        Image.fromarray(make_photo()).save(out, "png")
        body = {"photo": base64.b64encode(out.getvalue()).decode(), "request": {"selection": {"people": [1]}}}
        ids = [self.call("POST", "/v1/jobs", body)["id"] for _ in range(count)]
        while self.call("GET", f"/v1/jobs/{ids[0]}")["state"] == "queued":
            time.sleep(0.02)
        return ids

    def end(self, sign: signal.Signals) -> int:
        self.process.send_signal(sign)
        return self.process.wait(30)


def wait_done(server: Process, id: str) -> Any:
    """The status of a job once it is over."""
    end = time.monotonic() + 30
    while (status := server.call("GET", f"/v1/jobs/{id}"))["state"] in ("queued", "running"):
        assert time.monotonic() < end, status
        time.sleep(0.05)
    return status


def test_kill_9_in_a_job_leaves_no_half_file_and_no_stuck_job(tmp_path: Path) -> None:
    state = tmp_path / "state"
    first = Process(state, pause=0.5)
    ids = first.start_jobs(2)
    # What a kill in the middle of a write or of making a job leaves behind.
    (state / "jobs" / ids[0] / ".mild-0.part").write_bytes(b"half")
    (state / "jobs" / ids[0] / "result.png").write_bytes(b"half")
    (state / "jobs" / "half").mkdir()
    assert first.end(signal.SIGKILL) == -signal.SIGKILL
    second = Process(state, pause=0.0)
    try:
        for id in ids:
            status = second.call("GET", f"/v1/jobs/{id}")
            assert status["state"] == "interrupted" and "send it again" in status["error"]
            with pytest.raises(urllib.error.HTTPError, match="409"):
                second.call("GET", f"/v1/jobs/{id}/result")
            assert {path.name for path in (state / "jobs" / id).iterdir()} == {"job.json", "photo"}
        # A folder that is no job's is somebody else's.
        assert {path.name for path in (state / "jobs").iterdir()} == {*ids, "half"}
        assert wait_done(second, second.start_jobs(1)[0])["state"] == "done"
    finally:
        second.end(signal.SIGTERM)


def test_sigterm_finishes_the_running_job(tmp_path: Path) -> None:
    state = tmp_path / "state"
    server = Process(state, pause=0.1)
    ids = server.start_jobs(2)
    assert server.end(signal.SIGTERM) in (0, -signal.SIGTERM)
    states = [json.loads((state / "jobs" / id / "job.json").read_text())["state"] for id in ids]
    assert states == ["done", "interrupted"]


def test_a_taken_port_or_a_public_address_is_one_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        assert run(["serve", "--port", port, "--state", str(tmp_path / "state")]) == 1
    assert f"Cannot listen on 127.0.0.1 port {port}" in capsys.readouterr().err
    assert run(["serve", "--host", "0.0.0.0", "--state", str(tmp_path / "state")]) == 2
    assert "set MILD_API_KEY" in capsys.readouterr().err


@pytest.mark.slow
def test_schemathesis_finds_nothing(tmp_path: Path) -> None:
    pytest.importorskip("schemathesis")
    script = Path(__file__).parents[1] / "bench" / "server_fuzz.py"
    done = subprocess.run([sys.executable, script, "--examples", "3"], capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-2000:]
