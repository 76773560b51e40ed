"""A sample from a real photo and the people in it: maps, pose, parts, belongings, and what is difficult about it.

Nothing beneath a person is known in a real photo. What a sample says about hidden parts is therefore an estimate, by
the rule of :func:`occlusions`.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from mild import __version__
from mild.errors import MildError
from mild.lab.data.ingredients import Split
from mild.lab.data.sample import Sample, Source, Subject, Tags
from mild.lab.data.tone import to_lab
from mild.people.body import PARTS, checked_keypoints, coarse_parts
from mild.people.scene import BoolMask, Box, Person, Scene
from mild.photo import Photo

#: People of fewer pixels than this are not listed.
LEAST = 24
#: From where on a tag makes the scenario.
_HUMAN_HUMAN, _HUMAN_OBJECT, _HUMAN_BACKGROUND = 0.05, 0.03, 15.0
#: Share of a person from which on being hidden counts as a link of a chain.
_LINK = 0.02


@dataclass(frozen=True)
class Thing:
    """Something that may be held or worn: its mask ``[H, W]`` in the photo, what it is, and whose (0: whoever it
    touches most)."""

    mask: BoolMask
    name: str
    owner: int = 0


def real_sample(
    key: str,
    scene: Scene,
    source: Source,
    *,
    split: Split,
    made_by: str,
    things: Sequence[Thing] = (),
    erase: Collection[int] = (),
    background: NDArray[np.uint8] | None = None,
    shadow: NDArray[np.uint8] | None = None,
) -> Sample:
    """A sample of a real photo. Ids of the scene are kept, so they must be 1 ... 254.

    Args:
        made_by: name of the command.
        erase: who is to go. A photo without a background need not say.
        background: uint8 ``[H, W, 3]``, the same place without anybody; makes the truth ``plate``.
        shadow: uint8 ``[H, W]``, light that people take away.

    Raises:
        MildError: there is nobody, or more people than a sample can list.
    """
    people = tuple(p for p in scene.people if p.area >= LEAST)
    if not people:
        raise MildError("nobody was found")
    if max(p.id for p in people) > 254:
        raise MildError("more than 254 people")
    scene = Scene(scene.photo, people, tuple(i for i in scene.order if i in {p.id for p in people}))
    index = scene.label_map().astype(np.uint8)
    parts = np.zeros(scene.size, np.uint8)
    poses: dict[int, NDArray[np.float32]] = {}
    for person in people:
        points = checked_keypoints(person.keypoints, scene.size, f"person {person.id}")
        poses[person.id] = np.zeros((17, 3), np.float32) if points is None else points
        labels = _parts(person, points)
        parts[person.box.slices][person.mask] = labels[person.mask]
    belongings = np.where((parts == PARTS["belongings"]) & (index > 0), index, 0).astype(np.uint8)
    for thing in things:
        belongings = _with_thing(belongings, index, thing)
    # Nobody may vanish behind what they carry.
    for person in people:
        if not ((index == person.id) & (belongings == 0)).any():
            belongings[index == person.id] = 0
    index[belongings > 0] = 0
    parts[belongings > 0] = 0
    hides = occlusions(scene)
    hidden = {p.id: min(1.0, sum(v for (back, _), v in hides.items() if back == p.id)) for p in people}
    subjects = tuple(
        Subject(
            p.id,
            p.id in erase,
            poses[p.id],
            source.file,
            round(hidden[p.id], 4),
            _cut(p.box, scene.size),
            score=round(float(p.score), 4),
        )
        for p in sorted(people, key=lambda p: p.id)
    )
    sample = Sample(
        key=key,
        photo=np.asarray(scene.photo.pixels),
        index=index,
        people=subjects,
        order=scene.order,
        background=background,
        layers=(),
        parts=parts,
        belongings=belongings,
        shadow=np.zeros(scene.size, np.uint8) if shadow is None else shadow,
        truth="none" if background is None else "plate",
        tags=Tags(),
        sources=(source,),
        seed=-1,
        split=split,
        made_by=f"{made_by} {__version__}",
    )
    return replace(sample, tags=tags_of(sample, hides))


def tags_of(sample: Sample, hides: Mapping[tuple[int, int], float]) -> Tags:
    """What is difficult about a real sample; ``hides`` from :func:`occlusions`.

    When nobody is marked to go, anybody might: occlusion then counts between all, contrast over all.
    """
    gone = set(sample.erased)
    across = [v for (back, front), v in hides.items() if not gone or (back in gone) != (front in gone)]
    occlusion = round(max(across, default=0.0), 4)
    entangled = 0.0
    contrast = 100.0
    lab = to_lab(np.asarray(sample.photo))
    anybody = (sample.index > 0) | (sample.belongings > 0)
    for person in sample.people:
        own = sample.index == person.id
        entangled = max(entangled, float((sample.belongings == person.id).sum() / own.sum()))
        if not gone or person.id in gone:
            contrast = min(contrast, contrast_of(own, ~anybody, lab))
    if occlusion >= _HUMAN_HUMAN:
        scenario = "human-human"
    elif entangled >= _HUMAN_OBJECT:
        scenario = "human-object"
    else:
        scenario = "human-background" if contrast < _HUMAN_BACKGROUND else "plain"
    return Tags(
        scenario,  # type: ignore[arg-type]
        occlusion,
        _chain(sample.order, hides),
        round(entangled, 4),
        round(contrast, 2),
        round(float((sample.shadow > 40).mean()), 4),
    )


def occlusions(scene: Scene) -> dict[tuple[int, int], float]:
    """(back, front) -> estimated share of the back person that the front one hides; only pairs that touch.

    The complete back person is taken to fill the convex hull of their visible pixels and known joints as densely as
    they fill its visible part: of the hull's pixels that the front person covers, that share is counted as hidden.
    """
    found: dict[tuple[int, int], float] = {}
    for place, back_id in enumerate(scene.order):
        back = scene.person(back_id)
        if len(scene.order) == place + 1:
            break
        window = _reach(back, scene.size)
        own = np.zeros((window.height, window.width), np.uint8)
        inner = back.box.inside(window)
        own[inner.slices] = back.mask
        hull = _hull(own, back, window)
        near = cv2.dilate(own, np.ones((5, 5), np.uint8)) > 0
        covers: dict[int, float] = {}
        for front_id in scene.order[place + 1 :]:
            front = scene.person(front_id)
            common = front.box.intersect(window)
            if common.area <= 0 or common.width <= 0 or common.height <= 0:
                continue
            mask = np.zeros_like(hull)
            mask[common.inside(window).slices] = front.mask[common.inside(front.box).slices]
            if (near & mask).any():
                covers[front_id] = float((hull & mask).sum())
        total = sum(covers.values())
        if not total:
            continue
        density = min(1.0, back.area / max(1.0, float(hull.sum()) - total))
        whole = back.area + density * total
        found.update({(back_id, front): density * value / whole for front, value in covers.items() if value})
    return found


def scaled_scene(scene: Scene, longest: int) -> Scene:
    """The scene with a photo whose long side is at most this; people who vanish are left out."""
    height, width = scene.size
    factor = longest / max(height, width)
    if factor >= 1:
        return scene
    new = (max(1, round(height * factor)), max(1, round(width * factor)))
    photo = np.asarray(cv2.resize(scene.photo.pixels, new[::-1], interpolation=cv2.INTER_AREA), np.uint8)
    labels = cv2.resize(scene.label_map(), new[::-1], interpolation=cv2.INTER_NEAREST)
    ratio = np.asarray([new[1] / width, new[0] / height, 1], np.float32)
    half = np.asarray([0.5, 0.5, 0], np.float32)
    people = []
    for person in scene.people:
        mask = labels == person.id
        if not mask.any():
            continue
        box = Box.around(mask)
        points = None if person.keypoints is None else ((person.keypoints + half) * ratio - half).astype(np.float32)
        parts = None
        if person.parts is not None:
            full = np.zeros(scene.size, np.uint8)
            full[person.box.slices] = person.parts
            parts = np.asarray(cv2.resize(full, new[::-1], interpolation=cv2.INTER_NEAREST), np.uint8)[box.slices]
        people.append(
            replace(
                person,
                box=box,
                mask=np.ascontiguousarray(mask[box.slices]),
                keypoints=points,
                landmarks=None,
                parts=parts,
            )
        )
    known = {p.id for p in people}
    return Scene(Photo(photo), tuple(people), tuple(i for i in scene.order if i in known))


def contrast_of(person: BoolMask, free: BoolMask, lab: NDArray[np.float32]) -> float:
    """CIELAB distance between the mean colours of a band inside a person's outline and one outside it, where nobody
    else is; 100 when there is nothing to compare. The outline itself is left out: masks of real photos are not that
    exact."""
    box = Box.around(person)
    unsure = max(2, round(0.025 * box.height))
    box = box.grow(8 + 3 * unsure, (person.shape[0], person.shape[1]))
    mask = person[box.slices].astype(np.uint8)
    near, far = (cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * r + 1, 2 * r + 1)) for r in (unsure, 3 * unsure))
    inside = (cv2.erode(mask, near) > 0) & (cv2.erode(mask, far) == 0)
    outside = (cv2.dilate(mask, far) > 0) & (cv2.dilate(mask, near) == 0) & free[box.slices]
    if inside.sum() < 10 or outside.sum() < 10:
        return 100.0
    window = lab[box.slices]
    return min(100.0, float(np.linalg.norm(window[inside].mean(0) - window[outside].mean(0))))


def _parts(person: Person, points: NDArray[np.float32] | None) -> NDArray[np.uint8]:
    if person.parts is not None:
        return person.parts
    if points is None:
        return np.zeros(person.mask.shape, np.uint8)
    moved = points - np.asarray([person.box.x0, person.box.y0, 0], np.float32)
    coarse = coarse_parts(person.mask, moved)
    # Far from every bone is not yet a bag: who guesses from joints alone cannot say so.
    coarse[coarse == PARTS["belongings"]] = PARTS["nothing"]
    return coarse


def _with_thing(belongings: NDArray[np.uint8], index: NDArray[np.uint8], thing: Thing) -> NDArray[np.uint8]:
    """The map with one thing more, if somebody holds it: it touches them and is not much larger than they are."""
    owner = thing.owner
    if not owner:
        touched = index[cv2.dilate(thing.mask.astype(np.uint8), np.ones((5, 5), np.uint8)) > 0]
        counts = np.bincount(touched[touched > 0], minlength=1)
        owner = int(counts.argmax()) if counts.any() else 0
    if not owner or thing.mask.sum() > 1.5 * max(1, int((index == owner).sum())):
        return belongings
    # Only free pixels and the owner's own: what somebody else's mask claims stays theirs.
    mine = thing.mask & ((index == 0) | (index == owner)) & (belongings == 0)
    return np.where(mine, np.uint8(owner), belongings)


def _reach(person: Person, size: tuple[int, int]) -> Box:
    box = person.box
    if person.keypoints is not None:
        known = person.keypoints[person.keypoints[:, 2] > 0.1]
        if len(known):
            low, high = np.floor(known[:, :2].min(0)), np.ceil(known[:, :2].max(0)) + 1
            box = box.union(Box(int(low[0]), int(low[1]), int(high[0]), int(high[1])))
    return box.grow(3, size)


def _hull(own: NDArray[np.uint8], person: Person, window: Box) -> NDArray[np.bool_]:
    ys, xs = np.nonzero(own)
    spots = np.stack([xs, ys], 1).astype(np.int32)
    if person.keypoints is not None:
        known = person.keypoints[person.keypoints[:, 2] > 0.1, :2] - (window.x0, window.y0)
        spots = np.concatenate([spots, np.rint(known).astype(np.int32)])
    out = np.zeros_like(own)
    cv2.fillConvexPoly(out, cv2.convexHull(spots), 1)
    return out > 0


def _chain(order: Sequence[int], hides: Mapping[tuple[int, int], float]) -> int:
    """People in the longest chain in which each hides a part of the one behind."""
    longest: dict[int, int] = {}
    for place, one in enumerate(order):
        behind = (longest[back] for back in order[:place] if hides.get((back, one), 0.0) >= _LINK)
        longest[one] = 1 + max(behind, default=0)
    return max(longest.values(), default=1)


def _cut(box: Box, size: tuple[int, int]) -> bool:
    return box.x0 <= 0 or box.y0 <= 0 or box.x1 >= size[1] or box.y1 >= size[0]
