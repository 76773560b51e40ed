"""Who stands in front of whom, guessed from one photo.

Nothing here measures depth. For each pair of people some cues vote, each in -1..1 (positive: the first is in front),
and the weighted votes are put into one order by ranked pairs (Tideman 1987): the clearest pairs are fixed first, and a
pair that would close a circle is dropped.

======= ====== =============================================================================================
cue     weight why
======= ====== =============================================================================================
lowest  2.5    the lower edge of what is seen of somebody: on level ground, whoever stands lower is nearer
area    2.4    who is nearer is larger, and nobody hides a part of them
feet    1.5    as ``lowest``, by the ankles; below the photo for a body that its lower edge cuts
height  -1.3   of two with equal areas a part of the taller is hidden; who is taller and as much larger is nearer still
solid   0.75   who fills more of their own convex hull: nobody took a bite out of them
bite    0.65   A lies inside B's convex hull: B's outline is not closed there, A took a bite out of it
======= ====== =============================================================================================

The last two only speak of people who touch. The weights are rounded ones of a logistic regression on made photos of
the train split; ``bench/order.py`` measures the result on the test split. What is no cue, since it was wrong more often
than right or added nothing: who won more of the pixels that both masks claimed, whose bones run under the other's mask,
how sure the finds and their keypoints are, the sizes of heads and trunks, on which side the border bulges.

The user can override the result (``Scene.order``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import cv2
import numpy as np

from mild.people.scene import BoolMask, Box, Person
from mild.photo.grid import fitted

WEIGHTS: Mapping[str, float] = {
    "lowest": 2.5, "area": 2.4, "feet": 1.5, "height": -1.3, "solid": 0.75, "bite": 0.65,
}  # fmt: skip

#: From this vote of ``bite`` on, one who also leads by all cues together surely stands in front.
BITTEN = 0.5
_ANKLES = (15, 16)
_SEEN = 0.5
#: Two people who touch are compared on a grid with this long side.
_GRID = 384


def estimate_order(people: Sequence[Person], size: tuple[int, int]) -> tuple[int, ...]:
    """Ids from the back to the front.

    Args:
        people: with exclusive masks.
        size: ``(height, width)`` of the photo.
    """
    votes: list[tuple[float, int, int]] = []
    for i, a in enumerate(people):
        for b in people[i + 1 :]:
            total = sum(WEIGHTS[name] * vote for name, vote in pair_votes(a, b, size).items())
            votes.append((total, a.id, b.id) if total >= 0 else (-total, b.id, a.id))
    return ranked([p.id for p in people], votes)


def placed(new: Person, people: Sequence[Person], order: Sequence[int], size: tuple[int, int]) -> tuple[int, ...]:
    """``order`` with somebody drawn by hand in it: in front, but behind whoever surely hides a part of them.

    What is drawn may be a thing, of which the cues know nothing; so they are believed only where somebody took a bite
    out of the outline and all cues together say the same. Whoever is drawn in front of somebody has them completed.

    Args:
        people: with exclusive masks, whose ids, back to front, are ``order``.
        size: ``(height, width)`` of the photo.
    """
    in_front = []
    for person in people:
        votes = pair_votes(person, new, size)
        if votes.get("bite", 0.0) >= BITTEN and sum(WEIGHTS[name] * vote for name, vote in votes.items()) > 0:
            in_front.append(order.index(person.id))
    at = min(in_front, default=len(order))
    return (*order[:at], new.id, *order[at:])


def pair_votes(a: Person, b: Person, size: tuple[int, int]) -> dict[str, float]:
    """The cues' votes for ``a`` in front of ``b``, each -1..1; cues that know nothing are left out."""
    tall = 0.1 * (a.box.height + b.box.height)
    votes = {
        "lowest": float(np.tanh((a.box.y1 - b.box.y1) / tall)),
        "area": float(np.tanh(np.log(max(1, a.area) / max(1, b.area)))),
        "feet": float(np.tanh((_feet(a, size) - _feet(b, size)) / tall)),
        "height": float(np.tanh(1.5 * np.log(a.box.height / b.box.height))),
    }
    common = a.box.grow(1, size).intersect(b.box.grow(1, size))
    if common.width > 0 and common.height > 0:
        votes |= _touching(a, b)
    return votes


def _touching(a: Person, b: Person) -> dict[str, float]:
    """The votes ``solid`` and ``bite`` of two people whose boxes meet."""
    window = a.box.union(b.box)
    grid, scale = fitted(window.width, window.height, _GRID)
    masks = [_on_grid(p, window, grid, scale) for p in (a, b)]
    hulls = [_hull(mask) for mask in masks]
    full = [int(mask.sum()) / max(1, int(hull.sum())) for mask, hull in zip(masks, hulls, strict=True)]
    votes = {"solid": float(np.clip(2 * (full[0] - full[1]), -1, 1))}
    bites = [int((hulls[1] & masks[0]).sum()), int((hulls[0] & masks[1]).sum())]
    if any(bites):
        votes["bite"] = (bites[0] - bites[1]) / (sum(bites) + 1)
    return votes


def ranked(ids: Sequence[int], votes: Sequence[tuple[float, int, int]]) -> tuple[int, ...]:
    """Ranked pairs: ``votes`` are (strength >= 0, front, back), one per pair. Back to front."""
    behind: dict[int, set[int]] = {i: set() for i in ids}  # everybody known to be behind the key, transitively
    for _, front, back in sorted(votes, key=lambda v: (-v[0], v[1], v[2])):
        if front in behind[back]:
            continue
        for other in ids:
            if other == front or front in behind[other]:
                behind[other] |= {back} | behind[back]
    return tuple(sorted(ids, key=lambda i: (len(behind[i]), i)))


def _on_grid(person: Person, window: Box, grid: tuple[int, int], scale: float) -> BoolMask:
    """The mask on a grid ``(width, height)`` over a window of the photo, ``[h, w]``."""
    box = person.box.inside(window)
    x0, y0 = min(grid[0] - 1, round(box.x0 * scale)), min(grid[1] - 1, round(box.y0 * scale))
    size = (max(1, min(grid[0], round(box.x1 * scale)) - x0), max(1, min(grid[1], round(box.y1 * scale)) - y0))
    small = cv2.resize(person.mask.astype(np.uint8) * 255, size, interpolation=cv2.INTER_AREA)
    out = np.zeros((grid[1], grid[0]), bool)
    out[y0 : y0 + size[1], x0 : x0 + size[0]] = small > 127
    return out


def _hull(mask: BoolMask) -> BoolMask:
    """The convex hull of a mask ``[h, w]``."""
    out = np.zeros(mask.shape, np.uint8)
    points = cv2.findNonZero(mask.astype(np.uint8))
    if points is not None:
        cv2.fillConvexPoly(out, cv2.convexHull(points), 1)
    return out > 0


def _feet(person: Person, size: tuple[int, int]) -> float:
    """Row of the feet; for a body cut by the lower edge, below the photo in proportion to what is missing."""
    points = person.keypoints
    if points is not None:
        ankles = points[list(_ANKLES)]
        seen = ankles[ankles[:, 2] > _SEEN]
        if len(seen):
            return float(seen[:, 1].max())
    if person.box.y1 >= size[0] - 1:
        return float(size[0] + 0.25 * person.box.height)
    return float(person.box.y1)
