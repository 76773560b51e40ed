"""Hole quality on held-out composites: OpenCV Telea, PatchMatch, and MILD, with its parts switched off one by one.

    python bench/held_out.py --data ../shared/data [--count 48] [--size 512] [--model mild-small]

Photos of the test split without people, outlines of held-out people as holes; the truth is the photo. PSNR and SSIM in
the hole, and the sharpness ratio (mean gradient of the fill over that of the truth, 1 = as sharp as the truth).
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from skimage.metrics import structural_similarity

from mild.data.ingredients import Ingredients
from mild.data.rows import HOLE, background_row
from mild.diffusion.pipeline import MildPipeline
from mild.diffusion.prior import exemplar_fill
from mild.erase import load_pipeline

Image = np.ndarray[Any, np.dtype[np.uint8]]
Method = Callable[[Image, Image], Image]


def composites(data: str, count: int, size: int, seed: int = 2026) -> list[tuple[Image, Image]]:
    """``(truth [S, S, 3], hole [S, S] bool)`` pairs; foreign outlines count as visible background here."""
    everything = Ingredients.open(data, "test")
    large = tuple(
        e for e in everything.backgrounds if min(e["size"]) >= 0.9 * size and e.get("scene_kind") != "closeup"
    )
    photos = Ingredients(everything.root, large, everything.people, everything.occluders)
    rows = [background_row(np.random.default_rng((seed, i)), photos, size) for i in range(count)]
    return [(row.rgba[..., :3].copy(), row.regions == HOLE) for row in rows]


def sharpness(image: Image, where: Image) -> float:
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY).astype(np.float32)
    gradient = np.hypot(cv2.Sobel(grey, cv2.CV_32F, 1, 0), cv2.Sobel(grey, cv2.CV_32F, 0, 1))
    inner = cv2.erode(where.astype(np.uint8), np.ones((5, 5), np.uint8)) > 0
    return float(gradient[inner if inner.any() else where].mean())


def scores(answer: Image, truth: Image, hole: Image) -> dict[str, float]:
    error = (answer.astype(np.float64) - truth)[hole]
    _, similarity = structural_similarity(truth, answer, channel_axis=2, data_range=255, full=True)
    return {
        "psnr": float(10 * np.log10(255**2 / max(1e-9, float((error**2).mean())))),
        "ssim": float(similarity.mean(2)[hole].mean()),
        "sharpness": sharpness(answer, hole) / max(1e-3, sharpness(truth, hole)),
    }


def mild_method(pipeline: MildPipeline, **switches: Any) -> Method:
    def run(photo: Image, hole: Image) -> Image:
        output = pipeline(
            image=photo,
            mask_image=hole,
            generator=torch.Generator().manual_seed(0),
            output_type="np",
            **switches,
        )
        return np.asarray(output.images[0])

    return run


def methods(model: str) -> dict[str, Method]:
    pipeline = load_pipeline(model)
    return {
        "telea": lambda p, h: np.asarray(cv2.inpaint(p, h.astype(np.uint8) * 255, 5, cv2.INPAINT_TELEA)),
        "patchmatch": lambda p, h: exemplar_fill(p, ~h, h),
        "mild, fill only": mild_method(pipeline, denoise=False),
        "mild": mild_method(pipeline),
        "mild, 4 steps": mild_method(pipeline, num_inference_steps=4),
        "mild, 20 steps": mild_method(pipeline, num_inference_steps=20),
        "mild, no detail": mild_method(pipeline, detail=False),
        "mild, denoiser only": mild_method(pipeline, prior=False, detail=False),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--data", default="../shared/data", help="folder with manifest.jsonl and the tars")
    parser.add_argument("--count", type=int, default=48)
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--model", default="mild-small")
    parser.add_argument("--methods", help="semicolon list; all by default")
    parser.add_argument("--json", type=Path, help="also write the figures here")
    args = parser.parse_args()
    chosen = methods(args.model)
    if args.methods:
        chosen = {name: chosen[name] for name in args.methods.split(";")}
    pairs = composites(args.data, args.count, args.size)
    table: dict[str, dict[str, float]] = {}
    print(f"{'method':22s} {'PSNR':>7s} {'SSIM':>6s} {'sharp':>6s} {'s':>6s}   ({len(pairs)} photos, {args.size} px)")
    for name, method in chosen.items():
        begun, rows = time.perf_counter(), []
        for truth, hole in pairs:
            # What a method may see: the photo with its hole painted over.
            damaged = truth.copy()
            damaged[hole] = 127
            answer = np.where(hole[..., None], method(damaged, hole), truth)
            rows.append(scores(answer, truth, hole))
        table[name] = {key: float(np.mean([r[key] for r in rows])) for key in rows[0]}
        table[name]["seconds"] = (time.perf_counter() - begun) / len(pairs)
        line = table[name]
        print(
            f"{name:22s} {line['psnr']:7.2f} {line['ssim']:6.3f} {line['sharpness']:6.2f} {line['seconds']:6.2f}",
            flush=True,
        )
    if args.json:
        args.json.write_text(json.dumps(table, indent=1))


if __name__ == "__main__":
    main()
