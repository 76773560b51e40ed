"""How long a job takes, and how much memory: against PatchMatch on the same crop, for larger photos, holes and groups.

    OMP_NUM_THREADS=1 python bench/speed.py [--photo examples/pool.jpg] [--json FILE]

Every figure is processor time of a process of its own with one thread, so that other work on the machine counts little;
ratios come from one run. The photo is enlarged to 1, 24 and 60 megapixels: what counts is the number of its pixels.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
SIZES = (1.0, 24.0, 60.0)
SHARES = (0.01, 0.02, 0.04, 0.08)
GROUPS = (0, 4, 12)
#: Whom the command erases from the examples; pool's is the largest hole of them.
WARM = {"pool": 1, "cold_water": 4, "wayne": 2, "bar55": 1}


def photo_of(path: str, megapixels: float) -> Any:
    """The photo, resized to so many megapixels, as an array."""
    import cv2
    import numpy as np

    pixels = cv2.cvtColor(cv2.imread(path), cv2.COLOR_BGR2RGB)
    scale = (megapixels * 1e6 / (pixels.shape[0] * pixels.shape[1])) ** 0.5
    size = (round(pixels.shape[1] * scale), round(pixels.shape[0] * scale))
    return np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_CUBIC))


def timed(job: Any) -> float:
    begun = time.process_time()
    job()
    return time.process_time() - begun


def erasing(path: str, megapixels: float, person: int) -> dict[str, float]:
    """Find, erase, and PatchMatch on the very crop (1 MP only); the model is loaded before."""
    from mild import road
    from mild.fill.prior import exemplar_fill
    from mild.people.find import find_people
    from mild.photo import Photo
    from mild.request import EraseRequest, Model
    from mild.runtimes import Models

    photo = Photo.of(photo_of(path, megapixels))
    models = Models()
    models.one_step(Model())
    out = {"find": timed(lambda: find_people(photo))}
    scene = find_people(photo)
    request = EraseRequest.build(selection={"people": [person]})
    done: list[Any] = []
    out["erase"] = timed(lambda: done.append(road.run(request, photo, scene=scene, models=models)))
    row = done[0].plan.layers[0]
    out["layers"] = len(done[0].plan.layers)
    out["hole MP"] = float(sum(layer.hole.sum() for layer in done[0].plan.layers)) / 1e6
    out["peak GB"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    if megapixels <= 1:
        crop = photo.pixels[row.crop.slices]
        out["patchmatch"] = timed(lambda: exemplar_fill(crop, row.own, row.hole, follow=False))
    return out


def holes(path: str, share: float) -> dict[str, float]:
    """A round hole of a share of a 4-megapixel photo."""
    import numpy as np

    import mild
    from mild.photo import Photo
    from mild.request import Model
    from mild.runtimes import Models

    pixels = photo_of(path, 4.0)
    y, x = np.mgrid[: pixels.shape[0], : pixels.shape[1]]
    mask = (y - pixels.shape[0] / 2) ** 2 + (x - pixels.shape[1] / 2) ** 2 < share * pixels.shape[0] * pixels.shape[
        1
    ] / np.pi
    models = Models()
    models.one_step(Model())
    photo = Photo.of(pixels)
    return {"erase": timed(lambda: mild.erase(photo, mask=mask, finder="none", models=models))}


def group(path: str, untouched: int) -> dict[str, float]:
    """One erased, and so many others whom nobody touches."""
    import numpy as np

    from mild import road
    from mild.people.scene import Person, Scene
    from mild.photo import Photo
    from mild.request import EraseRequest, Model
    from mild.runtimes import Models

    photo = Photo.of(photo_of(path, 1.0))
    height, width = photo.size

    def standing(number: int, x: int, y: int) -> Person:
        mask = np.zeros(photo.size, bool)
        mask[y : y + height // 4, x : x + width // 30] = True
        return Person.from_mask(number, mask)

    people = [standing(1, width // 2, height // 2)]
    for i in range(untouched):
        people.append(standing(2 + i, (i % 6) * width // 14 + 5, (i // 6) * height // 3 + 5))
    models = Models()
    models.one_step(Model())
    scene, request = Scene(photo, tuple(people)), EraseRequest.build(selection={"people": [1]})
    return {"erase": timed(lambda: road.run(request, photo, scene=scene, models=models))}


def in_a_child(times: int, name: str, *values: Any) -> dict[str, float]:
    """The least seconds and the most memory of so many runs: other work on the machine only ever adds."""
    command = [sys.executable, __file__, "--child", json.dumps([name, *values])]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "MILD_REMEMBER": "0"}
    runs: list[dict[str, float]] = []
    for _ in range(times):
        out = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
        runs.append(json.loads(out.stdout.splitlines()[-1]))
    return {key: (max if "GB" in key else min)(run[key] for run in runs) for key in runs[0]}


def warm_start(path: str, person: int) -> list[tuple[float, float]]:
    """Wall and processor seconds of `mild erase`, the first time and twice more, people remembered from the first."""
    out = []
    with tempfile.TemporaryDirectory() as folder:
        environment = os.environ | {"OMP_NUM_THREADS": "1", "MILD_REMEMBER": "1"}
        command = [sys.executable, "-m", "mild", "erase", path, "--person", str(person), "-f", "-o", f"{folder}/o.png"]
        for _ in range(3):
            before, begun = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
            subprocess.run(command, check=True, capture_output=True, env=environment)
            after = resource.getrusage(resource.RUSAGE_CHILDREN)
            spent = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
            out.append((time.perf_counter() - begun, spent))
    return out


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photo", default=str(ROOT / "examples" / "pool.jpg"))
    parser.add_argument("--person", type=int, default=1)
    parser.add_argument("--repeat", type=int, default=3, help="the best of so many runs counts")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--child", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.child:
        name, *values = json.loads(args.child)
        print(json.dumps({"erasing": erasing, "holes": holes, "group": group}[name](*values)))
        return
    report: dict[str, Any] = {
        "sizes": {m: in_a_child(args.repeat, "erasing", args.photo, m, args.person) for m in SIZES}
    }
    one = report["sizes"][SIZES[0]]
    for megapixels, got in report["sizes"].items():
        ratio = got["erase"] / one["erase"]
        print(
            f"{megapixels:5.0f} MP, hole {got['hole MP']:.2f} MP, {got['layers']:.0f} layers: "
            f"erase {got['erase']:.2f} s ({ratio:.2f} of 1 MP), find {got['find']:.2f} s, peak {got['peak GB']:.2f} GB",
            flush=True,
        )
    pm = one["patchmatch"]
    print(f"PatchMatch on the 1 MP crop {pm:.2f} s: erase {one['erase'] / pm:.2f}, find {one['find'] / pm:.2f} of it")
    report["holes"] = {share: in_a_child(args.repeat, "holes", args.photo, share)["erase"] for share in SHARES}
    print("hole of 4 MP: " + ", ".join(f"{100 * s:.0f} % {t:.2f} s" for s, t in report["holes"].items()), flush=True)
    report["untouched"] = {count: in_a_child(args.repeat, "group", args.photo, count)["erase"] for count in GROUPS}
    print("untouched people: " + ", ".join(f"{n} {t:.2f} s" for n, t in report["untouched"].items()), flush=True)
    report["commands"] = {}
    for name, person in WARM.items():
        runs = report["commands"][f"{name} {person}"] = warm_start(str(ROOT / "examples" / f"{name}.jpg"), person)
        print(f"mild erase {name} {person}: " + ", ".join(f"{w:.2f} s ({c:.2f} s CPU)" for w, c in runs), flush=True)
    if args.json:
        args.json.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
