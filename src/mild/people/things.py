"""Things that go with somebody and are in no outline: a racket, a bag, a bicycle.

The finder's detector knows eighty kinds of things, of which it is asked for people alone. Asked once more, for what can
be carried or ridden, in a window around a person, it says what may go with them; its colours cut it out of its box
(GrabCut: Rother, Kolmogorov, Blake, SIGGRAPH 2004). What somebody surely holds or rides goes along with them
(:attr:`Thing.held`, decision 0020). The rest are suggestions, since what is beside somebody need not be theirs: whoever
wants it gone says so, with the pixel that is given here (``--also-at``).
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from functools import partial
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from mild.models import assets
from mild.people import memory
from mild.people.finders import nanodet
from mild.people.finders.blaze_nets import Picture
from mild.people.finders.boxes import Rows
from mild.people.finders.nanodet import NanoDet
from mild.people.scene import BoolMask, Box, Person, Scene
from mild.photo.grid import fitted

#: What is carried, worn or ridden, by its number among the classes of COCO.
KINDS = {
    1: "bicycle", 3: "motorcycle", 24: "backpack", 25: "umbrella", 26: "handbag", 28: "suitcase", 29: "frisbee",
    30: "skis", 31: "snowboard", 33: "kite", 34: "baseball bat", 36: "skateboard", 37: "surfboard",
    38: "tennis racket",
}  # fmt: skip
#: What is held in a hand, stood on, sat on and worn. It is surely somebody's when a wrist or an ankle of theirs is this
#: near to its box, as a part of their longer side, or this part of its box is theirs. A suitcase stands about. The box
#: of skis is mostly snow, and whoever else stands there: they go by themselves only where they were cut out.
HANDS, IN_HAND = {"baseball bat", "frisbee", "handbag", "tennis racket", "umbrella"}, 0.1
BOARDS, ON_BOARD = {"skateboard", "skis", "snowboard", "surfboard"}, 0.03
#: How thick a handle is, in parts of the longer side of the thing.
HANDLE = 0.08
RIDDEN, ON_SEAT, ASTRIDE = {"bicycle", "motorcycle"}, 0.02, 0.2
WORN, ON_BACK = {"backpack"}, 0.5
LONG = {"skis"}
#: COCO keypoints of them, and the confidence from which they count.
_WRISTS, _ANKLES, _SEEN = (9, 10), (15, 16), 0.3
#: From this score on something is suggested.
LEAST = 0.4
#: A window reaches this part of the person's longer side around them; nobody lower than this is asked about, pixels,
#: and no more people than this.
AROUND, LOWEST, MOST_PEOPLE = 0.6, 40, 12
#: A thing is theirs when its box comes this near to them (part of their longer side).
NEAR = 0.04
#: Less of it than this part of its box that is nobody's is not worth a word; a cut that takes less of that has failed,
#: and the whole of it counts.
FREE, FAILED = 0.15, 0.25
#: Longest side of what is cut, pixels.
GRID = 320


@dataclass(frozen=True)
class Thing:
    """Something that may go with a person.

    Attributes:
        person: their number.
        kind: what it is, one of :data:`KINDS`.
        score: 0..1, how sure the detector is.
        box: where, photo pixels.
        at: a pixel ``(x, y)`` well inside it: what ``--also-at`` takes.
        mask: bool ``[h, w]`` in the frame of ``box``: its pixels, none of them a person's.
        held: is it surely theirs: in their hand, below their feet, ridden, on their back?
    """

    person: int
    kind: str
    score: float
    box: Box
    at: tuple[int, int]
    mask: BoolMask
    held: bool = False

    def covers(self, x: int, y: int) -> bool:
        """Is a pixel of the photo one of its pixels?"""
        there = self.box.x0 <= x < self.box.x1 and self.box.y0 <= y < self.box.y1
        return there and bool(self.mask[y - self.box.y0, x - self.box.x0])

    def full_mask(self, size: tuple[int, int]) -> BoolMask:
        """Its pixels in the frame of a photo of ``size = (height, width)``."""
        out = np.zeros(size, bool)
        out[self.box.slices] = self.mask
        return out

    def summary(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "person": self.person,
            "kind": self.kind,
            "score": round(self.score, 3),
            "box": list(self.box),
            "at": list(self.at),
            "held": self.held,
        }


def things_with(scene: Scene, people: tuple[int, ...] | None = None) -> tuple[Thing, ...]:
    """What may go with the people of a scene, surest first within each; nothing where the detector is not here.

    Args:
        people: whom to ask about; None: those who were surely found.
    """
    here = _detector()
    if here is None:
        return ()
    net, stamps = here
    there = [p for p in scene.people if p.sure or p.id in (people or ())]
    asked = [p for p in there if p.box.height >= LOWEST and (people is None or p.id in people)]
    asked = sorted(asked, key=lambda p: -p.box.height)[:MOST_PEOPLE]
    picture = Picture(scene.photo.pixels)
    taken = scene.mask_of(p.id for p in there)
    found = []
    for person in asked:
        window = person.box.grow(round(AROUND * max(person.box.width, person.box.height)) + 8, scene.size)
        # Each `--also-at` asks about everybody again: the net need not.
        look = partial(net.things, picture, window, KINDS, LEAST)
        rows = memory.answer(scene.photo.sha256, ("things", window, *stamps), look)
        found += _with(rows, picture, person, taken)
    # Two people's windows show the same thing: it is of whoever is nearer, also of those who are not asked about.
    found.sort(key=lambda thing: scene.person(thing.person).away(*thing.at))
    kept: list[Thing] = []
    for thing in found:
        nearest = min(there, key=lambda p: p.away(*thing.at)).id
        if nearest == thing.person and all(thing.box.covered(other.box) < 0.5 for other in kept):
            kept.append(thing)
    return tuple(sorted(kept, key=lambda thing: (thing.person, -thing.score)))


def thing_at(scene: Scene, chosen: Collection[int], x: int, y: int) -> BoolMask | None:
    """The pixels ``[H, W]`` of the suggested thing at a pixel, of whoever is sure or chosen; None: no such thing."""
    for thing in things_with(scene, tuple(p.id for p in scene.people if p.sure or p.id in chosen)):
        if thing.covers(x, y):
            return thing.full_mask(scene.size)
    return None


def held_by(scene: Scene, people: Collection[int]) -> tuple[Thing, ...]:
    """What these surely hold or ride. Nobody is asked whose pose is not known, or whose outline is the user's: there is
    nothing beyond a mask by hand."""
    asked = tuple(p.id for p in scene.people if p.id in people and p.keypoints is not None and p.source != "mask")
    return tuple(thing for thing in things_with(scene, asked) if thing.held) if asked else ()


def _with(rows: Rows, picture: Picture, person: Person, taken: BoolMask) -> list[Thing]:
    size = (picture.height, picture.width)
    longer = max(person.box.width, person.box.height)
    reach = person.box.grow(round(NEAR * longer) + 2, size)
    body = np.zeros((reach.height, reach.width), bool)
    body[person.box.inside(reach).slices] = person.mask
    near = cv2.distanceTransform((~body).view(np.uint8), cv2.DIST_L2, 5) <= NEAR * longer + 2
    out: list[Thing] = []
    for x0, y0, x1, y1, score, _, kind in rows:
        box = Box(round(x0), round(y0), round(x1), round(y1)).intersect(Box(0, 0, size[1], size[0]))
        common = box.intersect(reach)
        if box.area < 16 or not common.area or not near[common.inside(reach).slices].any():
            continue
        if any(box.covered(other.box) >= 0.5 for other in out):
            continue
        mask = _cut(picture.pixels, box, taken)
        if mask is None:
            continue
        inside = cv2.distanceTransform(np.pad(mask.view(np.uint8), 1), cv2.DIST_L2, 5)[1:-1, 1:-1]
        y, x = np.unravel_index(int(inside.argmax()), inside.shape)
        at = (box.x0 + int(x), box.y0 + int(y))
        name = KINDS[int(kind)]
        boxed = name in LONG and not (~mask & ~taken[box.slices]).any()
        held = not boxed and _is_held(name, box, person)
        if held and name in HANDS:
            box, mask = _with_handle(box, mask, person, taken)
        out.append(Thing(person.id, name, float(score), box, at, mask, held))
    return out


def _is_held(kind: str, box: Box, person: Person) -> bool:
    if kind in HANDS:
        return _apart(box, person, _WRISTS) <= IN_HAND
    if kind in BOARDS:
        return _apart(box, person, _ANKLES) <= ON_BOARD
    theirs = box.intersect(person.box)
    share = float(person.mask[theirs.inside(person.box).slices].sum()) / box.area if theirs.area else 0.0
    if kind in RIDDEN:
        return share >= ASTRIDE and _apart(box, person, (*_WRISTS, *_ANKLES)) <= ON_SEAT
    return kind in WORN and share >= ON_BACK


def _with_handle(box: Box, mask: BoolMask, person: Person, taken: BoolMask) -> tuple[Box, BoolMask]:
    """The thing with what joins it to the nearest wrist: a handle, a pole, a strap, of other colours than the rest."""
    assert person.keypoints is not None
    wrists = person.keypoints[list(_WRISTS)]
    rows, columns = np.nonzero(mask)
    spots = np.stack([columns + box.x0, rows + box.y0], 1)
    ways = [(np.hypot(*(spots - wrist[:2]).T), wrist[:2]) for wrist in wrists if wrist[2] > _SEEN]
    away, wrist = min(ways, key=lambda way: float(way[0].min()))
    ends = np.rint([spots[away.argmin()], wrist]).astype(np.int32)
    full = np.zeros(taken.shape, np.uint8)
    full[box.slices] = mask
    cv2.line(full, ends[0], ends[1], 1, max(3, round(HANDLE * max(box.width, box.height))))
    whole = (full > 0) & ~taken
    box = Box.around(whole)
    return box, np.ascontiguousarray(whole[box.slices])


def _apart(box: Box, person: Person, points: tuple[int, ...]) -> float:
    """How far the nearest of these points of a body is from a box, in parts of the body's longer side."""
    if person.keypoints is None:
        return np.inf
    seen = person.keypoints[list(points)]
    seen = seen[seen[:, 2] > _SEEN]
    dx = np.maximum(np.maximum(box.x0 - seen[:, 0], seen[:, 0] - box.x1), 0)
    dy = np.maximum(np.maximum(box.y0 - seen[:, 1], seen[:, 1] - box.y1), 0)
    nearest = float(np.hypot(dx, dy).min(initial=np.inf))
    return nearest / max(person.box.width, person.box.height)


def _cut(pixels: NDArray[np.uint8], box: Box, taken: BoolMask) -> BoolMask | None:
    """What of a box is the thing and nobody's, ``[h, w]``; None when next to nothing of it is nobody's."""
    free = ~taken[box.slices]
    if free.mean() < FREE:
        return None
    ring = box.grow(max(4, (box.width + box.height) // 6), (pixels.shape[0], pixels.shape[1]))
    may = np.zeros((ring.height, ring.width), np.uint8)
    may[box.inside(ring).slices][free] = 1
    grid, _ = fitted(ring.width, ring.height, GRID, least=2)
    seen = np.asarray(cv2.resize(pixels[ring.slices], grid, interpolation=cv2.INTER_AREA), np.uint8)
    guess = np.asarray(cv2.resize(may, grid, interpolation=cv2.INTER_NEAREST), np.uint8) * np.uint8(cv2.GC_PR_FGD)
    if guess.all() or not guess.any():
        return free
    cv2.setRNGSeed(0)
    ground, thing = np.zeros((1, 65)), np.zeros((1, 65))
    cv2.grabCut(seen[..., ::-1].copy(), guess, (0, 0, 1, 1), ground, thing, 4, cv2.GC_INIT_WITH_MASK)
    soft = np.isin(guess, (cv2.GC_FGD, cv2.GC_PR_FGD)).astype(np.float32)
    whole = cv2.resize(soft, (ring.width, ring.height), interpolation=cv2.INTER_LINEAR) > 0.5
    won = np.asarray(whole[box.inside(ring).slices] & free)
    # Spokes and strings are too thin for a cut by colours: then all of the box goes.
    return won if won.sum() >= FAILED * free.sum() else free


def _detector() -> tuple[NanoDet, tuple[str, ...]] | None:
    """The finder's own net, and what names its file."""
    folder = assets.locate("nanodet")
    return None if folder is None else (nanodet.load(folder / "nanodet.onnx"), memory.stamps(folder))
