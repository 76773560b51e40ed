"""What goes with a person and is in no mask: a thing that is held or worn, a shadow. The user clicks it.

A thing is cut out by its colours: a rough region around the click teaches what it looks like, its surroundings what
it does not, and a minimum cut draws the border (see ``finders/cut.py``). A shadow is ground of the same colour but
darker: the region around the click that is darker than the lit ground beside it, as far as that is connected.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from mild.people.finders.cut import log_histogram, minimum_cut
from mild.people.manual import grow_from
from mild.people.scene import BoolMask, Box
from mild.photo import Photo
from mild.photo.grid import fitted

#: The window around the click that is looked at, as a part of the photo's long side; its grid's long side.
_WINDOW, _GRID = 0.3, 160
#: What the rough region is believed to, in the cut's units.
_COLOURS, _MOST = 1.0, 4.0
#: A shadow is darker than the ground by these factors of lightness, and of about the same colour (Lab, 8 bits).
_DARKER, _LIGHTEST, _SAME_COLOUR = 0.25, 0.88, 14.0
_LIT = 75
_LARGEST = 0.6


def attached(photo: Photo, x: int, y: int, taken: BoolMask) -> BoolMask:
    """The thing or the shadow at a pixel, ``[H, W]``, without the pixels of people (``taken``).

    Args:
        photo: the photo.
        x, y: a pixel of it inside the photo.
        taken: people's pixels ``[H, W]``.
    """
    height, width = photo.size
    side = max(16, round(_WINDOW * max(height, width)))
    window = Box(x - side, y - side, x + side + 1, y + side + 1).intersect(Box(0, 0, width, height))
    grid, _ = fitted(window.width, window.height, _GRID, least=2)
    small = np.asarray(cv2.resize(photo.pixels[window.slices], grid, interpolation=cv2.INTER_AREA), np.uint8)
    lab = np.asarray(cv2.cvtColor(small, cv2.COLOR_RGB2LAB), np.uint8)
    people = _to_grid(taken[window.slices], grid)
    spot = (
        min(grid[0] - 1, int((x - window.x0 + 0.5) * grid[0] / window.width)),
        min(grid[1] - 1, int((y - window.y0 + 0.5) * grid[1] / window.height)),
    )
    rough = _to_grid(grow_from(photo, x, y)[window.slices], grid) & ~people
    rough[spot[1], spot[0]] = True
    shadow = _shadow(lab, rough, people, spot)
    found = _thing(lab, rough, people, spot) if shadow is None else shadow
    full = np.zeros((height, width), bool)
    soft = cv2.resize(found.astype(np.float32), (window.width, window.height), interpolation=cv2.INTER_LINEAR)
    full[window.slices] = soft > 0.5
    full[y, x] = True
    return full & ~taken


def _thing(lab: NDArray[np.uint8], rough: BoolMask, people: BoolMask, spot: tuple[int, int]) -> BoolMask:
    near = cv2.dilate(rough.astype(np.uint8), np.ones((3, 3), np.uint8), iterations=max(2, _GRID // 16)) > 0
    beside = near & ~rough & ~people
    zone = near & ~people
    if beside.sum() < 8:
        return rough
    towards = np.clip(log_histogram(lab, rough) - log_histogram(lab, beside), -_MOST, _MOST) * _COLOURS
    clicked = cv2.circle(np.zeros(rough.shape, np.uint8), spot, 2, 1, -1) > 0
    towards = np.where(clicked, np.float32(50), towards).astype(np.float32)
    won = minimum_cut(lab, towards, zone, np.zeros_like(zone), ~near & ~people)
    return _piece(won, spot)


def _shadow(lab: NDArray[np.uint8], rough: BoolMask, people: BoolMask, spot: tuple[int, int]) -> BoolMask | None:
    """The shadow at a spot; None when what is there is no darker ground."""
    values = cv2.GaussianBlur(lab, (0, 0), 1.5).astype(np.float32)
    wide = cv2.dilate(rough.astype(np.uint8), np.ones((3, 3), np.uint8), iterations=max(3, _GRID // 10)) > 0
    beside = wide & ~rough & ~people
    if beside.sum() < 20:
        return None
    own = np.median(values[rough], axis=0)
    lightness = values[..., 0]
    lit = np.percentile(lightness[beside], _LIT)
    ground = np.median(values[beside & (lightness >= np.percentile(lightness[beside], 50))], axis=0)
    if not _DARKER * lit < own[0] < _LIGHTEST * lit or np.hypot(*(own[1:] - ground[1:])) > _SAME_COLOUR:
        return None
    middle = (own[0] + lit) / 2
    alike = np.hypot(*(values[..., 1:] - ground[1:]).transpose(2, 0, 1)) < _SAME_COLOUR
    dark = (lightness < middle) & (lightness > 0.6 * own[0]) & alike & ~people
    piece = _piece(dark, spot)
    piece |= _enclosed(piece, people, lightness < own[0])
    return piece if piece.any() and piece.mean() < _LARGEST else None


def _enclosed(piece: BoolMask, people: BoolMask, darker: BoolMask) -> BoolMask:
    """What a shadow and people enclose, where most of it is darker yet: its core, when the click was in its rim."""
    count, rest, stats, _ = cv2.connectedComponentsWithStats((~(piece | people)).astype(np.uint8), connectivity=4)
    height, width = piece.shape
    out = np.zeros_like(piece)
    for number in range(1, count):
        x, y, w, h = (int(v) for v in stats[number, :4])
        inner = x > 0 and y > 0 and x + w < width and y + h < height
        where = rest == number
        if inner and darker[where].mean() > 0.5:
            out |= where
    return out


def _piece(mask: BoolMask, spot: tuple[int, int]) -> BoolMask:
    """The connected piece of a mask that holds a spot."""
    _, pieces = cv2.connectedComponents(mask.astype(np.uint8), connectivity=8)
    number = pieces[spot[1], spot[0]]
    return np.asarray((pieces == number) & mask) if number else np.zeros_like(mask)


def _to_grid(mask: BoolMask, grid: tuple[int, int]) -> BoolMask:
    return np.asarray(cv2.resize(mask.astype(np.uint8) * 255, grid, interpolation=cv2.INTER_AREA) > 127)
