"""Who a photo is of, and who only happens to be in it: subject, bystander, or unsure.

A weighted sum of what tells the two apart (below), fitted to photos that were labelled by eye (``bench/roles.py``
also reports how often it is right on photos that it was not fitted to). People who touch and are about as tall are one
group, and share one answer: somebody's friend is not a bystander because they look away.
"""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import combinations

import cv2
import numpy as np
from numpy.typing import NDArray

from mild.people.scene import Box, Person, Role, Scene
from mild.photo.grid import fitted

#: What is looked at, and its weight; the sum with BIAS is the logit of being a subject. See ``bench/roles.py``.
WEIGHTS = {
    "size": 3.36,
    "tall": 2.19,
    "large": 1.08,
    "centre": 2.02,
    "sharp": 1.22,
    "whole": 0.48,
    "gaze": 0.89,
}
BIAS = -5.87
#: A probability of being a subject above SUBJECT is one, below BYSTANDER the other; between them nobody knows.
SUBJECT, BYSTANDER = 0.6, 0.4
#: People are looked at with their boxes no longer than this, pixels: sharpness is compared at one size.
LOOKED_AT = 256
#: Two people belong together if their boxes overlap or nearly so (part of the smaller width), and the heights agree.
NEAR, ALIKE = 0.15, 0.6
#: Keypoints are believed from this confidence.
SEEN = 0.5


def with_roles(scene: Scene) -> Scene:
    """The same scene, everybody with a role (:data:`mild.people.scene.Role`)."""
    if not scene.people:
        return scene
    people = [replace(person, role=role_of(p)) for person, p in zip(scene.people, _chances(scene), strict=True)]
    return Scene(scene.photo, tuple(people), scene.order)


def subjects(scene: Scene) -> list[int]:
    """Numbers of the people surely found, the likeliest subject first."""
    chances = dict(zip([p.id for p in scene.people], _chances(scene), strict=True))
    return sorted((p.id for p in scene.sure), key=lambda number: (-chances[number], number))


def role_of(probability: float) -> Role:
    """The role that a probability of being a subject means."""
    return "subject" if probability > SUBJECT else "bystander" if probability < BYSTANDER else "unsure"


def chance(looks: dict[str, float]) -> float:
    """Probability, 0..1, that somebody with these :func:`features` is a subject, looked at alone."""
    logit = BIAS + sum(WEIGHTS[name] * value for name, value in looks.items())
    return 1 / (1 + math.exp(-max(-30.0, min(30.0, logit))))


def _chances(scene: Scene) -> list[float]:
    return grouped(scene, [chance(looks) for looks in features(scene)]) if scene.people else []


def features(scene: Scene) -> list[dict[str, float]]:
    """What is looked at, one entry a person, each about 0..1:

    * ``size``: square root of the visible area, over the largest person's;
    * ``tall``: height of the box over the photo's; ``large``: square root of the area over the photo's;
    * ``centre``: 1 at the photo's middle column, 0 at its sides, by the box's middle;
    * ``sharp``: fine detail over that of the sharpest person;
    * ``whole``: part of the box's outline that is not cut by the photo's edge;
    * ``gaze``: a face is seen, and turned here.
    """
    height, width = scene.size
    sharp = [_detail(scene, person) for person in scene.people]
    sharpest = max(sharp) or 1.0
    largest = max(person.area for person in scene.people)
    return [
        {
            "size": math.sqrt(person.area / largest),
            "tall": person.box.height / height,
            "large": math.sqrt(person.area / (height * width)),
            "centre": 1 - abs(person.box.x0 + person.box.x1 - width) / width,
            "sharp": detail / sharpest,
            "whole": _whole(person.box, height, width),
            "gaze": _gaze(person.keypoints),
        }
        for person, detail in zip(scene.people, sharp, strict=True)
    ]


def grouped(scene: Scene, chances: list[float]) -> list[float]:
    """Everybody's probability, shared within groups: the mean of their own and their group's highest."""
    number = list(range(len(scene.people)))
    for a, b in combinations(range(len(scene.people)), 2):
        if _together(scene.people[a], scene.people[b]):
            old, new = number[b], number[a]
            number = [new if n == old else n for n in number]
    best = {n: max(c for c, m in zip(chances, number, strict=True) if m == n) for n in number}
    return [(own + best[n]) / 2 for own, n in zip(chances, number, strict=True)]


def _together(a: Person, b: Person) -> bool:
    low, high = sorted((a.box.height, b.box.height))
    slack = round(NEAR * min(a.box.width, b.box.width))
    near = Box(a.box.x0 - slack, a.box.y0, a.box.x1 + slack, a.box.y1)
    return low >= ALIKE * high and near.intersect(b.box).width > 0 and near.intersect(b.box).height > 0.5 * low


def _detail(scene: Scene, person: Person) -> float:
    """Mean strength of edges inside a person, at the size at which everybody is compared."""
    box = person.box
    size, _ = fitted(box.width, box.height, LOOKED_AT, least=3)
    grey = cv2.cvtColor(scene.photo.pixels[box.slices], cv2.COLOR_RGB2GRAY)
    small = cv2.resize(grey, size, interpolation=cv2.INTER_AREA)
    shown = cv2.resize(person.mask.view(np.uint8), size, interpolation=cv2.INTER_NEAREST)
    inside = cv2.erode(shown, np.ones((3, 3), np.uint8)) > 0
    if inside.sum() < 9:
        return 0.0
    edges = np.abs(cv2.Laplacian(small, cv2.CV_32F))
    return float(np.sqrt((edges[inside] ** 2).mean()))


def _whole(box: Box, height: int, width: int) -> float:
    cut = (box.x0 <= 1) * box.height + (box.x1 >= width - 1) * box.height + (box.y0 <= 1) * box.width
    cut += (box.y1 >= height - 1) * box.width
    return 1 - cut / (2 * (box.width + box.height))


def _gaze(keypoints: NDArray[np.float32] | None) -> float:
    """1: both eyes seen and the nose midway between them; 0: no face, or from the side or behind."""
    if keypoints is None or keypoints[:3, 2].min() < SEEN:
        return 0.0
    nose, left, right = keypoints[:3, 0]
    span = abs(left - right)
    return float(max(0.0, 1 - abs(2 * nose - left - right) / span)) if span > 0 else 0.0
