"""Does an outline by hand lie beside whom it is drawn around? (ours)

An outline that was made for another size of the photo, or for the frame before, is right in shape and some pixels off:
on one side a strip of the person is left, on the other the surroundings are inside. Where the border really runs is
looked for along the outline's normals, as the path that follows the clearest border (an active contour by dynamic
programming: Amini, Weymouth, Jain, PAMI 1990). An outline is moved only where one shift, and one growth, explain most
of the path: what is only here and there at fault, or wide all around, stays as it is.
"""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from mild.people.scene import Box, Person
from mild.photo.grid import fitted

BoolMask = NDArray[np.bool_]
Float = NDArray[np.float32]

#: An outline by hand may lie so many of a margin's reaches beside whom it is drawn around.
MOVED = 2
#: So much of the path's distance from the outline must be explained, and so much of the outline must move outwards by
#: more than a pixel. Of 60 outlines of train scenes this moves 1, of the same drawn roughly none, of the same shifted
#: 47 (``bench/margins.py --moved 60 --split train``).
EXPLAINED, OUTWARDS = 0.3, 0.15
#: Width of the two sides of a border that are compared, pixels, and the contrast (CIELAB, 8 bits) that is clear.
SIDE, CLEAR = 2, 40.0
#: What a pixel away from the outline costs a step of the path, and what a pixel away from the step before.
AWAY, BENT = 0.8, 8.0
#: Every so manieth pixel of the outline is a step; of an outline of many pixels, so many.
STEP, MOST = 2, 6000
#: A fit is as good as this, pixels of what is looked at; so much more is taken.
HALF = 0.5
#: Weights of the fit are renewed so often.
ROUNDS = 8
#: Longest side, pixels, of what is looked at.
LOOKED_AT = 512


class Path(NamedTuple):
    """Along one closed outline, for each of ``n`` steps: the outward normal ``[n, 2]``, how far outside the border runs
    ``[n]``, pixels, and how clear it is there ``[n]``, 0..1."""

    normals: Float
    away: Float
    clear: Float


def moved(photo: NDArray[np.uint8], person: Person, reach: int) -> Person | None:
    """The person with the outline where it belongs; None: it does not lie beside them.

    Args:
        photo: uint8 ``[H, W, 3]``.
        reach: pixels, how far off an outline may be.
    """
    window = person.box.grow(3 * reach, (photo.shape[0], photo.shape[1]))
    shape, scale = fitted(window.width, window.height, LOOKED_AT)
    whole = np.zeros((window.height, window.width), np.uint8)
    whole[person.box.inside(window).slices] = person.mask * np.uint8(255)
    drawn, seen = whole, np.ascontiguousarray(photo[window.slices])
    if scale < 1:
        drawn, seen = (np.asarray(cv2.resize(i, shape, interpolation=cv2.INTER_AREA), np.uint8) for i in (drawn, seen))
    colours = cv2.cvtColor(seen, cv2.COLOR_RGB2LAB).astype(np.float32)
    found = paths(colours, drawn > 127, max(3, round(reach * scale)))
    fit = common(found) if found else None
    if fit is None:
        return None
    right, down, growth = (float(v) / scale for v in fit)
    shift = np.array([[1, 0, right], [0, 1, down]], np.float32)
    # What the photo's edge cuts goes on outside.
    there = cv2.warpAffine(whole, shift, (window.width, window.height), borderMode=cv2.BORDER_REPLICATE) > 127
    inside, outside = (cv2.distanceTransform(m.view(np.uint8), cv2.DIST_L2, 5) for m in (there, ~there))
    there = np.asarray(outside - inside <= growth + HALF / scale)
    if not there.any():
        return None
    tight = Box.around(there)
    return Person(person.id, tight.offset(window), np.ascontiguousarray(there[tight.slices]), source=person.source)


def paths(colours: Float, mask: BoolMask, reach: int) -> list[Path]:
    """Where the border runs, up to ``reach`` pixels inside and outside of each outline of ``mask [h, w]``.

    ``colours [h, w, 3]``: CIELAB of 8 bits.
    """
    soft = cv2.GaussianBlur(mask.astype(np.float32), (0, 0), 2.0)
    slopes = [cv2.Sobel(soft, cv2.CV_32F, *d) for d in ((1, 0), (0, 1))]
    outlines, _ = cv2.findContours(mask.view(np.uint8), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
    height, width = mask.shape
    step = max(STEP, -(-sum(map(len, outlines)) // MOST))
    # Between two samples lies the border that is so far from the outline.
    samples = np.arange(-reach - SIDE, reach + SIDE, dtype=np.float32) + np.float32(1)
    offsets = np.arange(-reach, reach + 1)
    out: list[Path] = []
    for outline in outlines:
        points = outline[::step, 0]
        if len(points) < 8:
            continue
        x, y = points.T
        normals = -np.stack([slope[y, x] for slope in slopes], 1)
        normals /= np.maximum(np.hypot(*normals.T), 1e-6)[:, None]
        across, down = (points[:, k, None] + normals[:, k, None] * samples for k in range(2))
        profile = cv2.remap(
            colours, across.astype(np.float32), down.astype(np.float32), cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_REPLICATE,
        )  # fmt: skip
        profile = cv2.GaussianBlur(profile, (1, 7), sigmaX=1e-3, sigmaY=1.5, borderType=cv2.BORDER_REFLECT_101)
        sums = np.cumsum(np.pad(profile, ((0, 0), (1, 0), (0, 0))), 1)
        at = SIDE + np.arange(len(offsets))
        inner, outer = (sums[:, at + k] - sums[:, at + k - SIDE] for k in (0, SIDE))
        contrast = np.minimum(np.sqrt(np.square((inner - outer) / SIDE).sum(2)), CLEAR).astype(np.float32)
        best = _clearest(contrast - np.float32(AWAY) * np.abs(offsets).astype(np.float32))
        clear = contrast[np.arange(len(best)), best] / np.float32(CLEAR)
        # Where the photo ends, nothing says where a border is.
        clear[(x == 0) | (y == 0) | (x == width - 1) | (y == height - 1)] = 0
        out.append(Path(normals.astype(np.float32), offsets[best].astype(np.float32), clear))
    return out


def common(found: list[Path]) -> Float | None:
    """What the paths have in common, ``[3]``: pixels to the right, down, and outwards; None: too little, or it does not
    lead outwards."""
    normals, away, clear = (np.concatenate(parts) for parts in zip(*found, strict=True))
    sides = np.concatenate([normals, np.ones((len(normals), 1), np.float32)], 1)
    fit = np.zeros(3, np.float32)
    for _ in range(ROUNDS):
        # Least absolute differences, by least squares with weights.
        weights = clear / np.maximum(np.abs(away - sides @ fit), 0.5)
        weighted = sides * weights[:, None]
        fit = np.linalg.solve(weighted.T @ sides + 1e-3 * np.eye(3, dtype=np.float32), weighted.T @ away)
    moves = sides @ fit
    was, left = (float((clear * np.abs(d)).sum()) for d in (away, away - moves))
    explained = left < (1 - EXPLAINED) * was
    return fit.astype(np.float32) if explained and float((moves > 1).mean()) > OUTWARDS else None


def _clearest(gains: Float) -> NDArray[np.intp]:
    """The column of each row of ``gains [n, m]`` on the path of most gain; a step to a next column costs ``BENT``."""
    steps, columns = gains.shape
    # Closed: it begins where one column stands out most.
    start = int(np.argmax(gains.max(1) - np.median(gains, 1)))
    gains = np.roll(gains, -start, 0)
    came = np.zeros((steps, columns), np.int8)
    best, padded = gains[0].copy(), np.full(columns + 2, -np.inf, np.float32)
    for row in range(1, steps):
        padded[1:-1] = best
        lower, upper = padded[:-2] - BENT, padded[2:] - BENT
        beside = np.maximum(lower, upper)
        straight = best >= beside
        came[row] = np.where(straight, 0, np.where(lower > upper, -1, 1))
        best = np.where(straight, best, beside) + gains[row]
    out = np.empty(steps, np.intp)
    out[-1] = column = int(best.argmax())
    for row in range(steps - 1, 0, -1):
        column += int(came[row, column])
        out[row - 1] = column
    return np.roll(out, start)
