"""The cross-domain attention gap of one job, as JSON and as a picture."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from mild.diffusion.cag import LayerCag
from mild.files import write_atomically
from mild.lab.plotting import plotting

Float = NDArray[np.float32]


#: What the sentence says where matplotlib is missing, and the extras that bring all that the report needs.
PLOTTED = ("The report on attention", "bench", "torch")


def write_report(
    layers: Sequence[LayerCag], photo: NDArray[np.uint8], table: Path, picture: Path, about: dict[str, Any]
) -> None:
    """Write both files, each whole or not at all.

    Args:
        layers: what the probe reported.
        photo: uint8 ``[H, W, 3]``, the input.
        table: of the JSON.
        picture: of the PNG.
        about: what the JSON says of the job beside the layers.
    """
    drawn = draw(layers, photo)
    text = json.dumps({**about, "layers": [layer.as_dict() for layer in layers]}, indent=1) + "\n"
    write_atomically(table, lambda stream: stream.write(text.encode()))
    write_atomically(picture, lambda stream: stream.write(drawn))


def draw(layers: Sequence[LayerCag], photo: NDArray[np.uint8]) -> bytes:
    """A PNG with one row per layer: CAG over blocks and timesteps, and where the leakage went.

    In the overlay the hole is red where its attention went to foreign pixels, and foreign pixels are blue where they
    were listened to.
    """
    height = sum(_height(layer) for layer in layers)
    figure = plotting(*PLOTTED)(figsize=(11, height + 0.4), layout="constrained")
    grid = figure.subplots(
        len(layers), 2, squeeze=False, height_ratios=[_height(layer) for layer in layers], width_ratios=(1, 1.1)
    )
    for layer, (left, right) in zip(layers, grid, strict=True):
        image = _heat(left, layer)
        figure.colorbar(image, ax=left, label="CAG", fraction=0.05)
        _overlay(right, layer, photo)
    stream = io.BytesIO()
    figure.savefig(stream, format="png", dpi=110)
    return stream.getvalue()


def _height(layer: LayerCag) -> float:
    return max(3.2, 0.22 * len(layer.blocks) + 1.2)


def _heat(axes: Any, layer: LayerCag) -> Any:
    image = axes.imshow(layer.cag, vmin=-1, vmax=1, cmap="RdBu", aspect="auto", interpolation="nearest")
    names = [f"{short(path)}  ({tokens})" for path, tokens in zip(layer.blocks, layer.tokens, strict=True)]
    axes.set_yticks(range(len(names)), names, fontsize=8)
    count = len(layer.timesteps)
    shown = range(0, count, max(1, -(-count // 10)))
    axes.set_xticks(list(shown), [f"{layer.timesteps[i]:.0f}" for i in shown], fontsize=8)
    axes.set_xlabel("timestep")
    axes.set_ylabel("block (tokens)")
    gap, per_area = layer.mean(layer.cag), layer.mean(layer.area)
    values = [f"CAG {gap:.3f}" if gap is not None else "", f"per area {per_area:.3f}" if per_area is not None else ""]
    axes.set_title(", ".join([layer.layer.name, *filter(None, values)]), fontsize=10, loc="left")
    if len(names) * count <= 80:
        for (i, j), value in np.ndenumerate(layer.cag):
            axes.text(
                j, i, f"{value:.2f}", ha="center", va="center", fontsize=7, color="k" if abs(value) < 0.6 else "w"
            )
    return image


def _overlay(axes: Any, layer: LayerCag, photo: NDArray[np.uint8]) -> None:
    crop = layer.layer.crop
    base = np.full((*layer.leak.shape, 3), 255, np.uint8) if crop is None else photo[crop.slices]
    size = (base.shape[0], base.shape[1])
    grey = cv2.cvtColor(np.ascontiguousarray(base), cv2.COLOR_RGB2GRAY)
    picture: Float = np.repeat((0.45 + 0.55 * grey.astype(np.float32) / 255)[..., None], 3, 2)
    leak, source = (on_crop(values, layer, size) for values in (layer.leak, layer.source))
    hole = on_crop(layer.layer.regions[1].numpy(), layer, size)
    picture = _tinted(picture, np.float32(0.5) * source, (0.10, 0.35, 0.80))
    picture = _tinted(picture, leak, (0.85, 0.10, 0.10))
    axes.imshow(np.clip(picture, 0, 1))
    if hole.any():
        axes.contour(hole, [0.5], colors="k", linewidths=0.8)
    inside = layer.leak[layer.layer.regions[1].numpy() > 0.5]
    lost = f"{100 * float(inside.mean()):.0f} % of the hole's attention leaks" if inside.size else "no hole"
    axes.set_title(f"{lost}\n(red: from here; blue: to here)", fontsize=9, loc="left")
    axes.set_axis_off()


def _tinted(picture: Float, strength: Float, colour: tuple[float, float, float]) -> Float:
    opacity = 0.8 * np.clip(strength, 0, 1)[..., None]
    return np.asarray(picture * (1 - opacity) + opacity * np.array(colour, np.float32), np.float32)


def on_crop(values: Float, layer: LayerCag, size: tuple[int, int]) -> Float:
    """A map ``[H, W]`` of the layer's canvas, enlarged to its crop of ``size = (height, width)``."""
    h, w = layer.layer.content or values.shape
    part = np.ascontiguousarray(values[:h, :w], np.float32)
    return np.asarray(cv2.resize(part, (size[1], size[0]), interpolation=cv2.INTER_LINEAR), np.float32)


def short(path: str) -> str:
    """``down_blocks.1.attentions.0.transformer_blocks.0.attn1`` -> ``down 1.0``; more parts where there are more."""
    numbers = [part for part in path.split(".") if part.isdigit()]
    if numbers and numbers[-1] == "0" and "transformer_blocks" in path:
        numbers = numbers[:-1]
    return f"{path.split('_')[0]} {'.'.join(numbers)}"
