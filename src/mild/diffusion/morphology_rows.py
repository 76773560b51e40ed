"""The bodies of a batch of rows as tensors: what :class:`mild.diffusion.morphology.MorphologyGuidance` reads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace

import numpy as np
import torch
from numpy.random import Generator

from mild.diffusion.bodies import SOURCES, BodyRow, Hmg, described, sources_of
from mild.request import HmgSource


@dataclass(frozen=True)
class MorphologyRows:
    """The bodies of a batch of rows. A confidence of 0 says that a token is missing, whatever its features.

    Attributes:
        points ``[B, 17, POINT_FEATURES]``, parts ``[B, 7, PART_FEATURES]``, others ``[B, R, OTHER_FEATURES]``: the
            tokens' features; positions are in units of the canvas.
        point_confidence, part_confidence, other_confidence: ``[B, tokens]`` in [0, 1].
        where: ``[B, 1 + R, h / 8, w / 8]`` in [0, 1]: where the owner may be (own and hole), then the others' boxes.
        limbs ``[B, 10, h / 4, w / 4]``, part_maps ``[B, 7, h / 4, w / 4]``: the dense map, scaled by confidence.
    """

    points: torch.Tensor
    parts: torch.Tensor
    others: torch.Tensor
    point_confidence: torch.Tensor
    part_confidence: torch.Tensor
    other_confidence: torch.Tensor
    where: torch.Tensor
    limbs: torch.Tensor
    part_maps: torch.Tensor

    @classmethod
    def build(cls, bodies: Sequence[BodyRow]) -> MorphologyRows:
        """A batch; all canvases must have one size."""
        count = max(len(b.others) for b in bodies)
        columns = zip(*(described(body, count) for body in bodies), strict=True)
        return cls(*(torch.from_numpy(np.stack(column)) for column in columns))

    def __len__(self) -> int:
        return len(self.points)

    @property
    def missing(self) -> bool:
        """Is nothing known of any row?"""
        return not any(bool(c.any()) for c in (self.point_confidence, self.part_confidence, self.other_confidence))

    def gated(self, gates: Mapping[HmgSource, torch.Tensor]) -> MorphologyRows:
        """Each source's confidence times its gate ``[B]`` in [0, 1]; a source without one stays as it is."""
        changed: dict[str, torch.Tensor] = {}
        for source, names in _TENSORS.items():
            if source in gates:
                for name in names:
                    value = getattr(self, name)
                    changed[name] = value * gates[source].to(value).view(-1, *(1,) * (value.ndim - 1))
        return replace(self, **changed)

    def only(self, hmg: Hmg) -> MorphologyRows:
        """Everything but the sources of ``hmg`` missing."""
        kept = sources_of(hmg)
        return self.gated({s: torch.full((len(self),), float(s in kept)) for s in SOURCES})

    def dropped(
        self, rng: Generator, pose: float = 0.2, parsing: float = 0.3, relations: float = 0.2, everything: float = 0.1
    ) -> MorphologyRows:
        """For training: each source of each row missing with its own probability, and all of a row with another."""
        stays = rng.random(len(self)) >= everything
        chances: dict[HmgSource, float] = {"pose": pose, "parsing": parsing, "relations": relations}
        return self.gated({s: torch.from_numpy(stays & (rng.random(len(self)) >= p)) for s, p in chances.items()})

    def to(self, device: torch.device | str, dtype: torch.dtype) -> MorphologyRows:
        return replace(self, **{f.name: getattr(self, f.name).to(device, dtype) for f in fields(self)})


_TENSORS: Mapping[HmgSource, tuple[str, ...]] = {
    "pose": ("point_confidence", "limbs"),
    "parsing": ("part_confidence", "part_maps"),
    "relations": ("other_confidence",),
}
