"""The story of the studio in one picture, docs/images/studio.jpg, and every state at three widths to look at.

    python bench/studio_strip.py [FOLDER]     # needs Chromium and the extra dev

Into FOLDER (default out/studio) goes every state in light and dark at 390, 1024 and 1440 pixels, and on a phone on its
side; what axe-core finds in any of them is printed, and ends it with 1.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import Any

from PIL import Image
from playwright.sync_api import sync_playwright

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests"))

from studio_browser import QUIET, Studio, find_browser, studio  # noqa: E402

SIZES = ((1440, 900), (390, 844), (1024, 600), (844, 390))
#: The strip: how high a frame is, and which states it shows.
HIGH, SHOWN = 340, ("chosen", "work", "result")


def main() -> int:
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "out" / "studio"
    folder.mkdir(parents=True, exist_ok=True)
    faults = []
    with tempfile.TemporaryDirectory() as state, sync_playwright() as play, studio(Path(state), None) as address:
        browser = play.chromium.launch(executable_path=find_browser(), args=QUIET)
        for width, height in SIZES:
            for scheme in ("light", "dark"):
                phone = min(width, height) < 500
                context = browser.new_context(
                    viewport={"width": width, "height": height}, color_scheme=scheme, has_touch=phone, is_mobile=phone
                )
                it = Studio(context.new_page(), address)
                faults += story(it, folder, f"{width}-{scheme}") + it.faults
                context.close()
    frames = [Image.open(folder / f"1440-light-{name}.png").convert("RGB") for name in SHOWN]
    frames = [
        frame.resize((round(frame.width * HIGH / frame.height), HIGH), Image.Resampling.LANCZOS) for frame in frames
    ]
    strip = Image.new("RGB", (sum(f.width for f in frames) + 8 * (len(frames) - 1), HIGH), "white")
    left = 0
    for frame in frames:
        strip.paste(frame, (left, 0))
        left += frame.width + 8
    strip.save(ROOT / "docs" / "images" / "studio.jpg", quality=82, optimize=True)
    print("\n".join(faults) or "axe: nothing in any state")
    return 1 if faults else 0


def story(it: Studio, folder: Path, name: str) -> list[str]:
    """One person leaves the example; returns what axe found on the way."""
    found: list[str] = []

    def state(called: str) -> None:
        it.page.wait_for_timeout(400)
        it.page.screenshot(path=folder / f"{name}-{called}.png")
        found.extend(f"{name} {called}: {fault}" for fault in it.axe())

    page: Any = it.page
    state("start")
    it.open(ROOT / "examples" / "pool.jpg")
    it.wait_people(120)
    state("choose")
    it.people.nth(1).click()
    state("chosen")
    page.locator("details.more summary").click()
    page.click("[data-tool=add]")
    state("more")
    page.click("[data-tool=choose]")
    page.click("#erase")
    page.wait_for_selector("#rough:not([hidden])")
    state("work")
    it.wait_mode("result", 300)
    state("result")
    page.click("#pull")
    page.wait_for_timeout(700)
    state("apart")
    page.click("#pull")
    page.locator("#layers .picture").last.click()
    state("alone")
    page.click("#help-open")
    state("help")
    page.keyboard.press("Escape")
    page.route("**/*", lambda route: route.abort())
    page.click("#continue")
    page.wait_for_selector("#lost:not([hidden])")
    state("lost")
    page.unroute("**/*")
    page.wait_for_selector("#lost", state="hidden")
    page.goto("about:blank")
    page.goto(it.address)
    page.wait_for_selector("#recent li")
    state("recent")
    return found


if __name__ == "__main__":
    sys.exit(main())
