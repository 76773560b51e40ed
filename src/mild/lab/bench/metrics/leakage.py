"""Leakage error (ours): the energy of a foreign domain's colours and edges found in the hole.

Every hole pixel belongs, in truth, to one domain: the background, or a person who stays. What is visible of all other
domains, and whoever was erased, is foreign to it. Colours are CIELAB, in units of just about one noticeable step:

    own(p)     = distance of the answer's colour at p to the nearest of: the truth at p, the domain's own colours
    foreign(p) = distance to the nearest of the foreign colours
    leak(p)    = max(0, own² - foreign²) / (own² + foreign² + σ²),  σ = 5                         in [0, 1)

    colour  = mean of leak over the hole
    edges   = Σ beside(leak)·|∇answer|² / Σ |∇answer|²,  beside = the largest leak of a pixel and its eight neighbours
    leakage = (colour + edges) / 2

A fill that only mixes up its own domain's texture leaks nothing; the erased person left standing leaks nearly 1.
Foreign colours that the own domain has too cannot be told apart and count as own. Colours are the centres of k-means
clusters that hold at least 3 % of the pixels, so that stray pixels of a mask's edge are no colour of a domain.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from mild.lab.bench.items import Item
from mild.lab.bench.metrics.fidelity import gradient

Rgb = NDArray[np.uint8]
Mask = NDArray[np.bool_]
Lab = NDArray[np.float32]

#: CIELAB units below which colours are taken for equal.
SIGMA = 5.0
CLUSTERS, LEAST_SHARE, MOST_PIXELS = 12, 0.03, 4096
#: Pixels by which a foreign mask is eroded: mixed colours of an outline belong to both sides.
SHAVE = 2


@dataclass(frozen=True)
class Leakage:
    """One answer's leakage; None where the item has nothing foreign or no truth.

    Attributes:
        colour, edges, total: 0..1, see the module.
        kept: colour part, counting only people who stay as foreign; what CAG of the background speaks of.
        map: float32 ``[H, W]``, leak of every hole pixel, 0 elsewhere.
    """

    colour: float
    edges: float
    total: float
    kept: float | None
    map: NDArray[np.float32]


def leakage(answer: Rgb, item: Item, hole: Mask) -> Leakage | None:
    """Leakage of an answer ``[H, W, 3]`` in the hole ``[H, W]``."""
    if item.truth is None or not hole.any() or item.painted:
        return None
    seen, truth, photo = lab(answer), lab(item.truth.photo), lab(item.photo)
    visible = item.scene.label_map().astype(np.int32)
    erased = item.scene.mask_of(item.erase)
    owner = truth_owner(item)
    leak = np.zeros(hole.shape, np.float32)
    kept_sum, kept_pixels, any_foreign = 0.0, 0, False
    for domain in np.unique(owner[hole]):
        where = hole & (owner == domain)
        own_pixels = (visible == domain) & ~hole
        own = np.concatenate([colours(truth[where]), colours(photo[own_pixels])])
        gone = shaved(erased)
        others = shaved((visible != domain) & ~hole & ~erased) if domain else shaved((visible > 0) & ~hole & ~erased)
        foreign = [colours(photo[gone]), colours(photo[others])]
        own_distance = np.minimum(nearest(seen[where], own), np.linalg.norm(seen[where] - truth[where], axis=1))
        both = np.concatenate(foreign)
        if len(both):
            any_foreign = True
            leak[where] = _share(own_distance, nearest(seen[where], both))
        if len(foreign[1]):
            kept_sum += float(_share(own_distance, nearest(seen[where], foreign[1])).sum())
            kept_pixels += int(where.sum())
    if not any_foreign:
        return None
    colour = float(leak[hole].mean())
    energy = np.square(gradient(answer))[hole]
    beside = cv2.dilate(leak, np.ones((3, 3), np.uint8))[hole]
    edges = float((beside * energy).sum() / energy.sum()) if energy.sum() > 0 else 0.0
    return Leakage(colour, edges, (colour + edges) / 2, kept_sum / kept_pixels if kept_pixels else None, leak)


def truth_owner(item: Item) -> NDArray[np.int32]:
    """Whose pixel it is in the truth ``[H, W]``: 0 background, otherwise the id of a person who stays."""
    owner = np.where(item.kept_mask, item.scene.label_map().astype(np.int32), 0)
    if item.truth is None or not item.truth.people:
        return owner
    for person in item.truth.order or item.kept:
        if person in item.kept and person in item.truth.people:
            owner[item.truth.people[person][..., 3] > 127] = person
    return owner


def lab(image: Rgb) -> Lab:
    """CIELAB ``[H, W, 3]``: L 0..100, a and b about -127..127."""
    return np.asarray(cv2.cvtColor(image.astype(np.float32) / np.float32(255), cv2.COLOR_RGB2LAB))


def shaved(mask: Mask) -> Mask:
    """The mask without its edge; all of it where nothing would remain."""
    inner: Mask = cv2.erode(mask.astype(np.uint8), np.ones((2 * SHAVE + 1,) * 2, np.uint8)) > 0
    return inner if inner.any() else mask


def colours(pixels: Lab) -> Lab:
    """Cluster centres ``[k, 3]`` of pixels ``[n, 3]``; always the same for the same pixels."""
    if not len(pixels):
        return np.zeros((0, 3), np.float32)
    if len(pixels) > MOST_PIXELS:
        pixels = pixels[np.linspace(0, len(pixels) - 1, MOST_PIXELS).astype(np.int64)]
    pixels = np.ascontiguousarray(pixels, np.float32)
    if len(np.unique(pixels, axis=0)) <= CLUSTERS:
        centres, counts = np.unique(pixels, axis=0, return_counts=True)
    else:
        cv2.setRNGSeed(0)
        stop = (cv2.TERM_CRITERIA_EPS + cv2.TERM_CRITERIA_MAX_ITER, 20, 0.5)
        guess = np.zeros((len(pixels), 1), np.int32)
        _, labels, found = cv2.kmeans(pixels, CLUSTERS, guess, stop, 1, cv2.KMEANS_PP_CENTERS)
        centres = np.asarray(found, np.float32)
        counts = np.bincount(labels[:, 0], minlength=len(centres))
    kept = counts >= LEAST_SHARE * len(pixels)
    return np.asarray(centres[kept] if kept.any() else centres, np.float32)


def nearest(pixels: Lab, centres: Lab) -> NDArray[np.float32]:
    """Distance ``[n]`` of each pixel to the nearest centre."""
    if not len(centres):
        return np.full(len(pixels), np.inf, np.float32)
    best = np.full(len(pixels), np.inf, np.float32)
    for centre in centres:
        np.minimum(best, np.linalg.norm(pixels - centre, axis=1), out=best)
    return best


def _share(own: NDArray[np.float32], foreign: NDArray[np.float32]) -> NDArray[np.float32]:
    a, b = np.square(own), np.square(foreign)
    return np.asarray(np.maximum(0, a - b) / (a + b + SIGMA**2), np.float32)
