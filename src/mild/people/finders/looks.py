"""A close look at a place: the landmark net in the regions where a box says that a body may be.

A box does not say where in it the hips are nor how the body is turned, which the landmark net wants to know. So up to
four guesses are tried, the likeliest first, and the one whose mask fits the box best is kept. What lies far outside
the box is somebody else's and is cut off.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from mild.people.finders.blaze_candidates import Candidate
from mild.people.finders.blaze_masks import body_length
from mild.people.finders.blaze_nets import LANDMARK_INPUT, REGION_PER_RADIUS, BlazeNets, Landmarks, Picture, Square
from mild.people.finders.boxes import Corners, Judge, Place, iou
from mild.people.scene import BoolMask

#: A mask may reach this far beyond its box, as a part of the longer side.
BEYOND = 0.08
#: No further guess after a look that says so surely and fits so well.
_ENOUGH_PRESENCE, _ENOUGH_FIT = 0.6, 0.75
#: Heads reach beyond the keypoints.
_HEAD_ROOM, _BOX_ROOM, _WIDE_ROOM = 1.08, 1.25, 1.6
#: The best look has the most of peak x (this + fit).
_FIT_FREE = 0.1
#: Where the best look fits worse than the first, and has more presence than the second, the net itself says where to
#: look once more: not in less than so many pixels, nor in more than so many sides of the picture.
_ILL_FITTING, _SOME_PRESENCE = 0.7, 0.1
_LEAST_SIDE, _MOST_SIDES = 8, 4
#: No further guess after one that scores below this part of what is asked for: of 736 sure places of the train scenes
#: none was lost by it.
_HOPELESS = 0.5
_SEEN = 0.2
#: Boxes wider than this part of their height, or ending at the lower edge of the picture, may hold half a body.
_HALF_BODY = 0.62
#: Below this peak the landmark net does not know whose limbs it sees, and a detector's keypoints are better above the
#: hips.
_MUDDLED = 0.5
#: The forehead above the middle of the face, in distances from there to the neck.
_SKULL = 0.6
#: What the first look counts beside a second one where that could not see, and how softly that ends (the net's pixels).
_FIRST, _SOFT = np.float32(0.5), 2
_SHOULDERS, _HIPS = (5, 6), (11, 12)
#: BlazePose's points of the head are the first; its shoulders.
_HEAD_MARKS, _SHOULDER_MARKS = 11, (11, 12)
#: The radius of a head in distances from its middle to the neck, and how sure two points of a face must be.
_HEAD_RADIUS, _FACE_SEEN = 0.45, 0.3
#: By COCO keypoint numbers: face, arms, trunk. By BlazePose numbers: legs.
_UPPER = (
    (0, 1), (0, 2), (1, 3), (2, 4), (5, 6), (5, 7), (7, 9), (6, 8), (8, 10), (5, 11), (6, 12), (11, 12),
)  # fmt: skip
_LEGS = ((23, 25), (25, 27), (24, 26), (26, 28), (27, 31), (28, 32))


@dataclass(frozen=True)
class Find:
    """A place after the look.

    Attributes:
        candidate: its mask is cut at the box.
        place: where the look was.
        fit: IoU 0..1 of the whole mask's box with the place's.
    """

    candidate: Candidate
    place: Place
    fit: float

    @property
    def score(self) -> float:
        return self.candidate.score


class Look(NamedTuple):
    """What the landmark net says of one region, how well its mask fits the place, and how good it is among others."""

    marks: Landmarks
    fit: float
    quality: float

    @classmethod
    def at(cls, nets: BlazeNets, picture: Picture, region: Square, place: Place) -> Look:
        marks = nets.landmarks(picture, region)
        fit = iou(mask_corners(marks), place.box)
        return cls(marks, fit, marks.peak * (_FIT_FREE + fit))


def look_at(nets: BlazeNets, picture: Picture, place: Place, judge: Judge, least: float = 0.0) -> Find | None:
    """The body at a place; None when the net draws nothing there. What scores less than ``least`` is not looked at as
    closely as it could be.

    The net's presence does not count: it says whether a body fills the region well, and a box is better evidence that
    somebody is there. Of 1080 boxes of people in the train scenes 91 had no presence in any region; for 71 of these
    the mask or its box was right.
    """
    seen = list[Look]()
    for region in regions_of(place, picture.height):
        seen.append(Look.at(nets, picture, region, place))
        best = max(seen, key=lambda look: look.quality)
        surely = seen[-1].marks.presence > _ENOUGH_PRESENCE and seen[-1].fit > _ENOUGH_FIT
        if surely or judge(best.marks.peak, place, best.fit) < _HOPELESS * least:
            break
    else:
        region, longest = best.marks.next_region, max(picture.width, picture.height)
        ill = best.fit < _ILL_FITTING and best.marks.presence > _SOME_PRESENCE
        if ill and _LEAST_SIDE < region.side < _MOST_SIDES * longest:
            best = max(best, Look.at(nets, picture, region, place), key=lambda look: look.quality)
    fit, look = best.fit, best.marks
    if fit == 0:
        return None
    score, mask = judge(look.peak, place, fit), look.mask
    if score >= least:
        mirrored = nets.landmarks(picture.mirrored, look.region.mirrored(picture.width))
        mask = (look.mask + mirrored.mask[:, ::-1]) * np.float32(0.5)
    bones = None if place.points is None or look.peak >= _MUDDLED else upper_bones(place.points)
    if bones is not None:
        legs = [(a, b) for a, b in _LEGS if min(look.visibility[a], look.visibility[b]) > 0.3]
        bones = np.concatenate([bones, *(look.points[None, [a, b]].astype(np.float64) for a, b in legs)])
    candidate = Candidate(look, clipped(look, mask, place.box), score, bones=bones)
    return Find(replace(candidate, head=head_of(candidate, place)), place, fit)


def all_looks(nets: BlazeNets, picture: Picture, place: Place) -> list[Look]:
    """Every guess of where in a place the body is, and the one that the net itself makes after the best of these."""
    seen = [Look.at(nets, picture, region, place) for region in regions_of(place, picture.height)]
    region, longest = max(seen, key=lambda look: look.quality).marks.next_region, max(picture.width, picture.height)
    if _LEAST_SIDE < region.side < _MOST_SIDES * longest:
        seen.append(Look.at(nets, picture, region, place))
    return seen


def look_again(nets: BlazeNets, picture: Picture, find: Find, painted: BoolMask) -> Find | None:
    """The same find after a look at another picture of the same size, in which others are painted out; None when the
    net does not see the body any more.

    Where it was painted (``painted``, ``[H, W]``) the mask is the mean of both: the first takes others' bodies for
    this one's, the second misses what was painted out wrongly.
    """
    seen = find.candidate.landmarks
    look = nets.landmarks(picture, seen.region)
    if look.presence < 0.3 * seen.presence:
        return None
    mirrored = nets.landmarks(picture.mirrored, look.region.mirrored(picture.width))
    mask = clipped(look, (look.mask + mirrored.mask[:, ::-1]) * np.float32(0.5), find.place.box)
    hidden = cv2.warpAffine(painted.astype(np.float32), look.to_net, mask.shape)
    mask += _FIRST * cv2.GaussianBlur(hidden, (0, 0), _SOFT) * (find.candidate.mask - mask)
    candidate = replace(find.candidate, landmarks=look, mask=mask)
    return replace(find, candidate=replace(candidate, head=head_of(candidate, find.place)))


def regions_of(place: Place, height: int) -> list[Square]:
    """Where the landmark net is to look, likeliest first."""
    x0, y0, x1, y1 = place.box
    wide, tall = x1 - x0, y1 - y0
    out = []
    posed = None if place.points is None else _from_points(place.points)
    if posed is not None:
        out.append(posed)
    out += [Square((x0 + x1) / 2, (y0 + y1) / 2, room * max(wide, tall), 0.0) for room in (_BOX_ROOM, _WIDE_ROOM)]
    if y1 > 0.98 * height or wide > _HALF_BODY * tall:
        # Head and shoulders: the hips are about where the box ends.
        out.append(Square((x0 + x1) / 2, y1, 2 * _BOX_ROOM * tall, 0.0))
    return out


def _from_points(points: NDArray[np.float64]) -> Square | None:
    seen = points[:, 2] > _SEEN
    shoulders, hips = (points[[k for k in pair if seen[k]], :2] for pair in (_SHOULDERS, _HIPS))
    if not len(shoulders) or not len(hips):
        return None
    centre, up = hips.mean(0), shoulders.mean(0) - hips.mean(0)
    if np.hypot(*up) < 2:
        return None
    reach = float(np.hypot(*(points[seen, :2] - centre).T).max()) * _HEAD_ROOM
    return Square(float(centre[0]), float(centre[1]), REGION_PER_RADIUS * reach, float(np.arctan2(up[0], -up[1])))


def upper_bones(points: NDArray[np.float64]) -> NDArray[np.float64] | None:
    """The skeleton ``[n, 2, 2]`` of COCO keypoints ``[17, 3]`` down to the hips: what is seen of it, a neck, a spine.

    None where head or shoulders are not seen.
    """
    seen = points[:, 2] > _SEEN
    head = points[:5][seen[:5], :2]
    if not len(head) or not seen[list(_SHOULDERS)].any():
        return None
    neck = points[[k for k in _SHOULDERS if seen[k]], :2].mean(0)
    hips = points[[k for k in _HIPS if seen[k]], :2]
    # Without hips the spine hangs from the neck, about as long as head and neck together.
    hanging = np.array((0.0, 1.5 * float(np.hypot(*(neck - head.mean(0))))))
    below = hips.mean(0) if len(hips) else neck + hanging
    bones = [points[[a, b], :2] for a, b in _UPPER if seen[a] and seen[b]]
    top = head.mean(0) + _SKULL * (head.mean(0) - neck)
    return np.stack([*bones, np.stack([top, neck]), np.stack([neck, below])])


def head_of(candidate: Candidate, place: Place) -> tuple[float, float, float] | None:
    """Where the head is, x, y and radius: as the detector's keypoints say, else the landmarks'; None if unsure."""
    marks, points = candidate.landmarks, place.points
    if points is not None and (candidate.bones is not None or (points[:5, 2] > _FACE_SEEN).sum() >= 2):
        middle = points[:5][points[:5, 2] > _SEEN, :2].mean(0)
        shoulders = points[[k for k in _SHOULDERS if points[k, 2] > _SEEN], :2]
    elif marks.visibility[:_HEAD_MARKS].mean() > 0.5:
        middle, shoulders = np.array(marks.head_centre), marks.points[list(_SHOULDER_MARKS)].astype(np.float64)
    else:
        return None
    body = body_length(candidate)
    radius = _HEAD_RADIUS * float(np.hypot(*(shoulders.mean(0) - middle))) if len(shoulders) else 0.07 * body
    return float(middle[0]), float(middle[1]), float(np.clip(radius, 0.05 * body, 0.09 * body))


def mask_corners(look: Landmarks, mask: NDArray[np.float32] | None = None) -> Corners:
    """The box of a look's mask, or of another mask in its frame, in pixels of the picture; of no area when the mask is
    empty."""
    rows, columns = np.nonzero((look.mask if mask is None else mask) > 0.5)
    if not len(rows):
        return 0.0, 0.0, 0.0, 0.0
    back = cv2.invertAffineTransform(look.to_net)
    hull = cv2.convexHull(np.stack([columns, rows], 1).astype(np.float32))[:, 0]
    spots = hull @ back[:, :2].T + back[:, 2]
    (x0, y0), (x1, y1) = spots.min(0), spots.max(0)
    return float(x0), float(y0), float(x1), float(y1)


def clipped(look: Landmarks, mask: NDArray[np.float32], box: Corners) -> NDArray[np.float32]:
    """The mask ``[256, 256]`` in the look's frame, 0 where it lies farther than BEYOND outside the box."""
    x0, y0, x1, y1 = box
    margin = BEYOND * max(x1 - x0, y1 - y0)
    corners = np.array([(x0, y0), (x1, y0), (x1, y1), (x0, y1)]) + margin * np.array(
        [(-1, -1), (1, -1), (1, 1), (-1, 1)]
    )
    inside = np.zeros((LANDMARK_INPUT, LANDMARK_INPUT), np.uint8)
    shape = corners @ look.to_net[:, :2].T + look.to_net[:, 2]
    cv2.fillConvexPoly(inside, np.rint(shape).astype(np.int32), 1)
    return mask * inside
