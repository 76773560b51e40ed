"""A photo that lies on its side: searched once more, turned by a quarter, when nobody was surely found in it.

What is found there is told in the pixels of the photo as it lies, so that nothing else need know of the turn.
"""

from __future__ import annotations

import logging
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from mild.people.finders.blaze_nets import BlazeNets, Landmarks, Picture, Square
from mild.people.finders.boxes import Corners, Detector
from mild.people.finders.looks import Find
from mild.people.finders.search import search

#: At least one find in the turned picture is this sure: more is asked than upright, since every photo without people is
#: searched two times more.
CERTAIN = 0.8
_log = logging.getLogger("mild")


def on_its_side(nets: BlazeNets, picture: Picture, detector: Detector) -> list[Find]:
    """The people of a picture that lies on its left or its right side, in its own pixels; nobody if it does not."""
    best, surest = list[Find](), CERTAIN
    for turns in (1, 3):
        finds = search(nets, Picture(np.rot90(picture.pixels, turns)), detector)
        score = max((find.score for find in finds), default=0.0)
        if score >= surest:
            best, surest = [back(find, turns, picture.width, picture.height) for find in finds], score
    if best:
        _log.warning(
            "Nobody was found in the photo as it is, but when it is turned by a quarter: it may lie on its side."
        )
    return best


def back(find: Find, turns: int, width: int, height: int) -> Find:
    """A find of a picture turned ``turns`` quarters to the left, in pixels of the picture as it was.

    Args:
        find: in the turned picture.
        turns: as of ``np.rot90``.
        width, height: of the picture before the turn.
    """
    # Pixel p of the picture is pixel turn @ p + shift of the turned one.
    turn, shift = np.eye(2), np.zeros(2)
    for _ in range(turns % 4):
        turn, shift = np.array([[0, 1], [-1, 0]]) @ turn, np.array([[0, 1], [-1, 0]]) @ shift + (0, width - 1)
        width, height = height, width
    marks, place = find.candidate.landmarks, find.place
    bones, head = find.candidate.bones, find.candidate.head
    middle = None if head is None else (np.array(head[:2]) - shift) @ turn
    candidate = replace(
        find.candidate,
        landmarks=_marks_back(marks, turn, shift),
        bones=None if bones is None else (bones - shift) @ turn,
        head=None if head is None or middle is None else (float(middle[0]), float(middle[1]), head[2]),
    )
    points = place.points
    if points is not None:
        points = np.concatenate([(points[:, :2] - shift) @ turn, points[:, 2:]], 1)
    place = replace(place, box=_box_back(place.box, turn, shift), points=points)
    return replace(find, candidate=candidate, place=place)


def _marks_back(marks: Landmarks, turn: NDArray[np.float64], shift: NDArray[np.float64]) -> Landmarks:
    to_net = marks.to_net.copy()
    to_net[:, :2] = marks.to_net[:, :2] @ turn
    to_net[:, 2] = marks.to_net[:, 2] + marks.to_net[:, :2] @ shift
    x, y = (np.array((marks.region.x, marks.region.y)) - shift) @ turn
    up = np.array((np.sin(marks.region.angle), -np.cos(marks.region.angle))) @ turn
    region = Square(float(x), float(y), marks.region.side, float(np.arctan2(up[0], -up[1])))
    return replace(marks, points=((marks.points - shift) @ turn).astype(np.float32), to_net=to_net, region=region)


def _box_back(box: Corners, turn: NDArray[np.float64], shift: NDArray[np.float64]) -> Corners:
    # Edges of pixels, not their middles.
    corners = (np.array(box).reshape(2, 2) - 0.5 - shift) @ turn + 0.5
    (x0, y0), (x1, y1) = corners.min(0), corners.max(0)
    return float(x0), float(y0), float(x1), float(y1)
