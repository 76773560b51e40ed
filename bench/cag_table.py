"""CAG of every layer on real photos, with the attention terms on and off.

    python bench/cag_table.py --model FOLDER [--sma on,off] [--steps 4] [--no-prior] [PHOTO ...]

The model is one that has them; mild-small has not. Without photos: the examples, with the demo's choice of whom to
erase (in other photos, the smallest person surely found); both the erasing, and the decomposition, whose layers of
people have the most to lose. Ends with 1 if any layer that has a foreign region has no larger CAG under the first
setting than under the last.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import Any

import torch

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "examples"), str(ROOT / "src")]

from demo import choose  # noqa: E402

from mild.diffusion.cag import CagProbe, LayerCag  # noqa: E402
from mild.people.find import find_people  # noqa: E402
from mild.people.scene import Scene  # noqa: E402
from mild.photo import Photo  # noqa: E402
from mild.plan.planning import Plan, plan_layers  # noqa: E402
from mild.request import (  # noqa: E402
    Finder,
    Model,
    Region,
)
from mild.runtimes import Models  # noqa: E402


def jobs(path: Path) -> list[tuple[str, Scene, Plan]]:
    """The erasing and the decomposition of one photo; none where nobody was found."""
    scene = find_people(Photo.open(path), Finder())
    chosen = choose(scene, path.stem)
    if chosen is None:
        return []
    made = [(f"{path.stem}, erase {chosen}", scene, plan_layers(scene, (chosen,), Region()))]
    everyone = tuple(p.id for p in scene.sure)
    if len(everyone) > 1:
        made.append((f"{path.stem}, take apart", scene, plan_layers(scene, everyone, Region(), complete=everyone)))
    return made


def measured(pipeline: Any, scene: Scene, plan: Plan, sma: str, steps: int, prior: bool) -> tuple[LayerCag, ...]:
    probe = CagProbe()
    pipeline(
        scene=scene, plan=plan, num_inference_steps=steps, prior=prior, sma=sma, output_type="np", probe=probe,
        generator=torch.Generator().manual_seed(0),
    )  # fmt: skip
    return probe.report()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", nargs="*", type=Path)
    parser.add_argument("--model", required=True)
    parser.add_argument("--sma", default="on,off")
    parser.add_argument("--steps", type=int, default=4)
    parser.add_argument("--no-prior", action="store_true", help="without the exemplar fill; much quicker")
    args = parser.parse_args()
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "0")) or torch.get_num_threads())
    pipeline, terms = Models().pipeline(Model(name=args.model)), args.sma.split(",")
    if pipeline.modulation is None and pipeline.codec is not None:
        parser.error("this model has no attention terms to compare")
    print(f"model {args.model}, {args.steps} steps, {'no prior' if args.no_prior else 'with the exemplar prior'}")
    heads = "".join(f"{'CAG ' + t:>11}{'per area':>11}" for t in terms)
    print(f"{'photo, job':28}{'layer':15}{'foreign':>8}{heads}")
    worse = 0
    for path in args.photos or sorted((ROOT / "examples").glob("*.jpg")):
        for name, scene, plan in jobs(path):
            seen = [measured(pipeline, scene, plan, sma, args.steps, not args.no_prior) for sma in terms]
            for entries in zip(*seen, strict=True):
                gaps = [entry.mean(entry.cag) for entry in entries]
                cells = "".join(f"{_cell(g)}{_cell(e.mean(e.area))}" for g, e in zip(gaps, entries, strict=True))
                share = entries[0].foreign_share
                bad = share > 0 and gaps[0] is not None and gaps[-1] is not None and gaps[0] <= gaps[-1]
                worse += bad
                mark = "  not larger" if bad else ""
                print(f"{name:28}{entries[0].layer.name:15}{share:8.3f}{cells}{mark}", flush=True)
    print(f"layers where CAG with '{terms[0]}' is not larger than with '{terms[-1]}': {worse}")
    return 1 if worse else 0


def _cell(value: float | None) -> str:
    return f"{value:11.4f}" if value is not None else f"{'-':>11}"


if __name__ == "__main__":
    sys.exit(main())
