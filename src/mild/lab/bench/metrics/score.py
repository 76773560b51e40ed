"""All figures of one answer, flat: ``raw.whole.psnr``, ``hole.ssim``, ``leak.total``, …

``raw`` is what the method gave; everything without it is composited: the photo outside the hole, the answer inside.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from mild.lab.bench.items import Item, Trial, ring_of
from mild.lab.bench.metrics import fidelity
from mild.lab.bench.metrics.features import Network, remove_score, similarity
from mild.lab.bench.metrics.layered import background_only, layer_figures
from mild.lab.bench.metrics.leakage import leakage, truth_owner
from mild.lab.bench.metrics.redetect import person_in
from mild.layers import LayerStack
from mild.paint.ghost import ghost
from mild.people.scene import BoolMask, Box
from mild.request import Finder

Rgb = NDArray[np.uint8]
Figures = dict[str, float | None]

#: Width of the ring around the hole, as a share of the photo's long side.
RING = 0.02
#: Least side of the window around the hole that windowed figures see.
LEAST_WINDOW = 192


@dataclass(frozen=True)
class Scoring:
    """What is measured.

    Attributes:
        finder: of person re-detection, which takes seconds and is done for a run's first seed; None leaves it out.
        flip: FLIP too (half a second for 512 px).
        networks: feature networks whose weights the user has.
    """

    finder: Finder | None = field(default_factory=lambda: Finder.model_validate({}))
    flip: bool = True
    networks: Sequence[Network] = ()


@dataclass(frozen=True)
class Areas:
    """Where figures are taken, bool ``[H, W]`` each.

    Attributes:
        hole: what was to be erased.
        ring: a band outside the hole.
        background: outside hole and people who stay.
        kept: where the truth shows people who stay, hidden parts included.
        completed: the part of ``kept`` inside the hole.
    """

    hole: BoolMask
    ring: BoolMask
    background: BoolMask
    kept: BoolMask
    completed: BoolMask

    @classmethod
    def of(cls, item: Item, hole: BoolMask) -> Areas:
        kept = truth_owner(item) > 0
        radius = max(4, round(RING * max(hole.shape)))
        return cls(hole, ring_of(hole, radius), ~hole & ~kept, kept, kept & hole)

    def named(self) -> dict[str, BoolMask]:
        return {name: getattr(self, name) for name in ("hole", "ring", "background", "kept", "completed")}


def composited(answer: Rgb, trial: Trial) -> Rgb:
    """The photo outside the mask, the answer inside."""
    return np.where(trial.mask[..., None], answer, trial.item.photo)


def score(
    answer: Rgb, trial: Trial, scoring: Scoring, stack: LayerStack | None = None, *, redetect: bool = True
) -> Figures:
    """Every figure that this item allows; one that it does not is left out."""
    item, hole = trial.item, trial.mask
    areas = Areas.of(item, hole)
    pasted = composited(answer, trial)
    figures: Figures = identity(answer, trial)
    figures["seam"] = fidelity.seam(pasted, hole, item.kept_mask)
    figures["ghost"] = ghost(pasted, item.scene.mask_of(item.erase))
    if item.truth is not None:
        figures |= against_truth(pasted, item.truth.photo, areas, scoring)
        same = np.array_equal(pasted, answer)
        raw = figures if same else against_truth(answer, item.truth.photo, areas, scoring)
        # In the hole both are one.
        figures |= {f"raw.{name}": raw[name] for name in list(raw) if name.split(".")[0] in _RAW}
        leak = leakage(pasted, item, hole)
        if leak is not None:
            figures |= {"leak.total": leak.total, "leak.colour": leak.colour, "leak.edges": leak.edges}
            figures["leak.kept"] = leak.kept
    if stack is not None:
        figures |= {f"layers.{name}": value for name, value in layer_figures(stack, item, hole).items()}
    if scoring.finder is not None and redetect:
        figures["redetected"] = float(person_in(pasted, item, hole, scoring.finder))
        if stack is not None:
            figures["layers.background_person"] = float(
                person_in(background_only(stack, hole), item, hole, scoring.finder)
            )
    for network in scoring.networks:
        figures |= _learned(network, pasted, item, hole)
    return figures


_RAW = ("whole", "ring", "background", "kept")


def identity(answer: Rgb, trial: Trial) -> Figures:
    """What the method itself left alone: shares of pixels that are the input's, bit for bit."""
    same = (answer == trial.item.photo).all(2)
    outside, kept = ~trial.mask, trial.item.kept_mask & ~trial.mask
    changed = ~same[trial.mask]
    return {
        "identity.outside": float(same[outside].mean()) if outside.any() else None,
        "identity.kept": float(same[kept].mean()) if kept.any() else None,
        "changed_in_hole": float(changed.mean()),
    }


def against_truth(picture: Rgb, truth: Rgb, areas: Areas, scoring: Scoring) -> Figures:
    """PSNR and SSIM of every region; windowed figures of the whole photo and of the hole's window."""
    similarity_map = fidelity.ssim_map(picture, truth)
    figures: Figures = {"whole.psnr": fidelity.psnr(picture, truth), "whole.ssim": float(similarity_map.mean())}
    for name, where in areas.named().items():
        if where.any():
            figures[f"{name}.psnr"] = fidelity.psnr(picture, truth, where)
            figures[f"{name}.ssim"] = float(similarity_map[where].mean())
    for number, value in enumerate(fidelity.bands(picture, truth, areas.hole), 1):
        figures[f"band.{number}"] = value
    figures["hole.sharpness"] = fidelity.sharpness(picture, truth, areas.hole)
    window = around(areas.hole).slices
    windowed: tuple[tuple[str, Callable[[Rgb, Rgb], float | None]], ...] = (
        ("ms_ssim", fidelity.ms_ssim),
        ("haarpsi", fidelity.haarpsi),
        ("gmsd", fidelity.gmsd),
    )
    for name, measure in windowed:
        figures[f"whole.{name}"] = measure(picture, truth)
        figures[f"window.{name}"] = measure(picture[window], truth[window])
    if scoring.flip and flip_missing() is None:
        seen = fidelity.flip_map(picture, truth)
        figures["whole.flip"] = float(seen.mean())
        figures["hole.flip"] = float(seen[areas.hole].mean())
    return figures


def around(hole: BoolMask) -> Box:
    """The hole's window: its box with a margin of 16 pixels, at least :data:`LEAST_WINDOW` wide where the photo is."""
    box = Box.around(hole)
    size = (hole.shape[0], hole.shape[1])
    short = LEAST_WINDOW - min(box.width, box.height)
    grown = box.grow(max(16, -(-short // 2)), size)
    # At the photo's edge a window grows to the one side only.
    x0, x1 = _widened(grown.x0, grown.x1, size[1])
    y0, y1 = _widened(grown.y0, grown.y1, size[0])
    return Box(x0, y0, x1, y1)


def _widened(low: int, high: int, limit: int) -> tuple[int, int]:
    missing = max(0, min(LEAST_WINDOW, limit) - (high - low))
    low = max(0, low - missing)
    return low, min(limit, max(high, low + min(LEAST_WINDOW, limit)))


def _learned(network: Network, picture: Rgb, item: Item, hole: BoolMask) -> Figures:
    window = around(hole).slices
    figures: Figures = {}
    if item.truth is not None:
        if network.kind == "lpips":
            figures[f"whole.{network.label}"] = network.distance(picture, item.truth.photo)
            figures[f"window.{network.label}"] = network.distance(picture[window], item.truth.photo[window])
        elif network.kind in ("dino", "clip"):
            figures[f"window.{network.label}"] = similarity(network, picture[window], item.truth.photo[window])
    if network.kind == "dino":
        figures[f"remove ({network.label})"] = remove_score(network, picture[window], hole[window])
    return figures


@lru_cache(maxsize=1)
def flip_missing() -> str | None:
    """Why there is no FLIP, or None."""
    try:
        import flip_evaluator  # noqa: F401
    except ImportError:
        return "the package flip-evaluator is not installed"
    return None
