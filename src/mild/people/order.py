"""Who stands in front of whom, guessed from one photo.

Nothing here measures depth. For each pair of people some cues vote, each in -1..1 (positive: the first is in front),
and the weighted votes are put into one order by ranked pairs (Tideman 1987): the clearest pairs are fixed first, and a
pair that would close a circle is dropped.

========== ====== ==========================================================================================
cue        weight why
========== ====== ==========================================================================================
covering   1.0    a joint of B lies under the mask of A: A covers B there
contested  0.8    both masks claimed some pixels before the cut, and A's skeleton was nearer in most of them
feet       0.6    on level ground, whoever stands lower in the picture stands nearer
size       0.4    the larger body is nearer; weak, for children are small at any distance
========== ====== ==========================================================================================

The first two only speak of people who touch. The user can override the result (``Scene.order``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from mild.people.scene import Person

WEIGHTS: Mapping[str, float] = {"covering": 1.0, "contested": 0.8, "feet": 0.6, "size": 0.4}

_SHOULDERS, _HIPS, _ANKLES = (5, 6), (11, 12), (15, 16)
_SEEN = 0.5


def estimate_order(
    people: Sequence[Person],
    size: tuple[int, int],
    contested: Mapping[tuple[int, int], tuple[int, int]] | None = None,
) -> tuple[int, ...]:
    """Ids from the back to the front.

    Args:
        people: with exclusive masks.
        size: ``(height, width)`` of the photo.
        contested: for pairs of ids whose masks overlapped before the cut, the pixels that each of the two got.
    """
    contested = contested or {}
    votes: list[tuple[float, int, int]] = []
    for i, a in enumerate(people):
        for b in people[i + 1 :]:
            won = contested.get((a.id, b.id))
            if won is None and (b.id, a.id) in contested:
                won = contested[b.id, a.id][::-1]
            total = sum(WEIGHTS[name] * vote for name, vote in pair_votes(a, b, size, won).items())
            votes.append((total, a.id, b.id) if total >= 0 else (-total, b.id, a.id))
    return ranked([p.id for p in people], votes)


def pair_votes(a: Person, b: Person, size: tuple[int, int], won: tuple[int, int] | None = None) -> dict[str, float]:
    """The cues' votes for ``a`` in front of ``b``, each -1..1; cues that know nothing are left out."""
    votes: dict[str, float] = {}
    a_covers, b_covers = _joints_under(b, a), _joints_under(a, b)
    if a_covers or b_covers:
        votes["covering"] = (a_covers - b_covers) / (a_covers + b_covers + 1)
    if won is not None and sum(won) > 0.005 * min(a.area, b.area):
        votes["contested"] = (won[0] - won[1]) / sum(won)
    votes["feet"] = float(np.tanh((_feet(a, size) - _feet(b, size)) / (0.2 * (_reach(a) + _reach(b)) / 2)))
    votes["size"] = float(np.tanh(2 * np.log(_scale(a, b) / _scale(b, a))))
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


def _joints_under(person: Person, cover: Person) -> int:
    """How many joints of ``person`` lie inside the mask of ``cover``."""
    if person.keypoints is None:
        return 0
    points = person.keypoints
    xy = np.floor(points[:, :2] + 0.5).astype(np.int64) - (cover.box.x0, cover.box.y0)
    inside = (xy >= 0).all(1) & (xy[:, 0] < cover.box.width) & (xy[:, 1] < cover.box.height) & (points[:, 2] > 0)
    xy = xy[inside]
    return int(cover.mask[xy[:, 1], xy[:, 0]].sum())


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


def _reach(person: Person) -> float:
    return max(1.0, float(person.box.height))


def _scale(person: Person, other: Person) -> float:
    """Length of the trunk when both are known, otherwise the root of the visible area."""
    trunks = [_trunk(p) for p in (person, other)]
    if trunks[0] and trunks[1]:
        return trunks[0]
    return float(np.sqrt(person.area)) or 1.0


def _trunk(person: Person) -> float:
    points = person.keypoints
    if points is None or (points[list(_SHOULDERS + _HIPS), 2] < _SEEN).any():
        return 0.0
    middle: NDArray[np.float32] = points[list(_SHOULDERS), :2].mean(0) - points[list(_HIPS), :2].mean(0)
    # Seen from the side the trunk stays long while shoulders narrow; bending over shortens it, hence the floor.
    return max(float(np.hypot(*middle)), 0.1 * person.box.height)
