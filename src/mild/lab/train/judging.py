"""Figures and pictures of a run on rows that are never learned from."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from mild.diffusion.bodies import SOURCES, Hmg
from mild.lab.train.batches import Batch


def judged(
    make: Callable[[Batch, Hmg], torch.Tensor], batches: Sequence[Batch], hmg: Hmg, picture: Path | None, shown: int
) -> dict[str, Any]:
    """In the holes: PSNR of backgrounds (fill, answer, and the fill with the answer's low frequencies, as the pipeline
    uses it), their sharpness against the truth, the IoU of people's alpha and the error of their colour.

    With morphology guidance (``hmg`` not none) also the IoU for every choice of its sources.

    Args:
        make: answers ``[B, 4, H, W]`` for a batch, with these sources of guidance.
        shown: layers in the picture.
    """
    scores: dict[str, list[float]] = {}
    for number, batch in enumerate(batches):
        answer = make(batch, hmg)
        for name, values in score_rows(batch, answer).items():
            scores.setdefault(name, []).extend(values)
        if batch.bodies is not None and hmg != "none":
            choices: dict[str, Hmg] = {"none": "none", **{source: (source,) for source in SOURCES}}
            for name, choice in choices.items():
                other = score_rows(batch, make(batch, choice))
                scores.setdefault(f"alpha_iou_{name}", []).extend(other.get("alpha_iou", []))
        if picture is not None and number == 0:
            save_picture(picture, batch, answer, shown)
    return {name: round(float(np.mean(values)), 4) for name, values in scores.items() if values}


def score_rows(batch: Batch, answer: torch.Tensor) -> dict[str, list[float]]:
    """The figures of single rows."""
    rows, target = batch.rows, batch.target
    out: dict[str, list[float]] = {}
    correction = (answer[:, :3] - rows.fill) * rows.hole
    low = F.interpolate(F.avg_pool2d(correction, 4), scale_factor=4.0, mode="bilinear")
    blend = rows.fill + low * rows.hole
    sharp = [_sharpness(image, rows.hole) for image in (answer[:, :3], target[:, :3])]
    for i, domain in enumerate(rows.domains):
        hole = rows.hole[i] > 0
        if not bool(hole.any()):
            continue
        if domain == "background":
            for name, image in (("fill", rows.fill), ("answer", answer[:, :3]), ("blend", blend)):
                error = (image[i].clamp(-1, 1) - target[i, :3])[hole.expand(3, -1, -1)]
                out.setdefault(f"psnr_{name}", []).append(float(-10 * torch.log10(error.square().mean() / 4 + 1e-8)))
            out.setdefault("sharpness", []).append(float(sharp[0][i] / sharp[1][i].clamp(min=1e-4)))
        else:
            guess, truth = answer[i, 3:][hole] > 0, target[i, 3:][hole] > 0
            both = int((guess | truth).sum())
            # Nothing was hidden, and nothing was made: right.
            out.setdefault("alpha_iou", []).append(float((guess & truth).sum()) / both if both else 1.0)
            there = (target[i, 3:] > 0) & hole
            if bool(there.any()):
                error = (answer[i, :3] - target[i, :3])[there.expand(3, -1, -1)]
                out.setdefault("person_mse", []).append(float(error.square().mean()))
    return out


def save_picture(path: Path, batch: Batch, answer: torch.Tensor, count: int) -> None:
    """A PNG, a line per layer: what is visible, the fill, the answer, the truth; people over grey."""
    from PIL import Image

    rows = batch.rows
    order = _mixed(rows.domains)[:count]
    lines = []
    for i in order:
        cells = [rows.visible[i], rows.fill[i], _over_grey(answer[i]), _over_grey(batch.target[i])]
        lines.append(torch.cat([F.pad(cell.float().cpu(), (2, 2, 2, 2), value=1.0) for cell in cells], 2))
    sheet = torch.cat(lines, 1).clamp(-1, 1).permute(1, 2, 0).numpy()
    pixels: NDArray[np.uint8] = np.rint(sheet * 127.5 + 127.5).astype(np.uint8)
    Image.fromarray(pixels).save(path)


def _mixed(domains: Sequence[str]) -> list[int]:
    """Backgrounds and people in turn."""
    kinds = [[i for i, d in enumerate(domains) if (d == "background") == wanted] for wanted in (True, False)]
    longest = max(len(kind) for kind in kinds)
    return [kind[k] for k in range(longest) for kind in kinds if k < len(kind)]


def _over_grey(layer: torch.Tensor) -> torch.Tensor:
    return layer[:3] * ((layer[3:] + 1) / 2).clamp(0, 1)


def _sharpness(image: torch.Tensor, hole: torch.Tensor) -> torch.Tensor:
    """Mean absolute Laplacian in each row's hole ``[B]``."""
    kernel = image.new_tensor([[0, 1, 0], [1, -4, 1], [0, 1, 0]]).expand(3, 1, 3, 3)
    strength = F.conv2d(F.pad(image, (1, 1, 1, 1), mode="replicate"), kernel, groups=3).abs().mean(1, keepdim=True)
    total: torch.Tensor = (strength * hole).sum((1, 2, 3)) / hole.sum((1, 2, 3)).clamp(min=1)
    return total
