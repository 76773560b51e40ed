"""Whom does the user mean: a :class:`Selection` applied to a :class:`Scene`.

Numbers name people that were found. Points, boxes and masks mean the person there, or else become a new region of the
scene. What is marked by hand wins over what was found (:mod:`mild.people.drawn`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

from mild.errors import NobodyError, UsageError
from mild.people import belongings, clicks, manual, things
from mild.people.drawn import apply_drawn, apply_mask, spare
from mild.people.finders.coco import decode_rle
from mild.people.guesses import Guesses
from mild.people.refine import refined
from mild.people.roles import subjects
from mild.people.scene import BoolMask, Box, Person, Scene
from mild.photo import read_mask
from mild.request import Click, Selection

#: A box means the found people of whom this much is inside, if together they fill it to BOX_FIT.
IN_BOX, BOX_FIT = 0.8, 0.5
#: A click this far outside a mask (fraction of the photo's long side) still means that person.
CLICK_SLACK = 0.004
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
        mask = _clicked(scene, click)
        if not mask.any():
            raise UsageError("The points to leave out take all of it away: move one of them, or leave it out.")
        scene, numbers = apply_mask(scene, mask, kept, frozenset(chosen))
        chosen |= numbers
    if selection.mask is not None:
        scene, numbers = apply_drawn(scene, read_mask(Path(selection.mask), scene.size), kept, frozenset(chosen))
        chosen |= numbers
    if selection.mask_rle is not None:
        scene, numbers = apply_drawn(scene, decode_rle(selection.mask_rle, scene.size), kept, frozenset(chosen))
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
            person = person.with_mask(person.full_mask(scene.size) | more)
            person = replace(person, things=(*person.things, kind)) if kind else person
        elif (more[person.box.slices] & person.mask).any():
            left = person.full_mask(scene.size) & ~more
            if not left.any():
                continue
            person = person.with_mask(left)
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
    anew = person.with_mask(mask)
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


def _pixels_in(person: Person, box: Box) -> int:
    """How many of the person's pixels lie inside ``box``."""
    common = person.box.intersect(box)
    if not common.area:
        return 0
    x, y = person.box.x0, person.box.y0
    return int(person.mask[common.y0 - y : common.y1 - y, common.x0 - x : common.x1 - x].sum())
