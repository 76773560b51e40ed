"""A file server on the loopback address that can misbehave as servers do."""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class Served:
    """What the server gives and how; ``asked`` are the Range headers (or "") of the requests so far.

    Attributes:
        data: the file.
        ranges: does the server know ranges?
        cut: connections are closed after so many bytes, for the first ``cuts`` requests.
        pause: seconds between blocks of 64 KB.
        headers: more headers of every answer.
    """

    data: bytes
    ranges: bool = True
    cut: int = 0
    cuts: int = 0
    pause: float = 0.0
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    address: str = ""

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.data).hexdigest()


@contextmanager
def serve(served: Served) -> Iterator[Served]:
    class Handler(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self.answer(body=False)

        def do_GET(self) -> None:
            self.answer(body=True)

        def answer(self, body: bool) -> None:
            wanted = self.headers.get("Range", "")
            start = 0
            if body:
                served.asked.append(wanted)
            if served.status >= 400:
                self.send_error(served.status)
                return
            if wanted and served.ranges:
                start = int(wanted.removeprefix("bytes=").removesuffix("-"))
                if start >= len(served.data):
                    self.send_error(416)
                    return
                self.send_response(206)
                self.send_header("Content-Range", f"bytes {start}-{len(served.data) - 1}/{len(served.data)}")
            else:
                self.send_response(served.status)
            rest = served.data[start:]
            self.send_header("Content-Length", str(len(rest)))
            for name, value in served.headers.items():
                self.send_header(name, value)
            self.end_headers()
            if not body:
                return
            if served.cuts:
                served.cuts -= 1
                rest = rest[: served.cut]
            try:
                for at in range(0, len(rest), 1 << 16):
                    self.wfile.write(rest[at : at + (1 << 16)])
                    if served.pause:
                        time.sleep(served.pause)
            except OSError:
                pass
            self.close_connection = True

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    served.address = f"http://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield served
    finally:
        server.shutdown()
        server.server_close()
