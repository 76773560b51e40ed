"""Where people may be, and which of these places hold one: propose, look, verify, drop duplicates.

The pose detector alone finds the one main person of a picture. Here it runs on overlapping windows at five scales,
faces give further seeds, every seed is followed with the landmark net, and each candidate is then judged by four cues
that do not agree on animals and furniture. The thresholds were measured on COCO photos.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from mild.people.finders.blaze_nets import BlazeNets, Face, Landmarks, Picture, Seed, Square, Window, sigmoid
from mild.people.scene import BoolMask

#: Window level -> threshold of the pose detector. Level n: windows of 1.35/n of the long side (below 1: all in one).
BODY_LEVELS = {0.6: 0.25, 1.0: 0.25, 2.0: 0.3, 3.0: 0.35, 4.0: 0.45}
FACE_LEVELS = (1.0, 2.0, 3.0)
FACE_THRESHOLD = 0.4
#: Scores at or above SURE count as people; from MAYBE on they are shown, unticked.
SURE, MAYBE = 0.70, 0.55
#: Logistic regression on [logit presence, logit presence mirrored, face score, mean heat-map peak].
CUE_WEIGHTS, CUE_BIAS = (0.388, 0.165, 2.391, 5.447), -4.991

#: Two candidates that touch are one person when their heads are closer than this, in head sizes.
SAME_HEAD = 0.5

_LOOKS = 3
_WORTH_FOLLOWING, _WORTH_VERIFYING = 0.02, 0.3
#: Points that tell two bodies apart: nose, shoulders, elbows, hips, knees.
_CORE = (0, 11, 12, 13, 14, 23, 24, 25, 26)
_COARSE = 320


@dataclass(frozen=True)
class Candidate:
    """A place that was looked at closely.

    Attributes:
        landmarks: of the first look.
        mask: float32 ``[256, 256]``, mean of both looks (straight and mirrored), in the first look's frame.
        certainty: probability 0..1 that this is a person.
        face: None, or the one face that this candidate stands for when it shares its mask with others (see
            ``blaze_split``); landmarks are then not to be trusted.
        bones: the skeleton as line segments ``[n, 2, 2]`` in pixels of the picture, from a net that tells people who
            touch apart; None: the landmarks' own.
        head: x, y and radius of the head in pixels of the picture, or None where it is not known surely.
        outlined: was the mask drawn with everybody else in view (``outline.py``)? Then it alone says whose a pixel is.
    """

    landmarks: Landmarks
    mask: NDArray[np.float32]
    certainty: float
    face: Face | None = None
    bones: NDArray[np.float64] | None = None
    head: tuple[float, float, float] | None = None
    outlined: bool = False

    @property
    def score(self) -> float:
        """Probability 0..1 that this is a person; of one who shares a mask, that the face is one as well."""
        return self.certainty * (1.0 if self.face is None else self.face.score)


def coarse_mask(landmarks: Landmarks, size: tuple[int, int], mask: NDArray[np.float32] | None = None) -> BoolMask:
    """The mask on a small grid (long side 320) over a picture of ``size = (height, width)``; another one than the
    landmarks' own, ``[256, 256]`` in their frame, if given."""
    scale = _COARSE / max(size)
    to_net = landmarks.to_net.copy()
    to_net[:, :2] /= scale
    grid = (max(1, round(size[1] * scale)), max(1, round(size[0] * scale)))
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    out: BoolMask = cv2.warpAffine(landmarks.mask if mask is None else mask, to_net, grid, flags=flags) > 0.5
    return out


def score_of(cues: Iterable[float]) -> float:
    """Probability 0..1 that the place holds a person."""
    return float(sigmoid(np.array(np.dot(CUE_WEIGHTS, tuple(cues)) + CUE_BIAS)))


def windows(height: int, width: int, level: float) -> list[Window]:
    """Squares that cover the picture at one level, half overlapping."""
    longest = max(height, width)
    if level <= 1:
        side = longest / level
        return [Window((width - side) / 2, (height - side) / 2, side)]
    side = longest / level * 1.35
    return [Window(x, y, side) for y in _starts(height, side) for x in _starts(width, side)]


def _starts(length: int, side: float) -> list[float]:
    if side >= length:
        return [(length - side) / 2]
    return [float(v) for v in np.linspace(0, length - side, int(np.ceil((length - side) / (side / 2))) + 1)]


def find_faces(nets: BlazeNets, picture: Picture) -> list[Face]:
    """Faces at all levels, largest windows first, each once."""
    faces: list[Face] = []
    for level in FACE_LEVELS:
        for window in windows(picture.height, picture.width, level):
            for face in nets.faces(picture, window, FACE_THRESHOLD):
                if all(np.hypot(face.x - f.x, face.y - f.y) > 0.4 * f.size for f in faces):
                    faces.append(face)
    return faces


def propose(nets: BlazeNets, picture: Picture, faces: Iterable[Face]) -> list[Seed]:
    """Seeds from bodies, best first, then from faces."""
    bodies: list[Seed] = []
    for level, threshold in BODY_LEVELS.items():
        for window in windows(picture.height, picture.width, level):
            bodies += nets.bodies(picture, window, threshold)
    seeds: list[Seed] = []
    for seed in sorted(bodies, key=lambda s: -s.score):
        if not any(seed.region.near(s.region, 0.05, 1.13) for s in seeds):
            seeds.append(seed)
    return seeds + [Seed(region, face.score) for face in faces for region in body_regions(face)]


def body_regions(face: Face) -> tuple[Square, Square]:
    """Where the body below a face may be: one guess leaning with the face (close), one upright (whole body).

    The lean is half the face's and half straight down: heads tilt more than bodies.
    """
    lean = 0.5 * np.array(face.up) + (0.0, -0.5)
    lean /= np.hypot(*lean) + 1e-6
    centre = np.array([face.x, face.y])
    near, far = centre - lean * 2.6 * face.size, centre - lean * 3.4 * face.size
    angle = float(np.arctan2(lean[0], -lean[1]))
    return (
        Square(float(near[0]), float(near[1]), 8 * face.size, angle),
        Square(float(far[0]), float(far[1]), 13 * face.size, 0.0),
    )


def follow(nets: BlazeNets, picture: Picture, seeds: Iterable[Seed]) -> list[Landmarks]:
    """Look at each seed up to three times, each time where the last look says the body is; drop repeats."""
    longest = max(picture.height, picture.width)
    found: list[Landmarks] = []
    for seed in seeds:
        last = _follow_one(nets, picture, seed.region, found, 4 * longest)
        if last is not None and last.presence > _WORTH_VERIFYING:
            found.append(last)
    distinct: list[Landmarks] = []
    # A confident look with an empty mask goes last: its points are worthless as a reference for duplicates.
    for mark in sorted(found, key=lambda m: -m.presence * float((m.mask > 0.5).any())):
        if not any(0.6 < mark.region.side / d.region.side < 1.6 and body_distance(mark, d) < 0.045 for d in distinct):
            distinct.append(mark)
    return distinct


def _follow_one(
    nets: BlazeNets, picture: Picture, region: Square, known: list[Landmarks], largest: float
) -> Landmarks | None:
    last: Landmarks | None = None
    for look in range(_LOOKS):
        if not 8 < region.side < largest:
            break
        if look and any(region.near(k.region, 0.025, 1.05) for k in known):
            return None  # it walked onto a person already known
        last = nets.landmarks(picture, region)
        if last.presence < _WORTH_FOLLOWING:
            break
        following = last.next_region
        if look and following.near(region, 0.015, 1.04):
            break
        region = following
    return last


def body_distance(a: Landmarks, b: Landmarks) -> float:
    """Mean distance of the core points, in sides of the smaller region, weighted by visibility; 0..0.5."""
    core = list(_CORE)
    side = min(a.region.side, b.region.side)
    weight = np.minimum(a.visibility[core], b.visibility[core]) + 0.05
    apart = np.minimum(np.hypot(*(a.points[core] - b.points[core]).T) / side, 0.5)
    return float((weight * apart).sum() / weight.sum())


def verify(nets: BlazeNets, picture: Picture, landmarks: Landmarks) -> Candidate:
    """Look at the mirrored picture and for a face at the head, and put the cues together."""
    mirrored = nets.landmarks(picture.mirrored, landmarks.region.mirrored(picture.width))
    cues = (
        _logit(landmarks.presence),
        _logit(mirrored.presence),
        _face_at_head(nets, picture, landmarks),
        landmarks.peak,
    )
    mask = (landmarks.mask + mirrored.mask[:, ::-1]) * np.float32(0.5)
    return Candidate(landmarks, mask, score_of(cues))


def _face_at_head(nets: BlazeNets, picture: Picture, landmarks: Landmarks) -> float:
    (x, y), size = landmarks.head_centre, landmarks.head_size
    best = 0.0
    for zoom, threshold in ((2.6, 0.02), (4.0, 0.05), (7.0, 0.02)):
        side = size * zoom
        for face in nets.faces(picture, Window(x - side / 2, y - side / 2, side), threshold):
            if np.hypot(face.x - x, face.y - y) < 0.8 * size:
                best = max(best, face.score)
    return best


def drop_duplicates(candidates: list[Candidate], size: tuple[int, int]) -> list[Candidate]:
    """Best first; a candidate goes when its mask or its points say that it is a better one over again."""
    kept: list[tuple[Candidate, BoolMask]] = []
    for candidate in sorted(candidates, key=lambda c: -c.score):
        mask = coarse_mask(candidate.landmarks, size)
        if candidate.score < MAYBE or mask.sum() < 12:
            continue
        if not any(same_person(candidate, mask, other, taken) for other, taken in kept):
            kept.append((candidate, mask))
    return [candidate for candidate, _ in kept]


def same_person(a: Candidate, mask: BoolMask, b: Candidate, other: BoolMask) -> bool:
    """Do two candidates mean one person? ``mask`` and ``other``: their :func:`coarse_mask`."""
    common = int((mask & other).sum())
    heads = np.hypot(*np.subtract(a.landmarks.head_centre, b.landmarks.head_centre))
    if common and heads < SAME_HEAD * max(a.landmarks.head_size, b.landmarks.head_size):
        return True
    apart = body_distance(a.landmarks, b.landmarks)
    return (
        common / max(1, int((mask | other).sum())) > 0.55
        or common / max(1, int(mask.sum())) > 0.8
        or (common / max(1, int(other.sum())) > 0.8 and apart < 0.15)
        or apart < 0.04
    )


def _logit(p: float) -> float:
    # Softened at both ends, so that a saturated presence cannot outvote the other cues.
    return float(np.log((p + 0.01) / (1.01 - p)))
