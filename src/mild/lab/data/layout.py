"""Where people stand: on the ground, as tall as the perspective says, hiding each other as much as is wanted.

With the camera's height c above flat ground and the horizon at row y_h, whoever stands at row y is (y - y_h) * H / c
pixels tall (H: their height). So whoever stands lower in the picture is bigger, and heads of people of one height meet
the horizon at one place of their body. People whose feet are below the frame are cut off by it and never float.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from mild.lab.data.library import PERSON_PER_CAMERA, Cutout, Ground, Library
from mild.lab.data.sample import Scenario

#: Side of the small frame in which layouts are tried out.
SMALL = 64
#: Cut-outs are not enlarged more than this; they would look soft.
LARGEST = 1.45
#: Shares of people of each count, by scenario.
COUNTS: dict[Scenario, tuple[tuple[int, ...], tuple[float, ...]]] = {
    "human-human": ((2, 3, 4, 5, 6), (0.34, 0.3, 0.2, 0.1, 0.06)),
    "human-object": ((1, 2, 3, 4), (0.22, 0.42, 0.26, 0.1)),
    "human-background": ((1, 2, 3, 4), (0.34, 0.36, 0.2, 0.1)),
}


@dataclass(frozen=True)
class Figure:
    """A cut-out and where it goes, in fractions of the frame's side.

    Attributes:
        cutout: the person.
        flip: mirrored.
        height: of the whole body, also of what a half body does not show.
        feet: row of the feet; beyond 1 the frame cuts the person off.
        x: column of the middle.
    """

    cutout: Cutout
    flip: bool
    height: float
    feet: float
    x: float

    @property
    def cut(self) -> bool:
        return self.feet > 1.0

    def scale(self, size: int) -> float:
        """From the cut-out's pixels to those of a frame of this side."""
        return self.height * self.cutout.share * size / self.cutout.rgba.shape[0]

    def corner(self, size: int) -> tuple[int, int]:
        """``(x, y)`` of the window in a frame of this side."""
        width = self.cutout.rgba.shape[1] * self.scale(size)
        return round(self.x * size - width / 2), round((self.feet - self.height) * size)

    def width(self) -> float:
        return self.cutout.rgba.shape[1] * self.scale(1)


@dataclass(frozen=True)
class Arrangement:
    """People from the back to the front, and how much of each the others hide.

    Attributes:
        figures: sorted by their feet.
        hidden: ``[n, n]``, the share of person i that person j, in front, covers.
    """

    figures: tuple[Figure, ...]
    hidden: NDArray[np.float64]


def arrange(
    rng: Generator, library: Library, ground: Ground, scenario: Scenario, grey: bool, size: int
) -> Arrangement | None:
    """One try at a layout for a photo ``size`` pixels wide; None when it does not fit."""
    numbers, shares = COUNTS[scenario]
    count = int(rng.choice(numbers, p=shares))
    pace = float(PERSON_PER_CAMERA * rng.normal(1, 0.03))
    feet = _feet(rng, ground, pace, count, scenario)
    figures: list[Figure] = []
    chained = scenario == "human-human"
    chain = count if count < 3 else int(rng.integers(2, count + 1))
    used: set[str] = set()
    for i, (row, cut) in enumerate(feet):
        figure = _cast(rng, library, ground, pace, row, cut, grey, used, size)
        if figure is None:
            return None
        used.add(figure.cutout.entry["file"])
        if chained and 0 < i < chain:
            found = _beside(rng, figures[-1], figure, float(rng.uniform(0.1, 0.5)))
        else:
            found = _apart(rng, figures, figure, 0.25 if chained else 0.06)
        if found is None:
            return None
        figures.append(found)
    figures.sort(key=lambda f: f.feet)
    return _checked(figures)


def _feet(rng: Generator, ground: Ground, pace: float, count: int, scenario: Scenario) -> list[tuple[float, bool]]:
    """Rows of the feet, from the back to the front, and whether the frame shall cut the person off."""
    horizon = ground.horizon
    if ground.ground is not None:
        # Now and then somebody comes so close that the frame cuts their legs off.
        edge = 0.97 if rng.random() < 0.68 else 1.25
        low, high = max(ground.ground, horizon + 0.3 / pace), min(edge, horizon + 0.93 / pace)
        if high - low > 0.01:
            # The first one's place leaves room for those in front.
            top = high if count == 1 else low + 0.75 * (high - low)
            rows = [low + (top - low) * float(rng.random()) ** 0.5]
            while len(rows) < count:
                if scenario == "human-human":
                    rows.append(rows[-1] + float(rng.uniform(0.006, 0.05)))
                else:
                    rows.append(low + (high - low) * float(rng.random()) ** 0.6)
            rows.sort()
            return [(row if row < 0.985 else max(row, 1.03), row >= 0.985) for row in rows]
    # Nobody's feet are seen: as much of each body as fits between a head near the horizon and the frame's lower border.
    rows = []
    for _ in range(count):
        seen = float(rng.uniform(0.45, 0.85))
        height = (1 - horizon) * pace / max(0.2, 1 - (1 - seen) * pace)
        rows.append(horizon + height / pace)
    return [(row, True) for row in sorted(rows)]


def _cast(
    rng: Generator,
    library: Library,
    ground: Ground,
    pace: float,
    row: float,
    cut: bool,
    grey: bool,
    used: set[str],
    size: int,
) -> Figure | None:
    """Somebody for this place."""
    halves = cut and library.halves and rng.random() < 0.3
    pool = library.halves if halves else library.standing
    for _ in range(12):
        entry = pool[int(rng.integers(len(pool)))]
        cutout = library.cutout(entry)
        if entry["file"] in used or (cutout.grey and not grey):
            continue
        stature = cutout.stature * float(np.clip(rng.normal(1, 0.04), 0.9, 1.1))
        feet = row
        if cutout.share < 1:
            # A half body must reach the frame's lower border; whoever shows less stands nearer.
            least = (1 - ground.horizon) / max(0.15, 1 / pace - (1 - cutout.share) * stature)
            feet = max(row, ground.horizon + least * float(rng.uniform(1.0, 1.15)) / pace)
        height = (feet - ground.horizon) * pace * stature
        bottom = feet - (1 - cutout.share) * height
        if cut and bottom < 1.0:
            continue
        top = feet - height
        # Heads stay inside the frame.
        if top < 0.02 or (cut and top > 0.72) or height < 0.2:
            continue
        figure = Figure(cutout, bool(rng.random() < 0.5), height, feet, float(rng.uniform(0.15, 0.85)))
        if figure.scale(size) <= LARGEST:
            return figure
    return None


def _beside(rng: Generator, back: Figure, front: Figure, share: float) -> Figure | None:
    """``front`` where it hides about this share of ``back``."""
    mask = mask_of(back)
    area = max(1, int(mask.sum()))
    reach = (back.width() + front.width()) / 2
    offsets = np.linspace(-1, 1, 15) * reach
    rng.shuffle(offsets)
    best, error = None, 0.13
    for offset in offsets:
        x = back.x + float(offset)
        if not 0.08 < x < 0.92:
            continue
        moved = replace(front, x=x)
        difference = abs(float((mask & mask_of(moved)).sum()) / area - share)
        if difference < error:
            best, error = moved, difference
            if difference < 0.04:
                break
    return best


def _apart(rng: Generator, others: list[Figure], figure: Figure, most: float) -> Figure | None:
    """``figure`` where it and the others hide no more than this share of each other."""
    masks = [mask_of(other) for other in others]
    for _ in range(10):
        half = min(0.45, figure.width() / 2)
        moved = replace(figure, x=float(rng.uniform(0.04 + 0.8 * half, 0.96 - 0.8 * half)))
        own = mask_of(moved)
        area = max(1, int(own.sum()))
        common = [int((own & mask).sum()) for mask in masks]
        if all(c <= most * min(area, int(m.sum())) for c, m in zip(common, masks, strict=True)):
            return moved
    return None


def _checked(figures: list[Figure]) -> Arrangement | None:
    """Everybody must be seen well enough."""
    masks = [mask_of(figure) for figure in figures]
    count = len(figures)
    hidden = np.zeros((count, count))
    for i, mask in enumerate(masks):
        area = int(mask.sum())
        # The frame may cut a little off at the sides.
        whole = figures[i].cutout.share * figures[i].height * figures[i].width() * SMALL * SMALL
        if area < 0.006 * SMALL * SMALL or (not figures[i].cut and area < 0.25 * whole):
            return None
        covered = np.zeros_like(mask)
        for j in range(i + 1, count):
            common = mask & masks[j]
            hidden[i, j] = common.sum() / area
            covered |= common
        if covered.sum() > 0.68 * area:
            return None
    return Arrangement(tuple(figures), hidden)


def mask_of(figure: Figure, side: int = SMALL) -> NDArray[np.bool_]:
    """The person's outline in a small frame ``[side, side]``."""
    whole, scale = figure.cutout.rgba.shape, figure.scale(side)
    height, width = max(1, round(whole[0] * scale)), max(1, round(whole[1] * scale))
    small = cv2.resize(figure.cutout.small, (width, height), interpolation=cv2.INTER_AREA) > 127
    if figure.flip:
        small = small[:, ::-1]
    x, y = figure.corner(side)
    out = np.zeros((side, side), bool)
    x0, y0, x1, y1 = max(0, x), max(0, y), min(side, x + width), min(side, y + height)
    if x1 > x0 and y1 > y0:
        out[y0:y1, x0:x1] = small[y0 - y : y1 - y, x0 - x : x1 - x]
    return out
