"""A test card for inpainters: finds the contract of an unknown file, and tests a known one each time it is loaded.

The card is a smooth ramp of colours with a hole. Under the right contract the known pixels come back as an affine image
of what went in (whose scale and offset give the output's range, and whose best fit gives the order of the colours), and
nothing is left of what was in the hole. What went in as black and white cannot be told from the known pixels of a net
that puts them back itself; there the fill decides, if one is clearly nearer to the ramp, or else the user is asked.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, replace
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from mild.errors import MildError, UsageError
from mild.models.contracts import FillContract, Layout, Range
from mild.models.inpainter import Inpainter

BoolMask = NDArray[np.bool_]
Float = NDArray[np.float32]

#: Mean difference of known pixels, 0..255, above which they did not come back.
CANARY = 14.0
#: Share of the hole that may still look like what was in it.
LEFT = 0.02
#: A fill must be nearer to the ramp than so many times the next one's distance to decide.
CLEARLY = 0.8
#: Pixels inside the hole up to which a net's own edge may keep something.
DEEP = 8
#: Share of the former pixels at the hole's edge that is worth widening the hole.
KEPT = 0.05
#: Every so manyth known pixel tells enough of the answer's range.
THIN = 7
#: Side of the card for nets of any size.
SIDE = 256
_MARKER = (255, 0, 255)
_RANGES: tuple[Range, ...] = ((0.0, 1.0), (-1.0, 1.0), (0.0, 255.0))


@dataclass(frozen=True)
class Card:
    """``rgb`` uint8 ``[h, w, 3]`` with the marker in the hole, ``truth`` without; ``ring``: known, not at the edge."""

    rgb: NDArray[np.uint8]
    truth: NDArray[np.uint8]
    hole: BoolMask
    ring: BoolMask

    @property
    def depth(self) -> NDArray[np.int64]:
        """How many pixels each hole pixel is inside the hole, ``[h, w]``; 0 outside."""
        return np.asarray(np.ceil(cv2.distanceTransform(self.hole.astype(np.uint8), cv2.DIST_L1, 3)), np.int64)

    @classmethod
    def of(cls, size: tuple[int, int], red: bool = False) -> Card:
        """Of a size; ``red``: a card of reds, which tells exchanged colours."""
        h, w = size
        y, x = np.mgrid[:h, :w].astype(np.float32)
        y, x = y / max(1, h - 1), x / max(1, w - 1)
        if red:
            planes = [0.7 + 0.2 * x, 0.12 + 0.1 * y, 0.12 + 0.1 * x * y]
        else:
            planes = [0.15 + 0.7 * x, 0.15 + 0.7 * y, 0.2 + 0.3 * x * y]
        truth = np.rint(np.stack(planes, 2) * 255).astype(np.uint8)
        hole = np.zeros(size, bool)
        # Not in the middle, so that a turned or mirrored answer is seen.
        hole[h // 4 : h - h // 4, w // 4 + w // 16 : w - w // 4 + w // 32] = True
        rgb = truth.copy()
        rgb[hole] = _MARKER
        edge = max(4, min(h, w) // 32)
        near = np.zeros(size, bool)
        ys, xs = np.nonzero(hole)
        near[max(0, ys[0] - edge) : ys[-1] + edge + 1, max(0, xs[0] - edge) : xs[-1] + edge + 1] = True
        return cls(rgb, truth, hole, ~near)


def self_test(net: Inpainter) -> None:
    """Run the card through a net as the product calls it.

    Raises:
        MildError: known pixels do not come back, the hole is not filled, or colours are exchanged.
    """
    size = net.size or (SIDE, SIDE)
    card = Card.of(size)
    answer = net(card.rgb, card.hole, blank=not net.contract.blanks)
    off = float(np.abs(answer - card.truth)[card.ring].mean())
    if off > CANARY:
        swapped = float(np.abs(answer[..., ::-1] - card.truth)[card.ring].mean())
        why = "its colours are exchanged" if swapped <= CANARY else "its mask or its ranges are not what they should be"
        raise MildError(
            f"{net.name} fails its test: pixels outside the hole come back {off:.0f} levels off; {why}. "
            "See `mild models --probe FILE`."
        )
    if _left(answer, card, blank=not net.contract.blanks) > LEFT:
        raise MildError(
            f"{net.name} fails its test: it leaves in the hole what was there. See `mild models --probe FILE`."
        )
    red = Card.of(size, red=True)
    inside = net(red.rgb, red.hole)[red.hole].mean(0)
    if inside[2] - inside[0] > CANARY:
        raise MildError(f"{net.name} fails its test: a hole in red is filled with blue, so its colours are exchanged.")


@dataclass(frozen=True)
class Found:
    """What the card told.

    Attributes:
        contract: the best one.
        error: mean difference of known pixels, 0..255.
        doubts: fields that the card cannot tell, with the values that fit equally well.
    """

    contract: FillContract
    error: float
    doubts: dict[str, list[Any]]


@dataclass(frozen=True)
class _Try:
    contract: FillContract
    error: float
    left: float
    off: float
    answer: NDArray[np.float64]


def probe(net: Inpainter) -> Found:
    """The contract of an inpainter; which it has now does not matter, but for its number of inputs.

    Raises:
        UsageError: under no contract do known pixels come back.
        MildError: it cannot be run at all.
    """
    one_input = net.contract.layout != "image+mask"
    multiple = 1 if net.size else _multiple(net)
    card = Card.of(net.size or (SIDE, SIDE))
    tries: list[_Try] = []
    failure: MildError | None = None
    for contract in _candidates(one_input, *net.bytes):
        contract = replace(contract, multiple=multiple)
        for blank in (True,) if one_input else (False, True):
            try:
                tried = _tried(net.under(contract), card, blank)
            except MildError as error:
                failure = error
                continue
            if tried is not None and tried.error <= CANARY and tried.left <= LEFT:
                blanks = not blank
                if blanks or not any(_same_call(t.contract, tried.contract) for t in tries):
                    grow = _kept(tried.answer, card) if blanks else 0
                    tries.append(replace(tried, contract=replace(tried.contract, blanks=blanks, grow=grow)))
    if not tries:
        if failure is not None:
            raise failure
        raise UsageError(
            f"{net.name} is no inpainter that is understood here: under no contract do known pixels come back."
        )
    return _decided(tries)


def _candidates(one_input: bool, bytes_in: bool, bytes_mask: bool) -> list[FillContract]:
    ranges = _RANGES[2:] if bytes_in else _RANGES
    masks: tuple[Range, ...] = ((0.0, 255.0), (255.0, 0.0)) if bytes_mask else ((0.0, 1.0), (1.0, 0.0))
    layouts: tuple[Layout, ...] = ("image+mask",)
    if one_input:
        masks, layouts = (*masks, (0.5, -0.5), (-0.5, 0.5)), ("image,mask", "mask,image")
    every = itertools.product(layouts, ranges, masks)
    return [FillContract(layout=lay, image_range=r, mask_range=m, least=64) for lay, r, m in every]


def _tried(net: Inpainter, card: Card, blank: bool) -> _Try | None:
    """The candidate with what the card tells of the answer's range and colours; None if known pixels are not kept."""
    out = net.raw(card.rgb, card.hole, blank=blank).astype(np.float64)
    truth = card.truth[card.ring][::THIN] / 255.0
    back = out[card.ring][::THIN]
    best: tuple[float, str, float, float] | None = None
    for colours in ("RGB", "BGR"):
        wanted = truth if colours == "RGB" else truth[:, ::-1]
        slope, low = np.polyfit(wanted.ravel(), back.ravel(), 1)
        if slope < 1e-3:
            continue
        error = 255 * float(np.abs(back - (slope * wanted + low)).mean() / slope)
        if best is None or error < best[0]:
            best = error, colours, float(low), float(slope + low)
    if best is None:
        return None
    error, colours, low, high = best
    if colours == "BGR":
        return None  # what goes in RGB comes out BGR: no net that is known does this
    low, high = _snapped(low, high)
    answer = np.clip((out - low) / (high - low), 0, 1) * 255
    off = float(np.abs(answer - card.truth)[card.hole].mean())
    contract = replace(net.contract, output_range=(low, high), composites=error < 0.5)
    return _Try(contract, error, _left(answer, card, blank=blank), off, answer)


def _decided(tries: list[_Try]) -> Found:
    # An answer in a range of its own comes of a wrong mask, when there is another that needs none.
    plain = [t for t in tries if t.contract.output_range in _RANGES] or tries
    tries = sorted(plain, key=lambda t: t.off)
    best = tries[0]
    doubts: dict[str, list[Any]] = {}
    for other in tries[1:]:
        if best.off <= CLEARLY * other.off:
            continue
        for name in ("layout", "image_range", "mask_range"):
            one, two = getattr(best.contract, name), getattr(other.contract, name)
            if one != two:
                doubts.setdefault(name, [one]).append(two)
    return Found(best.contract, best.error, {k: list(dict.fromkeys(v)) for k, v in doubts.items()})


def _left(answer: NDArray[Any], card: Card, *, blank: bool) -> float:
    """Share of the hole that still looks like what was put there: the marker, or nothing but black or grey zero."""
    inside = answer[card.hole & (card.depth > DEEP)]
    if not blank:
        return float((np.abs(inside - np.asarray(_MARKER)).max(1) < 64).mean())
    return float((inside.max(1) < 4).mean())


def _kept(answer: NDArray[Any], card: Card) -> int:
    """How many pixels deep the net's own edge keeps some of what was in the hole."""
    depth = card.depth
    towards = np.asarray(_MARKER) - card.truth.astype(np.float64)
    share = ((answer - card.truth) * towards).sum(2) / (towards**2).sum(2)
    deep = share[depth > DEEP].mean()
    kept = [d for d in range(1, DEEP + 1) if (depth == d).any() and share[depth == d].mean() - deep > KEPT]
    return max(kept, default=0)


def _same_call(a: FillContract, b: FillContract) -> bool:
    return (a.layout, a.image_range, a.mask_range) == (b.layout, b.image_range, b.mask_range)


def _snapped(low: float, high: float) -> Range:
    for known in _RANGES:
        if abs(low - known[0]) + abs(high - known[1]) < 0.03 * (known[1] - known[0]):
            return known
    return round(low, 4), round(high, 4)


def _multiple(net: Inpainter) -> int:
    """The smallest of some numbers of which the sides must be multiples."""
    for multiple in (1, 8, 16, 32, 64):
        side = 128 + multiple
        card = Card.of((side, side))
        try:
            net.under(replace(net.contract, multiple=multiple))(card.rgb, card.hole)
        except MildError:
            continue
        return multiple
    raise UsageError(f"{net.name} takes no picture of 129 to 192 pixels square, so its size rule is not understood.")
