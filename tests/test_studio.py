"""The studio: cheap promises that are always checked, and the whole story in a browser where there is one."""

from __future__ import annotations

import io
import json
import re
import time
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from fastapi.testclient import TestClient
from PIL import Image

from fake_road import FakeRoad
from mild.app.cli import app as cli
from mild.app.server import Settings
from mild.app.server.app import create_app
from mild.app.server.road import MildRoad
from mild.app.studio import command
from mild.app.studio import page as studio_page
from mild.errors import MildError
from mild.fill import fillers
from mild.layers.export import load_stack
from mild.people import clicks
from mild.people.finders.coco import decode_rle
from mild.people.scene import Role, Scene
from mild.photo import Photo
from mild.request import Finder
from perception_scenes import need_nets
from stacks import make_photo
from studio_browser import QUIET, Studio, find_browser, studio

POOL = Path(__file__).resolve().parent.parent / "examples" / "pool.jpg"


def png(seed: int = 0, height: int = 300, width: int = 480) -> bytes:
    out = io.BytesIO()
    Image.fromarray(make_photo(height, width, seed)).save(out, "png")
    return out.getvalue()


# --- without a browser


def client_of(tmp_path: Path, **settings: Any) -> TestClient:
    app = create_app(Settings(state=tmp_path / "state", open_prefixes=("/studio",), **settings), FakeRoad())
    studio_page.add_studio(app)
    return TestClient(app)


@pytest.fixture
def client(tmp_path: Path) -> Iterator[TestClient]:
    with client_of(tmp_path) as client:
        yield client


def test_the_page_is_served_with_its_policy(client: TestClient) -> None:
    answer = client.get("/")
    assert answer.url.path == "/studio/"
    assert answer.headers["content-type"].startswith("text/html")
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "'unsafe" not in policy
    assert re.findall(r"https?:|\*", policy) == []


def test_whatever_the_page_names_is_served(client: TestClient) -> None:
    html = client.get("/studio/").text
    seen, waiting = set(), set(re.findall(r'(?:src|href)="([^"#]+)"', html))
    while waiting:
        name = waiting.pop()
        seen.add(name)
        answer = client.get(f"/studio/{name}")
        assert answer.status_code == 200, name
        if name.endswith(".js"):
            assert answer.headers["content-type"].startswith("text/javascript")
            waiting |= {f"js/{found}" for found in re.findall(r'from "\./([^"]+)"|', answer.text) if found} - seen
            waiting |= {f"js/{found}" for found in re.findall(r'^import "\./([^"]+)"', answer.text, re.M)} - seen
    assert seen | {"index.html"} == set(studio_page.files())


def test_no_address_outside_is_named() -> None:
    namespaces = {"http://www.w3.org/2000/svg"}
    for name, (content, _) in studio_page.files().items():
        assert set(re.findall(r"\w+://[^\s\"'`)]+", content.decode())) <= namespaces, name


def test_the_page_has_no_inline_code_that_its_policy_would_forbid() -> None:
    html = studio_page.files()["index.html"][0].decode()
    assert not re.search(r"\son\w+=|\sstyle=|<style|<script(?![^>]*\ssrc=)", html)


def test_every_id_that_the_scripts_ask_for_is_there() -> None:
    files = {name: content.decode() for name, (content, _) in studio_page.files().items()}
    ids = set(re.findall(r'\sid="([^"]+)"', files["index.html"]))
    asked = {
        found
        for name, text in files.items()
        if name.endswith(".js")
        for found in re.findall(r'(?:getElementById|\bby|\bon)\("([\w-]+)"', text)
    }
    assert asked <= ids


def test_other_addresses_are_problem_documents(client: TestClient) -> None:
    for path in (
        "/studio/nothing.js",
        "/studio/../app.py",
        "/studio/%2e%2e/page.py",
        "/studio/examples/none.jpg",
        "/studio/examples/NOTICE",
    ):
        answer = client.get(path)
        assert answer.status_code == 404
        assert answer.headers["content-type"] == "application/problem+json"


def test_the_page_needs_no_key_and_the_data_does(tmp_path: Path) -> None:
    with client_of(tmp_path, api_key="secret") as client:
        assert client.get("/studio/js/main.js").status_code == 200
        assert client.get("/").status_code == 200
        assert client.get("/v1/limits").status_code == 401
        assert client.get("/v1/studio/finder").status_code == 401
        assert client.get("/v1/photos/0").status_code == 401
        # What the API is, is no secret, and a browser that shows it can send no header.
        assert client.get("/openapi.json").status_code == client.get("/docs/").status_code == 200


def test_examples_only_with_their_notice(client: TestClient, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    names = client.get("/studio/examples").json()
    ours = ["biplane.webp", "motorcycle.webp"]
    assert names == sorted([*ours, *(path.name for path in POOL.parent.glob("*.jpg"))])
    for name, kind in (("pool.jpg", "image/jpeg"), (ours[0], "image/webp")):
        answer = client.get(f"/studio/examples/{name}")
        assert answer.headers["content-type"] == kind
        assert min(Image.open(io.BytesIO(answer.content)).size) > 300
    monkeypatch.setattr(studio_page, "__file__", str(tmp_path / "src" / "mild" / "studio" / "page.py"))
    (tmp_path / "examples").mkdir()
    (tmp_path / "examples" / "a.jpg").write_bytes(b"")
    offered = [example.name for example in studio_page.examples()]
    assert offered == ours, "what is installed has its own; photos without their licence are not offered"


def test_the_command_opens_the_page(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import mild.app.cli.serve as serve

    opened: list[str] = []
    called: dict[str, Any] = {}

    def listen(app: Any, settings: Settings, host: str, port: int, ready: Callable[[str], None]) -> None:
        called.update(host=host, port=port, state=settings.state)
        ready("http://127.0.0.1:1")
        time.sleep(0.05)

    monkeypatch.setattr(serve, "listen", listen)
    monkeypatch.setattr("webbrowser.open", opened.append)
    assert cli.run(["studio", "--state", str(tmp_path), "--no-browser"]) == 0
    # The fixed port, or a free one where another program has that.
    assert called["port"] in (command.PORT, 0)
    assert (called["host"], called["state"]) == ("127.0.0.1", tmp_path)
    assert opened == []
    assert cli.run(["studio", "--state", str(tmp_path)]) == 0
    assert opened == ["http://127.0.0.1:1/studio/"]
    assert cli.run(["studio", "--host", "0.0.0.0"]) == 2, "not to everybody without a key"


def test_started_twice_it_shows_the_one_that_runs(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    from mild.app.server.state import lock

    opened: list[str] = []
    monkeypatch.setattr("webbrowser.open", opened.append)
    held = lock(Settings(state=tmp_path))
    (tmp_path / "address").write_text("http://127.0.0.1:5/studio/")
    assert cli.run(["studio", "--state", str(tmp_path)]) == 0
    held.close()
    assert opened == ["http://127.0.0.1:5/studio/"]
    assert "runs already" in capfd.readouterr().err


# --- in a browser


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    path = find_browser()
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=QUIET)
        yield browser
        browser.close()


@pytest.fixture
def visit(browser: Any) -> Iterator[Callable[..., Studio]]:
    """Opens the studio as somebody of their own: nothing is shared with other visits. With a photo, a file's path or
    the bytes of one, its people are found already."""
    contexts: list[Any] = []

    def go(
        address: str, width: int = 1280, height: int = 800, *, photo: Path | bytes | None = None, **options: Any
    ) -> Studio:
        contexts.append(browser.new_context(viewport={"width": width, "height": height}, **options))
        page = contexts[-1].new_page()
        page.set_default_timeout(60_000)
        it = Studio(page, address)
        if photo is not None:
            it.open(photo) if isinstance(photo, Path) else it.open(data=photo)
            it.wait_people()
        return it

    yield go
    for context in contexts:
        context.close()


@pytest.fixture
def fake(tmp_path: Path, browser: Any) -> Iterator[str]:
    """A studio over the road without a model; a job takes two seconds."""
    with studio(tmp_path / "state", FakeRoad(steps=10, pause=0.2)) as address:
        yield address


@pytest.fixture
def tiny(tmp_path: Path, browser: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A studio over the real road, with a tiny pipeline that was never trained: its answer is the exemplar fill."""
    from mild.diffusion import one_step
    from mild.diffusion.adapters import DomainAdapters
    from mild.diffusion.attention import SpatialModulation
    from mild.diffusion.codec import PixelCodec
    from mild.diffusion.denoiser import small_unet
    from mild.diffusion.pipeline import MildPipeline
    from mild.diffusion.schedule import noise_scheduler
    from mild.runtimes import Models

    need_nets()
    codec = PixelCodec()
    unet = small_unet(codec, (32, 32))
    parts = DomainAdapters.for_unet(unet), SpatialModulation.for_unet(unet)
    pipeline = MildPipeline(unet, noise_scheduler(), codec, *parts)
    monkeypatch.setattr(Models, "pipeline", lambda self, model: pipeline)
    monkeypatch.setattr(one_step, "available", lambda folder: False)

    class Road(MildRoad):
        def unload(self) -> None:
            pass

    with studio(tmp_path / "state", Road()) as address:
        yield address


def test_the_whole_story(tiny: str, visit: Callable[..., Studio], tmp_path: Path) -> None:
    size = (800, 600)
    before = Photo.open(POOL).pixels
    it = visit(tiny)
    assert it.axe() == []
    it.open(POOL)
    it.wait_people()
    page = it.page
    assert it.people.count() >= 2

    # Hover shows one, click toggles; the list says the same.
    man = it.at(549, 240, size)
    page.mouse.move(*man)
    page.wait_for_selector("#people .row.lit")
    page.mouse.click(*man)
    chosen = page.locator("#people .row.going .toggle")
    number = int(chosen.get_attribute("data-person") or 0)
    assert chosen.get_attribute("aria-pressed") == "true"
    chosen.click()
    assert page.locator("#people .row.going").count() == 0
    assert page.locator("#erase").is_disabled()
    page.keyboard.press(str(number))
    assert page.locator("#people .row.going").count() == 1
    assert it.axe() == []

    # Brush to add, with undo and redo; brush to take away.
    page.keyboard.press("b")
    start, end = it.at(700, 150, size), it.at(740, 150, size)
    it.drag(start, end)
    red = it.colour(*it.at(720, 150, size))
    page.keyboard.press("Control+z")
    assert it.colour(*it.at(720, 150, size)) != red
    page.keyboard.press("Control+Shift+z")
    assert it.colour(*it.at(720, 150, size)) == red
    page.keyboard.press("k")
    it.drag(it.at(540, 430, size), it.at(560, 430, size))

    page.click("#erase")
    it.wait_mode("work")
    it.wait_mode("result", 240)
    assert it.axe() == []

    request = httpx.get(f"{tiny}/v1/jobs/{it.job()}").json()["request"]
    assert request["selection"]["people"] == [number]
    added = decode_rle(request["selection"]["mask_rle"], (600, 800))
    spared = decode_rle(request["selection"]["spare_rle"], (600, 800))
    assert added[150, 700:741].all()
    assert not added[100].any()
    assert spared[430, 540:561].all()

    # Compare: the slider's two ends are the photo and the result, on the screen and in the file.
    after = it.pixels()
    assert it.file_name == "pool.erased.png"
    assert (after[spared] == before[spared]).all(), "what was spared is the photo's, bit for bit"
    assert (after != before).any(axis=2).mean() < 0.2
    y, x = 260, 560
    assert (after[y, x] != before[y, x]).any()
    page.click("#zoom-full")
    shown_after = it.colour(*_at_full(it, x, y, size))  # the result opens on after
    page.keyboard.press("c")
    shown_before = it.colour(*_at_full(it, x, y, size))
    assert np.abs(np.subtract(shown_after, after[y, x].astype(int))).max() <= 4
    assert np.abs(np.subtract(shown_before, before[y, x].astype(int))).max() <= 4
    page.click("#zoom-fit")

    # Layered files hold the same picture.
    for format, suffix in (("psd", ".psd"), ("ora", ".ora"), ("zip", ".zip")):
        path = tmp_path / f"result{suffix}"
        path.write_bytes(it.download(format))
        stack = load_stack(path)
        np.testing.assert_array_equal(stack.compose(), after)
    from psd_tools import PSDImage

    names = [layer.name for layer in PSDImage.open(tmp_path / "result.psd").descendants()]
    assert f"person {number}" in " ".join(names).lower()
    assert zipfile.ZipFile(tmp_path / "result.zip").testzip() is None
    assert np.abs(it.pixels("jpeg").astype(int) - after).mean() < 6

    # A layer shown again, and hidden.
    eye = page.locator(f'[data-key="eye {number}"]')
    assert eye.get_attribute("aria-pressed") == "false"
    with page.expect_response(lambda answer: f"show={number}" in answer.url):
        eye.click()
    assert eye.get_attribute("aria-pressed") == "true"
    back = it.pixels()
    assert (back[y, x] == before[y, x]).all(), "brought back without a model"
    with page.expect_response("**/result?*"):
        eye.click()
    np.testing.assert_array_equal(it.pixels(), after)

    # One alone.
    page.click('[data-key="alone 0"]')
    page.wait_for_selector("[data-key='alone 0'][aria-pressed=true]")
    assert it.faults == []
    assert {url for url in it.asked if not url.startswith((tiny, "blob:"))} == set(), "nothing leaves the machine"


def _at_full(it: Studio, x: int, y: int, size: tuple[int, int]) -> tuple[float, float]:
    """Where a pixel is at 100 %, after zooming at the middle of a fitted photo."""
    box = it.page.locator("#canvas").bounding_box()
    middle = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    origin, there = it.at(-0.5, -0.5, size), it.at(size[0] - 0.5, -0.5, size)
    scale = (there[0] - origin[0]) / size[0]
    return middle[0] + x + 0.5 - (middle[0] - origin[0]) / scale, middle[1] + y + 0.5 - (middle[1] - origin[1]) / scale


def test_dropped_and_pasted(fake: str, visit: Callable[..., Studio]) -> None:
    it = visit(fake)
    script = """(numbers) => { const files = new DataTransfer();
        files.items.add(new File([new Uint8Array(numbers)], "here.png", { type: "image/png" })); return files; }"""
    files = it.page.evaluate_handle(script, list(png(1)))
    it.page.dispatch_event("#welcome", "dragenter", {"dataTransfer": files})
    assert it.page.locator("#drop-hint").is_visible()
    it.page.dispatch_event("#welcome", "drop", {"dataTransfer": files})
    it.wait_people()
    assert "here.png" in it.page.locator("#canvas").get_attribute("aria-label")
    first = it.page.url
    pasted = it.page.evaluate_handle(script, list(png(2)))
    paste = "(files) => document.dispatchEvent(new ClipboardEvent('paste', { clipboardData: files, bubbles: true }))"
    it.page.evaluate(paste, pasted)
    it.page.wait_for_url(lambda url: url != first)
    it.wait_people()
    assert it.people.count() == 3


def test_two_browsers_at_once(fake: str, visit: Callable[..., Studio]) -> None:
    both = [visit(fake), visit(fake)]
    for seed, it in enumerate(both):
        it.open(data=png(seed))
        it.wait_people()
        it.people.nth(seed).click()
    for it in both:
        it.page.click("#erase")
    for it in both:
        it.wait_mode("result")
    for seed, it in enumerate(both):
        photo = make_photo(300, 480, seed)
        after = it.pixels()
        same = (after == photo).all(axis=2)
        assert 0.6 < same.mean() < 1, "each has its own photo"
        owners = [name for name in it.page.locator("#layers .name > span").all_text_contents() if name != "Background"]
        assert owners == [f"Person {seed + 1}"]
        assert it.faults == []


def test_a_reload_in_the_middle_of_a_job(tmp_path: Path, visit: Callable[..., Studio]) -> None:
    road = FakeRoad(steps=1000, pause=0.05)
    with studio(tmp_path / "state", road) as address:
        it = visit(address, photo=png())
        it.people.nth(1).click()
        it.page.click("#erase")
        it.wait_mode("work")
        job = it.job()
        it.page.reload()
        it.wait_mode("work")
        assert it.job() == job
        road.pause = 0
        it.wait_mode("result")
        it.page.reload()
        it.wait_mode("result")
        assert it.job() == job
        it.page.click("#step-choose")
        assert it.people.nth(1).get_attribute("aria-pressed") == "true", "the choice is found again, too"


def test_a_cancelled_job(tmp_path: Path, visit: Callable[..., Studio]) -> None:
    road = FakeRoad(steps=1000, pause=0.05)
    with studio(tmp_path / "state", road) as address:
        it = visit(address, photo=png())
        it.page.click("#everyone")
        it.page.click("#erase")
        it.wait_mode("work")
        it.page.keyboard.press("Escape")
        it.wait_mode("choose", 20)
        assert "Cancelled" in it.message.inner_text()
        assert it.page.locator("#people .row.going").count() == 3
        road.pause = 0
        it.page.click("#erase")
        it.wait_mode("result")


def test_a_job_that_fails(tmp_path: Path, visit: Callable[..., Studio]) -> None:
    with studio(tmp_path / "state", FakeRoad(fail=MildError("The model is not on this machine."))) as address:
        it = visit(address, photo=png())
        it.people.first.click()
        it.page.click("#erase")
        it.page.wait_for_selector("#message.fault:not([hidden])")
        assert it.message.inner_text() == "The model is not on this machine."
        it.wait_mode("choose")
        assert it.page.locator("#people .row.going").count() == 1


@pytest.mark.parametrize("data", [b"this is no picture at all", b"", png()[:700]], ids=["text", "empty", "cut"])
def test_a_file_that_is_no_image(fake: str, visit: Callable[..., Studio], data: bytes) -> None:
    it = visit(fake)
    it.open(name="letter.txt", data=data)
    it.page.wait_for_selector("#message.fault:not([hidden])")
    sentence = it.message.inner_text()
    assert sentence.endswith(".")
    assert "\n" not in sentence
    assert it.page.locator("#welcome").is_visible()
    it.open(data=png())
    it.wait_people()
    assert it.people.count() == 3, "and the page goes on"


def test_a_file_that_is_too_large(tmp_path: Path, visit: Callable[..., Studio]) -> None:
    with studio(tmp_path / "state", FakeRoad(), max_bytes=100_000, max_pixels=10_000) as address:
        it = visit(address)
        it.open(data=bytes(200_000))
        it.page.wait_for_selector("#message.fault:not([hidden])")
        assert "larger than" in it.message.inner_text()
        it.open(data=png(height=110, width=100))
        it.page.wait_for_selector("#message-text:has-text('100 x 110')")


def test_thirty_megapixels(fake: str, visit: Callable[..., Studio]) -> None:
    width, height = 6720, 4480
    out = io.BytesIO()
    Image.fromarray(make_photo(448, 672)).resize((width, height), Image.Resampling.BICUBIC).save(out, "jpeg")
    it = visit(fake)
    it.open(name="big.jpg", data=out.getvalue())
    it.wait_people(120)
    it.page.mouse.click(*it.at(width * 0.55, height * 0.6, (width, height)))
    assert it.people.nth(1).get_attribute("aria-pressed") == "true"
    it.page.keyboard.press("b")
    it.drag(it.at(400, 400, (width, height)), it.at(900, 500, (width, height)))
    it.page.click("#erase")
    it.wait_mode("result", 180)
    request = httpx.get(f"{fake}/v1/jobs/{it.job()}").json()["request"]
    added = decode_rle(request["selection"]["mask_rle"], (height, width))
    assert added[400, 400]
    assert 0.0005 < added.mean() < 0.05
    it.page.click("#zoom-full")
    it.page.wait_for_timeout(1500)
    assert it.page.locator("#zoom-now").inner_text() == "100 %"
    assert it.pixels().shape == (height, width, 3)
    assert it.faults == []


@pytest.mark.slow
def test_thirty_megapixels_with_the_shipped_model(tmp_path: Path, browser: Any, visit: Callable[..., Studio]) -> None:
    need_nets()
    width, height = 6720, 4480
    out, path = io.BytesIO(), Path(__file__).parents[1] / "examples" / "cold_water.jpg"
    Image.open(path).convert("RGB").resize((width, height), Image.Resampling.BICUBIC).save(out, "jpeg", quality=92)
    with studio(tmp_path / "state", MildRoad()) as address:
        it = visit(address)
        it.open(name="big.jpg", data=out.getvalue())
        it.wait_people(180)
        it.page.mouse.click(*it.at(0.58 * width, 0.55 * height, (width, height)))
        it.page.click("#erase")
        it.wait_mode("result", 300)
        edited = it.pixels()
        assert edited.shape == (height, width, 3)
        (tmp_path / "edited.jpg").write_bytes(_jpeg(edited))
        before = np.asarray(Image.open(io.BytesIO(out.getvalue())))
        changed = (edited != before).any(2)
        assert changed[int(0.55 * height), int(0.58 * width)]
        assert 0.01 < changed.mean() < 0.3
        assert it.faults == []


def _jpeg(pixels: np.ndarray) -> bytes:
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "jpeg", quality=90)
    return out.getvalue()


def test_what_was_missed_is_marked_by_hand(fake: str, visit: Callable[..., Studio]) -> None:
    it = visit(fake, photo=png())
    size = (480, 300)
    it.page.keyboard.press("r")
    it.drag(it.at(20, 20, size), it.at(70, 90, size))
    it.page.wait_for_selector('[data-person="4"]')
    it.page.keyboard.press("p")
    it.page.mouse.click(*it.at(440, 40, size))
    it.page.wait_for_selector('[data-person="5"]')
    assert it.page.locator("#people .row.going").count() == 2
    it.page.keyboard.press("Control+z")
    it.page.wait_for_selector('[data-person="5"]', state="detached")
    it.page.keyboard.press("Control+y")
    it.page.wait_for_selector('[data-person="5"]')
    it.page.locator('[data-person="5"]').click()
    it.page.click("#erase")
    it.wait_mode("result")
    selection = httpx.get(f"{fake}/v1/jobs/{it.job()}").json()["request"]["selection"]
    assert len(selection["boxes"]) + len(selection["points"]) == 1


@pytest.mark.parametrize("metadata", ["clean", "none"])
def test_what_the_file_says_is_a_choice_and_layered_ones_can_go_without_the_hidden(
    metadata: str, fake: str, visit: Callable[..., Studio], tmp_path: Path
) -> None:
    it = visit(fake)
    it.open(data=png())
    it.wait_people()
    it.page.keyboard.press("2")
    it.page.locator("details.more summary").first.click()
    if metadata == "none":
        it.page.select_option("#metadata", "none")
        it.page.uncheck("#mark")
    it.page.click("#erase")
    it.wait_mode("result")
    assert it.page.locator("#holds").is_visible()
    asked = httpx.get(f"{fake}/v1/jobs/{it.job()}").json()["request"]["output"]
    assert (asked["metadata"], asked["mark"]) == (metadata, metadata == "clean")
    assert (b"digitalsourcetype" in it.download("jpeg")) == (metadata == "clean")

    def owners() -> list[int | None]:
        (tmp_path / "a.zip").write_bytes(it.download("zip"))
        return [layer.owner for layer in load_stack(tmp_path / "a.zip").layers]

    assert 2 in owners()
    it.page.check("#flatten")
    assert 2 not in owners()
    assert it.faults == []


def test_layers_in_another_order(fake: str, visit: Callable[..., Studio]) -> None:
    it = visit(fake, photo=png())
    it.page.click("#apart")
    it.wait_mode("result")
    names = it.page.locator("#layers .name > span")
    assert names.all_text_contents() == ["Person 3", "Person 2", "Person 1", "Background"]
    with it.page.expect_response("**/result?*front=1*"):
        it.page.locator('[data-key="up 1"]').click()
    assert names.all_text_contents() == ["Person 3", "Person 1", "Person 2", "Background"]
    assert it.page.evaluate("document.activeElement.dataset.key") == "up 1", "the focus stays on the button"
    grips = it.page.locator("#layers .grip")
    top, low = (grips.nth(k).bounding_box() for k in (0, 2))
    with it.page.expect_response("**/result?*"):
        it.drag((top["x"] + 8, top["y"] + 20), (low["x"] + 8, low["y"] + 30))
    assert names.all_text_contents() == ["Person 1", "Person 2", "Person 3", "Background"]
    with zipfile.ZipFile(io.BytesIO(it.download("zip"))) as archive:
        rows = json.loads(archive.read("layers.json"))["layers"]
    assert [row["owner"] for row in rows] == [None, 3, 2, 1]


def test_by_keyboard_alone(fake: str, visit: Callable[..., Studio]) -> None:
    it = visit(fake, photo=png())
    it.page.locator("#canvas").focus()
    it.page.keyboard.press("ArrowRight")
    it.page.keyboard.press("ArrowDown")
    it.page.wait_for_selector("#people .row.lit")
    it.page.keyboard.press("Enter")
    assert it.people.nth(1).get_attribute("aria-pressed") == "true"
    it.page.keyboard.press("e")
    it.wait_mode("result")
    it.page.locator('[data-key="eye 2"]').focus()
    with it.page.expect_response("**/result?*show=2*"):
        it.page.keyboard.press("Enter")
    assert it.page.evaluate("document.activeElement.dataset.key") == "eye 2"
    with it.page.expect_download() as coming:
        it.page.keyboard.press("Control+s")
    assert coming.value.suggested_filename == "photo.erased.png"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_phone(fake: str, visit: Callable[..., Studio], scheme: str) -> None:
    it = visit(fake, 390, 844, has_touch=True, is_mobile=True, device_scale_factor=2, color_scheme=scheme)
    assert it.axe() == []
    it.open(data=png())
    it.wait_people()
    x, y = it.at(480 * 0.55, 180, (480, 300))
    it.page.touchscreen.tap(x, y)
    assert it.people.nth(1).get_attribute("aria-pressed") == "true"
    for mode in ("choose", "work", "result"):
        it.wait_mode(mode)
        wide = it.page.evaluate("document.documentElement.scrollWidth")
        assert wide <= 390, f"{mode}: nothing hangs out at the side"
        assert it.axe() == []
        if mode == "choose":
            it.page.tap("#erase")


def test_two_fingers_zoom_and_do_not_paint(fake: str, visit: Callable[..., Studio]) -> None:
    it = visit(fake, 390, 844, has_touch=True, is_mobile=True, photo=png())
    it.page.tap("[data-tool=add]")
    x, y = it.at(240, 150, (480, 300))
    touch = it.page.context.new_cdp_session(it.page)
    for apart in (10, 40, 80, 120):
        kind = "touchStart" if apart == 10 else "touchMove"
        points = [{"x": x + side * apart, "y": y, "id": (side + 1) // 2} for side in (-1, 1)]
        if kind == "touchStart":
            touch.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points[:1]})
        touch.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})
    touch.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
    scale = float(it.page.locator("#zoom-now").text_content().removesuffix(" %"))
    assert scale > 200
    assert it.page.locator("#undo").is_disabled(), "the first finger painted nothing"
    it.page.tap("#zoom-fit")
    it.page.touchscreen.tap(x, y)
    assert it.page.locator("#undo").is_enabled()


def test_a_key_is_asked_for(tmp_path: Path, visit: Callable[..., Studio]) -> None:
    with studio(tmp_path / "state", FakeRoad(), api_key="open sesame") as address:
        it = visit(address)
        it.open(data=png())
        for key in ("wrong", "open sesame"):
            it.page.wait_for_selector("#key-dialog[open]")
            it.page.fill("#key", key)
            it.page.keyboard.press("Enter")
            it.page.wait_for_timeout(200)
        it.wait_people()
        assert it.people.count() == 3


def test_the_server_goes_away(tmp_path: Path, visit: Callable[..., Studio]) -> None:
    with studio(tmp_path / "state", FakeRoad()) as address:
        it = visit(address, photo=png())
        it.people.first.click()
    it.page.click("#erase")
    it.page.wait_for_selector("#lost:not([hidden])")
    assert it.page.locator("#message").is_hidden(), "said once"
    assert it.page.locator("#people .row.going").count() == 1


def test_what_fills_the_background_is_a_choice_where_there_is_one(
    fake: str, visit: Callable[..., Studio], monkeypatch: pytest.MonkeyPatch
) -> None:
    it = visit(fake, photo=POOL)
    it.page.locator("details.more summary").click()
    assert it.page.locator("#margin").is_visible() and it.page.locator("#fill-choice").is_hidden()
    monkeypatch.setattr(fillers, "choices", lambda: ["patchmatch", "lama"])
    it = visit(fake, photo=POOL)
    it.page.locator("details.more summary").click()
    choice = it.page.locator("#fill")
    choice.wait_for(state="visible")
    assert choice.locator("option").all_text_contents() == ["built-in", "lama"]
    assert it.axe() == []
    choice.select_option("lama")
    it.page.keyboard.press("1")
    it.page.locator("#erase").click()
    it.wait_mode("result")
    request = httpx.get(f"{fake}/v1/jobs/{it.job()}").json()["request"]
    assert request["method"]["parts"]["fill"] == "lama"


def test_a_click_is_refined_by_more_points(
    fake: str, visit: Callable[..., Studio], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Shift adds a point of the same thing, Alt one that is not part of it; the server is asked with all of them."""
    asked: list[clicks.Clicks] = []

    def disc(photo: Photo, wanted: clicks.Clicks) -> tuple[np.ndarray, str]:
        asked.append(wanted)
        y, x = np.ogrid[: photo.size[0], : photo.size[1]]
        mask = np.zeros(photo.size, bool)
        for px, py in wanted.on:
            mask |= (x - px) ** 2 + (y - py) ** 2 < 100
        for px, py in wanted.off:
            mask &= (x - px) ** 2 + (y - py) ** 2 >= 25
        return mask, "edgetam"

    monkeypatch.setattr(clicks, "cut_out", disc)
    it = visit(fake, photo=png(3))
    size = Photo.of(png(3)).size
    free = (size[1] - 14, 14)
    it.page.keyboard.press("p")
    before = it.people.count()
    it.page.mouse.click(*it.at(*free, (size[1], size[0])))
    it.people.nth(before).wait_for()
    for key, (x, y) in (("Shift", (free[0] - 8, free[1])), ("Alt", (free[0], free[1] + 6))):
        known = len(asked)
        it.page.keyboard.down(key)
        it.page.mouse.click(*it.at(x, y, (size[1], size[0])))
        it.page.keyboard.up(key)
        for _ in range(100):  # on a busy machine the answer takes its time
            it.page.wait_for_timeout(100)
            if len(asked) > known:
                break
        it.page.wait_for_timeout(500)
    assert len(asked[-1].on) == 2 and len(asked[-1].off) == 1
    it.page.click("#erase")
    it.wait_mode("result")
    selection = httpx.get(f"{fake}/v1/jobs/{it.job()}").json()["request"]["selection"]
    assert len(selection["clicks"]) == 1 and selection["points"] == []
    assert [len(selection["clicks"][0][k]) for k in ("on", "off")] == [2, 1]
    assert it.faults == []


def test_a_click_on_a_thing_takes_it_along(fake: str, visit: Callable[..., Studio]) -> None:
    """What goes with somebody is asked for at once, so that it is shown, and is sent with the job."""
    it = visit(fake, photo=png(3))
    size = Photo.of(png(3)).size
    it.page.keyboard.press("p")
    assert it.page.locator("#refine").is_hidden(), "nobody goes yet"
    it.people.nth(0).click()
    it.page.keyboard.press("p")
    it.page.click('[data-refine="goes"]')
    with it.page.expect_response("**/select*") as answer:
        it.page.mouse.click(*it.at(size[1] - 14, 14, (size[1], size[0])))
    assert answer.value.request.post_data_json["also"] == [[size[1] - 14, 14]]
    assert answer.value.ok
    it.page.click("#erase")
    it.wait_mode("result")
    selection = httpx.get(f"{fake}/v1/jobs/{it.job()}").json()["request"]["selection"]
    assert selection["also"] == [[size[1] - 14, 14]] and selection["people"] == [1]
    assert it.faults == []


def test_what_may_go_along_is_offered_and_not_taken(fake: str, visit: Callable[..., Studio]) -> None:
    it = visit(fake)
    it.open(data=png(3))
    it.wait_people()
    offer = it.page.get_by_role("button", name="tennis racket?")
    assert offer.is_hidden(), "nobody goes yet"
    it.people.nth(0).click()
    offer.wait_for()
    assert offer.get_attribute("aria-pressed") == "false" and it.page.locator(".along:visible").count() == 1
    with it.page.expect_response("**/select*") as answer:
        offer.click()
    assert answer.value.request.post_data_json["also"] == [[5, 6]]
    it.page.locator('.along[aria-pressed="true"]:visible').wait_for()
    it.page.get_by_role("button", name="tennis racket?").click()
    it.page.locator('.along[aria-pressed="false"]:visible').wait_for()
    it.page.get_by_role("button", name="tennis racket?").click()
    it.page.click("#erase")
    it.wait_mode("result")
    selection = httpx.get(f"{fake}/v1/jobs/{it.job()}").json()["request"]["selection"]
    assert selection["also"] == [[5, 6]] and selection["people"] == [1]
    assert it.faults == []


# --- what the buttons promise


def erased(it: Studio, *people: int) -> None:
    """These people (their numbers) are chosen, and gone."""
    for person in people:
        it.people.nth(person - 1).click()
    it.page.click("#erase")
    it.wait_mode("result")


def request_of(address: str, it: Studio) -> dict[str, Any]:
    return dict(httpx.get(f"{address}/v1/jobs/{it.job()}").json()["request"])


def near(one: tuple[int, ...], other: np.ndarray) -> bool:
    return bool(np.abs(np.subtract(one, other.astype(int))).max() <= 2)


def plain_png() -> bytes:
    """Two flat colours, so that a pixel of the screen is one of the photo whatever the zoom."""
    pixels = np.full((300, 480, 3), (40, 90, 200), np.uint8)
    pixels[:, 190:340] = (220, 180, 30)
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "png")
    return out.getvalue()


def test_the_result_opens_on_after_and_shows_before_while_held(fake: str, visit: Callable[..., Studio]) -> None:
    it = visit(fake, photo=plain_png())
    erased(it, 2)
    before, after, size = Photo.of(plain_png()).pixels, it.pixels(), (480, 300)
    x, y = 264, 180
    assert not near(tuple(before[y, x]), after[y, x])
    at = it.at(x, y, size)
    it.page.mouse.move(2, 2)
    assert near(it.colour(*at), after[y, x])
    box = it.page.locator("#hold").bounding_box()
    it.page.mouse.move(box["x"] + 5, box["y"] + 5)
    it.page.mouse.down()
    assert near(it.colour(*at), before[y, x])
    it.page.mouse.up()
    assert near(it.colour(*at), after[y, x])
    it.page.locator("#hold").focus()
    it.page.keyboard.down("Enter")
    assert near(it.colour(*at), before[y, x])
    it.page.keyboard.up("Enter")
    assert near(it.colour(*at), after[y, x])
    assert it.faults == []


def test_bystanders_are_chosen_with_one_click_and_the_list_corrects(
    tmp_path: Path, visit: Callable[..., Studio]
) -> None:
    class Crowd(FakeRoad):
        def find(self, photo: Photo, finder: Finder) -> Scene:
            scene = super().find(photo, finder)
            roles: tuple[Role, ...] = ("bystander", "subject", "bystander")
            return replace(scene, people=tuple(replace(p, role=r) for p, r in zip(scene.people, roles, strict=True)))

    with studio(tmp_path / "state", Crowd()) as address:
        it = visit(address, photo=png())
        it.page.click("#bystanders")
        assert [it.people.nth(k).get_attribute("aria-pressed") for k in range(3)] == ["true", "false", "true"]
        it.people.nth(2).click()
        erased(it)
        assert request_of(address, it)["selection"]["people"] == [1]
        assert it.axe() == it.faults == []


def test_no_button_for_bystanders_where_there_are_none(fake: str, visit: Callable[..., Studio]) -> None:
    it = visit(fake, photo=png())
    assert it.page.locator("#everyone").is_visible() and it.page.locator("#bystanders").is_hidden()


def test_what_somebody_holds_goes_unless_it_is_unpressed(fake: str, visit: Callable[..., Studio]) -> None:
    it = visit(fake)
    it.open(data=png(3))
    it.wait_people()
    with it.page.expect_response("**/select*") as answer:
        it.people.nth(1).click()
    asked = answer.value.request.post_data_json
    assert asked["people"] == [2] and asked["leave"] == [], "what they hold is shown as going"
    umbrella = it.page.locator(".along:visible")
    assert umbrella.get_attribute("aria-pressed") == "true"
    with it.page.expect_response("**/select*") as answer:
        umbrella.click()
    assert answer.value.request.post_data_json["leave"] == [[33, 6]]
    it.page.locator('.along[aria-pressed="false"]:visible').wait_for()
    it.page.keyboard.press("Control+z")
    it.page.locator('.along[aria-pressed="true"]:visible').wait_for()
    umbrella.click()
    it.page.click("#erase")
    it.wait_mode("result")
    selection = httpx.get(f"{fake}/v1/jobs/{it.job()}").json()["request"]["selection"]
    assert selection["leave"] == [[33, 6]] and selection["people"] == [2] and selection["things"]
    assert it.faults == []


def test_recent_photos_beside_the_examples_and_forgotten(fake: str, visit: Callable[..., Studio]) -> None:
    """The examples once went into the list of recent photos, which then threw them out."""
    it = visit(fake)
    examples = it.page.locator("#examples [data-example]")
    examples.first.wait_for()
    assert examples.count() == len(studio_page.examples())
    assert it.page.locator("#recent").is_hidden()
    it.open(data=png(4), name="mine.png")
    it.wait_people()
    it.people.nth(1).click()
    photo = it.page.url.partition("photo=")[2]
    it.page.goto("about:blank")
    it.page.goto(fake)
    recent = it.page.locator("#recent button img")
    recent.wait_for()
    examples.first.wait_for()
    assert recent.get_attribute("alt") == "Recent: mine.png"
    assert examples.count() == len(studio_page.examples())
    assert it.axe() == []
    recent.click()
    it.wait_people()
    assert it.people.nth(1).get_attribute("aria-pressed") == "true", "with the choice made on it"
    assert httpx.get(f"{fake}/v1/photos/{photo}").status_code == 200
    it.page.goto("about:blank")
    it.page.goto(fake)
    recent.wait_for()
    it.page.click("#forget")
    it.page.wait_for_selector("#recent", state="hidden")
    it.page.wait_for_selector("#message-text:has-text('Forgotten')")
    assert httpx.get(f"{fake}/v1/photos/{photo}").status_code == 404, "the server has it no more either"
    assert "mine.png" not in it.page.evaluate("JSON.stringify(localStorage)")


def test_the_finder_is_offered_and_never_fetched_unasked(
    fake: str, visit: Callable[..., Studio], monkeypatch: pytest.MonkeyPatch
) -> None:
    from mild.models import assets, registry
    from mild.people import find

    absent: list[Any] = [registry.REGISTRY["blazepose"]]
    fetched: list[str] = []

    def fetch() -> None:
        fetched.extend(spec.name for spec in absent)
        absent.clear()

    monkeypatch.setattr(find, "missing", lambda finder: absent[0] if absent else None)
    monkeypatch.setattr(assets, "finder_wanted", lambda: tuple(absent))
    monkeypatch.setattr(assets, "fetch_finder", fetch)
    it = visit(fake, photo=png())
    offer = it.page.locator("#finder")
    offer.wait_for()
    words = it.page.locator("#finder-words").inner_text()
    assert "not searched" in words and "blazepose" in words and "MB" in words and "Apache-2.0" in words
    assert "Nobody was found" not in it.page.inner_text("body")
    assert it.people.count() == 0 and fetched == []
    assert it.axe() == []
    it.page.click("#finder-fetch")
    it.people.nth(2).wait_for()
    assert fetched == ["blazepose"]
    assert offer.is_hidden()
    assert it.faults == []


def test_try_another_repeats_the_choice_with_another_seed(fake: str, visit: Callable[..., Studio]) -> None:
    it = visit(fake, photo=png())
    it.page.locator("details.more summary").click()
    it.page.locator("#margin").fill("30")
    erased(it, 2)
    first, asked, job = it.pixels(), request_of(fake, it), it.job()
    it.page.click("#again")
    it.page.wait_for_function("(job) => !location.hash.includes(job)", arg=job)
    it.wait_mode("result")
    again = request_of(fake, it)
    assert again["selection"] == asked["selection"]
    assert again["region"] == asked["region"] and asked["region"]["dilate"] == pytest.approx(0.03)
    assert again["seed"] == asked["seed"] + 1
    assert (it.pixels() != first).any()


def test_erase_more_goes_on_with_the_result(fake: str, visit: Callable[..., Studio]) -> None:
    it = visit(fake)
    it.open(data=png(), name="group.png")
    it.wait_people()
    erased(it, 1)
    first, photo = it.pixels(), it.page.url
    it.page.click("#continue")
    it.page.wait_for_url(lambda url: url != photo)
    it.wait_people()
    assert "group.erased.png" in it.page.locator("#canvas").get_attribute("aria-label")
    assert it.page.locator("#people .row.going").count() == 0
    erased(it, 3)
    second = it.pixels()
    left, right = slice(0, 180), slice(320, 480)
    np.testing.assert_array_equal(second[:, left], first[:, left])
    assert (first[:, left] != make_photo(300, 480, 0)[:, left]).any(), "the first erasure is in it"
    assert (second[:, right] != first[:, right]).any()
    assert it.file_name == "group.erased.png", "not erased.erased"


def test_taken_apart_the_layers_are_shown_apart(fake: str, visit: Callable[..., Studio]) -> None:
    it = visit(fake, reduced_motion="reduce", photo=plain_png())
    together, blank = it.at(264, 180, (480, 300)), it.colour(*it.at(-4, -4, (480, 300)))
    here = it.colour(*together)
    it.page.click("#apart")
    it.wait_mode("result")
    it.page.wait_for_selector("#pull[aria-pressed=true]")
    box = it.page.locator("#canvas").bounding_box()
    script = """() => { const c = document.getElementById("canvas"); const rows = [];
        const d = c.getContext("2d").getImageData(0, 0, c.width, c.height).data;
        for (let x = 0; x < c.width; x += 4) { let n = 0;
            for (let y = 0; y < c.height; y += 4) { const k = 4 * (y * c.width + x);
                n += Math.abs(d[k] - %d) + Math.abs(d[k + 1] - %d) + Math.abs(d[k + 2] - %d) > 6; } rows.push(n); }
        return rows; }"""
    it.page.wait_for_timeout(150)
    apart = np.array(it.page.evaluate(script % blank[:3]))
    assert it.page.locator("#compare").is_hidden()
    assert it.axe() == []
    it.page.click("#pull")
    assert it.colour(*together) == here, "together again, nobody hidden, it is the photo"
    whole = np.array(it.page.evaluate(script % blank[:3]))
    assert (apart > 0).sum() * 4 > 0.9 * (box["width"] - 100), "the sheets use the width there is"
    assert (apart > 0).mean() > (whole > 0).mean() or (whole > 0).mean() > 0.85
    assert it.page.locator("#compare").is_visible()
    # A choice in the list is seen at once there, too; and the before-and-after puts the layers together.
    it.page.click("#pull")
    with it.page.expect_response("**/result?*hide=2*"):
        it.page.locator('[data-key="eye 2"]').click()
    assert it.page.locator("#pull").get_attribute("aria-pressed") == "true"
    it.page.keyboard.press("c")
    assert it.page.locator("#pull").get_attribute("aria-pressed") == "false"
    assert it.faults == []


def test_the_background_alone_is_all_of_it(fake: str, visit: Callable[..., Studio]) -> None:
    """Not only the patch behind whoever went, over chequers."""
    it = visit(fake)
    photo, size = make_photo(300, 480, 0), (480, 300)
    fill = photo.reshape(-1, 3).mean(0)

    def shows(x: int, y: int, wanted: np.ndarray[Any, Any]) -> bool:
        """Soon: on a busy machine the page still moves when it is first looked at."""
        for _ in range(50):
            if np.abs(np.asarray(it.colour(*it.at(x, y, size)), float) - wanted).max() < 6:
                return True
            it.page.wait_for_timeout(100)
        return False

    it.open(data=png())
    it.wait_people()
    it.page.click("#apart")
    it.wait_mode("result")
    it.page.click("#pull")
    it.page.wait_for_selector("#pull[aria-pressed=false]")
    it.page.click('[data-key="alone 0"]')
    it.page.wait_for_selector("[data-key='alone 0'][aria-pressed=true]")
    for x in (120, 264, 384):
        assert shows(x, 180, fill), "nobody stands there"
    for x, y in ((20, 20), (20, 280), (460, 20), (460, 280)):
        assert shows(x, y, photo[y, x]), "and no chequers in the corners"
    it.page.click('[data-key="alone 0"]')
    it.page.wait_for_selector("[data-key='alone 0'][aria-pressed=false]")
    assert shows(120, 180, photo[180, 120]), "everybody is back"
    assert it.faults == []


def test_a_lost_connection_is_said_for_as_long_as_it_lasts_and_mends_itself(
    fake: str, visit: Callable[..., Studio]
) -> None:
    it = visit(fake)
    lost = it.page.locator("#lost")
    it.open(data=png())
    it.wait_people()
    assert lost.is_hidden()
    it.people.nth(1).click()
    # The search of the next photo meets no server. (The photo before once came back then, under the new one's address.)
    it.page.route("**/people?*", lambda route: route.abort())
    it.page.route("**/icon.svg", lambda route: route.abort())
    photo = it.page.url
    it.open(data=png(5))
    lost.wait_for()
    it.page.wait_for_url(lambda url: url != photo)
    assert it.people.count() == 0
    assert it.axe() == []
    assert it.page.locator("#message").is_hidden(), "said once"
    it.page.wait_for_timeout(2500)
    assert lost.is_visible(), "it stands while the server is away"
    it.page.unroute("**/people?*")
    it.page.unroute("**/icon.svg")
    lost.wait_for(state="hidden")
    it.people.nth(2).wait_for()  # and the page looked for people by itself
    erased(it, 1)
    assert it.faults == []


def test_a_rough_look_comes_at_once_and_is_replaced(tmp_path: Path, visit: Callable[..., Studio]) -> None:
    road = FakeRoad(steps=1000, pause=0.05)
    with studio(tmp_path / "state", road) as address:
        it = visit(address, photo=plain_png())
        it.people.nth(0).click()
        it.page.click("#erase")
        it.page.wait_for_selector("#rough:not([hidden])")
        # The person stands on one flat colour: that is what remains, without red stripes.
        inside, outside = it.at(120, 180, (480, 300)), it.at(30, 180, (480, 300))
        assert near(it.colour(*inside), np.array((40, 90, 200)))
        assert near(it.colour(*outside), np.array((40, 90, 200)))
        assert it.axe() == []
        road.pause = 0
        it.wait_mode("result")
        assert it.page.locator("#rough").is_hidden()
        assert near(it.colour(*inside), it.pixels()[180, 120])
        assert it.faults == []


def test_undo_and_redo_go_through_choice_and_result(fake: str, visit: Callable[..., Studio]) -> None:
    it = visit(fake)
    it.open(data=png(), name="group.png")
    it.wait_people()
    erased(it, 1)
    first = it.job()
    eye = it.page.locator('[data-key="eye 1"]')
    with it.page.expect_response("**/result?*show=1*"):
        eye.click()
    with it.page.expect_response("**/result?*"):
        it.page.keyboard.press("Control+z")
    assert eye.get_attribute("aria-pressed") == "false"
    with it.page.expect_response("**/result?*show=1*"):
        it.page.click("#redo")
    assert it.page.locator("#redo").is_disabled()
    it.page.keyboard.press("Control+z")
    it.page.keyboard.press("Control+z")  # behind the layers lies the choice
    it.wait_mode("choose")
    assert it.people.nth(0).get_attribute("aria-pressed") == "true"
    it.page.keyboard.press("Control+z")
    assert it.people.nth(0).get_attribute("aria-pressed") == "false"
    it.page.keyboard.press("Control+y")
    it.page.keyboard.press("Control+y")  # the result is still that of this choice
    it.wait_mode("result")
    assert it.job() == first
    it.page.click("#continue")
    it.page.wait_for_function("(job) => !location.hash.includes(job)", arg=first)
    it.wait_people()
    it.page.click("#undo")  # and before the new photo lies the result that it was
    it.wait_mode("result")
    assert it.job() == first
    assert it.faults == []


def test_the_browsers_back_loses_nothing(fake: str, visit: Callable[..., Studio]) -> None:
    it = visit(fake, photo=png())
    erased(it, 2)
    job = it.job()
    it.page.go_back()
    it.wait_mode("choose")
    assert it.people.nth(1).get_attribute("aria-pressed") == "true"
    it.page.go_back()
    it.wait_mode("start")
    it.page.locator("#recent li button").wait_for()
    it.page.go_forward()
    it.wait_people()
    assert it.people.nth(1).get_attribute("aria-pressed") == "true"
    it.page.go_forward()
    it.wait_mode("result")
    assert it.job() == job
    it.page.click("#step-choose")
    it.page.reload()
    it.wait_people()
    it.page.wait_for_selector("#step-result:not([disabled])")  # a reload keeps the result
    it.page.go_back()
    it.wait_mode("result")
    it.page.click("#again")  # another job of the same photo is a place of its own
    it.page.wait_for_function("(job) => !location.hash.includes(job)", arg=job)
    it.wait_mode("result")
    it.page.go_back()
    it.page.wait_for_function("(job) => location.hash.includes(job)", arg=job)
    it.wait_mode("result")
    assert it.faults == []


def test_back_while_a_job_runs_and_forward_finds_it(tmp_path: Path, visit: Callable[..., Studio]) -> None:
    road = FakeRoad(steps=1000, pause=0.05)
    with studio(tmp_path / "state", road) as address:
        it = visit(address, photo=png())
        it.people.nth(1).click()
        it.page.click("#erase")
        it.wait_mode("work")
        job = it.job()
        it.page.go_back()
        it.wait_mode("start")
        it.page.go_forward()
        it.wait_mode("work")
        assert it.job() == job
        road.pause = 0
        it.wait_mode("result")
        assert it.faults == []


def test_a_click_where_nobody_was_found_marks_what_is_there(fake: str, visit: Callable[..., Studio]) -> None:
    it = visit(fake, photo=png())
    it.page.mouse.click(*it.at(440, 40, (480, 300)))
    it.page.wait_for_selector('#people .going [data-person="4"]')
    it.page.keyboard.press("Control+z")
    it.page.wait_for_selector('[data-person="4"]', state="detached")


def test_a_finger_refines_with_buttons(fake: str, visit: Callable[..., Studio]) -> None:
    """There is no Shift and no Alt on a phone."""
    it = visit(fake, 390, 844, has_touch=True, is_mobile=True, photo=png())
    it.page.tap("[data-tool=point]")
    assert it.page.locator("#refine").is_hidden(), "there is nothing yet to refine"
    it.page.touchscreen.tap(*it.at(440, 40, (480, 300)))
    it.page.wait_for_selector('[data-person="4"]')
    it.page.tap("[data-refine=not]")
    with it.page.expect_response("**/select?*") as asked:
        it.page.touchscreen.tap(*it.at(446, 60, (480, 300)))
    clicks = asked.value.request.post_data_json["clicks"]
    assert [len(clicks[0][k]) for k in ("on", "off")] == [1, 1]
    assert it.axe() == it.faults == []


class Counted:
    """Does what a user does on a studio's page, and counts it: a press, a double click and a drag are one each."""

    def __init__(self, it: Studio) -> None:
        self.it, self.actions = it, 0

    def press(self, selector: str) -> None:
        self.actions += 1
        self.it.page.click(selector)

    def double(self, x: float, y: float) -> None:
        self.actions += 1
        self.it.page.mouse.dblclick(*self.it.at(x, y, (480, 300)))

    def shift_drag(self, *points: tuple[float, float]) -> None:
        self.actions += 1
        self.it.page.keyboard.down("Shift")
        self.it.drag(*(self.it.at(*point, (480, 300)) for point in points))
        self.it.page.keyboard.up("Shift")

    def save(self, format: str) -> bytes:
        self.actions += 1
        self.it.wait_mode("result")
        return self.it.download(format)


def one_person(user: Counted) -> None:
    user.double(120, 180)
    user.save("png")


def bystanders(user: Counted) -> None:
    user.press("#bystanders")
    user.press("#erase")
    user.save("png")


def missed(user: Counted) -> None:
    user.double(440, 40)
    user.save("png")


def border(user: Counted) -> None:
    user.double(120, 180)
    user.it.wait_mode("result")
    first = user.it.job()
    user.shift_drag((170, 100), (190, 110))
    user.it.page.wait_for_function("(job) => !location.hash.includes(job)", arg=first)
    user.save("png")


def photoshop(user: Counted) -> None:
    user.double(120, 180)
    assert user.save("psd")[:4] == b"8BPS"


TASKS = {
    "one person": one_person, "three bystanders": bystanders, "a person whom the search missed": missed,
    "one person, and what the outline left of them": border, "one person, as a PSD": photoshop,
}  # fmt: skip


@pytest.mark.parametrize("task", TASKS)
def test_no_task_takes_more_actions_than_elsewhere(task: str, tmp_path: Path, visit: Callable[..., Studio]) -> None:
    class Crowd(FakeRoad):
        def find(self, photo: Photo, finder: Finder) -> Scene:
            scene = super().find(photo, finder)
            return replace(scene, people=tuple(replace(p, role="bystander") for p in scene.people))

    with studio(tmp_path / "state", Crowd()) as address:
        it = visit(address, photo=png())
        user = Counted(it)
        TASKS[task](user)
        selection = request_of(address, it)["selection"]
        assert len(selection["people"]) == {"three bystanders": 3, "a person whom the search missed": 0}.get(task, 1)
        assert len(selection["points"]) == (task == "a person whom the search missed")
        assert ("mask_rle" in selection and selection["mask_rle"] is not None) == (task.endswith("left of them"))
        assert it.faults == []
    table = (Path(__file__).parents[1] / "docs" / "studio.md").read_text()
    row = next(line for line in table.splitlines() if line.startswith(f"| {task} |"))
    ours, *others = (int(cell.split(":")[0]) for cell in row.split("|")[2:-1] if cell.strip()[0].isdigit())
    assert ours == user.actions and all(ours <= other for other in others)


def test_a_finger_that_rests_on_the_result_shows_the_photo_as_it_was(fake: str, visit: Callable[..., Studio]) -> None:
    it = visit(fake, 390, 844, has_touch=True, is_mobile=True, photo=plain_png())
    it.page.touchscreen.tap(*it.at(264, 180, (480, 300)))
    it.page.tap("#erase")
    it.wait_mode("result")
    it.page.wait_for_timeout(200)
    x, y = it.at(264, 180, (480, 300))
    after = it.colour(x, y)
    touch = it.page.context.new_cdp_session(it.page)
    touch.send("Input.dispatchTouchEvent", {"type": "touchStart", "touchPoints": [{"x": x, "y": y}]})
    it.page.wait_for_timeout(700)
    assert near(it.colour(x, y), np.array((220, 180, 30))), "as it was"
    touch.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
    assert it.colour(x, y) == after
    assert it.faults == []


def test_a_finger_brushes_off_what_is_left(fake: str, visit: Callable[..., Studio]) -> None:
    it = visit(fake, 390, 844, has_touch=True, is_mobile=True, photo=png())
    it.people.nth(2).tap()  # the last of the list, between photo and buttons
    it.page.touchscreen.tap(*it.at(120, 180, (480, 300)))
    it.page.tap("#erase")
    it.wait_mode("result")
    first = it.job()
    assert it.axe() == []
    it.page.tap("#touch-up")
    it.page.touchscreen.tap(*it.at(180, 100, (480, 300)))
    it.page.wait_for_function("(job) => !location.hash.includes(job)", arg=first)
    it.wait_mode("result")
    assert decode_rle(request_of(fake, it)["selection"]["mask_rle"], (300, 480))[100, 180]
    it.page.tap("#undo")
    it.wait_mode("choose")
    it.page.tap("#undo")  # the stroke
    it.page.wait_for_selector("#people .going")
    assert it.page.locator("#undo").is_enabled()
    assert it.faults == []
