"""People from boxes: look at every place, judge it, drop what is found twice, look again where people touch, outline.

Two people who touch confuse the landmark net, which was made for one. It gets a second picture, in which the others
are painted grey: for a place that seemed to be somebody over again, and for a mask of which others claim a part.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from mild.people.finders.blaze_candidates import coarse_mask, same_person
from mild.people.finders.blaze_masks import claim_score, field
from mild.people.finders.blaze_nets import BlazeNets, Picture
from mild.people.finders.boxes import Detector, iou
from mild.people.finders.looks import Find, look_again, look_at
from mild.people.finders.outline import outlined
from mild.people.scene import BoolMask, Box
from mild.photo.grid import fitted

#: What hides the others. The middle of the range: neither the black of the frame's outside nor anybody's colour.
GREY = 127
#: Who comes first where two places hold one person: score x (this + fit). A mask that does not fit its box is often
#: somebody else's, who has a box as well.
FIT_FREE = 0.3
#: A mask of fewer cells on the coarse grid is nobody's.
_LEAST_CELLS = 6
#: A dropped place is looked at again if its detectors' scores add up to this, its box overlaps no keeper's by more
#: than the second, and keepers do not cover it by more than the third.
_WORTH_SECOND, _OTHER_BOX, _COVERED = 0.35, 0.65, 0.85
#: A mask of which others claim this part is made again.
_CONTESTED = 0.04
#: Others' pixels this near to one's own skeleton (in body lengths) are not painted over.
_OWN_BONES = 0.04
_GRID = 640


@dataclass(frozen=True)
class _Kept:
    find: Find
    mask: BoolMask  # coarse


def search(nets: BlazeNets, picture: Picture, detector: Detector) -> list[Find]:
    """The people of a picture whose score is at least the judge's ``maybe``, each once, best first."""
    return outlined(detector, picture, looked(nets, picture, detector))


def looked(nets: BlazeNets, picture: Picture, detector: Detector) -> list[Find]:
    """As :func:`search`, with the masks of the landmark net."""
    judge = detector.judge
    finds = [look_at(nets, picture, place, judge, judge.maybe) for place in detector.places(picture)]
    kept, dropped = _each_once([find for find in finds if find is not None], picture, judge.maybe)
    kept += _second_looks(nets, picture, detector, kept, dropped)
    return remade(nets, picture, [k.find for k in kept])


def _each_once(finds: list[Find], picture: Picture, least: float) -> tuple[list[_Kept], list[Find]]:
    kept: list[_Kept] = []
    dropped = []
    for find in sorted(finds, key=lambda f: -f.score * (FIT_FREE + f.fit)):
        mask = _coarse(find, picture)
        again = any(same_person(find.candidate, mask, k.find.candidate, k.mask) for k in kept)
        if again or mask.sum() < _LEAST_CELLS or find.score < least:
            dropped.append(find)
        else:
            kept.append(_Kept(find, mask))
    return kept, dropped


def _second_looks(
    nets: BlazeNets, picture: Picture, detector: Detector, kept: list[_Kept], dropped: list[Find]
) -> list[_Kept]:
    judge, won = detector.judge, list[_Kept]()
    for find in sorted(dropped, key=lambda f: -sum(f.place.scores)):
        box = find.place.box
        sure = [k for k in (*kept, *won) if k.find.score >= judge.sure]
        overlaps = [iou(box, k.find.place.box) for k in sure]
        near = [k for k, overlap in zip(sure, overlaps, strict=True) if overlap > 0.02]
        if sum(find.place.scores) < _WORTH_SECOND or not near or max(overlaps) > _OTHER_BOX:
            continue
        others = np.any([full_mask(k.find, picture) for k in near], axis=0)
        x0, y0, x1, y1 = (round(v) for v in box)
        if others[y0 : max(y1, y0 + 1), x0 : max(x1, x0 + 1)].mean() > _COVERED:
            continue
        seen = look_at(nets, greyed(picture, others), find.place, judge, judge.sure)
        if seen is None or seen.score < judge.sure:
            continue
        mask = _coarse(seen, picture)
        common = [(mask & k.mask).sum() / max(1, min(mask.sum(), k.mask.sum())) for k in (*kept, *won)]
        if mask.sum() >= _LEAST_CELLS and max(common) <= 0.5:
            won.append(_Kept(seen, mask))
    return won


def remade(nets: BlazeNets, picture: Picture, finds: Sequence[Find]) -> list[Find]:
    """The finds, with new masks for those of whose mask others claim a part."""
    if len(finds) < 2:
        return list(finds)
    grid, _ = fitted(picture.width, picture.height, _GRID)
    frame = Box(0, 0, picture.width, picture.height)
    fields = [field(f.candidate, frame, grid, 1.0) for f in finds]
    masks = [soft > 0.5 for soft, *_ in fields]
    claims = np.sum(masks, axis=0)
    touching = [int((mask & (claims > 1)).sum()) >= max(1.0, _CONTESTED * mask.sum()) for mask in masks]
    if not any(touching):
        return list(finds)
    scores = [np.where(mask, claim_score(*f), -np.inf) for mask, f in zip(masks, fields, strict=True)]
    owner = np.where(claims > 0, np.argmax(scores, axis=0), -1)
    out = []
    for index, (find, (_, distance, _)) in enumerate(zip(finds, fields, strict=True)):
        again = None
        if touching[index]:
            others = (owner >= 0) & (owner != index) & (distance > _OWN_BONES)
            whole = cv2.resize(others.astype(np.uint8), (frame.width, frame.height), interpolation=cv2.INTER_NEAREST)
            again = look_again(nets, greyed(picture, whole > 0), find, whole > 0)
        out.append(again or find)
    return out


def greyed(picture: Picture, others: BoolMask) -> Picture:
    """The picture with the pixels of others ``[H, W]`` painted grey."""
    pixels = picture.pixels.copy()
    pixels[others] = GREY
    return Picture(pixels)


def full_mask(find: Find, picture: Picture) -> BoolMask:
    """The find's mask ``[H, W]`` in the picture."""
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    size = (picture.width, picture.height)
    out: BoolMask = cv2.warpAffine(find.candidate.mask, find.candidate.landmarks.to_net, size, flags=flags) > 0.5
    return out


def _coarse(find: Find, picture: Picture) -> BoolMask:
    return coarse_mask(find.candidate.landmarks, (picture.height, picture.width), find.candidate.mask)
