"""A server under ten times the load it is made for, with kills of its processes, of itself, and steps of its clock.

``python chaos_server.py STATE PORT CLOCK`` is the server; :func:`round_of` starts it, and the clients.
"""

from __future__ import annotations

import http.client
import io
import json
import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent)]

QUEUE, CLIENTS = 4, 40


def serve(state: Path, port: int, clock: Path) -> None:
    real = time.time

    def stepped() -> float:
        try:
            return real() + float(clock.read_text())
        except (OSError, ValueError):
            return real()

    time.time = stepped
    from mild.app.cli.serve import listen
    from mild.app.server import Settings
    from mild.app.server.app import create_app

    settings = Settings(
        state=state, hosts=("127.0.0.1",), max_queue=QUEUE, max_seconds=3.0, task_seconds=30.0, sync_seconds=60.0,
        grace_seconds=2.0, keep_seconds=3600.0, road="chaos_road:ChaosRoad", max_memory=2 * 2**30,
    )  # fmt: skip
    listen(create_app(settings), settings, "127.0.0.1", port)


class Round:
    """One server's life, and its clients'."""

    def __init__(self, place: Path, rng: random.Random, report: Any, seconds: float) -> None:
        import chaos_road

        self.state, self.clock = place / f"server-{rng.randrange(10**9)}", place / f"clock-{rng.randrange(10**9)}"
        self.rng, self.report = rng, report
        self.end = time.monotonic() + seconds
        self.lock = threading.RLock()
        self.latencies: list[float] = []
        self.jobs: dict[str, int] = {}
        self.forward = False
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = int(probe.getsockname()[1])
        self.photos = [chaos_road.photo(k) for k in range(3)]
        self.right = {(k, seed): chaos_road.expected(k, seed) for k in range(3) for seed in range(4)}
        self.process = self.start()

    def start(self) -> subprocess.Popen[bytes]:
        places = os.pathsep.join([str(HERE), str(HERE.parent), *sys.path])
        process = subprocess.Popen(
            [sys.executable, __file__, str(self.state), str(self.port), str(self.clock)],
            env=os.environ | {"PYTHONPATH": places}, stderr=(self.state.parent / "server.log").open("ab"),
        )  # fmt: skip
        end = time.monotonic() + 300
        while time.monotonic() < end and process.poll() is None:
            try:
                self.call("GET", "/health", timeout=5)
                return process
            except (OSError, http.client.HTTPException):
                time.sleep(0.1)
        log = (self.state.parent / "server.log").read_text("utf-8", "replace")[-600:]
        raise AssertionError(f"the server does not start (exit code {process.poll()}): {log}")

    def call(self, method: str, path: str, body: Any = None, timeout: float = 100) -> tuple[int, bytes]:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}{path}", data, {"content-type": "application/json"}, method=method
        )
        try:
            with urllib.request.urlopen(request, timeout=timeout) as answer:
                return answer.status, answer.read()
        except urllib.error.HTTPError as error:
            return error.code, error.read()

    def client(self, number: int) -> None:
        import base64

        rng = random.Random(number)
        # Clients are other machines' work: here they may not take the server's processor time.
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), 5)
        while time.monotonic() < self.end:
            k, seed = rng.randrange(3), rng.randrange(4)
            # Some jobs end their process, some hang, some are damaged inputs.
            seed = rng.choice((*[seed] * 40, 101, 102, 103))
            photo = self.photos[k]
            broken = rng.random() < 0.1
            if broken:
                cut = rng.randrange(len(photo))
                photo = photo[:cut] + bytes(rng.randrange(256) for _ in range(20)) + photo[cut + 20 :]
            body = {
                "photo": base64.b64encode(photo).decode(), "request": {"selection": {"people": [1]}, "seed": seed},
            }  # fmt: skip
            way = rng.random()
            try:
                if way < 0.6:
                    status, answer = self.call("POST", "/v1/erase", body)
                    self.judge(status, answer, k, seed, broken)
                else:
                    status, answer = self.call("POST", "/v1/jobs", body)
                    if status == 202:
                        with self.lock:
                            self.jobs[json.loads(answer)["id"]] = seed
                        if rng.random() < 0.3:
                            self.call("POST", f"/v1/jobs/{json.loads(answer)['id']}/cancel")
                    else:
                        self.judge(status, answer, k, seed, broken)
            except (OSError, http.client.HTTPException):
                self.count("server: connection ended by a restart")
                time.sleep(0.5)
            time.sleep(rng.uniform(0, 1.0))

    def judge(self, status: int, answer: bytes, k: int, seed: int, broken: bool) -> None:
        self.count(f"server: answered {status}")
        if status == 200:
            if not broken and self.pixels(answer) != self.right.get((k, seed)):
                self.bad("wrong", seed=seed)
            return
        if status == 202:
            return
        try:
            detail = json.loads(answer)["detail"]
        except (ValueError, KeyError):
            self.bad("no problem document", status=status, answer=answer[:200].decode("latin-1"))
            return
        if status >= 500:
            made = {101: ", made to crash", 102: ", made to hang", 103: ", made to take memory"}.get(seed, "")
            self.count(f"server: answered {status}{made}: {detail}")
        if "failed unexpectedly" in detail:
            self.bad("unforeseen", detail=detail)
        if status >= 500 and seed < 100 and not broken and status != 503 and "process that worked" not in detail:
            self.bad("wrong", status=status, detail=detail)

    @staticmethod
    def pixels(data: bytes) -> bytes:
        from PIL import Image

        with Image.open(io.BytesIO(data)) as image:
            return image.convert("RGB").tobytes()

    def watch(self) -> None:
        """Reads what the process that asks for the health all the time was told."""
        command = [sys.executable, "-S", str(HERE / "asking.py"), str(self.port)]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as asking:
            assert asking.stdout is not None
            threading.Timer(max(0.0, self.end - time.monotonic()), asking.terminate).start()
            for line in asking.stdout:
                took, status, state = json.loads(line)
                with self.lock:
                    self.latencies.append(took)
                    if took > 0.1:
                        self.count(f"health after {took} s: {state}")
                if status not in (200, 503) or (status == 503) != (state == "failing"):
                    self.bad("health", status=status, state=state)

    def trouble(self) -> None:
        """Kills processes of the server, steps its clock, and kills the server itself now and then."""
        rng = random.Random(self.rng.random())
        while time.monotonic() < self.end - 3:
            time.sleep(rng.uniform(0.3, 2.0))
            way = rng.random()
            try:
                if self.process.poll() is not None:
                    self.bad("crash", who="the server", code=self.process.returncode)
                    self.process = self.start()
                if way < 0.6:
                    running = [
                        p for p in json.loads(self.call("GET", "/health", timeout=30)[1])["processes"] if p["pid"]
                    ]
                    if running:
                        os.kill(
                            rng.choice(running)["pid"], rng.choice((signal.SIGKILL, signal.SIGSEGV, signal.SIGSTOP))
                        )
                        self.count("server: kills of its processes")
                elif way < 0.85:
                    step = rng.choice((-86400, -60, 60, 1800))
                    self.clock.write_text(str(step))
                    self.count("server: steps of its clock")
                else:
                    sign = rng.choice((signal.SIGKILL, signal.SIGTERM))
                    self.process.send_signal(sign)
                    try:
                        self.process.wait(60)
                    except subprocess.TimeoutExpired:
                        self.bad("stuck", who="the server", signal=sign.name)
                        self.process.kill()
                        self.process.wait()
                    self.count(f"server: {sign.name} of itself")
                    self.process = self.start()
            except (OSError, ValueError, KeyError, http.client.HTTPException):
                continue

    def run(self) -> None:
        threads = [threading.Thread(target=self.client, args=(self.rng.randrange(10**9),)) for _ in range(CLIENTS)]
        threads += [threading.Thread(target=self.watch), threading.Thread(target=self.trouble)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(240)
            if thread.is_alive():
                self.bad("stuck", who=thread.name)
        self.settle()

    def settle(self) -> None:
        """Every job that was taken is over, and what is done can be fetched; then the server stops."""
        end = time.monotonic() + 90
        left = dict(self.jobs)
        while left and time.monotonic() < end:
            for id in list(left):
                status, answer = self.call("GET", f"/v1/jobs/{id}")
                state = json.loads(answer).get("state")
                if status == 404 or state not in ("queued", "running"):
                    seed = left.pop(id)
                    self.count(f"server: jobs {state or 'expired'}")
                    if state == "done":
                        status, data = self.call("GET", f"/v1/jobs/{id}/result")
                        if status != 200 or self.pixels(data) not in [
                            v for (_, s), v in self.right.items() if s == seed
                        ]:
                            self.bad("half", status=status)
            time.sleep(0.2)
        if left:
            self.bad("stuck", jobs=len(left))
        peak = self.memory()
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(60)
        except subprocess.TimeoutExpired:
            self.bad("stuck", who="the server")
            self.process.kill()
        parts = [str(path) for path in self.state.rglob("*.part")]
        if parts:
            self.bad("left behind", files=parts[:3])
        with self.lock:
            told = self.report.more.setdefault("health_seconds", [])
            told.extend(self.latencies)
            self.report.more["server_peak_mib"] = max(peak, self.report.more.get("server_peak_mib", 0))

    def memory(self) -> int:
        for line in Path(f"/proc/{self.process.pid}/status").read_text().splitlines():
            if line.startswith("VmHWM"):
                return int(line.split()[1]) // 1024
        return 0

    def count(self, what: str) -> None:
        with self.lock:
            self.report.tried[what] += 1

    def bad(self, what: str, **about: Any) -> None:
        with self.lock:
            self.report.bad(what, where="server", **about)


def round_of(place: Path, rng: random.Random, report: Any, seconds: float) -> None:
    """One round of so many seconds."""
    Round(place, rng, report, seconds).run()


if __name__ == "__main__":
    serve(Path(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3]))
