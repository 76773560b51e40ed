"""One sample of a MILD data set: a photo, who is in it, and (where it is known) every layer it is made of.

A sample knows nothing of files; :mod:`mild.lab.data.members` turns it into named members and back,
:mod:`mild.lab.data.store` keeps many of them. The format is described in ``docs/data-format.md``.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from mild.errors import MildError
from mild.lab.data.ingredients import Split
from mild.layers import alpha_over
from mild.people.body import PARTS
from mild.people.scene import Box, Person, Scene
from mild.photo import Photo

#: Name and version of the format; a reader refuses other major versions.
FORMAT = "mild-sample/1"

#: What a sample's truth is worth. ``layers``: every layer is known and their alpha-over is the photo. ``plate``: a
#: real photo of the same place without the people. ``none``: a real photo alone.
Truth = Literal["layers", "plate", "none"]
LayerKind = Literal["shadow", "person", "object"]
#: The three scenarios of the paper, and what a sample is called that shows none of them.
Scenario = Literal["human-human", "human-object", "human-background", "plain"]
SCENARIOS: tuple[Scenario, ...] = ("human-human", "human-object", "human-background")


@dataclass(frozen=True)
class SampleLayer:
    """One layer above the clean background, in the window ``box`` of the photo.

    Attributes:
        kind: ``shadow`` (black; its alpha is how much light is missing), ``person`` or ``object``.
        owner: id of the person it goes with.
        name: what an editor shows, e.g. ``"person 2"``.
        box: the window in photo pixels; always inside the frame.
        rgba: uint8 ``[box.height, box.width, 4]``, straight alpha, complete: also what others hide. Parts of a person
            beyond the frame are not kept.
    """

    kind: LayerKind
    owner: int
    name: str
    box: Box
    rgba: NDArray[np.uint8]


@dataclass(frozen=True)
class Subject:
    """One person of a sample.

    Attributes:
        id: 1, 2, … at most 254; the value in the index map.
        erase: true when the task is to erase this person, false when they stay.
        keypoints: float32 ``[17, 3]``, COCO order: x, y in photo pixels and confidence 0..1; all zero when unknown.
        source: ``file`` of the :class:`Source` this person came from.
        hidden: share of the complete person (inside the frame) that others hide, 0..1; 0 when it is not known.
        cut: true when the frame cuts the person off (a half body).
        camouflaged: true when the clothes were recoloured towards the background.
        score: confidence that this is a person, 0..1.
    """

    id: int
    erase: bool
    keypoints: NDArray[np.float32]
    source: str
    hidden: float = 0.0
    cut: bool = False
    camouflaged: bool = False
    score: float = 1.0


@dataclass(frozen=True)
class Tags:
    """What is difficult about a sample.

    Attributes:
        scenario: what it is a case of; the quota counts this one.
        occlusion: largest share of an erased or kept person hidden by one of the other group, 0..1.
        chain: number of people in the longest chain in which each hides a part of the next (1: nobody hides anybody).
        entangled: pixels of held or worn objects that touch or cover somebody else, or cover their owner, relative
            to the owner's area.
        contrast: least distance in CIELAB between an erased person's colours and what is around them; 100 if unknown.
        shadow: share of the photo's pixels that lie in a cast or contact shadow.
    """

    scenario: Scenario = "plain"
    occlusion: float = 0.0
    chain: int = 1
    entangled: float = 0.0
    contrast: float = 100.0
    shadow: float = 0.0


@dataclass(frozen=True)
class Source:
    """Where an ingredient came from.

    Attributes:
        file: its name in the ingredients folder (or the photo's file name).
        kind: ``background``, ``person``, ``object``, ``texture`` or ``photo``.
        licence: licence name; never empty in a valid sample.
        credit: whom to thank, as the licence wants it.
        origin: where it was taken from.
        group: name of the original photo; splits never share a group.
    """

    file: str
    kind: str
    licence: str
    credit: str
    origin: str
    group: str


@dataclass(frozen=True)
class Sample:
    """A photo with people, the task (whom to erase) and all that is known about it.

    Attributes:
        key: name, unique in its set: letters, digits, ``-`` and ``_`` only.
        photo: uint8 ``[H, W, 3]``.
        index: uint8 ``[H, W]``, who is visible where: 0 nobody, otherwise a person's id. Objects are not in it.
        people: sorted by id.
        order: ids from the back to the front.
        background: uint8 ``[H, W, 3]``, the place without anybody, or None when nobody knows it.
        layers: from the back to the front, all of them; empty when ``truth`` is not ``layers``.
        parts: uint8 ``[H, W]``, visible body regions (:data:`mild.people.body.PARTS`); 0 where unknown.
        belongings: uint8 ``[H, W]``, visible pixels of held and worn objects: the owner's id.
        shadow: uint8 ``[H, W]``, how much light the people take away, 0..255.
        truth: what the background and the layers are worth.
        tags: what is difficult about it.
        sources: every ingredient.
        seed: what it was made from, -1 for a real photo.
        split: ``train`` or ``test``.
        made_by: program and version.
    """

    key: str
    photo: NDArray[np.uint8]
    index: NDArray[np.uint8]
    people: tuple[Subject, ...]
    order: tuple[int, ...]
    background: NDArray[np.uint8] | None
    layers: tuple[SampleLayer, ...]
    parts: NDArray[np.uint8]
    belongings: NDArray[np.uint8]
    shadow: NDArray[np.uint8]
    truth: Truth
    tags: Tags
    sources: tuple[Source, ...]
    seed: int
    split: Split
    made_by: str = field(default="")

    @property
    def size(self) -> tuple[int, int]:
        """``(height, width)``."""
        return int(self.photo.shape[0]), int(self.photo.shape[1])

    @property
    def erased(self) -> tuple[int, ...]:
        """Ids of those who are to go."""
        return tuple(p.id for p in self.people if p.erase)

    @property
    def kept(self) -> tuple[int, ...]:
        return tuple(p.id for p in self.people if not p.erase)

    def subject(self, id: int) -> Subject:
        for person in self.people:
            if person.id == id:
                return person
        raise MildError(f"Sample {self.key} has no person {id}.")

    def layer_of(self, owner: int) -> SampleLayer:
        """The person's own layer, complete."""
        for layer in self.layers:
            if layer.kind == "person" and layer.owner == owner:
                return layer
        raise MildError(f"Sample {self.key} has no layer of person {owner} (its truth is {self.truth!r}).")

    def compose(self, hide: Collection[int] = ()) -> NDArray[np.uint8]:
        """The alpha-over of background and layers ``[H, W, 3]``, without what belongs to the people in ``hide``.

        Computed in float32 and rounded once at the end; with nobody hidden it is the photo, bit for bit.
        """
        if self.truth != "layers" or self.background is None:
            raise MildError(f"Sample {self.key} has no layers to compose (its truth is {self.truth!r}).")
        return composed(self.background, tuple(layer for layer in self.layers if layer.owner not in hide))

    def erased_truth(self) -> NDArray[np.uint8]:
        """The photo as if the erased people had never been there, their shadows and belongings neither.

        With ``truth == "plate"`` the photo's own pixels are replaced by the plate's where the erased people, their
        belongings and shadows are: right as far as the camera stood still and the light did not change.

        Raises:
            MildError: nobody knows (``truth == "none"``).
        """
        if self.truth == "layers":
            return self.compose(self.erased)
        if self.truth == "none" or self.background is None:
            raise MildError(f"Sample {self.key} is a real photo alone; what is behind its people is not known.")
        gone = np.isin(self.index, self.erased) | np.isin(self.belongings, self.erased)
        if not self.kept:
            gone |= self.shadow > 0
        return np.where(gone[..., None], self.background, self.photo).astype(np.uint8)

    def scene(self, *, belongings: bool = True) -> Scene:
        """The people as perception would find them, but right: visible masks, pose, parts, order.

        Args:
            belongings: count what a person holds or wears as theirs (labelled ``belongings`` in their parts); a
                person who is erased takes it along.
        """
        index = self.index
        parts = self.parts
        if belongings:
            index = np.where(self.belongings > 0, self.belongings, index)
            parts = np.where(self.belongings > 0, np.uint8(PARTS["belongings"]), parts)
        people = []
        for subject in self.people:
            mask = index == subject.id
            if not mask.any():
                continue
            box = Box.around(mask)
            window = mask[box.slices]
            labels = np.where(window, parts[box.slices], 0).astype(np.uint8)
            people.append(
                Person(
                    subject.id,
                    box,
                    np.ascontiguousarray(window),
                    score=subject.score,
                    keypoints=subject.keypoints if (subject.keypoints[:, 2] > 0).any() else None,
                    parts=labels if labels.any() else None,
                    source="sample",
                )
            )
        known = {person.id for person in people}
        return Scene(Photo(self.photo), tuple(people), tuple(i for i in self.order if i in known))


def composed(background: NDArray[np.uint8], layers: tuple[SampleLayer, ...]) -> NDArray[np.uint8]:
    """Alpha-over of layers, back to front, on a background ``[H, W, 3]``: float32, rounded once."""
    canvas = background.astype(np.float32)
    frame = Box(0, 0, background.shape[1], background.shape[0])
    for layer in layers:
        alpha_over(canvas, frame, layer.rgba, layer.box)
    return np.clip(np.rint(canvas), 0, 255).astype(np.uint8)


def whole_person(sample: Sample, owner: int) -> NDArray[np.uint8]:
    """A person with what they hold and wear, complete: uint8 ``[H, W, 4]``, straight alpha."""
    colour = np.zeros((*sample.size, 3), np.float32)
    clear = np.ones(sample.size, np.float32)
    frame = Box(0, 0, sample.size[1], sample.size[0])
    for layer in sample.layers:
        if layer.owner != owner or layer.kind == "shadow":
            continue
        alpha_over(colour, frame, layer.rgba, layer.box)
        clear[layer.box.slices] *= 1 - layer.rgba[..., 3] / np.float32(255)
    alpha = 1 - clear
    # Painted onto black the colour is premultiplied.
    rgb = np.where(alpha[..., None] > 0, colour / np.maximum(alpha, 1e-3)[..., None], 0)
    return np.dstack([np.clip(np.rint(rgb), 0, 255), np.rint(alpha * 255)]).astype(np.uint8)


def visible_maps(
    size: tuple[int, int], layers: tuple[SampleLayer, ...]
) -> tuple[NDArray[np.uint8], NDArray[np.uint8], NDArray[np.uint8]]:
    """What the layers show: index map, belongings map and shadow map, each uint8 ``[H, W]``.

    A pixel is whose layer is the foremost with an alpha of one half or more. Shadows add up as light that is missing.
    """
    index, belongings = np.zeros(size, np.uint8), np.zeros(size, np.uint8)
    light = np.ones(size, np.float32)
    for layer in layers:
        window = layer.box.slices
        alpha = layer.rgba[..., 3]
        if layer.kind == "shadow":
            light[window] *= 1 - alpha / np.float32(255)
            continue
        there = alpha > 127
        index[window][there] = layer.owner if layer.kind == "person" else 0
        belongings[window][there] = layer.owner if layer.kind == "object" else 0
    return index, belongings, np.rint(255 * (1 - light)).astype(np.uint8)
