"""What human morphology guidance knows of each row: pose, body regions and relations to others, as arrays.

Only rows of people are guided. A background row has no person, and is to look as if nobody had stood there: telling it
about bodies would invite it to paint one. Its sources are all missing, so it equals the backbone's exactly.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from mild.errors import UsageError
from mild.people.body import LIMBS, PART_NAMES, checked_keypoints, coarse_parts, limb_map, mirrored_keypoints
from mild.people.scene import Box, Scene
from mild.plan.planning import LayerPlan
from mild.request import HmgSource

Hmg = Literal["all", "none"] | Sequence[HmgSource]
SOURCES: tuple[HmgSource, ...] = ("pose", "parsing", "relations")

#: Numbers per token: see :func:`_point_features`, :func:`_part_features`, :func:`_other_features`.
POINT_FEATURES, PART_FEATURES, OTHER_FEATURES = 6, 5, 10
#: At most so many other people are told to a row, the nearest.
MOST_OTHERS = 8
#: What the coarse map of body regions is worth, next to a parser's.
COARSE_CONFIDENCE = 0.5
#: Canvas pixels per cell of the dense map, and of the maps that say where somebody is.
DENSE_STRIDE, WHERE_STRIDE = 4, 8


def sources_of(hmg: Hmg) -> frozenset[HmgSource]:
    """The sources that a switch leaves on: ``"all"``, ``"none"``, or some of :data:`SOURCES`."""
    if isinstance(hmg, str):
        if hmg not in ("all", "none"):
            raise UsageError(f"hmg takes all, none, or some of {', '.join(SOURCES)}, not '{hmg}'.")
        return frozenset(SOURCES if hmg == "all" else ())
    if unknown := [s for s in hmg if s not in SOURCES]:
        raise UsageError(f"There is no morphology source '{unknown[0]}' (known: {', '.join(SOURCES)}).")
    return frozenset(hmg)


@dataclass(frozen=True)
class Other:
    """Somebody else on the canvas: their box (canvas pixels, may lie beyond it), confidence 0..1, and whether they
    stand in front of the row's owner."""

    box: tuple[float, float, float, float]
    score: float
    front: bool


@dataclass(frozen=True)
class BodyRow:
    """One row's body, in pixels of its canvas.

    Attributes:
        canvas: ``(height, width)``, multiples of 8.
        own, hole: bool ``[height, width]``, as in the row's regions. Empty ``own``: a row without a person.
        keypoints: ``[17, 3]``, or None: the pose is missing.
        parts: uint8 ``[height, width]`` of :data:`mild.people.body.PART_NAMES`, or None: the parsing is missing.
        parts_confidence: 0..1.
        others: for the relations.
    """

    canvas: tuple[int, int]
    own: NDArray[np.bool_]
    hole: NDArray[np.bool_]
    keypoints: NDArray[np.float32] | None = None
    parts: NDArray[np.uint8] | None = None
    parts_confidence: float = 0.0
    others: tuple[Other, ...] = ()

    @classmethod
    def nobody(cls, canvas: tuple[int, int]) -> BodyRow:
        """A row of which nothing is known, or that has no person: a background."""
        return cls(canvas, np.zeros(canvas, bool), np.zeros(canvas, bool))

    @classmethod
    def of(cls, scene: Scene, plan: LayerPlan) -> BodyRow:
        """What the scene knows of the owner of a layer.

        Raises:
            MildError: keypoints of the wrong shape, or that are not numbers.
        """
        if plan.owner is None:
            return cls.nobody(plan.bucket)
        person, (h, w) = scene.person(plan.owner), plan.sizes.content
        scale = np.asarray([w / plan.crop.width, h / plan.crop.height], np.float32)
        points = checked_keypoints(person.keypoints, scene.size, f"person {person.id}")
        own, hole = (_placed(a.astype(np.uint8), (h, w), plan.bucket) > 0 for a in (plan.own, plan.hole))
        parts, worth = person.parts, 1.0
        if parts is None and points is not None:
            inner = points - np.asarray([person.box.x0, person.box.y0, 0], np.float32)
            parts, worth = coarse(person.mask, inner)
        on_canvas = None
        if parts is not None and parts.any():
            frame = np.zeros((plan.crop.height, plan.crop.width), np.uint8)
            common = person.box.intersect(plan.crop)
            frame[_within(common, plan.crop)] = np.where(person.mask, parts, 0)[_within(common, person.box)]
            on_canvas = _placed(frame, (h, w), plan.bucket)
        if points is not None:
            shift = np.asarray([plan.crop.x0, plan.crop.y0], np.float32)
            points[:, :2] = (points[:, :2] + 0.5 - shift) * scale - 0.5
        others = [p for p in scene.people if p.id != person.id]
        others.sort(key=lambda p: _gap(person.box, p.box))
        return cls(
            plan.bucket,
            own,
            hole,
            points,
            on_canvas,
            worth if on_canvas is not None else 0.0,
            tuple(
                Other(_scaled(p.box, plan.crop, scale), float(np.clip(p.score, 0, 1)), scene.in_front(p.id, person.id))
                for p in others[:MOST_OTHERS]
            ),
        )

    def mirrored(self, width: int) -> BodyRow:
        """Left and right exchanged in the canvas's first ``width`` columns, which are all that the crop fills."""

        def turned(image: NDArray[Any]) -> NDArray[Any]:
            out = image.copy()
            out[:, :width] = image[:, :width][:, ::-1]
            return out

        return replace(
            self,
            own=turned(self.own),
            hole=turned(self.hole),
            keypoints=None if self.keypoints is None else mirrored_keypoints(self.keypoints, width),
            parts=None if self.parts is None else turned(self.parts),
            others=tuple(replace(o, box=(width - o.box[2], o.box[1], width - o.box[0], o.box[3])) for o in self.others),
        )


def coarse(mask: NDArray[np.bool_], points: NDArray[np.float32]) -> tuple[NDArray[np.uint8], float]:
    """The coarse map of body regions and its confidence: it is worth no more than the pose that it is drawn from."""
    return coarse_parts(mask, points), COARSE_CONFIDENCE * float(points[:, 2].mean())


def described(body: BodyRow, others: int) -> tuple[NDArray[np.float32], ...]:
    """The fields of :class:`mild.diffusion.morphology_rows.MorphologyRows` for one body, in their order.

    ``others``: how many relations to make room for.
    """
    height, width = body.canvas
    small = (height // DENSE_STRIDE, width // DENSE_STRIDE)
    frame = _frame(body)
    points, point_confidence = _point_features(body, frame)
    parts, part_confidence = _part_features(body)
    rest, rest_confidence = np.zeros((others, OTHER_FEATURES), np.float32), np.zeros(others, np.float32)
    where = np.zeros((1 + others, height // WHERE_STRIDE, width // WHERE_STRIDE), np.float32)
    where[0] = _averaged((body.own | body.hole).astype(np.float32), (where.shape[1], where.shape[2]))
    for i, other in enumerate(body.others):
        rest[i], rest_confidence[i] = _other_features(other, frame, body.canvas), other.score
        where[1 + i] = _box_map(other.box, (where.shape[1], where.shape[2]))
    limbs = np.zeros((len(LIMBS), *small), np.float32)
    if body.keypoints is not None:
        scaled = body.keypoints * np.asarray([1 / DENSE_STRIDE, 1 / DENSE_STRIDE, 1], np.float32)
        limbs = limb_map(scaled, small)
    maps = np.zeros((len(PART_NAMES) - 1, *small), np.float32)
    if body.parts is not None:
        for label, channel in enumerate(maps, 1):
            channel[:] = _averaged((body.parts == label).astype(np.float32), small) * body.parts_confidence
    return points, parts, rest, point_confidence, part_confidence, rest_confidence, where, limbs, maps


def _point_features(body: BodyRow, frame: tuple[float, ...]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Per keypoint: x, y in the canvas; x, y in the owner's box; is it on own pixels, is it in the hole."""
    out, confidence = np.zeros((17, POINT_FEATURES), np.float32), np.zeros(17, np.float32)
    if body.keypoints is not None:
        height, width = body.canvas
        xy = body.keypoints[:, :2] / np.asarray([width, height], np.float32)
        out[:, :2] = np.clip(xy, -0.5, 1.5)
        out[:, 2:4] = np.clip((xy - frame[:2]) / np.asarray(frame[2:]), -2, 3)
        column = np.clip(np.rint(body.keypoints[:, 0]).astype(int), 0, width - 1)
        row = np.clip(np.rint(body.keypoints[:, 1]).astype(int), 0, height - 1)
        out[:, 4], out[:, 5] = body.own[row, column], body.hole[row, column]
        confidence = body.keypoints[:, 2].astype(np.float32)
    return out, confidence


def _part_features(body: BodyRow) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Per part: x, y of its centre, its width and height in the canvas, its share of the visible person."""
    count = len(PART_NAMES) - 1
    out, confidence = np.zeros((count, PART_FEATURES), np.float32), np.zeros(count, np.float32)
    if body.parts is not None:
        height, width = body.canvas
        total = max(1, int((body.parts > 0).sum()))
        for i in range(count):
            ys, xs = np.nonzero(body.parts == i + 1)
            if len(ys):
                out[i] = [
                    xs.mean() / width, ys.mean() / height, (np.ptp(xs) + 1) / width, (np.ptp(ys) + 1) / height,
                    len(ys) / total,
                ]  # fmt: skip
                confidence[i] = body.parts_confidence
    return out, confidence


def _other_features(other: Other, frame: tuple[float, ...], canvas: tuple[int, int]) -> NDArray[np.float32]:
    """Centre and size in the canvas; centre in the owner's box; log size ratios; overlap of the boxes; in front?"""
    height, width = canvas
    x0, y0, x1, y1 = np.clip(np.asarray(other.box) / [width, height, width, height], -1, 2)
    fx, fy, fw, fh = frame
    cx, cy, w, h = (x0 + x1) / 2, (y0 + y1) / 2, max(x1 - x0, 1e-3), max(y1 - y0, 1e-3)
    shared = max(0.0, min(x1, fx + fw) - max(x0, fx)) * max(0.0, min(y1, fy + fh) - max(y0, fy))
    values = [
        cx, cy, w, h, np.clip((cx - fx) / fw, -3, 4), np.clip((cy - fy) / fh, -3, 4),
        np.clip(np.log(w / fw), -3, 3), np.clip(np.log(h / fh), -3, 3), shared / (fw * fh),
        1.0 if other.front else -1.0,
    ]  # fmt: skip
    return np.asarray(values, np.float32)


def _frame(body: BodyRow) -> tuple[float, float, float, float]:
    """The owner's visible box as x, y, width, height in units of the canvas; the whole canvas without an owner."""
    if not body.own.any():
        return 0.0, 0.0, 1.0, 1.0
    height, width = body.canvas
    box = Box.around(body.own)
    return box.x0 / width, box.y0 / height, box.width / width, box.height / height


def _averaged(image: NDArray[np.float32], size: tuple[int, int]) -> NDArray[np.float32]:
    return np.asarray(cv2.resize(image, (size[1], size[0]), interpolation=cv2.INTER_AREA), np.float32)


def _box_map(box: tuple[float, float, float, float], size: tuple[int, int]) -> NDArray[np.float32]:
    """How much of each cell the box covers."""
    x0, y0, x1, y1 = (v / WHERE_STRIDE for v in box)
    rows, columns = np.arange(size[0]), np.arange(size[1])
    tall = np.clip(np.minimum(rows + 1, y1) - np.maximum(rows, y0), 0, 1)
    wide = np.clip(np.minimum(columns + 1, x1) - np.maximum(columns, x0), 0, 1)
    return np.asarray(tall[:, None] * wide, np.float32)


def _placed(image: NDArray[np.uint8], content: tuple[int, int], canvas: tuple[int, int]) -> NDArray[np.uint8]:
    out = np.zeros(canvas, np.uint8)
    out[: content[0], : content[1]] = cv2.resize(image, (content[1], content[0]), interpolation=cv2.INTER_NEAREST)
    return out


def _within(box: Box, window: Box) -> tuple[slice, slice]:
    return slice(box.y0 - window.y0, box.y1 - window.y0), slice(box.x0 - window.x0, box.x1 - window.x0)


def _scaled(box: Box, crop: Box, scale: NDArray[np.float32]) -> tuple[float, float, float, float]:
    x, y = float(scale[0]), float(scale[1])
    return (box.x0 - crop.x0) * x, (box.y0 - crop.y0) * y, (box.x1 - crop.x0) * x, (box.y1 - crop.y0) * y


def _gap(a: Box, b: Box) -> int:
    return max(0, b.x0 - a.x1, a.x0 - b.x1) + max(0, b.y0 - a.y1, a.y0 - b.y1)
