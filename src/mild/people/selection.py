"""Whom does the user mean: a :class:`Selection` applied to a :class:`Scene`.

Numbers name people that were found. Points, boxes and masks mean the person there, or else become a new region of the
scene. What is marked by hand wins over what was found: every pixel of the mask is erased, and pixels that it takes from
a person who stays become hidden parts of that person.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np

from mild.errors import UsageError
from mild.people import manual
from mild.people.finders.coco import decode_rle
from mild.people.scene import BoolMask, Box, Person, Scene
from mild.photo import read_mask
from mild.request import Selection

#: A mask over this much of a person means the whole person.
MEANS_PERSON = 0.6
#: A box means the found people of whom this much is inside, if together they fill it to BOX_FIT.
IN_BOX, BOX_FIT = 0.8, 0.5
#: A click this far outside a mask (fraction of the photo's long side) still means that person.
CLICK_SLACK = 0.004
#: A mask over more than this share of the photo leaves nothing to fill from.
WHOLE = 0.98
_BY_HAND = "mark somebody by hand with a click, a box or a mask"


def select(scene: Scene, selection: Selection) -> tuple[Scene, tuple[int, ...]]:
    """The scene, with a person added for each region marked by hand, and the ids to erase, sorted.

    Uncertain finds are neither erased nor kept as people unless their numbers are named (or they are clicked).

    Raises:
        UsageError: nobody is chosen or found, a number does not exist, a point or box is outside the photo, a mask is
            empty or covers the whole photo or a person who is to be kept.
    """
    if selection.empty:
        raise UsageError("Nobody is chosen: name people by number, say everyone, or mark a point, a box or a mask.")
    chosen = set(_by_number(scene, selection))
    kept = frozenset(selection.keep or ())
    for x, y in selection.points:
        scene, number = _at_point(scene, x, y)
        chosen.add(number)
    for corners in selection.boxes:
        scene, numbers = _in_box(scene, Box(*corners))
        chosen |= numbers
    if selection.mask is not None:
        scene, numbers = apply_mask(scene, read_mask(Path(selection.mask), scene.size), kept)
        chosen |= numbers
    if selection.mask_rle is not None:
        scene, numbers = apply_mask(scene, decode_rle(selection.mask_rle, scene.size), kept)
        chosen |= numbers
    if selection.spare_rle is not None:
        scene, chosen = spare(scene, decode_rle(selection.spare_rle, scene.size), chosen)
    both = sorted(chosen & kept)
    if both:
        raise UsageError(f"Person {both[0]} is to be kept and is marked for erasing as well; say only one.")
    if not chosen:
        raise UsageError("Everybody who was surely found is kept, so there is nobody to erase.")
    return scene, tuple(sorted(chosen))


def _by_number(scene: Scene, selection: Selection) -> Iterable[int]:
    asked = (*selection.people, *(selection.keep or ()))
    wanted = bool(asked) or selection.everyone or selection.keep is not None
    if wanted and not scene.people:
        raise UsageError(f"No person was found in this photo; {_BY_HAND}.")
    for number in asked:
        scene.person(number)
    if not selection.everyone and selection.keep is None:
        return selection.people
    if not scene.sure:
        numbers = ", ".join(str(p.id) for p in scene.people)
        raise UsageError(f"Nobody was found for sure, only maybe ({numbers}); name the number, or {_BY_HAND}.")
    return [p.id for p in scene.sure if p.id not in (selection.keep or ())]


def _at_point(scene: Scene, x: int, y: int) -> tuple[Scene, int]:
    height, width = scene.size
    if not (0 <= x < width and 0 <= y < height):
        raise UsageError(f"The point ({x}, {y}) is outside the photo ({width} x {height} pixels).")
    slack = max(1, round(CLICK_SLACK * max(height, width)))
    for reach in (0, slack):
        near = Box(x - reach, y - reach, x + reach + 1, y + reach + 1)
        hits = [(_pixels_in(p, near), p.id) for p in scene.people]
        best = max(hits, default=(0, 0))
        if best[0]:
            return scene, best[1]
    number = scene.next_id
    return scene.with_person(manual.at_point(scene.photo, x, y, number)), number


def _in_box(scene: Scene, box: Box) -> tuple[Scene, set[int]]:
    inside = manual.valid_box(scene.photo, box)
    framed = [p for p in scene.people if _pixels_in(p, inside) >= IN_BOX * p.area]
    if framed:
        around = framed[0].box
        for person in framed[1:]:
            around = around.union(person.box)
        common = around.intersect(inside).area
        if common >= BOX_FIT * (around.area + inside.area - common):
            # An uncertain find beside sure ones is not what a box means; alone in it, it is.
            meant = [p for p in framed if p.sure] or framed
            return scene, {p.id for p in meant}
    person = manual.in_box(scene.photo, inside, scene.next_id)
    taken = scene.mask_of(p.id for p in scene.people)[person.box.slices]
    if not (person.mask & ~taken).any():
        best = max(scene.people, key=lambda p: (_pixels_in(p, inside), -p.id))
        return scene, {best.id}
    return scene.with_person(person), {person.id}


def apply_mask(scene: Scene, mask: BoolMask, kept: frozenset[int] = frozenset()) -> tuple[Scene, set[int]]:
    """Every true pixel of ``mask`` ``[H, W]`` gets an owner who is erased.

    A person covered to MEANS_PERSON is chosen, whole. Marked pixels beside such a person (a sloppy edge, a bag) join
    them; the rest becomes one new region. Other people lose the marked pixels.

    Raises:
        UsageError: the mask is empty or whole, or covers a person of ``kept`` entirely.
    """
    if not mask.any():
        raise UsageError("The mask is empty: mark at least one pixel in white.")
    if mask.mean() > WHOLE:
        raise UsageError("The mask covers the whole photo, so there is nothing left to fill from; mark less.")
    covered = {p.id: int((mask[p.box.slices] & p.mask).sum()) / p.area for p in scene.people}
    chosen = {i for i, share in covered.items() if share >= MEANS_PERSON and i not in kept}
    rest = mask.copy()
    for person in scene.people:
        if person.id in chosen:
            rest[person.box.slices] &= ~person.mask
    people: list[Person] = []
    for person in scene.people:
        if person.id not in chosen and covered[person.id]:
            left = person.mask & ~rest[person.box.slices]
            if not left.any():
                raise UsageError(f"The mask covers person {person.id}, who is to be kept; say only one.")
            person = with_mask(person, person.full_mask(scene.size) & ~rest)
        people.append(person)
    people, rest = _join_edges(people, chosen, rest)
    order = scene.order
    if rest.any():
        new = Person.from_mask(scene.next_id, rest, source="mask")
        people.append(new)
        order = (*order, new.id)
        chosen.add(new.id)
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
            full = np.zeros(scene.size, bool)
            full[person.box.slices] = rest
            person = with_mask(person, full)
        people.append(person)
    if chosen and not left:
        raise UsageError("Everything that was chosen is spared as well, so there is nobody to erase.")
    scene = Scene(scene.photo, tuple(people), scene.order)
    free = mask & ~scene.mask_of(p.id for p in people)
    if free.any():
        scene = scene.with_person(Person.from_mask(scene.next_id, free, sure=False, source="spared"))
    return scene, left


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
                person = with_mask(person, person.full_mask(rest.shape) | edge)
        out.append(person)
    return out, rest


def with_mask(person: Person, mask: BoolMask) -> Person:
    """The same person with another mask, given in the photo's frame ``[H, W]``; part labels are kept where known."""
    box = Box.around(mask)
    parts = None
    if person.parts is not None:
        labels = np.zeros(mask.shape, np.uint8)
        labels[person.box.slices] = person.parts
        parts = labels[box.slices]
    return replace(person, box=box, mask=np.ascontiguousarray(mask[box.slices]), parts=parts)


def _pixels_in(person: Person, box: Box) -> int:
    """How many of the person's pixels lie inside ``box``."""
    common = person.box.intersect(box)
    if not common.area:
        return 0
    x, y = person.box.x0, person.box.y0
    return int(person.mask[common.y0 - y : common.y1 - y, common.x0 - x : common.x1 - x].sum())
