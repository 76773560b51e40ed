"""Two people in one mask: an embrace, a row of shoulders.

The landmark net takes a couple for one body, with a head somewhere between the two, but the face net still tells their
faces apart. Where a candidate's mask holds two or more faces of like size that are nobody else's, the mask is shared
out: each pixel goes to the nearest of the plain spines that hang below the faces. Poses of
such people are not known.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from mild.people.finders.blaze_candidates import Candidate
from mild.people.finders.blaze_nets import Face, Landmarks

#: Least score of a face that may split a mask. Hands, profiles and faces on shirts score less, or their size does not
#: fit a body of REGION_PER_FACE face sizes at most.
FACE_SCORE, REGION_PER_FACE = 0.7, 16
_SAME_HEAD, _SEPARATE, _LIKE_SIZE = 0.6, 0.8, 1.7


def split_merged(candidates: list[Candidate], faces: list[Face]) -> list[Candidate]:
    """The candidates, those with several faces in their mask replaced by one per face (same mask, ``face`` set)."""
    out: list[Candidate] = []
    for index, candidate in enumerate(candidates):
        others = candidates[:index] + candidates[index + 1 :]
        marks = candidate.landmarks
        sound = [f for f in faces if f.score >= FACE_SCORE and marks.region.side < REGION_PER_FACE * f.size]
        own = [f for f in sound if holds(marks, candidate.mask, f.x, f.y)]
        own = [f for f in own if not any(is_head_of(f, o.landmarks) for o in others)]
        group = _like_and_apart(own)
        if len(group) < 2:
            out.append(candidate)
        else:
            out += [replace(candidate, face=face) for face in group]
    return out


def holds(landmarks: Landmarks, mask: NDArray[np.float32], x: float, y: float) -> bool:
    """Does the mask, in the net's frame, cover this pixel of the picture?"""
    column, row = (round(float(v)) for v in landmarks.to_net[:, :2] @ np.array([x, y]) + landmarks.to_net[:, 2])
    inside = 0 <= row < mask.shape[0] and 0 <= column < mask.shape[1]
    return inside and bool(mask[row, column] > 0.5)


def is_head_of(face: Face, landmarks: Landmarks) -> bool:
    """Do face and landmarks mean the same head?"""
    x, y = landmarks.head_centre
    return bool(np.hypot(face.x - x, face.y - y) < _SAME_HEAD * face.size)


def face_bones(face: Face) -> list[NDArray[np.float64]]:
    """The head's axis and a spine below it, each ``[2, 2]`` end points in picture pixels.

    As in :func:`body_regions`, bodies lean half as much as heads. No shoulders: those of two people in an embrace
    cross, and each would cut islands out of the other.
    """
    tilt = np.array(face.up)
    lean = 0.5 * tilt + (0.0, -0.5)
    lean /= np.hypot(*lean) + 1e-6
    head = np.array([face.x, face.y])
    return [
        np.stack([head + 0.6 * face.size * tilt, head]),
        np.stack([head, head - 4.5 * face.size * lean]),
    ]


def _like_and_apart(faces: list[Face]) -> list[Face]:
    """Faces about as large as the best one and clear of each other, best first."""
    group: list[Face] = []
    for face in sorted(faces, key=lambda f: -f.score):
        if group and not 1 / _LIKE_SIZE < face.size / group[0].size < _LIKE_SIZE:
            continue
        if all(np.hypot(face.x - g.x, face.y - g.y) > _SEPARATE * max(face.size, g.size) for g in group):
            group.append(face)
    return group
