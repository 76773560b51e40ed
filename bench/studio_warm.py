"""What a second erase on the same photo costs the studio's server, in seconds of processor time, beside the first.

    python bench/studio_warm.py [PHOTO …]

The studio's own requests, in their order: upload, picture, people, the job, its result, its layers. Processor time is
that of the server's four processes, which were never started before, as after `mild studio`. The first erase is all
from the photo's opening to its result: reading it, finding the people, erasing. The others erase other people of the
same photo: the second person instead of the first, both, and the first once more.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import httpx

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests"))

from studio_browser import studio  # noqa: E402

PHOTOS = [ROOT / "examples" / "pool.jpg", ROOT / "examples" / "cold_water.jpg"]
TICK = os.sysconf("SC_CLK_TCK")


def main() -> int:
    photos = [Path(name) for name in sys.argv[1:]] or PHOTOS
    print(f"{'photo':18} {'deed':22} {'cpu s':>7} {'wall s':>7} {'of the first':>13}   by process")
    worst = 0.0
    for photo in photos:
        with tempfile.TemporaryDirectory() as state, studio(Path(state), None) as address:
            worst = max(worst, measured(photo, httpx.Client(base_url=f"{address}/v1/", timeout=600)))
    print(f"the dearest second: {worst:.0%} of the first")
    return 0


def measured(photo: Path, server: httpx.Client) -> float:
    before = spent(server)
    begun = time.perf_counter()
    sent = server.post("photos", files={"photo": photo.read_bytes()}).json()
    id = sent["id"]
    server.get(f"photos/{id}/picture")
    found = server.get(f"photos/{id}/people?masks=true").json()["people"]
    people = [person["id"] for person in found if person["sure"]][:2]
    opened = told(photo, f"opening ({len(found)} found)", before, spent(server), time.perf_counter() - begun, None)
    choices = {"first": people[:1], "another person": people[1:2], "both": people, "the first again": people[:1]}
    first, worst = 0.0, 0.0
    for name, chosen in choices.items():
        before, begun = spent(server), time.perf_counter()
        erase(server, id, chosen)
        used = told(photo, name, before, spent(server), time.perf_counter() - begun, first or None)
        worst = max(worst, used / first) if first else 0.0
        first = first or opened + used
    refine(photo, server, id, found, sent["width"])
    return worst


def refine(photo: Path, server: httpx.Client, id: str, found: list[dict[str, Any]], width: int) -> None:
    """A click on somebody, then one more of the same thing, then one that is not of it."""
    x0, y0, x1, y1 = found[0]["box"]
    x, y = (x0 + x1) // 2, (y0 + y1) // 2
    wide, high = (x1 - x0) // 4, (y1 - y0) // 4
    click: dict[str, Any] = {"on": [[x, y]], "off": []}
    for name, side, at in (
        ("a click", "", []),
        ("one more +", "on", [x, y + high]),
        ("one more −", "off", [min(x1 + wide, width - 1), y]),
    ):
        before, begun = spent(server), time.perf_counter()
        if side:
            click[side].append(at)
        asked = {"clicks": [click]} if side else {"points": click["on"]}
        server.post(f"photos/{id}/select?masks=true", json=asked).raise_for_status()
        told(photo, name, before, spent(server), time.perf_counter() - begun, None)


def erase(server: httpx.Client, photo: str, people: list[int]) -> None:
    """A job, and everything that the page then asks for."""
    job = server.post("jobs", json={"kind": "erase", "photo_id": photo, "request": {"selection": {"people": people}}})
    id = job.raise_for_status().json()["id"]
    while (state := server.get(f"jobs/{id}").json())["state"] in ("queued", "running"):
        time.sleep(0.1)
    assert state["state"] == "done", state
    wanted = [f"jobs/{id}/result?format=png"]
    wanted += [f"jobs/{id}/layers/{layer['index']}.png" for layer in server.get(f"jobs/{id}/layers").json()["layers"]]
    for address in wanted:
        server.get(address).raise_for_status()


def spent(server: httpx.Client) -> dict[str, float]:
    """Processor seconds of each of the server's processes so far."""
    health: dict[str, Any] = server.get("../health").json()
    return {row["name"]: cpu(row["pid"]) for row in health["processes"] if row["pid"]}


def cpu(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICK


def told(
    photo: Path, name: str, before: dict[str, float], after: dict[str, float], wall: float, first: float | None
) -> float:
    each = {process: seconds - before.get(process, 0.0) for process, seconds in after.items()}
    used = sum(each.values())
    share = f"{used / first:13.0%}" if first else " " * 13
    rest = ", ".join(f"{process} {seconds:.1f}" for process, seconds in each.items() if seconds >= 0.05)
    print(f"{photo.name:18} {name:22} {used:7.1f} {wall:7.1f} {share}   {rest}", flush=True)
    return used


if __name__ == "__main__":
    sys.exit(main())
