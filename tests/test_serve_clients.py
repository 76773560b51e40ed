"""Clients that are slow, many, or lie: over sockets, with the server's own protocol."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from fake_road import FakeRoad
from mild.app.server import Settings
from mild.app.server.app import create_app
from test_serve_process import free_port
from test_server import form, png, problem

KEY = "ein Schlüssel mit Umlaut"
SERVER = """
import sys
from pathlib import Path
from fake_road import FakeRoad
from mild.app.cli.serve import listen
from mild.app.server import Settings
from mild.app.server.app import create_app
settings = Settings(state=Path(sys.argv[1]), hosts=("127.0.0.1",), client_seconds=1.0, max_connections=20,
                    max_bytes=100_000, api_key=sys.argv[3])
listen(create_app(settings, FakeRoad()), settings, "127.0.0.1", int(sys.argv[2]))
"""


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    number = free_port()
    state = tmp_path_factory.mktemp("clients") / "state"
    places = os.pathsep.join(path for path in (str(Path(__file__).parent), *sys.path) if path)
    call = [sys.executable, "-c", SERVER, str(state), str(number), KEY]
    process = subprocess.Popen(call, env=os.environ | {"PYTHONPATH": places}, stderr=subprocess.DEVNULL)
    end = time.monotonic() + 60
    while time.monotonic() < end:
        try:
            socket.create_connection(("127.0.0.1", number), 1).close()
            break
        except OSError:
            assert process.poll() is None
            time.sleep(0.1)
    yield number
    process.terminate()
    process.wait(30)


def answer(port: int, *parts: bytes, pause: float = 0.0, seconds: float = 10.0) -> bytes:
    """What comes back before the server closes, or says all of a short answer."""
    with socket.create_connection(("127.0.0.1", port), seconds) as line:
        for part in parts:
            line.sendall(part)
            time.sleep(pause)
        got = b""
        try:
            while data := line.recv(65536):
                got += data
        except (TimeoutError, ConnectionResetError):
            pass
        return got


def head(method: str, path: str, *more: str) -> bytes:
    lines = [f"{method} {path} HTTP/1.1", "Host: 127.0.0.1", *more, "", ""]
    return "\r\n".join(lines).encode()


def test_a_trickled_request_is_let_go(port: int) -> None:
    begun = time.monotonic()
    assert answer(port, b"GET /health HT") == b""
    assert time.monotonic() - begun < 8
    stalled = answer(port, head("POST", "/v1/photos", f"X-API-Key: {KEY}", "Content-Type: application/json",
                                "Content-Length: 1000"), b'{"photo"')  # fmt: skip
    assert stalled.startswith(b"HTTP/1.1 408")


def test_a_body_of_a_byte_now_and_then_is_let_go(port: int) -> None:
    """Each byte came in time, so the connection lived for ever; so many of them, and nobody else was served."""
    sent = head("POST", "/v1/photos", f"X-API-Key: {KEY}", "Content-Type: application/json", "Content-Length: 1000")
    begun = time.monotonic()
    with socket.create_connection(("127.0.0.1", port), 10) as line:
        line.sendall(sent)
        line.settimeout(0.3)
        said = b""
        while not said and time.monotonic() - begun < 8:
            line.sendall(b"x")
            try:
                said = line.recv(65536)
            except TimeoutError:
                continue
    assert said.startswith(b"HTTP/1.1 408")


def test_an_answer_that_is_not_taken_is_let_go(port: int) -> None:
    """Whoever asks and never reads held a place for ever, and the answer in memory."""
    with socket.socket() as line:
        line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        line.connect(("127.0.0.1", port))
        line.sendall(head("GET", "/openapi.json") * 400)
        end = time.monotonic() + 15
        while established(line):
            assert time.monotonic() < end
            time.sleep(0.2)


def established(line: socket.socket) -> bool:
    """Does the other side still hold the connection? Asked without reading what it sent."""
    try:
        line.send(b"\r\n", socket.MSG_DONTWAIT)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return True


@pytest.mark.parametrize("length", ["100000000000", "9" * 18])
def test_a_length_over_the_limit_is_answered_before_the_upload(port: int, length: str) -> None:
    begun = time.monotonic()
    said = answer(port, head("POST", "/v1/photos", f"X-API-Key: {KEY}", f"Content-Length: {length}"), seconds=5)
    assert said.startswith(b"HTTP/1.1 413") and time.monotonic() - begun < 6


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER"])
def test_a_key_in_utf_8_in_any_case_of_bearer(port: int, scheme: str) -> None:
    said = answer(port, head("GET", "/v1/limits", f"Authorization: {scheme} {KEY}", "Connection: close"))
    assert said.startswith(b"HTTP/1.1 200")
    assert answer(port, head("GET", "/v1/limits", "Connection: close")).startswith(b"HTTP/1.1 401")


def test_connections_are_capped(port: int) -> None:
    lines = [socket.create_connection(("127.0.0.1", port), 5) for _ in range(30)]
    try:
        time.sleep(0.2)
        said = answer(port, head("GET", "/health", "Connection: close"))
        assert said.startswith(b"HTTP/1.1 503")
    finally:
        for line in lines:
            line.close()
    time.sleep(0.5)
    said = answer(port, head("GET", "/health", "Connection: close"))
    assert said.startswith(b"HTTP/1.1 200") and json.loads(said.partition(b"\r\n\r\n")[2])["status"] == "ok"


def test_the_same_mask_at_once(tmp_path: Path) -> None:
    import io

    from PIL import Image

    mask = Image.new("1", (96, 64))
    mask.paste(1, (20, 20, 40, 40))
    out = io.BytesIO()
    mask.save(out, "png")
    wrong: list[str] = []
    with TestClient(create_app(Settings(state=tmp_path / "state", max_queue=64), FakeRoad())) as client:

        def send() -> None:
            for _ in range(5):
                sent = client.post("/v1/jobs", **form(png(), {}, mask=("m.png", out.getvalue(), "image/png")))
                if sent.status_code != 202:
                    wrong.append(sent.text)

        threads = [threading.Thread(target=send) for _ in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert wrong == []
        problem(client.get("/v1/photos/x"), 404, "no photo")
