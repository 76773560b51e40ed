"""The person under a click or in a box whom the search has missed: less is asked of detectors where the user points.

Up to eight boxes that hold the point are looked at in all regions where a body may be, each in the photo as it is and
with the people already known painted grey, since who was missed most often stands right behind somebody. How right each
look is, is estimated; none is thrown away (:mod:`mild.people.guesses`).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from mild.errors import MildError
from mild.models import assets
from mild.people.finders import detectors
from mild.people.finders.blaze_candidates import Candidate
from mild.people.finders.blaze_masks import compose
from mild.people.finders.blaze_nets import BlazeNets, Picture
from mild.people.finders.blaze_split import holds
from mild.people.finders.boxes import Corners, Detector, Place, iou
from mild.people.finders.looks import BEYOND, Find, Look, all_looks, clipped, look_at
from mild.people.finders.outline import outlined
from mild.people.finders.search import greyed
from mild.people.guesses import Guesses, shrunk
from mild.people.scene import BoolMask
from mild.photo.grid import fitted

#: Boxes that are looked at; and where somebody was surely found under the click, who is meant most often.
_MOST_PLACES, _FEW_PLACES = 8, 3
#: So many looks are kept, the best; more change nothing.
MOST_GUESSES = 24
#: The long side of the grid on which looks are compared; a mask of fewer cells is nobody's.
_GRID, _LEAST_CELLS = 192, 6
#: How much better the best look is once its outline is drawn anew.
_DRAWN = 0.15
#: The IoU to be expected of a look, a weighted sum of its cues: the judge's sum, peak, fit, logit of the presence, are
#: the others painted grey; the click's depth in the mask as a part of the greatest, the soft mask there, its place
#: across and down in the box and the squares of these; the part of the mask that is others', logarithm of its part of
#: the picture, its part of the box, logarithm of the box's shape; its agreement with all looks; is somebody surely
#: found under the click, and if so: are the others painted grey, the part that is others', the agreement.
#: ``bench/clicks_fit.py``.
WEIGHTS = (
    -0.0057, -0.0666, 0.0448, 0.0025, 0.0154, 0.2823, 0.0550, -0.0119, 0.0022, -0.1252,
    -0.2331, 0.0298, -0.0013, 0.0558, 0.0089, 0.3780, 0.0803, -0.0337, -0.0447, -0.2664,
)  # fmt: skip
BIAS = -0.0157
#: The cues that count otherwise where somebody was surely found under the click.
_IF_KNOWN = [4, 11, 15]


class Seen(NamedTuple):
    """A look at a place under a click; in the picture with others painted grey?"""

    place: Place
    look: Look
    grey: bool


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
    nets: BlazeNets,
    detector: Detector,
    picture: Picture,
    x: float,
    y: float,
    others: BoolMask | None,
    scale: float = 1.0,
) -> tuple[Guesses, Candidate | None]:
    """What a click may mean, and whom the best of these guesses shows; none, and None, if nobody is seen there.

    Args:
        nets, detector: what looks.
        picture: where.
        x, y: the pixel of the picture.
        others: pixels ``[H, W]`` of the picture that are known to be other people's.
        scale: pixels of the picture per pixel of the photo, in whose pixels the guesses are.
    """
    return judged(seen_at(nets, detector, picture, x, y, others), detector, picture, x, y, others, scale)


def judged(
    seen: list[Seen], detector: Detector, picture: Picture, x: float, y: float, others: BoolMask | None, scale: float
) -> tuple[Guesses, Candidate | None]:
    """As :func:`at_click`, of all that :func:`looks_at` sees there; the best of it outlined anew is a guess more."""
    cues, seen = cues_of(seen, detector, picture, x, y, others)
    if not seen:
        return Guesses.none(), None
    values = cues @ np.array(WEIGHTS) + BIAS
    best = seen[int(values.argmax())]
    marks = best.look.marks
    score = detector.judge(marks.peak, best.place, best.look.fit)
    candidate = Candidate(marks, clipped(marks, marks.mask, best.place.box), score)
    find = Find(candidate, best.place, best.look.fit)
    (drawn,) = outlined(detector, picture, [find])
    if drawn is not find and holds(marks, drawn.candidate.mask, x, y):
        seen = [*seen, best._replace(look=best.look._replace(marks=replace(marks, mask=drawn.candidate.mask)))]
        values = np.append(values, values.max() + _DRAWN)
    return guesses_of(seen, values, scale).best(MOST_GUESSES), candidate


def seen_at(
    nets: BlazeNets, detector: Detector, picture: Picture, x: float, y: float, others: BoolMask | None
) -> list[Seen]:
    """Every look at the boxes under a pixel whose mask holds it. Arguments as of :func:`at_click`."""
    return [one for some in looks_at(nets, detector, picture, x, y, others) for one in some]


def looks_at(
    nets: BlazeNets, detector: Detector, picture: Picture, x: float, y: float, others: BoolMask | None
) -> Iterator[list[Seen]]:
    """As :func:`seen_at`, a box at a time: who has something else to do may leave off in between."""
    most = _FEW_PLACES if _is_known(others, x, y) else _MOST_PLACES
    places = detector.places_near(picture, x, y)[:most]
    for shown in _pictures(picture, others):
        for place in places:
            looks = all_looks(nets, shown, place)
            yield [Seen(place, one, shown is not picture) for one in looks if holds(one.marks, one.marks.mask, x, y)]


def guesses_of(seen: list[Seen], values: NDArray[np.float64], scale: float) -> Guesses:
    """Looks, at least one, as guesses in the photo's pixels."""
    boxes = np.array([one.place.box for one in seen])
    room = BEYOND * (boxes[:, 2:] - boxes[:, :2]).max(1, keepdims=True)
    return Guesses(
        np.stack([np.rint(one.look.marks.mask * 255).astype(np.uint8) for one in seen]),
        np.stack([compose(one.look.marks.to_net, scale) for one in seen]),
        (boxes + room * (-1, -1, 1, 1) + 0.5) / scale - 0.5,
        values,
    )


def cues_of(
    seen: list[Seen], detector: Detector, picture: Picture, x: float, y: float, others: BoolMask | None
) -> tuple[NDArray[np.float64], list[Seen]]:
    """What tells how right a look is, ``[n, 20]``, and the looks whose masks hold the pixel on the coarse grid."""
    grid, shrink = fitted(picture.width, picture.height, _GRID)
    theirs = np.zeros(grid[::-1], bool) if others is None else shrunk(others, grid)
    column, row = (min(n - 1, int((v + 0.5) * shrink)) for v, n in zip((x, y), grid, strict=True))
    rows, masks, kept = list[list[float]](), list[BoolMask](), list[Seen]()
    for one in seen:
        marks, (x0, y0, x1, y1) = one.look.marks, one.place.box
        affine, whole = compose(marks.to_net, 1 / shrink), clipped(marks, marks.mask, one.place.box)
        soft = cv2.warpAffine(whole, affine, grid, flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP)
        mask = np.asarray(soft > 0.5)
        if not mask[row, column] or mask.sum() < _LEAST_CELLS:
            continue
        depth = cv2.distanceTransform(np.pad(mask, 1).astype(np.uint8), cv2.DIST_L2, 5)[1:-1, 1:-1]
        wide, tall, area = x1 - x0, y1 - y0, float(mask.mean())
        across, down = (x - (x0 + x1) / 2) / wide, (y - (y0 + y1) / 2) / tall
        judged = np.dot(detector.judge.weights, (marks.peak, *one.place.scores, one.look.fit)) + detector.judge.bias
        presence = float(np.log((marks.presence + 1e-4) / (1 - marks.presence + 1e-4)))
        rows.append(
            [
                float(judged), marks.peak, one.look.fit, presence, float(one.grey),
                float(depth[row, column] / depth.max()), float(soft[row, column]), across, down, across**2, down**2,
                float((mask & theirs).mean() / area), float(np.log(area)),
                area * picture.width * picture.height / max(1.0, wide * tall), float(np.log(tall / wide)),
            ]
        )  # fmt: skip
        masks.append(mask)
        kept.append(one)
    if not kept:
        return np.zeros((0, len(WEIGHTS))), kept
    flat = np.stack(masks).reshape(len(masks), -1).astype(np.float32)
    common, cells = flat @ flat.T, flat.sum(1)
    alike = common / (cells[:, None] + cells - common)
    belief = 1 / (1 + np.exp(-np.array(rows)[:, 0]))
    agreed = (alike * belief).sum(1) / max(1e-6, belief.sum())
    cues = np.concatenate([np.array(rows), agreed[:, None]], 1)
    there = float(_is_known(others, x, y))
    return np.concatenate([cues, np.full((len(cues), 1), there), there * cues[:, _IF_KNOWN]], 1), kept


def _is_known(others: BoolMask | None, x: float, y: float) -> bool:
    """Was somebody surely found at a pixel of the picture?"""
    return others is not None and bool(others[min(len(others) - 1, round(y)), min(others.shape[1] - 1, round(x))])


def in_frame(
    nets: BlazeNets, detector: Detector, picture: Picture, box: Corners, others: BoolMask | None
) -> Find | None:
    """The person whom a box of the user's frames, seen in the photo and with the others painted grey, and outlined
    anew; None if nobody."""
    middle = ((box[0] + box[2]) / 2, (box[1] + box[3]) / 2)
    near = [place for place in detector.places_near(picture, *middle) if iou(place.box, box) > 0.5]
    best = max(near, key=lambda place: iou(place.box, box), default=None)
    scores = best.scores if best is not None else (0.0,) * (len(detector.judge.weights) - 2)
    place = Place(box, scores, None if best is None else best.points)
    looks = [look_at(nets, seen, place, detector.judge) for seen in _pictures(picture, others)]
    found = max((f for f in looks if f is not None), key=lambda f: f.fit * f.candidate.landmarks.peak, default=None)
    return None if found is None else outlined(detector, picture, [found])[0]


def _pictures(picture: Picture, others: BoolMask | None) -> list[Picture]:
    if others is None or not np.any(others):
        return [picture]
    return [picture, greyed(picture, others)]
