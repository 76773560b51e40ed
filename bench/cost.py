"""What layers cost: one path over the whole photo, MILD naively (every layer a whole frame, one by one), MILD as built.

    python bench/cost.py [--layouts 200] [--model FOLDER] [--full] [--no-run] [--json FILE]

Counts canvas pixels and FLOPs (multiply-adds, twice) of the denoiser over simulated group photos, and runs a few of
them for seconds and peak memory. The exemplar fill, text encoders and autoencoders are not counted: they are the same
kind of work in all three. "One path" is the bare UNet, without adapters and modulation; both forms of MILD carry them.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import resource
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import UNet2DConditionModel
from torch.utils.flop_counter import FlopCounterMode

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "examples"), str(HERE.parent / "src")]

from layouts import group  # noqa: E402
from mild.diffusion.adapters import DomainAdapters  # noqa: E402
from mild.diffusion.attention import FixedModulation, RegionTokens, sma_installed  # noqa: E402
from mild.diffusion.codec import PixelCodec  # noqa: E402
from mild.diffusion.denoiser import small_unet  # noqa: E402
from mild.people.scene import Box, Scene  # noqa: E402
from mild.plan.density import canvas  # noqa: E402
from mild.plan.planning import Plan, plan_layers  # noqa: E402
from mild.request import Region  # noqa: E402

PHOTO = (450, 600)
TOUCHED = (0, 1, 2, 4, 6)
STEPS = 4
Job = list[tuple[tuple[int, int], list[str]]]  # batches: canvas and domains of their rows


class Backbone:
    """A UNet with fresh adapters and a modulation, fed random latents (8 canvas pixels to one, as both models have)."""

    def __init__(self, name: str, resolution: int, make: Callable[[], Any]) -> None:
        self.name, self.resolution, self.make = name, resolution, make
        self._flops: dict[tuple[tuple[int, int], bool], float] = {}
        with torch.device("meta"):
            self.shape = self.build()

    def build(self) -> tuple[Any, DomainAdapters, FixedModulation]:
        unet = self.make().eval()
        return unet, DomainAdapters.for_unet(unet, rank=8), FixedModulation(unet)

    @torch.no_grad()
    def forward(
        self, parts: Any, bucket: tuple[int, int], domains: Sequence[str], mild: bool, device: str, steps: int = 1
    ) -> None:
        """Some steps of a batch; adapters and regions are put in place once for all of them."""
        unet, adapters, modulation = parts
        rows, h, w = len(domains), bucket[0] // 8, bucket[1] // 8
        noisy = torch.randn(rows, unet.config.in_channels, h, w, device=device)
        words = torch.zeros(rows, 1, unet.config.cross_attention_dim, device=device)
        timestep = torch.full((rows,), 500, device=device)
        with ExitStack() as stack:
            if mild:
                hole = torch.zeros(rows, 1, h, w, device=device)
                regions = RegionTokens(hole, hole)
                regions.amplitudes = modulation(timestep)
                stack.enter_context(adapters.attached(unet, adapters.gate(domains)))
                stack.enter_context(sma_installed(unet, regions))
            for _ in range(steps):
                unet(noisy, timestep, words)

    def flops(self, job: Job, mild: bool) -> float:
        """Of one step of a job."""
        total = 0.0
        for bucket, domains in job:
            if (bucket, mild) not in self._flops:
                with FlopCounterMode(display=False) as counter:
                    self.forward(self.shape, bucket, ["person"], mild, "meta")
                self._flops[bucket, mild] = counter.get_total_flops()
            total += self._flops[bucket, mild] * len(domains)
        return total

    def measure(self, job: Job, mild: bool) -> tuple[float, float]:
        """``(seconds, MiB)`` of all steps, the best of two runs; MiB beyond the weights."""
        parts = self.build()
        self.forward(parts, (64, 64), ["person"], mild, "cpu")

        def work(pipe: Any) -> None:
            before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
            begun = time.process_time()
            for bucket, domains in job:
                self.forward(parts, bucket, domains, mild, "cpu", STEPS)
            # Processor time: on a machine that others use too, the clock on the wall measures them.
            spent = time.process_time() - begun
            pipe.send((spent, (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024))

        # A child of its own for each run: a process's peak memory never falls again.
        results = []
        for _ in range(2):
            here, there = multiprocessing.Pipe()
            child = multiprocessing.get_context("fork").Process(target=work, args=(there,))
            child.start()
            results.append(here.recv())
            child.join()
        return min(s for s, _ in results), max(m for _, m in results)


def sd15(scale: int) -> Any:
    """The UNet of SD 1.5 inpainting with random weights, its widths divided by ``scale``."""
    widths = tuple(w // scale for w in (320, 640, 1280, 1280))
    return UNet2DConditionModel(
        sample_size=64, in_channels=9, out_channels=4, block_out_channels=widths, layers_per_block=2,
        cross_attention_dim=768 // scale, attention_head_dim=8, norm_num_groups=32 if scale == 1 else 16,
    )  # fmt: skip


def frame_of(size: tuple[int, int], resolution: int) -> tuple[int, int]:
    """Canvas on which one path sees the whole photo."""
    return canvas(Box(0, 0, size[1], size[0]), min(1.0, resolution / max(size)), 0.0)[0]


def forms(plan: Plan, frame: tuple[int, int], rows_per_batch: int = 8) -> dict[str, Job]:
    """Batches of each form, as the pipeline makes them."""
    groups: dict[tuple[int, int], list[str]] = {}
    for layer in plan.layers:
        groups.setdefault(layer.bucket, []).append(layer.domain)
    people = [layer.domain for layer in plan.layers if layer.domain == "person"]
    return {
        "one path": [(frame, ["background"])],
        "naive": [(frame, [domain]) for domain in ["background", *people]],
        "as built": [
            (bucket, domains[i : i + rows_per_batch])
            for bucket, domains in groups.items()
            for i in range(0, len(domains), rows_per_batch)
        ],
    }


def ratios(backbone: Backbone, plan: Plan, size: tuple[int, int]) -> dict[str, float]:
    """As built against one path and against naive, in pixels and FLOPs."""
    jobs = forms(plan, frame_of(size, backbone.resolution))
    pixels = {name: sum(b[0] * b[1] * len(rows) for b, rows in job) for name, job in jobs.items()}
    flops = {name: backbone.flops(job, name != "one path") for name, job in jobs.items()}
    built = "as built"
    return {
        "pixels / one path": pixels[built] / pixels["one path"],
        "FLOPs / one path": flops[built] / flops["one path"],
        "pixels / naive": pixels[built] / pixels["naive"],
        "FLOPs / naive": flops[built] / flops["naive"],
        "density / one path's": min(layer.scale for layer in plan.layers) / min(1, backbone.resolution / max(size)),
    }


def examples() -> list[tuple[str, Scene, tuple[int, ...]]]:
    from demo import choose

    from mild.people.find import find_people
    from mild.photo import Photo
    from mild.request import Finder

    found = []
    for path in sorted((HERE.parent / "examples").glob("*.jpg")):
        scene = find_people(Photo.open(path), Finder())
        chosen = choose(scene, path.stem)
        if chosen is not None:
            found.append((path.stem, scene, (chosen,)))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--layouts", type=int, default=200)
    parser.add_argument("--model", help="folder whose UNet takes the place of an untrained one; the cost is the same")
    parser.add_argument("--full", action="store_true", help="run SD 1.5 at its real width (3.4 GB, slow)")
    parser.add_argument("--no-run", action="store_true", help="count only")
    parser.add_argument("--run", default=",".join(map(str, TOUCHED)), help="how many touched people to run, like 1,4")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "0")) or torch.get_num_threads())

    def embedded() -> Any:
        if args.model and torch.get_default_device().type != "meta":
            return UNet2DConditionModel.from_pretrained(str(Path(args.model) / "unet"))
        return small_unet(PixelCodec(), (96, 128, 160))

    small, whole_sd = Backbone("mild-small", 256, embedded), Backbone("SD 1.5 inpainting", 512, lambda: sd15(1))
    run_sd = whole_sd if args.full else Backbone("SD 1.5 inpainting, widths a quarter", 512, lambda: sd15(4))
    rng = np.random.default_rng(0)
    scenes = {n: [group(rng, PHOTO, n) for _ in range(args.layouts if n == 4 else args.layouts // 10)] for n in TOUCHED}
    real, out = examples(), {}
    for backbone, runner in (small, small), (whole_sd, run_sd):
        print(
            f"\n{backbone.name}, photos of {PHOTO[1]} x {PHOTO[0]}, long side of a canvas at most {backbone.resolution}"
        )
        print("counted: median (90th percentile) of MILD as built over each group of simulated layouts")
        titles = ("pixels / one path", "FLOPs / one path", "pixels / naive", "FLOPs / naive", "density / one path's")
        print(f"{'kept people touched':>20}{'layouts':>9}" + "".join(f"{t:>22}" for t in titles))
        typical: dict[int, Plan] = {}
        for touched, group_ in scenes.items():
            plans = [plan_layers(s, e, Region(), resolution=backbone.resolution) for s, e in group_]
            seen = [ratios(backbone, plan, PHOTO) for plan in plans]
            order = sorted(range(len(seen)), key=lambda i: seen[i]["FLOPs / one path"])
            typical[touched] = plans[order[len(order) // 2]]
            cells = [[s[t] for s in seen] for t in titles]
            texts = [f"{statistics.median(c):.2f} ({np.quantile(c, 0.9):.2f})" for c in cells]
            print(f"{touched:>20}{len(seen):>9}" + "".join(f"{t:>22}" for t in texts), flush=True)
            out[f"{backbone.name}, {touched} touched"] = {
                t: statistics.median(c) for t, c in zip(titles, cells, strict=True)
            }
        for name, scene, erase in real:
            plan = plan_layers(scene, erase, Region(), resolution=backbone.resolution)
            one = ratios(backbone, plan, scene.size)
            people = sum(layer.domain == "person" for layer in plan.layers)
            print(f"{name:>20}{f'{people} touched':>12}" + "".join(f"{one[t]:>19.2f}   " for t in titles), flush=True)
        if args.no_run:
            continue
        print(f"run: {runner.name}, {STEPS} steps, {torch.get_num_threads()} thread(s), the layout of median cost")
        print(
            f"{'kept people touched':>20}{'one path':>22}{'naive':>22}{'as built':>22}{'/ one path':>12}{'/ naive':>9}"
        )
        for touched in map(int, args.run.split(",")):
            plan = typical[touched]
            jobs = forms(plan, frame_of(PHOTO, backbone.resolution))
            got = {name: runner.measure(job, name != "one path") for name, job in jobs.items()}
            texts = [f"{s:.2f} s, {m:.0f} MiB" for s, m in got.values()]
            rest = [got["as built"][0] / got[other][0] for other in ("one path", "naive")]
            print(
                f"{touched:>20}" + "".join(f"{t:>22}" for t in texts) + f"{rest[0]:>12.2f}{rest[1]:>9.2f}", flush=True
            )
            out[f"{runner.name}, {touched} touched, run"] = {k: {"seconds": s, "MiB": m} for k, (s, m) in got.items()}
    if args.json:
        args.json.write_text(json.dumps(out, indent=1) + "\n")


if __name__ == "__main__":
    main()
