"""What a method is asked and what it is measured against: a photo, its people, whom to erase, the truth if known."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from mild.errors import MildError
from mild.people.scene import BoolMask, Box, Person, Scene
from mild.photo import Photo
from mild.plan.planning import plan_layers
from mild.request import Region

Rgb = NDArray[np.uint8]
#: How the region to erase is given to the methods: the people's own masks, those with the road's default margin, or
#: filled boxes.
MaskKind = Literal["tight", "dilated", "box"]
MASK_KINDS: tuple[MaskKind, ...] = ("tight", "dilated", "box")


@dataclass(frozen=True)
class Truth:
    """What is really there.

    Attributes:
        photo: uint8 ``[H, W, 3]``, the same photo without the erased people.
        background: uint8 ``[H, W, 3]``, without anybody; or None.
        people: id -> uint8 ``[H, W, 4]``, every person complete, straight alpha, in the photo's frame.
        order: ids from the back to the front, or None when unknown.
    """

    photo: Rgb
    background: Rgb | None = None
    people: Mapping[int, NDArray[np.uint8]] = field(default_factory=dict)
    order: tuple[int, ...] | None = None


@dataclass(frozen=True)
class Item:
    """One photo of a set and who is to be erased from it.

    Attributes:
        id: unique in its set; also a file's name.
        scene: the photo and its people, as the set says (not as a finder guesses, unless the set has no masks).
        erase: ids of those who go.
        truth: or None for a set without ground truth.
        tags: what the bins of the report are made of; ``scenario`` and whatever else the set knows.
        cluster: the photo that the hole's background comes from: items of one cluster are not independent, and are
            resampled and tested as one. Empty: the item is of its own.
        painted: the erased "people" are grey paint over an intact photo: nothing of theirs can be found again.
    """

    id: str
    scene: Scene
    erase: tuple[int, ...]
    truth: Truth | None = None
    tags: Mapping[str, Any] = field(default_factory=dict)
    painted: bool = False
    cluster: str = ""

    def __post_init__(self) -> None:
        for person in self.erase:
            self.scene.person(person)
        if self.truth is not None and self.truth.photo.shape != self.photo.shape:
            raise MildError(f"Item {self.id}: the truth has another size than the photo.")

    @property
    def photo(self) -> Rgb:
        return self.scene.photo.pixels

    @property
    def kept(self) -> tuple[int, ...]:
        """Ids of those who stay."""
        return tuple(p.id for p in self.scene.people if p.id not in self.erase)

    @cached_property
    def kept_mask(self) -> BoolMask:
        """Visible pixels ``[H, W]`` of those who stay."""
        return self.scene.mask_of(self.kept)

    def hidden_share(self, person: int) -> float | None:
        """The part, 0..1, of a complete person that is covered in the photo; None without layers of truth."""
        layer = None if self.truth is None else self.truth.people.get(person)
        if layer is None:
            return None
        whole = int((layer[..., 3] > 127).sum())
        return 1.0 - min(1.0, self.scene.person(person).area / whole) if whole else None


@dataclass(frozen=True)
class Trial:
    """An item with one kind of mask: what a method sees.

    Attributes:
        item: with its scene's masks as the kind of mask says.
        mask: bool ``[H, W]``, true = erase; the same for every method. Never on a visible pixel of those who stay.
        kind: tight, dilated or box.
        region: what makes MILD change exactly these pixels.
        seed: of everything random.
    """

    item: Item
    mask: BoolMask
    kind: MaskKind
    region: Region
    seed: int = 0

    @property
    def key(self) -> str:
        return f"{self.item.id}.{self.kind}.{self.seed}"


def make_trial(item: Item, kind: MaskKind, seed: int = 0) -> Trial:
    """The trial of an item: the mask is what the road's own plan would replace: nobody is asked for more or less.

    Raises:
        MildError: nothing, or everything, would be erased.
    """
    if kind == "box":
        item = replace(item, scene=_boxed(item))
    region = Region(dilate=0.015, feather=0.008) if kind == "dilated" else Region(dilate=0.0, feather=0.0)
    mask = np.zeros(item.scene.size, bool)
    plan = plan_layers(item.scene, item.erase, region, people_layers=False)
    for box, matte in plan.mattes.values():
        mask[box.slices] |= matte > 0
    return Trial(item, mask, kind, region, seed)


def _boxed(item: Item) -> Scene:
    """The scene with each erased person's mask filled up to its box, where nobody else is."""
    scene = item.scene
    people: list[Person] = []
    taken = scene.mask_of(p.id for p in scene.people)
    for person in scene.people:
        if person.id in item.erase:
            free = ~taken[person.box.slices] | person.mask
            taken[person.box.slices] |= free
            person = replace(person, mask=free, box=Box(*person.box), parts=None)
        people.append(person)
    return Scene(scene.photo, tuple(people), scene.order)


def without(scene: Scene, *, pose: bool = False, parsing: bool = False) -> Scene:
    """The scene as after a failing estimator: keypoints of no confidence (``pose``), no body regions (``parsing``)."""
    people = scene.people
    if pose:
        # Of somebody without any the road would look for them.
        people = tuple(replace(p, keypoints=np.zeros((17, 3), np.float32), landmarks=None) for p in people)
    if parsing:
        people = tuple(replace(p, parts=None) for p in people)
    return Scene(scene.photo, people, scene.order)


def single(
    photo: Rgb, mask: BoolMask, id: str, truth: Rgb | None = None, tags: Mapping[str, Any] | None = None
) -> Item:
    """An item from a bare triple: whatever the mask marks is the one 'person' who goes."""
    scene = Scene(Photo.from_array(photo), (Person.from_mask(1, mask),))
    return Item(id, scene, (1,), None if truth is None else Truth(truth), tags or {})


def describe(item: Item) -> dict[str, Any]:
    """What the report bins and hashes: JSON-able."""
    area = float(item.scene.mask_of(item.erase).mean())
    hidden = [share for k in item.kept if (share := item.hidden_share(k)) is not None]
    touching = [share for share in hidden if share > 0.01]
    return {
        "id": item.id,
        "size": list(item.scene.size),
        "hole_area": area,
        "people": len(item.scene.people),
        "erased": len(item.erase),
        "occlusion": max(hidden) if hidden else None,
        "occluded_people": len(touching) if hidden else None,
        "tags": dict(item.tags),
        "cluster": item.cluster or item.id,
        "sha256": {
            "photo": digest(item.photo),
            "mask": digest(item.scene.mask_of(item.erase)),
            **({} if item.truth is None else {"truth": digest(item.truth.photo)}),
        },
    }


def digest(array: NDArray[Any]) -> str:
    """sha256 of shape, type and values, hex."""
    made = hashlib.sha256(f"{array.dtype.str}{list(array.shape)}:".encode())
    made.update(np.ascontiguousarray(array).data)
    return made.hexdigest()


def ring_of(mask: BoolMask, radius: int) -> BoolMask:
    """Pixels outside ``mask [H, W]`` at most ``radius`` from it."""
    if not mask.any():
        return np.zeros_like(mask)
    near: BoolMask = cv2.distanceTransform((~mask).astype(np.uint8), cv2.DIST_L2, 5) <= radius
    return near & ~mask
