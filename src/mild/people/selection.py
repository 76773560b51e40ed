"""Whom does the user mean: a :class:`Selection` applied to a :class:`Scene`.

Numbers name people that were found. Points, boxes and masks mean the person there, or else become a new region of the
scene. What is marked by hand wins over what was found: the pixels of a mask are erased, around them no more than their
margin (:mod:`mild.plan.margin`) and what a coarse mask cut off, and a find that contradicts it is forgotten
(:func:`apply_mask`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from mild.errors import NobodyError, UsageError
from mild.people import belongings, clicks, manual, things
from mild.people.finders.coco import decode_rle
from mild.people.guesses import Guesses
from mild.people.order import placed
from mild.people.refine import refined
from mild.people.roles import subjects
from mild.people.scene import DRAWN, SAME_BOX, BoolMask, Box, Person, Scene
from mild.photo import read_mask
from mild.request import Click, Selection

#: A mask over this much of a find means that person.
MEANS_PERSON = 0.6
#: A find that shares more than this part of the mask, or of itself, with a mask by hand is the one who is marked.
SHARED = 0.15
#: A find that holds more than this part of the mask is the one who is marked, whoever else was found in the mask.
HOLDS = 0.7
#: Confidence from which a point of a face counts as seen; and how far apart, in sizes of a person, two heads are.
FACE_SEEN, HEADS_APART = 0.5, 0.12
#: A box means the found people of whom this much is inside, if together they fill it to BOX_FIT.
IN_BOX, BOX_FIT = 0.8, 0.5
#: A click this far outside a mask (fraction of the photo's long side) still means that person.
CLICK_SLACK = 0.004
#: A piece of a mask below this part of what is marked is nobody's own: a slip of the brush, a stray pixel.
SPECK = 0.01
#: A mask over more than this share of the photo leaves nothing to fill from.
WHOLE = 0.98
#: Sources of people whom nobody found.
UNSEEN = DRAWN | {"spared"}
_BY_HAND = "mark somebody by hand with a click, a box or a mask"


def select(scene: Scene, selection: Selection) -> tuple[Scene, tuple[int, ...]]:
    """The scene, with a person added for each region marked by hand, and the ids to erase, sorted.

    Uncertain finds are neither erased nor kept as people unless their numbers are named (or they are clicked).

    Raises:
        UsageError: nobody is chosen or found, a number does not exist, a point or box is outside the photo, a mask is
            empty or covers the whole photo or a person who is to be kept.
    """
    return with_things(*chosen_in(scene, selection), selection)


def chosen_in(scene: Scene, selection: Selection) -> tuple[Scene, frozenset[int]]:
    """The first half of :func:`select`: everybody who is named or marked, without what goes along with them."""
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
    for click in selection.clicks:
        scene, numbers = apply_mask(scene, _clicked(scene, click), kept, frozenset(chosen))
        chosen |= numbers
    if selection.mask is not None:
        scene, numbers = _drawn(scene, read_mask(Path(selection.mask), scene.size), kept, frozenset(chosen))
        chosen |= numbers
    if selection.mask_rle is not None:
        scene, numbers = _drawn(scene, decode_rle(selection.mask_rle, scene.size), kept, frozenset(chosen))
        chosen |= numbers
    return scene, frozenset(chosen)


def with_things(scene: Scene, numbers: frozenset[int], selection: Selection) -> tuple[Scene, tuple[int, ...]]:
    """The second half of :func:`select`: what goes along with those of ``numbers``, and what is spared of all."""
    chosen = set(numbers)
    if selection.things:
        scene = _with_held(scene, chosen, selection.leave)
    for x, y in selection.also:
        scene = _with_belonging(scene, chosen, x, y)
    if selection.spare_rle is not None:
        scene, chosen = spare(scene, decode_rle(selection.spare_rle, scene.size), chosen)
    both = sorted(chosen & set(selection.keep or ()))
    if both:
        raise UsageError(f"Person {both[0]} is to be kept and is marked for erasing as well; say only one.")
    if not chosen:
        raise NobodyError("Everybody who was surely found is kept, so there is nobody to erase.")
    return scene, tuple(sorted(chosen))


def _by_number(scene: Scene, selection: Selection) -> Iterable[int]:
    asked = (*selection.people, *(selection.keep or ()))
    everyone = selection.everyone or selection.bystanders
    everyone = everyone or selection.keep is not None or selection.keep_subjects is not None
    if (asked or everyone) and not scene.people:
        raise NobodyError(f"No person was found in this photo; {_BY_HAND}.")
    for number in asked:
        scene.person(number)
    if not everyone:
        return selection.people
    if not scene.sure:
        numbers = ", ".join(str(p.id) for p in scene.people)
        raise NobodyError(f"Nobody was found for sure, only maybe ({numbers}); name the number, or {_BY_HAND}.")
    if selection.bystanders:
        found = [p.id for p in scene.sure if p.role == "bystander"]
        if not found and selection.people == ():
            raise NobodyError(f"Nobody in this photo is taken for a bystander; name people by number, or {_BY_HAND}.")
        return [*found, *selection.people]
    kept = set(selection.keep or ())
    if selection.keep_subjects is not None:
        kept = set(subjects(scene)[: selection.keep_subjects])
    return [p.id for p in scene.sure if p.id not in kept]


def _clicked(scene: Scene, click: Click) -> BoolMask:
    """The mask ``[H, W]`` of a thing that several points, or a box, mean.

    Raises:
        UsageError: a point is outside the photo.
    """
    height, width = scene.size
    for x, y in (*click.on, *click.off):
        if not (0 <= x < width and 0 <= y < height):
            raise UsageError(f"The point ({x}, {y}) is outside the photo ({width} x {height} pixels).")
    box = None if click.box is None else manual.valid_box(scene.photo, Box(*click.box))
    cut = clicks.cut_out(scene.photo, clicks.Clicks(click.on, click.off, box))
    if cut is not None:
        return cut[0]
    others = scene.mask_of(p.id for p in scene.sure)
    guesses = Guesses.none()
    if box is not None:
        start = manual.in_box(scene.photo, box, scene.next_id, others).full_mask(scene.size)
    else:
        there = _there(scene, *click.on[0])
        if there is not None and all(there[y, x] for x, y in click.on) and not any(there[y, x] for x, y in click.off):
            return there
        if there is None:
            seen, guesses = manual.meant(scene.photo, *click.on[0], scene.next_id, others)
            start = seen.full_mask(scene.size)
        else:
            start, guesses = there, manual.guessed(scene.photo, *click.on[0], others)
        others = others & ~start
    return refined(scene.photo, start, click.on, click.off, others, guesses)


def further(scene: Scene, selection: Selection) -> Iterator[None]:
    """Prepare, a piece at a time, for a further point of the last of ``selection.points``, which was answered.

    Only where somebody was surely found there: their outline was the answer, and nothing else was looked at yet.
    """
    if not selection.points:
        return
    x, y = selection.points[-1]
    before = selection.model_copy(update={"points": selection.points[:-1]})
    scene = scene if before.empty else chosen_in(scene, before)[0]
    if _there(scene, x, y) is not None and not clicks.available():
        for _ in manual.looking(scene.photo, x, y, scene.mask_of(p.id for p in scene.sure)):
            yield


def _there(scene: Scene, x: int, y: int) -> BoolMask | None:
    """The mask ``[H, W]`` of whoever was surely found at a pixel."""
    masks = (person.full_mask(scene.size) for person in scene.sure)
    return next((mask for mask in masks if mask[y, x]), None)


def _with_held(scene: Scene, chosen: set[int], leave: tuple[tuple[int, int], ...]) -> Scene:
    """Give the chosen what they surely hold or ride, but for the things at the pixels ``leave``."""
    for thing in things.held_by(scene, chosen):
        if not any(thing.covers(x, y) for x, y in leave):
            scene = _given(scene, thing.person, thing.full_mask(scene.size), thing.kind)
    return scene


def _with_belonging(scene: Scene, chosen: set[int], x: int, y: int) -> Scene:
    """Give the thing or the shadow at a pixel to the nearest of the chosen."""
    height, width = scene.size
    if not (0 <= x < width and 0 <= y < height):
        raise UsageError(f"The point ({x}, {y}) is outside the photo ({width} x {height} pixels).")
    if not chosen:
        raise UsageError("A thing or a shadow goes with somebody who is erased: say whom, for example by number.")

    nearest = min((scene.person(number) for number in sorted(chosen)), key=lambda person: person.away(x, y))
    taken = scene.mask_of(p.id for p in scene.people if p.sure or p.id in chosen)
    if taken[y, x]:
        return scene
    more = things.thing_at(scene, chosen, x, y)
    if more is None:
        more = belongings.attached(scene.photo, x, y, taken)
    return _given(scene, nearest.id, more & ~taken)


def _given(scene: Scene, number: int, more: BoolMask, kind: str = "") -> Scene:
    """The scene in which the pixels ``more`` ``[H, W]`` are one person's: of a thing of this kind, if that is known."""
    people = []
    for person in scene.people:
        if person.id == number:
            person = with_mask(person, person.full_mask(scene.size) | more)
            person = replace(person, things=(*person.things, kind)) if kind else person
        elif (more[person.box.slices] & person.mask).any():
            left = person.full_mask(scene.size) & ~more
            if not left.any():
                continue
            person = with_mask(person, left)
        people.append(person)
    numbers = {person.id for person in people}
    return Scene(scene.photo, tuple(people), tuple(number for number in scene.order if number in numbers))


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
            return _drawn_anew(scene, scene.person(best[1]), x, y), best[1]
    number = scene.next_id
    others = scene.mask_of(p.id for p in scene.sure)
    return scene.with_person(manual.at_point(scene.photo, x, y, number, others)), number


def _drawn_anew(scene: Scene, person: Person, x: int, y: int) -> Scene:
    """The scene with a better outline of somebody who is clicked and was not surely found, if there is one."""
    if person.sure:
        return scene
    seen, guesses = manual.meant(scene.photo, x, y, person.id, scene.mask_of(p.id for p in scene.sure))
    mask = seen.full_mask(scene.size) & ~scene.mask_of(p.id for p in scene.people if p.id != person.id)
    if not len(guesses) or not mask[y, x]:
        return scene
    anew = with_mask(person, mask)
    return Scene(scene.photo, tuple(anew if p.id == person.id else p for p in scene.people), scene.order)


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
    person = manual.in_box(scene.photo, inside, scene.next_id, scene.mask_of(p.id for p in scene.sure))
    taken = scene.mask_of(p.id for p in scene.people)[person.box.slices]
    if not (person.mask & ~taken).any():
        best = max(scene.people, key=lambda p: (_pixels_in(p, inside), -p.id))
        return scene, {best.id}
    return scene.with_person(person), {person.id}


def _drawn(scene: Scene, mask: BoolMask, kept: frozenset[int], named: frozenset[int]) -> tuple[Scene, set[int]]:
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
    return with_mask(person, full)


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
    larger = {person.id: with_mask(person, mask) for person, mask in zip(going, masks, strict=True)}
    return [larger.get(person.id, person) for person in people], rest & ~specks


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
