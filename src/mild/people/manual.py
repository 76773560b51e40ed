"""People and regions marked by hand: a click, or a box.

Where the user points, less is asked of the detectors' boxes, and the landmark net looks there; without a detector it
looks around the point by itself. What is not taken for a person is cut out by colour (a click) or by the box itself,
since whoever draws a box wants everything inside gone.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import replace

import cv2
import numpy as np
from numpy.typing import NDArray

from mild.errors import MildError, UsageError
from mild.models import assets
from mild.people import clicks, memory
from mild.people.finders import clicked
from mild.people.finders.blaze_candidates import Candidate, verify
from mild.people.finders.blaze_masks import claim
from mild.people.finders.blaze_nets import BlazeNets, Landmarks, Picture, Square, Window, load_nets
from mild.people.finders.blaze_split import holds
from mild.people.finders.blazepose import SMALLEST_SIDE, person_of, working_copy
from mild.people.finders.boxes import Detector
from mild.people.guesses import Guesses
from mild.people.scene import BoolMask, Box, Person
from mild.photo import Photo
from mild.photo.grid import fitted

#: Sides of the windows around a click, and of the regions tried there, as fractions of the photo's long side.
_CLICK_WINDOWS = (1.2, 0.7, 0.4, 0.22, 0.12)
_CLICK_REGIONS = (0.9, 0.5, 0.28, 0.16)
_BODY_THRESHOLD = 0.1
_PRESENCE = 0.3
#: The user's word stands for much of the evidence: less is asked than of a find of our own.
_CLICK_SCORE, _BOX_FIT = 0.4, 0.45
_GROW_SIDE = 512
_GROW_LIMIT = 0.15


def at_point(photo: Photo, x: int, y: int, id: int, others: BoolMask | None = None) -> Person:
    """What is at a pixel: as a click segmenter sees it, or else the person there, or the region of similar colour.

    Args:
        photo: the photo.
        x, y: the pixel.
        id: of the new person.
        others: pixels ``[H, W]`` that are known to be other people's.

    Raises:
        UsageError: the point is outside the photo.
    """
    return meant(photo, x, y, id, others)[0]


def meant(photo: Photo, x: int, y: int, id: int, others: BoolMask | None = None) -> tuple[Person, Guesses]:
    """What is at a pixel, as :func:`at_point`, and all that the click may mean."""
    height, width = photo.size
    if not (0 <= x < width and 0 <= y < height):
        raise UsageError(f"The point ({x}, {y}) is outside the photo ({width} x {height} pixels).")
    cut = clicks.cut_out(photo, clicks.Clicks(on=((x, y),)))
    if cut is not None:
        return Person.from_mask(id, cut[0], source="click"), Guesses.none()
    nets = _nets_for(photo)
    detector = None if nets is None else clicked.detector_here()
    key = ("point", x, y, _digest(others), *_who_answers(nets, detector))
    person, guesses = memory.answer(photo.sha256, key, lambda: _clicked(photo, x, y, others, nets, detector))
    return replace(person, id=id), guesses


def guessed(photo: Photo, x: int, y: int, others: BoolMask) -> Guesses:
    """All that a click may mean where it is known who is there. Arguments as of :func:`meant`; the pixel is inside."""
    *_, guesses = looking(photo, x, y, others)
    return guesses


def looking(photo: Photo, x: int, y: int, others: BoolMask) -> Iterator[Guesses]:
    """As :func:`guessed`, a box at a time: what is left off is lost, and what is finished is remembered. The last that
    comes is all; what comes before is nothing."""
    nets = _nets_for(photo)
    detector = None if nets is None else clicked.detector_here()
    if nets is None or detector is None:
        yield Guesses.none()
        return
    key = ("guesses", x, y, _digest(others), *_who_answers(nets, detector))
    known: Guesses | None = memory.answered(photo.sha256, key)
    if known is None:
        picture, scale = working_copy(photo)
        spot, theirs = ((x + 0.5) * scale - 0.5, (y + 0.5) * scale - 0.5), _on_picture(others, picture)
        seen = list[clicked.Seen]()
        for some in clicked.looks_at(nets, detector, picture, *spot, theirs):
            seen += some
            yield Guesses.none()
        guesses, _ = clicked.judged(seen, detector, picture, *spot, theirs, scale)
        known = memory.answer(photo.sha256, key, lambda: guesses)
    yield known


def _clicked(
    photo: Photo, x: int, y: int, others: BoolMask | None, nets: BlazeNets | None, detector: Detector | None
) -> tuple[Person, Guesses]:
    guesses = Guesses.none()
    if nets is not None:
        picture, scale = working_copy(photo)
        spot = (x + 0.5) * scale - 0.5, (y + 0.5) * scale - 0.5
        best: Candidate | None = None
        if detector is not None:
            guesses, best = clicked.at_click(nets, detector, picture, *spot, _on_picture(others, picture), scale)
            mask = guesses.outline(photo.size, others)
            if best is not None and mask is not None and mask[y, x]:
                box = Box.around(mask)
                return person_of(best, box, mask[box.slices], scale, photo.size, source="click"), guesses
        best = _person_at(nets, picture, *spot)
        wanted = None if best is None else claim(best, photo.size, scale)
        if best is not None and wanted is not None and _contains(wanted.box, wanted.mask, x, y):
            return person_of(best, wanted.box, wanted.mask, scale, photo.size, source="click"), guesses
    return Person.from_mask(0, grow_from(photo, x, y), source="click"), guesses


def _who_answers(nets: BlazeNets | None, detector: Detector | None) -> tuple[str, ...]:
    """The nets by name, and their files' stamps: a key must not keep them loaded."""
    names = [*(["blazepose"] if nets is not None else []), *([detector.name] if detector is not None else [])]
    places = [folder for name in names if (folder := assets.locate(name)) is not None]
    return *names, *memory.stamps(*places)


def _digest(others: BoolMask | None) -> bytes:
    return b"" if others is None else hashlib.sha256(np.packbits(others).tobytes()).digest()


def in_box(photo: Photo, box: Box, id: int, others: BoolMask | None = None) -> Person:
    """What a box frames: as a click segmenter sees it, or else the person whom it fits, or the box, rounded.

    ``others``: as in :func:`at_point`.

    Raises:
        UsageError: the box is empty or outside the photo.
    """
    inside = valid_box(photo, box)
    cut = clicks.cut_out(photo, clicks.Clicks(box=inside))
    if cut is not None:
        return Person.from_mask(id, cut[0], source="box")
    nets = _nets_for(photo)
    detector = None if nets is None else clicked.detector_here()
    key = ("box", inside, _digest(others), *_who_answers(nets, detector))
    (known,) = memory.answer(photo.sha256, key, lambda: (_framed(photo, inside, others, nets, detector),))
    return replace(known, id=id)


def _framed(
    photo: Photo, inside: Box, others: BoolMask | None, nets: BlazeNets | None, detector: Detector | None
) -> Person:
    if nets is not None:
        picture, scale = working_copy(photo)
        if detector is not None:
            corners = (inside.x0 * scale, inside.y0 * scale, inside.x1 * scale, inside.y1 * scale)
            found = clicked.in_frame(nets, detector, picture, corners, _on_picture(others, picture))
            wanted = None if found is None or found.fit < _BOX_FIT else claim(found.candidate, photo.size, scale)
            if found is not None and wanted is not None:
                return person_of(found.candidate, wanted.box, wanted.mask, scale, photo.size, id=0, source="box")
        best = _person_in(nets, picture, photo, inside, scale)
        if best is not None:
            candidate, frame, mask = best
            return person_of(candidate, frame, mask, scale, photo.size, id=0, source="box")
    return Person(0, inside, rounded(inside.height, inside.width), source="box")


def valid_box(photo: Photo, box: Box) -> Box:
    """The part of a box inside the photo; :class:`UsageError` when there is none."""
    height, width = photo.size
    if box.width <= 0 or box.height <= 0:
        raise UsageError(f"The box {tuple(box)} is empty: x0 < x1 and y0 < y1 are needed.")
    inside = box.intersect(Box(0, 0, width, height))
    if inside.width <= 0 or inside.height <= 0:
        raise UsageError(f"The box {tuple(box)} is outside the photo ({width} x {height} pixels).")
    return inside


def rounded(height: int, width: int) -> BoolMask:
    """A box ``[height, width]`` with its corners cut off (superellipse of degree 4; all of a thin box)."""
    y = (np.arange(height) + 0.5) / height * 2 - 1
    x = (np.arange(width) + 0.5) / width * 2 - 1
    out: BoolMask = y[:, None] ** 4 + x[None] ** 4 <= 1
    return out if min(height, width) > 8 else np.ones((height, width), bool)


def grow_from(photo: Photo, x: int, y: int) -> BoolMask:
    """The region ``[H, W]`` of similar colour around a pixel, at least a small disc, at most 15 % of the photo.

    Mean shift flattens texture, then a flood fill whose tolerance is lowered until the region is small enough; holes
    are filled.
    """
    height, width = photo.size
    small_size, _ = fitted(width, height, _GROW_SIDE)
    small = cv2.resize(photo.pixels, small_size, interpolation=cv2.INTER_AREA)
    px = min(small_size[0] - 1, int((x + 0.5) * small_size[0] / width))
    py = min(small_size[1] - 1, int((y + 0.5) * small_size[1] / height))
    if min(small_size) >= SMALLEST_SIDE:
        small = cv2.pyrMeanShiftFiltering(small, 8, 18)
    lab = cv2.cvtColor(small, cv2.COLOR_RGB2LAB)
    disc = np.zeros(lab.shape[:2], np.uint8)
    cv2.circle(disc, (px, py), max(1, round(0.012 * max(small_size))), 1, -1)
    region = disc
    for tolerance in (24, 18, 13, 9, 6, 4, 2):
        filled = np.zeros((lab.shape[0] + 2, lab.shape[1] + 2), np.uint8)
        flags = 4 | cv2.FLOODFILL_FIXED_RANGE | cv2.FLOODFILL_MASK_ONLY | (1 << 8)
        cv2.floodFill(lab.copy(), filled, (px, py), 0, (tolerance,) * 3, (tolerance,) * 3, flags)
        region = filled[1:-1, 1:-1]
        if region.mean() <= _GROW_LIMIT:
            break
    else:
        region = disc
    outline, _ = cv2.findContours(np.maximum(region, disc), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    whole = np.zeros(lab.shape[:2], np.uint8)
    cv2.drawContours(whole, outline, -1, 1, -1)
    if whole.mean() > _GROW_LIMIT:
        whole = disc
    out: BoolMask = cv2.resize(whole * 255, (width, height), interpolation=cv2.INTER_LINEAR) > 127
    out[y, x] = True
    return out


def _nets_for(photo: Photo) -> BlazeNets | None:
    """The nets, or None where they cannot help: marking by hand must work without any weights."""
    if min(photo.size) < SMALLEST_SIDE:
        return None
    try:
        return load_nets()
    except MildError:
        return None


def _person_at(nets: BlazeNets, picture: Picture, x: float, y: float) -> Candidate | None:
    longest = max(picture.width, picture.height)
    regions: list[Square] = []
    for fraction in _CLICK_WINDOWS:
        side = fraction * longest
        for seed in nets.bodies(picture, Window(x - side / 2, y - side / 2, side), _BODY_THRESHOLD)[:3]:
            if not any(seed.region.near(r, 0.08, 1.2) for r in regions):
                regions.append(seed.region)
    regions += [Square(x, y, fraction * longest, 0.0) for fraction in _CLICK_REGIONS]
    looks = [look for region in regions for look in _two_looks(nets, picture, region, longest)]
    hits = [look for look in looks if look.presence > _PRESENCE and holds(look, look.mask, x, y)]
    hits.sort(key=lambda look: -look.presence * look.peak)
    judged = [verify(nets, picture, look) for look in hits[:4]]
    best = max(judged, key=lambda c: c.score, default=None)
    return best if best is not None and best.score >= _CLICK_SCORE else None


def _person_in(
    nets: BlazeNets, picture: Picture, photo: Photo, box: Box, scale: float
) -> tuple[Candidate, Box, BoolMask] | None:
    x, y = (box.x0 + box.x1) / 2 * scale - 0.5, (box.y0 + box.y1) / 2 * scale - 0.5
    side = max(box.width, box.height) * scale
    if side < 8:
        return None
    regions = [Square(x, y, 1.25 * side, 0.0)]
    # A box much wider than high may frame somebody lying down.
    if box.width > 1.4 * box.height:
        regions += [Square(x, y, 1.25 * side, np.pi / 2), Square(x, y, 1.25 * side, -np.pi / 2)]
    for seed in nets.bodies(picture, Window(x - 0.7 * side, y - 0.7 * side, 1.4 * side), _BODY_THRESHOLD)[:2]:
        regions.append(seed.region)
    best: tuple[float, Candidate, Box, BoolMask] | None = None
    for region in regions:
        for look in _two_looks(nets, picture, region, max(picture.width, picture.height)):
            if look.presence <= _PRESENCE:
                continue
            candidate = Candidate(look, look.mask, 0.0)
            wanted = claim(candidate, photo.size, scale)
            if wanted is None:
                continue
            frame = wanted.box.intersect(box.grow(round(0.08 * max(box.width, box.height)), photo.size))
            fit = wanted.box.shared(box)
            if frame.width <= 0 or frame.height <= 0 or (best is not None and fit <= best[0]):
                continue
            mask = wanted.mask[
                frame.y0 - wanted.box.y0 : frame.y1 - wanted.box.y0, frame.x0 - wanted.box.x0 : frame.x1 - wanted.box.x0
            ]
            if mask.any():
                best = (fit, candidate, frame, mask)
    if best is None or best[0] < _BOX_FIT:
        return None
    candidate, frame, mask = verify(nets, picture, best[1].landmarks), best[2], best[3]
    tight = Box.around(mask)
    moved = Box(frame.x0 + tight.x0, frame.y0 + tight.y0, frame.x0 + tight.x1, frame.y0 + tight.y1)
    return candidate, moved, mask[tight.slices]


def _two_looks(nets: BlazeNets, picture: Picture, region: Square, longest: int) -> list[Landmarks]:
    first = nets.landmarks(picture, region)
    following = first.next_region
    if first.presence < 0.02 or not 8 < following.side < 4 * longest:
        return [first]
    return [first, nets.landmarks(picture, following)]


def _on_picture(mask: BoolMask | None, picture: Picture) -> BoolMask | None:
    if mask is None:
        return None
    size = (picture.width, picture.height)
    return np.asarray(cv2.resize(mask.astype(np.uint8), size, interpolation=cv2.INTER_NEAREST) > 0)


def _contains(box: Box, mask: NDArray[np.bool_], x: int, y: int) -> bool:
    inside = box.x0 <= x < box.x1 and box.y0 <= y < box.y1
    return inside and bool(mask[y - box.y0, x - box.x0])
