"""A browser on a studio of its own, for test_studio: both are started here, and what is missing is said."""

from __future__ import annotations

import importlib.util
import io
import os
import shutil
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import resources
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import pytest
import uvicorn
from PIL import Image

from mild.app.server import Settings
from mild.app.server.app import create_app
from mild.app.server.road import Road
from mild.app.studio.page import add_studio

QUIET = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
NAMES = ("chromium", "chromium-browser", "google-chrome")


def find_browser() -> str:
    """The path of a Chromium; without one the test is skipped, or fails with ``MILD_BROWSER=required``."""
    if importlib.util.find_spec("playwright") is None:
        _without("the Python package playwright is not installed (pip install playwright)")
    path = os.environ.get("MILD_CHROMIUM") or next(filter(None, map(shutil.which, NAMES)), None)
    if path is None:
        _without("no Chromium on the path (apt-get install chromium, or set MILD_CHROMIUM)")
    return path


def _without(why: str) -> NoReturn:
    if os.environ.get("MILD_BROWSER") == "required":
        pytest.fail(f"MILD_BROWSER=required, but {why}")
    pytest.skip(f"no browser: {why}")  # conftest.py says it aloud at the end


@contextmanager
def studio(state: Path, road: Road | None, **settings: Any) -> Iterator[str]:
    """The address of a running studio."""
    chosen = Settings(state=state, hosts=("127.0.0.1",), open_prefixes=("/studio",), grace_seconds=1.0, **settings)
    app = create_app(chosen, road)
    add_studio(app)
    listener = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(app, log_level="error", timeout_graceful_shutdown=1))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(20)
        listener.close()


class Studio:
    """A page, and where things are on it."""

    def __init__(self, page: Any, address: str) -> None:
        self.page, self.address = page, address
        self.faults: list[str] = []
        self.asked: list[str] = []
        page.on("pageerror", lambda error: self.faults.append(str(error)))
        page.on("request", lambda request: self.asked.append(request.url))
        page.goto(address)

    @property
    def people(self) -> Any:
        return self.page.locator("#people .toggle")

    @property
    def message(self) -> Any:
        return self.page.locator("#message-text")

    def open(self, path: Path | None = None, *, name: str = "photo.png", data: bytes = b"") -> None:
        files: Any = path if path is not None else {"name": name, "mimeType": "image/png", "buffer": data}
        self.page.locator("#file").set_input_files(files)

    def wait_mode(self, mode: str, seconds: float = 60) -> None:
        self.page.wait_for_selector(f"body[data-mode={mode}]", timeout=seconds * 1000)

    def wait_people(self, seconds: float = 60) -> None:
        self.wait_mode("choose", seconds)
        self.page.wait_for_selector("#busy", state="hidden", timeout=seconds * 1000)

    def at(self, x: float, y: float, size: tuple[int, int]) -> tuple[float, float]:
        """Where a pixel of the fitted photo of ``size = (width, height)`` is on the page."""
        box = self.page.locator("#canvas").bounding_box()
        inset = "getComputedStyle(document.getElementById('canvas')).getPropertyValue('--inset').trim().split(' ')"
        above, after, below, before = map(int, self.page.evaluate(inset))
        wide, high = box["width"] - before - after, box["height"] - above - below
        scale = min(wide / size[0], high / size[1], 4)
        left, top = before + (wide - size[0] * scale) / 2, above + (high - size[1] * scale) / 2
        return box["x"] + left + (x + 0.5) * scale, box["y"] + top + (y + 0.5) * scale

    def drag(self, *points: tuple[float, float]) -> None:
        self.page.mouse.move(*points[0])
        self.page.mouse.down()
        for point in points[1:]:
            self.page.mouse.move(*point, steps=6)
        self.page.mouse.up()

    def colour(self, x: float, y: float) -> tuple[int, ...]:
        """What the canvas shows at a place of the page, once what was asked for has been drawn."""
        self.page.wait_for_timeout(120)
        script = """async ([x, y]) => { for (let i = 0; i < 2; i++) await new Promise(requestAnimationFrame);
            const c = document.getElementById("canvas"), f = c.getBoundingClientRect();
            const r = c.width / f.width;
            return [...c.getContext("2d").getImageData((x - f.x) * r, (y - f.y) * r, 1, 1).data.slice(0, 3)]; }"""
        return tuple(self.page.evaluate(script, [x, y]))

    def download(self, format: str) -> bytes:
        with self.page.expect_download(timeout=60_000) as coming:
            self.page.click(f"[data-format={format}]")
        self.file_name = coming.value.suggested_filename
        return Path(coming.value.path()).read_bytes()

    def pixels(self, format: str = "png") -> np.ndarray[Any, Any]:
        with Image.open(io.BytesIO(self.download(format))) as image:
            return np.asarray(image.convert("RGB"))

    def job(self) -> str:
        """The id of the job in the page's address."""
        return str(self.page.url.partition("job=")[2].partition("&")[0])

    def axe(self) -> list[str]:
        """Accessibility faults that axe-core finds, of any weight."""
        source = str(resources.files("axe_playwright_python") / "axe.min.js")
        # Past the page's own policy, which forbids scripts like this one.
        self.page.evaluate(Path(source).read_text())
        found = self.page.evaluate("axe.run()")
        return [
            f"{fault['id']}: {node['html'][:90]} {node['failureSummary'][:300]}"
            for fault in found["violations"]
            for node in fault["nodes"]
        ]
