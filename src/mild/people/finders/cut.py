"""The border between two people who touch: a minimum cut where their colours and the edges of the photo say.

Skeletons decide who is nearer to a pixel, which draws straight borders through faces; where the masks were drawn anew,
these decide. In a zone around the contact the border is drawn along the photo: each pixel costs what this and the two
people's colours say against it, each pair of neighbours that is separated costs more the more alike the two pixels
are, and the cheapest border is a minimum cut (Boykov & Jolly 2001; the colours as in GrabCut, Rother et al. 2004).
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from mild.people.finders.blaze_candidates import Candidate
from mild.people.finders.blaze_masks import body_length, claim_score, field
from mild.people.finders.cheapest import DIRECTIONS, cheapest_border, pairs
from mild.people.scene import BoolMask, Box

Floats = NDArray[np.float32]

#: The zone reaches this far from the contact, colours are learned this far from the zone; in body lengths.
ZONE, AROUND = 0.15, 0.35
#: What claims (of skeletons, or of outlines drawn anew) and colours weigh, and the most that each may say.
_CLAIMS, _COLOURS, _MOST_CLAIMS, _MOST_COLOURS = 0.4, 0.7, 6.0, 4.0
#: What one's own head says.
_HEADS, _HUSH = 3.0, 0.5
#: What separating two equal neighbours costs, and the difference (Lab, 8 bits) that makes it cheap.
_SEPARATE, _CONTRAST = 6.0, 8.0
_BINS, _LEAST_COLOUR = 12, 30
#: A body is about this long on the grid on which the border is sought.
_BODY_CELLS = 200


@dataclass(frozen=True)
class Side:
    """One of the two.

    Attributes:
        candidate: its soft mask and skeleton.
        mask: the pixels ``[h, w]`` of the window that are this person's so far.
    """

    candidate: Candidate
    mask: BoolMask


def contact_window(a: Box, b: Box, one: Candidate, two: Candidate, scale: float, size: tuple[int, int]) -> Box | None:
    """The part of the photo in which two people's border may run; None when their boxes do not meet.

    Args:
        a, b: boxes of the claims, photo pixels.
        one, two: their candidates.
        scale: pixels of the picture that the nets saw per pixel of the photo.
        size: ``(height, width)`` of the photo.
    """
    common = a.grow(2, size).intersect(b.grow(2, size))
    if common.width <= 0 or common.height <= 0:
        return None
    body = min(body_length(one), body_length(two)) / scale
    return common.grow(round((ZONE + AROUND) * body), size)


def border(
    pixels: NDArray[np.uint8], window: Box, first: Side, second: Side, scale: float
) -> tuple[BoolMask, BoolMask] | None:
    """Who owns what in the zone around the contact.

    Args:
        pixels: of the window, uint8 ``[h, w, 3]``.
        window: see :func:`contact_window`.
        first, second: the two people.
        scale: as there.

    Returns:
        The zone and, in it, the first person's pixels, both bool ``[h, w]``; None when they do not touch.
    """
    body = min(body_length(first.candidate), body_length(second.candidate)) / scale
    shrink = min(1.0, _BODY_CELLS / max(body, 1.0))
    grid = (max(1, round(window.width * shrink)), max(1, round(window.height * shrink)))
    small = np.asarray(cv2.resize(pixels, grid, interpolation=cv2.INTER_AREA), np.uint8)
    mine, yours = (_on_grid(side.mask, grid) for side in (first, second))
    yours &= ~mine
    fields = [field(side.candidate, window, grid, scale) for side in (first, second)]
    zone = _zone(mine, yours, (fields[0][0] > 0.5) & (fields[1][0] > 0.5), max(3, round(ZONE * body * shrink)))
    if not zone.any():
        return None
    scores = [claim_score(*f, outlined=s.candidate.outlined) for f, s in zip(fields, (first, second), strict=True)]
    claims = np.clip(scores[0] - scores[1], -_MOST_CLAIMS, _MOST_CLAIMS)
    lab = np.asarray(cv2.cvtColor(small, cv2.COLOR_RGB2LAB), np.uint8)
    colours = _colour_vote(lab, zone, mine, yours, claims, 0.2 * body * shrink)
    heads = fields[0][2] - fields[1][2]
    towards = _CLAIMS * claims + _COLOURS * colours * (1 - _HUSH * np.abs(heads)) + _HEADS * heads
    won = minimum_cut(lab, towards, zone, mine & ~zone, yours & ~zone)
    # On the photo's grid the border is the zero of the interpolated sides, which has no stairs.
    sides = np.where(zone, won, mine).astype(np.float32) - np.where(zone, zone & ~won, yours)
    full = (window.width, window.height)
    smooth = cv2.resize(cv2.GaussianBlur(sides, (3, 3), 0), full, interpolation=cv2.INTER_LINEAR)
    within = cv2.resize(zone.astype(np.uint8), full, interpolation=cv2.INTER_NEAREST) > 0
    return within, within & (smooth > 0)


def minimum_cut(lab: NDArray[np.uint8], towards: Floats, zone: BoolMask, first: BoolMask, second: BoolMask) -> BoolMask:
    """The cells of a zone that go to the first side, ``[h, w]``.

    Args:
        lab: colours ``[h, w, 3]``.
        towards: what each cell says for the first (positive) or the second side.
        zone: the cells to be shared out.
        first, second: cells beside the zone that are surely the one's or the other's.
    """
    smooth = cv2.GaussianBlur(lab.astype(np.float32), (0, 0), 0.8)
    pull = np.where(zone, towards, 0).astype(np.float32)
    links = np.zeros((len(DIRECTIONS), *zone.shape), np.float32)
    for link, (dy, dx) in zip(links, DIRECTIONS, strict=True):
        a, b = pairs(zone.shape, (dy, dx))
        alike = np.exp(-((smooth[a] - smooth[b]) ** 2).sum(-1) / (2 * _CONTRAST**2)) * (_SEPARATE / np.hypot(dy, dx))
        link[a] = alike * (zone[a] & zone[b])
        for here, there in ((a, b), (b, a)):
            pull[here] += alike * zone[here] * (first[there].astype(np.float32) - second[there])
    return cheapest_border(pull, links, zone)


def log_histogram(lab: NDArray[np.uint8], cells: BoolMask, weights: Floats | None = None) -> Floats:
    """Log of how usual each colour of ``lab`` ``[h, w, 3]`` is among some cells, ``[h, w]``."""
    bins = lab.astype(np.int32) * _BINS // 256
    counts = np.zeros((_BINS,) * 3, np.float32)
    np.add.at(counts, tuple(bins[cells].T), 1.0 if weights is None else weights[cells])
    counts = _blurred(counts, 0.8)
    share = np.log(counts / (counts.sum() + 1e-6) + 2e-5)
    out: Floats = share[bins[..., 0], bins[..., 1], bins[..., 2]].astype(np.float32)
    return out


def _blurred(cube: Floats, sigma: float) -> Floats:
    """A Gaussian blur along all three axes, mirrored at the ends."""
    reach = int(4 * sigma + 0.5)
    kernel = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma) ** 2)
    for axis in range(3):
        wide = np.moveaxis(
            np.pad(cube, [(reach, reach) if a == axis else (0, 0) for a in range(3)], "symmetric"), axis, 0
        )
        parts = [share * wide[k : k + cube.shape[axis]] for k, share in enumerate(kernel / kernel.sum())]
        cube = np.moveaxis(np.sum(parts, 0), 0, axis).astype(np.float32)
    return cube


def _colour_vote(
    lab: NDArray[np.uint8], zone: BoolMask, mine: BoolMask, yours: BoolMask, claims: Floats, reach: float
) -> Floats:
    away = cv2.distanceTransform((~zone).astype(np.uint8), cv2.DIST_L2, 3)
    weights = np.exp(-((away / max(reach, 1.0)) ** 2)).astype(np.float32)
    own = (mine & ~zone) | (zone & (claims > 3))
    other = (yours & ~zone) | (zone & (claims < -3))
    if min(own.sum(), other.sum()) <= _LEAST_COLOUR:
        return np.zeros(zone.shape, np.float32)
    vote = log_histogram(lab, own, weights) - log_histogram(lab, other, weights)
    return np.clip(vote, -_MOST_COLOURS, _MOST_COLOURS).astype(np.float32)


def _zone(mine: BoolMask, yours: BoolMask, common: BoolMask, reach: int) -> BoolMask:
    three = np.ones((3, 3), np.uint8)
    line = (cv2.dilate(mine.astype(np.uint8), three) > 0) & yours
    line |= (cv2.dilate(yours.astype(np.uint8), three) > 0) & mine
    if not line.any():
        return line
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * reach + 1, 2 * reach + 1))
    near: BoolMask = cv2.dilate((line | (common & (mine | yours))).astype(np.uint8), disc) > 0
    return near & (mine | yours)


def _on_grid(mask: BoolMask, grid: tuple[int, int]) -> BoolMask:
    return np.asarray(cv2.resize(mask.astype(np.uint8) * 255, grid, interpolation=cv2.INTER_AREA) > 127)
