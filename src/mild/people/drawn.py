"""What is drawn by hand over a scene: a mask of who goes, and pixels that are spared.

An outline by hand is the truth: the pixels of a mask are erased, around them no more than their margin
(:mod:`mild.plan.margin`) and what a coarse mask cut off (:mod:`mild.plan.cutoff`), and a find that contradicts it is
forgotten.
"""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
from numpy.typing import NDArray

from mild.errors import UsageError
from mild.people.order import placed
from mild.people.scene import DRAWN, SAME_BOX, BoolMask, Box, Person, Scene

#: A mask over this much of a find means that person.
MEANS_PERSON = 0.6
#: A find that shares more than this part of the mask, or of itself, with a mask by hand is the one who is marked.
SHARED = 0.15
#: A find that holds more than this part of the mask is the one who is marked, whoever else was found in the mask.
HOLDS = 0.7
#: Confidence from which a point of a face counts as seen; and how far apart, in sizes of a person, two heads are.
FACE_SEEN, HEADS_APART = 0.5, 0.12
#: A piece of a mask below this part of what is marked is nobody's own: a slip of the brush, a stray pixel.
SPECK = 0.01
#: A mask over more than this share of the photo leaves nothing to fill from.
WHOLE = 0.98
#: Sources of people whom nobody found.
UNSEEN = DRAWN | {"spared"}


def apply_drawn(
    scene: Scene, mask: BoolMask, kept: frozenset[int] = frozenset(), named: frozenset[int] = frozenset()
) -> tuple[Scene, set[int]]:
    """As :func:`apply_mask`, and whom the mask means know how they were found: a coarse mask cuts off hands and feet.

    Not so of clicks: what further clicks took away must not come back.
    """
    finds = {person.id: (person.box, person.mask) for person in scene.people if person.source not in UNSEEN}
    scene, chosen = apply_mask(scene, mask, kept, named)
    people = tuple(replace(p, found=finds[p.id]) if p.id in chosen & finds.keys() else p for p in scene.people)
    return Scene(scene.photo, people, scene.order), chosen


def apply_mask(
    scene: Scene, mask: BoolMask, kept: frozenset[int] = frozenset(), named: frozenset[int] = frozenset()
) -> tuple[Scene, set[int]]:
    """Exactly the true pixels of ``mask`` ``[H, W]`` get owners who are erased: an outline by hand is the truth.

    A find of whom MEANS_PERSON is covered goes, with the part of it that is marked: what a finder drew beyond the mask
    (a chair, a neighbour) is nobody's. Any other find that shares more than SHARED of the mask or of itself with it is
    the one who goes, drawn wrongly, and is forgotten: it would be completed into the mask, and who was erased would be
    back. It stays only if it is surely another one (:func:`_another`) and holds no more than HOLDS of the mask. Who
    shares less loses the marked pixels.

    Args:
        kept: numbers of people who stay whatever the mask covers of them.
        named: numbers of people who go anyway; they keep their own outline.

    Raises:
        UsageError: the mask is empty or whole, or covers a person of ``kept`` entirely.
    """
    if not mask.any():
        raise UsageError("The mask is empty: mark at least one pixel in white.")
    if mask.mean() > WHOLE:
        raise UsageError("The mask covers the whole photo, so there is nothing left to fill from; mark less.")
    marked = int(mask.sum())
    common = {p.id: int((mask[p.box.slices] & p.mask).sum()) for p in scene.people}
    chosen = {p.id for p in scene.people if common[p.id] >= MEANS_PERSON * p.area and p.id not in kept | named}
    rest = mask.copy()
    people: list[Person] = []
    for person in scene.people:
        part = common[person.id]
        inside = person.mask & mask[person.box.slices]
        if person.id in chosen or (person.id in named and part):
            rest[person.box.slices] &= ~person.mask
            if person.id in chosen and part < person.area:
                person = _reduced(person, inside, scene.size)
        elif part:
            if person.id in kept and part == person.area:
                raise UsageError(f"The mask covers person {person.id}, who is to be kept; say only one.")
            much = part > SHARED * marked or part > SHARED * person.area
            if much and person.id not in kept and (part > HOLDS * marked or not _another(person, scene, mask, chosen)):
                continue
            person = _reduced(person, person.mask & ~inside, scene.size)
        people.append(person)
    people, rest = _join_edges(people, chosen, rest)
    people, rest = _join_specks(people, chosen, rest, SPECK * marked)
    order = tuple(number for number in scene.order if number in {p.id for p in people})
    if rest.any():
        new = Person.from_mask(scene.next_id, rest, source="mask")
        order = placed(new, people, order, scene.size)
        people.append(new)
        chosen.add(new.id)
    # Their outline is the user's now.
    people = [replace(p, source="mask", sure=True) if p.id in chosen else p for p in people]
    return Scene(scene.photo, tuple(people), order), chosen


def spare(scene: Scene, mask: BoolMask, chosen: set[int]) -> tuple[Scene, set[int]]:
    """Take every true pixel of ``mask`` ``[H, W]`` away from what is erased.

    The pixels become an uncertain find that is not chosen: like a person's who stays, they are then neither widened
    into nor painted over. Whoever is wholly spared is not chosen any more.

    Raises:
        UsageError: nothing is left to erase.
    """
    people: list[Person] = []
    left = set(chosen)
    for person in scene.people:
        rest = person.mask & ~mask[person.box.slices]
        if person.id in chosen and not rest.any():
            left.discard(person.id)
        elif person.id in chosen and not np.array_equal(rest, person.mask):
            person = _reduced(person, rest, scene.size)
        people.append(person)
    if chosen and not left:
        raise UsageError("Everything that was chosen is spared as well, so there is nobody to erase.")
    scene = Scene(scene.photo, tuple(people), scene.order)
    free = mask & ~scene.mask_of(p.id for p in people)
    if free.any():
        scene = scene.with_person(Person.from_mask(scene.next_id, free, sure=False, source="spared"))
    return scene, left


def _another(person: Person, scene: Scene, mask: BoolMask, chosen: set[int]) -> bool:
    """Is a find surely somebody else than whom the mask covers: their head seen outside it, and another's inside?

    Not if it has the mask's box: what is left of it lies in scraps around the mask, and no two people fill one box.
    """
    if Box.around(mask).shared(person.box) >= SAME_BOX:
        return False
    head = _head(person)
    if head is None or _is_in(head, mask):
        return False
    others = [h for p in scene.people if p.id in chosen and (h := _head(p)) is not None and _is_in(h, mask)]
    apart = HEADS_APART * max(person.box.width, person.box.height)
    return any(np.hypot(*(head - other)) > apart for other in others)


def _head(person: Person) -> NDArray[np.float64] | None:
    """Where (x, y) a person's face is, if it is seen."""
    if person.keypoints is None:
        return None
    seen = person.keypoints[:5][person.keypoints[:5, 2] > FACE_SEEN]
    return np.asarray(seen[:, :2].mean(0), np.float64) if len(seen) >= 2 else None


def _is_in(place: NDArray[np.float64], mask: BoolMask) -> bool:
    x, y = np.rint(place).astype(int)
    return bool(0 <= y < mask.shape[0] and 0 <= x < mask.shape[1] and mask[y, x])


def _reduced(person: Person, mask: BoolMask, size: tuple[int, int]) -> Person:
    """The same person with a part of their mask, in the window of their box."""
    full = np.zeros(size, bool)
    full[person.box.slices] = mask
    return person.with_mask(full)


def _join_edges(people: list[Person], chosen: set[int], rest: BoolMask) -> tuple[list[Person], BoolMask]:
    """Give each piece of ``rest`` that touches a chosen person and is smaller than half of them to that person."""
    if not chosen or not rest.any():
        return people, rest
    rest = rest.copy()
    count, pieces, stats, _ = cv2.connectedComponentsWithStats(rest.astype(np.uint8), connectivity=8)
    out = []
    for person in people:
        if person.id in chosen:
            window = person.box.grow(1, (rest.shape[0], rest.shape[1]))
            near = cv2.dilate(person.full_mask(rest.shape)[window.slices].astype(np.uint8), np.ones((3, 3), np.uint8))
            touching = [int(k) for k in np.unique(pieces[window.slices][near > 0]) if k]
            joined = [k for k in touching if 2 * stats[k, cv2.CC_STAT_AREA] < person.area and k < count]
            if joined:
                edge = np.isin(pieces, joined)
                pieces[edge] = 0
                rest &= ~edge
                person = person.with_mask(person.full_mask(rest.shape) | edge)
        out.append(person)
    return out, rest


def _join_specks(people: list[Person], chosen: set[int], rest: BoolMask, least: float) -> tuple[list[Person], BoolMask]:
    """Give what of ``rest`` lies in pieces of fewer than ``least`` pixels to the nearest of the chosen: it is erased
    like all that is marked, but is no person of its own."""
    going = [person for person in people if person.id in chosen]
    if not going or not rest.any():
        return people, rest
    _, pieces, stats, _ = cv2.connectedComponentsWithStats(rest.astype(np.uint8), connectivity=8)
    small = stats[:, cv2.CC_STAT_AREA] < least
    small[0] = False
    specks = small[pieces]
    if not specks.any():
        return people, rest
    masks = [person.full_mask(rest.shape) for person in going]
    away = [cv2.distanceTransform((~mask).view(np.uint8), cv2.DIST_L2, 5)[specks] for mask in masks]
    nearest = np.argmin(away, axis=0)
    for index, mask in enumerate(masks):
        mask[specks] = nearest == index
    larger = {person.id: person.with_mask(mask) for person, mask in zip(going, masks, strict=True)}
    return [larger.get(person.id, person) for person in people], rest & ~specks
