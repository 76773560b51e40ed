"""Who is in the photo: people, their masks, and who stands in front of whom.

Masks live in the window of their box, so that a 60-megapixel photo with twenty people stays small.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from mild.errors import MildError, UsageError
from mild.photo import Photo

BoolMask = NDArray[np.bool_]

#: What somebody is in a photo; see :mod:`mild.people.roles`.
Role = Literal["subject", "bystander", "unsure"]
#: Two finds whose boxes share this much (:meth:`Box.shared`) may be one person, found twice.
SAME_BOX = 0.75
#: Sources of people for whom nobody need have been searched; then those who stay are not known.
DRAWN = frozenset({"mask", "box", "click"})
#: The 17 COCO keypoints, in COCO's order.
KEYPOINT_NAMES = (
    "nose", "left_eye", "right_eye", "left_ear", "right_ear", "left_shoulder", "right_shoulder",
    "left_elbow", "right_elbow", "left_wrist", "right_wrist", "left_hip", "right_hip",
    "left_knee", "right_knee", "left_ankle", "right_ankle",
)  # fmt: skip


class Box(NamedTuple):
    """Pixels ``x0 <= x < x1``, ``y0 <= y < y1`` of the photo."""

    x0: int
    y0: int
    x1: int
    y1: int

    @property
    def width(self) -> int:
        return self.x1 - self.x0

    @property
    def height(self) -> int:
        return self.y1 - self.y0

    @property
    def area(self) -> int:
        return max(0, self.width) * max(0, self.height)

    @property
    def slices(self) -> tuple[slice, slice]:
        """Index of the window in an array ``[H, W, ...]``."""
        return slice(self.y0, self.y1), slice(self.x0, self.x1)

    def intersect(self, other: Box) -> Box:
        """Common part; may be empty (``area == 0``)."""
        return Box(max(self.x0, other.x0), max(self.y0, other.y0), min(self.x1, other.x1), min(self.y1, other.y1))

    def union(self, other: Box) -> Box:
        return Box(min(self.x0, other.x0), min(self.y0, other.y0), max(self.x1, other.x1), max(self.y1, other.y1))

    def shared(self, other: Box) -> float:
        """The part of both together that lies in both, 0..1."""
        common = self.intersect(other).area
        return common / max(1, self.area + other.area - common)

    def covered(self, other: Box) -> float:
        """The part of the smaller of both that lies in both, 0..1."""
        return self.intersect(other).area / max(1, min(self.area, other.area))

    def grow(self, pixels: int, size: tuple[int, int]) -> Box:
        """Enlarged by ``pixels`` on each side, cut at the photo of ``size = (height, width)``."""
        return Box(self.x0 - pixels, self.y0 - pixels, self.x1 + pixels, self.y1 + pixels).intersect(
            Box(0, 0, size[1], size[0])
        )

    def inside(self, frame: Box) -> Box:
        """The same pixels, counted from the corner of ``frame``."""
        return Box(self.x0 - frame.x0, self.y0 - frame.y0, self.x1 - frame.x0, self.y1 - frame.y0)

    def offset(self, frame: Box) -> Box:
        """Pixels counted from the corner of ``frame``, in the photo: what undoes :meth:`inside`."""
        return Box(self.x0 + frame.x0, self.y0 + frame.y0, self.x1 + frame.x0, self.y1 + frame.y0)

    @classmethod
    def around(cls, mask: BoolMask) -> Box:
        """Tight box of a non-empty mask ``[H, W]``."""
        ys, xs = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
        if not len(ys):
            raise UsageError("The mask is empty: mark at least one pixel in white.")
        return cls(int(xs[0]), int(ys[0]), int(xs[-1]) + 1, int(ys[-1]) + 1)


@dataclass(frozen=True)
class Person:
    """One person of a photo (or, with ``source="mask"``, any region the user marked).

    Attributes:
        id: number the user sees, 1, 2, … from left to right; unique in a scene.
        box: tight box of the mask, in photo pixels.
        mask: bool ``[box.height, box.width]``, true where the person is visible. Masks of two people of a
            scene never overlap.
        score: confidence that this is a person, 0..1 (1 for what the user marked).
        sure: false for an uncertain find: listed, but never erased or kept as a person unless named.
        keypoints: float32 ``[17, 3]``: x, y in photo pixels and confidence 0..1, COCO order; or None.
        landmarks: the finder's own finer points ``[n, 3]`` (33 for BlazePose), same units; or None.
        parts: uint8 ``[box.height, box.width]`` body-region labels (see ``diffusion.morphology``), or None.
        role: is the photo of this person, or do they only happen to be in it?
        source: who said so: a finder (``"nanodet"``, ``"hub"``, …), ``"box"``, ``"click"``, ``"mask"``, ``"coco"``.
        things: the kinds of the things in the mask that go along with them (see ``things.py``).
        found: of whom a mask by hand means: the outline a finder saw of them, bool ``[h, w]`` in the frame of a box.
    """

    id: int
    box: Box
    mask: BoolMask = field(repr=False)
    score: float = 1.0
    sure: bool = True
    keypoints: NDArray[np.float32] | None = field(default=None, repr=False)
    landmarks: NDArray[np.float32] | None = field(default=None, repr=False)
    parts: NDArray[np.uint8] | None = field(default=None, repr=False)
    source: str = "mask"
    role: Role = "unsure"
    things: tuple[str, ...] = ()
    found: tuple[Box, BoolMask] | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        if self.mask.shape != (self.box.height, self.box.width):
            raise MildError(f"The mask of person {self.id} is {self.mask.shape}, but the box is {self.box}.")

    @property
    def area(self) -> int:
        """Visible pixels."""
        return int(self.mask.sum())

    def away(self, x: int, y: int) -> float:
        """How far a pixel of the photo is from the nearest of the person's, pixels."""
        rows, columns = np.nonzero(self.mask)
        return float(np.hypot(rows + self.box.y0 - y, columns + self.box.x0 - x).min())

    def full_mask(self, size: tuple[int, int]) -> BoolMask:
        """The mask in the frame of a photo of ``size = (height, width)``."""
        out = np.zeros(size, bool)
        out[self.box.slices] = self.mask
        return out

    def with_mask(self, mask: BoolMask) -> Person:
        """The same person with another mask, in the photo's frame ``[H, W]``; part labels are kept where known."""
        box = Box.around(mask)
        parts = None
        if self.parts is not None:
            labels = np.zeros(mask.shape, np.uint8)
            labels[self.box.slices] = self.parts
            parts = labels[box.slices]
        return replace(self, box=box, mask=np.ascontiguousarray(mask[box.slices]), parts=parts)

    @classmethod
    def from_mask(cls, id: int, mask: BoolMask, **fields: Any) -> Person:
        """From a mask in the photo's frame ``[H, W]``; the box is found."""
        box = Box.around(mask)
        return cls(id=id, box=box, mask=np.ascontiguousarray(mask[box.slices]), **fields)


@dataclass(frozen=True)
class Scene:
    """A photo and the people in it.

    Attributes:
        photo: the photo.
        people: sorted by id.
        order: ids from the back to the front, as estimated (or given by the user).
    """

    photo: Photo
    people: tuple[Person, ...] = ()
    order: tuple[int, ...] = field(default=())

    def __post_init__(self) -> None:
        ids = [p.id for p in self.people]
        if len(set(ids)) != len(ids):
            raise MildError("Two people of a scene have the same number.")
        if sorted(self.order) != sorted(ids):
            object.__setattr__(self, "order", tuple(ids))

    @property
    def size(self) -> tuple[int, int]:
        """``(height, width)`` of the photo."""
        return self.photo.size

    @property
    def sure(self) -> tuple[Person, ...]:
        """The people that count as found without being named."""
        return tuple(p for p in self.people if p.sure)

    def person(self, id: int) -> Person:
        for p in self.people:
            if p.id == id:
                return p
        known = ", ".join(str(p.id) for p in self.people) or "none"
        raise UsageError(f"There is no person {id} in this photo (people found: {known}); see `mild people`.")

    def in_front(self, a: int, b: int) -> bool:
        """Does person ``a`` stand in front of person ``b``?"""
        return self.order.index(a) > self.order.index(b)

    def mask_of(self, ids: Iterable[int], window: Box | None = None) -> BoolMask:
        """Union of the masks of these people, ``[H, W]``; or the part of it in a ``window`` of the photo."""
        window = window or Box(0, 0, self.size[1], self.size[0])
        out = np.zeros((window.height, window.width), bool)
        for i in ids:
            p = self.person(i)
            common = p.box.intersect(window)
            if common.area:
                out[common.inside(window).slices] |= p.mask[common.inside(p.box).slices]
        return out

    def label_map(self) -> NDArray[np.uint16]:
        """Index map ``[H, W]``: 0 nobody, otherwise the person's id."""
        out = np.zeros(self.size, np.uint16)
        for p in self.people:
            out[p.box.slices][p.mask] = p.id
        return out

    def with_person(self, person: Person) -> Scene:
        """A scene with one more person, placed in front of all others.

        Pixels of others stay theirs, so that masks never overlap.
        """
        free = person.mask.copy()
        for p in self.people:
            common = p.box.intersect(person.box)
            if common.area:
                inner = _shift(common, person.box)
                free[inner.slices] &= ~p.mask[_shift(common, p.box).slices]
        if not free.any():
            raise UsageError("The marked region lies wholly inside people already found; name them by number instead.")
        full = np.zeros(self.size, bool)
        full[person.box.slices] = free
        new = person.with_mask(full)
        return Scene(self.photo, (*self.people, new), (*self.order, new.id))

    @property
    def next_id(self) -> int:
        return max((p.id for p in self.people), default=0) + 1

    def summary(self) -> list[Mapping[str, Any]]:
        """One JSON-able entry per person, in the order of their numbers."""
        return [
            {
                "id": p.id,
                "box": list(p.box),
                "area": p.area,
                "score": round(float(p.score), 3),
                "sure": p.sure,
                "depth": self.order.index(p.id),
                "source": p.source,
                "role": p.role,
                "things": list(p.things),
                "keypoints": None if p.keypoints is None else np.round(p.keypoints, 2).tolist(),
            }
            for p in self.people
        ]


def _shift(box: Box, origin: Box) -> Box:
    """``box`` of the photo's frame in the frame of the window ``origin``."""
    return Box(box.x0 - origin.x0, box.y0 - origin.y0, box.x1 - origin.x0, box.y1 - origin.y0)
