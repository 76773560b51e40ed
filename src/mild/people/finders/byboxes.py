"""The offline finder: people at the boxes of a detector, with masks and poses of the landmark net.

What is held, shadows and reflections are in nobody's mask. How many people it finds: docs/finding-people.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from mild.people.finders import detectors
from mild.people.finders.blaze_masks import Claim, claim, settle, without_specks
from mild.people.finders.blaze_nets import load_nets
from mild.people.finders.blazepose import SMALLEST_SIDE, person_of, working_copy
from mild.people.finders.cut import Side, border, contact_window
from mild.people.finders.looks import Find
from mild.people.finders.search import search
from mild.people.finders.turned import on_its_side
from mild.people.order import estimate_order
from mild.people.scene import BoolMask, Box, Person, Scene
from mild.photo import Photo

_NOBODY = 255


def find(photo: Photo, name: str) -> Scene:
    """Everybody whom the nets see, numbered from left to right.

    Args:
        photo: the photo.
        name: the detector, see :func:`detectors.load`.

    Raises:
        MildError: its nets or the landmark net are not on this machine.
    """
    nets, detector = load_nets(), detectors.load(name)
    if min(photo.size) < SMALLEST_SIDE:
        return Scene(photo)
    picture, scale = working_copy(photo)
    finds = search(nets, picture, detector)
    least = detector.judge.least(found.score for found in finds)
    if not any(found.score >= least for found in finds):
        turned = on_its_side(nets, picture, detector)
        finds, least = (turned, detector.judge.sure) if turned else (finds, least)
    return assemble(photo, finds[:_NOBODY], scale, least, name)


def assemble(photo: Photo, finds: Sequence[Find], scale: float, sure: float, source: str) -> Scene:
    """Finds to a scene: exclusive masks in the photo's resolution, numbers from left to right, and the order."""
    pairs = [(f, claim(f.candidate, photo.size, scale)) for f in finds]
    made = [(f, k) for f, k in pairs if k is not None]
    masks = shared_out(photo, [f for f, _ in made], [k for _, k in made], scale)
    drafts: list[tuple[int, Person]] = []
    for index, ((found, _), (box, mask)) in enumerate(zip(made, masks, strict=True)):
        mask = without_specks(mask)
        if mask.any():
            tight = Box.around(mask)
            certain = found.score >= sure
            drafts.append(
                (
                    index,
                    person_of(
                        found.candidate, tight.offset(box), mask[tight.slices], scale, photo.size,
                        sure=certain, source=source,
                    ),
                )
            )  # fmt: skip
    drafts.sort(key=lambda d: (d[1].box.x0 + d[1].box.x1, d[1].box.y0, d[0]))
    people = tuple(replace(person, id=number) for number, (_, person) in enumerate(drafts, 1))
    return Scene(photo, people, estimate_order(people, photo.size))


def shared_out(
    photo: Photo, finds: Sequence[Find], claims: Sequence[Claim], scale: float
) -> list[tuple[Box, BoolMask]]:
    """Exclusive masks ``[h, w]``, each in a window: shared out by the skeletons first, then the border of each pair
    that touches is cut along colours and edges."""
    settled = settle(list(claims))
    if not claims:
        return []
    frame = claims[0].box
    for wanted in claims[1:]:
        frame = frame.union(wanted.box)
    owner = np.full((frame.height, frame.width), _NOBODY, np.uint8)
    for index, (wanted, mask) in enumerate(zip(claims, settled, strict=True)):
        owner[wanted.box.inside(frame).slices][mask] = index
    windows = [wanted.box for wanted in claims]
    for i in range(len(claims)):
        for j in range(i + 1, len(claims)):
            one, two = finds[i].candidate, finds[j].candidate
            window = contact_window(claims[i].box, claims[j].box, one, two, scale, photo.size)
            window = None if window is None else window.intersect(frame)
            if window is None or window.width < 2 or window.height < 2:
                continue
            there = owner[window.inside(frame).slices]
            sides = Side(one, there == i), Side(two, there == j)
            drawn = border(photo.pixels[window.slices], window, *sides, scale)
            if drawn is None:
                continue
            zone, first = drawn
            zone = zone & (sides[0].mask | sides[1].mask)
            there[zone] = np.where(first[zone], i, j)
            windows[i], windows[j] = windows[i].union(window), windows[j].union(window)
    return [(box, owner[box.inside(frame).slices] == index) for index, box in enumerate(windows)]
