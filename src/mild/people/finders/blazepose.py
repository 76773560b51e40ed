"""The last resort of finding people offline: masks and poses with the BlazePose nets alone, without a detector.

It misses people at the frame's edge, behind others, from behind or smaller than about 60 px; a missed person costs one
click. How many it finds: docs/finding-people.md.
"""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np

from mild.people.finders.blaze_candidates import (
    SURE,
    Candidate,
    drop_duplicates,
    find_faces,
    follow,
    propose,
    verify,
)
from mild.people.finders.blaze_masks import claim, settle, without_specks
from mild.people.finders.blaze_nets import BODY_POINTS, BlazeNets, Picture, load_nets
from mild.people.finders.blaze_split import split_merged
from mild.people.order import estimate_order
from mild.people.pose import coco_keypoints
from mild.people.scene import BoolMask, Box, Person, Scene
from mild.photo import Photo

#: The nets look at a copy of at most this long side: beyond, it costs time and finds nobody more.
WORKING_SIDE = 1600
#: Photos with a shorter side below this are not searched; nobody can be told there.
SMALLEST_SIDE = 16


def find(photo: Photo) -> Scene:
    """Everybody whom the nets see, numbered from left to right.

    Raises:
        MildError: the nets are not on this machine.
    """
    nets = load_nets()
    if min(photo.size) < SMALLEST_SIDE:
        return Scene(photo)
    picture, scale = working_copy(photo)
    return assemble(photo, search(nets, picture), scale)


def search(nets: BlazeNets, picture: Picture) -> list[Candidate]:
    """The people of a picture with a score of at least MAYBE, each once, best first."""
    faces = find_faces(nets, picture)
    looked = follow(nets, picture, propose(nets, picture, faces))
    judged = [verify(nets, picture, landmarks) for landmarks in looked]
    return split_merged(drop_duplicates(judged, (picture.height, picture.width)), faces)


def working_copy(photo: Photo) -> tuple[Picture, float]:
    """The picture that the nets see, and its pixels per photo pixel (at most 1)."""
    height, width = photo.size
    scale = min(1.0, WORKING_SIDE / max(height, width))
    if scale == 1:
        return Picture(photo.pixels, photo.sha256), 1.0
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    small = np.asarray(cv2.resize(photo.pixels, size, interpolation=cv2.INTER_AREA), np.uint8)
    return Picture(small, photo.sha256), scale


def assemble(photo: Photo, candidates: list[Candidate], scale: float) -> Scene:
    """Candidates to a scene: exclusive masks in the photo's resolution, numbers from left to right, and the order."""
    pairs = [(c, claim(c, photo.size, scale)) for c in candidates]
    made = [(c, k) for c, k in pairs if k is not None]
    masks = settle([k for _, k in made])
    drafts: list[tuple[int, Person]] = []
    for index, ((candidate, wanted), mask) in enumerate(zip(made, masks, strict=True)):
        mask = without_specks(mask)
        if mask.any():
            tight = Box.around(mask)
            box = Box(*(v + wanted.box[k % 2] for k, v in enumerate(tight)))
            sure = candidate.score >= SURE
            person = person_of(candidate, box, mask[tight.slices], scale, photo.size, sure=sure, source="blazepose")
            drafts.append((index, person))
    drafts.sort(key=lambda d: (d[1].box.x0 + d[1].box.x1, d[1].box.y0, d[0]))
    people = tuple(replace(person, id=number) for number, (_, person) in enumerate(drafts, 1))
    return Scene(photo, people, estimate_order(people, photo.size))


def person_of(
    candidate: Candidate,
    box: Box,
    mask: BoolMask,
    scale: float,
    size: tuple[int, int],
    *,
    id: int = 0,
    sure: bool = True,
    source: str,
) -> Person:
    """A candidate with its final mask ``[box.height, box.width]``."""
    marks = candidate.landmarks
    points = (marks.points[:BODY_POINTS] + 0.5) / scale - 0.5
    landmarks = np.concatenate([points, marks.visibility[:BODY_POINTS, None]], 1).astype(np.float32)
    known = candidate.face is None  # people who share a mask share its muddled pose, too
    return Person(
        id=id,
        box=box,
        mask=np.ascontiguousarray(mask),
        score=candidate.score,
        sure=sure,
        keypoints=coco_keypoints(landmarks, size) if known else None,
        landmarks=landmarks if known else None,
        source=source,
    )
