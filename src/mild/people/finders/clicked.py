"""The person under a click or in a box whom the search has missed: less is asked of detectors where the user points.

Up to four boxes that hold the point are looked at, each in the photo as it is and with the people already known painted
grey, since who was missed most often stands right behind somebody.
"""

from __future__ import annotations

import numpy as np

from mild.errors import MildError
from mild.models import assets
from mild.people.finders import detectors
from mild.people.finders.blaze_candidates import coarse_mask
from mild.people.finders.blaze_nets import BlazeNets, Picture
from mild.people.finders.blaze_split import holds
from mild.people.finders.boxes import Corners, Detector, Place, iou
from mild.people.finders.looks import Find, look_at
from mild.people.finders.search import greyed
from mild.people.scene import BoolMask

_MOST_PLACES = 4
#: The user's word stands for much of the evidence: a doubtful find under a click is likelier than one without a box.
_LEAST_SCORE = 0.05
#: Two masks that share this part of both say the same.
_ALIKE = 0.9


def detector_here() -> Detector | None:
    """The detector on this machine, or None: marking by hand must work without any weights."""
    name = assets.finder_boxes()
    if name is None:
        return None
    try:
        return detectors.load(name)
    except MildError:
        return None


def at_click(
    nets: BlazeNets, detector: Detector, picture: Picture, x: float, y: float, others: BoolMask | None
) -> list[Find]:
    """The people whose masks hold a pixel of the picture, likeliest first; of two that are much alike the likelier.

    Args:
        nets, detector: what looks.
        picture: where.
        x, y: the pixel.
        others: pixels ``[H, W]`` of the picture that are known to be other people's.
    """
    found: list[Find] = []
    for seen in _pictures(picture, others):
        for place in detector.places_near(picture, x, y)[:_MOST_PLACES] if seen is picture else places_of(found):
            find = look_at(nets, seen, place, detector.judge)
            if find is not None:
                found.append(find)
    hits = [f for f in found if holds(f.candidate.landmarks, f.candidate.mask, x, y) and f.score >= _LEAST_SCORE]
    distinct: list[tuple[Find, BoolMask]] = []
    for find in sorted(hits, key=lambda f: -f.score * (0.3 + f.fit)):
        mask = coarse_mask(find.candidate.landmarks, (picture.height, picture.width), find.candidate.mask)
        if all((mask & other).sum() <= _ALIKE * (mask | other).sum() for _, other in distinct):
            distinct.append((find, mask))
    return [find for find, _ in distinct]


def in_frame(
    nets: BlazeNets, detector: Detector, picture: Picture, box: Corners, others: BoolMask | None
) -> Find | None:
    """The person whom a box of the user's frames, seen in the photo with the others painted grey; None if nobody."""
    middle = ((box[0] + box[2]) / 2, (box[1] + box[3]) / 2)
    near = [place for place in detector.places_near(picture, *middle) if iou(place.box, box) > 0.5]
    best = max(near, key=lambda place: iou(place.box, box), default=None)
    scores = best.scores if best is not None else (0.0,) * (len(detector.judge.weights) - 2)
    place = Place(box, scores, None if best is None else best.points)
    looks = [look_at(nets, seen, place, detector.judge) for seen in _pictures(picture, others)]
    return max((f for f in looks if f is not None), key=lambda f: f.fit * f.candidate.landmarks.peak, default=None)


def places_of(found: list[Find]) -> list[Place]:
    """The places that were looked at, each once."""
    return list({find.place.box: find.place for find in found}.values())


def _pictures(picture: Picture, others: BoolMask | None) -> list[Picture]:
    if others is None or not np.any(others):
        return [picture]
    return [picture, greyed(picture, others)]
