"""Is the time that a job says it will still take right? Asked one second after its start, and compared with the truth.

    OMP_NUM_THREADS=1 python bench/estimates.py [--photo examples/pool.jpg] [--sizes 1 4 24] [--runtimes onnx torch]

Each job runs in a process of its own, cold, as a command would: the model is loaded and, where a person is named, they
are searched for. Small holes are a hundredth of the photo, large ones a tenth. The clock is the processor's, one
thread: a machine with nothing else to do, whatever else this one does.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import threading
import time
from functools import partial
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
SHARES = {"small": 0.01, "large": 0.1}
#: Seconds after the start at which the job is asked.
WHEN = (1.0, 2.0, 4.0)


def asked(path: str, megapixels: float, hole: str, runtime: str) -> dict[str, Any]:
    """What one job said, and how long it took."""
    import numpy as np

    from mild import road
    from mild.pace import Pace
    from mild.photo import Photo
    from speed import photo_of

    photo = Photo.of(photo_of(path, megapixels))
    options: dict[str, Any] = {"people": 1}
    if hole != "person":
        y, x = np.mgrid[: photo.size[0], : photo.size[1]]
        area = SHARES[hole] * photo.size[0] * photo.size[1]
        mask = (y - photo.size[0] / 2) ** 2 + (x - photo.size[1] / 2) ** 2 < area / np.pi
        options = {"mask": mask, "backend": "none"}
    last: list[Any] = []
    said: dict[float, float] = {}
    over = threading.Event()
    clock = time.process_time
    road.Pace = partial(Pace, clock=clock)

    def ask() -> None:
        for when in WHEN:
            while clock() < begun + when:
                if over.wait(0.02):
                    return
            said[when] = last[-1].remaining

    asking = threading.Thread(target=ask)
    begun = clock()
    asking.start()
    road.erase(photo, runtime=runtime, progress=lambda stage, share: last.append(share), **options)
    took = clock() - begun
    over.set()
    asking.join()
    return {"took": took, "said": said}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photo", default=str(ROOT / "examples" / "pool.jpg"))
    parser.add_argument("--sizes", type=float, nargs="+", default=[1.0, 4.0, 24.0, 60.0])
    parser.add_argument("--holes", nargs="+", default=[*SHARES, "person"])
    parser.add_argument("--runtimes", nargs="+", default=["onnx", "torch"])
    parser.add_argument("--child", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.child:
        print(json.dumps(asked(*json.loads(args.child))))
        return
    environment = os.environ | {"OMP_NUM_THREADS": "1", "MILD_REMEMBER": "0"}
    right = total = 0
    for runtime in args.runtimes:
        for size in args.sizes:
            for hole in args.holes:
                values = json.dumps([args.photo, size, hole, runtime])
                command = [sys.executable, __file__, "--child", values]
                out = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
                answer = json.loads(out.stdout.splitlines()[-1])
                words = []
                for when, said in answer["said"].items():
                    true = answer["took"] - float(when)
                    words.append(f"{said:.1f} for {true:.1f} s ({said / true:.2f})")
                    if float(when) == WHEN[0] and true > 1:
                        total += 1
                        right += 0.5 <= said / true <= 2
                print(f"{runtime:5} {size:3.0f} MP {hole:6} took {answer['took']:5.1f} s; said " + ", ".join(words))
                sys.stdout.flush()
    print(f"after {WHEN[0]:g} s within a factor of two: {right} of {total} (jobs with more than a second to go)")


if __name__ == "__main__":
    main()
