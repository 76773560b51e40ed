"""What is counted about a sample: a few numbers each, for tables, plots, quotas and the data card."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mild.lab.data.sample import Sample, Source


@dataclass(frozen=True)
class Facts:
    """One sample in numbers.

    Attributes:
        key, file, split, scenario, truth: of the sample.
        size: ``(height, width)``.
        people, erased, chain, cut, camouflaged: numbers of people; ``chain`` the longest chain of occlusion.
        occlusion, entangled, contrast, shadow: its tags.
        areas: visible share of the frame, per person.
        heights: height of the visible box over the frame's, per person.
        hidden: share of each complete person that others hide.
        posed: people whose pose is known.
        objects: names of held things.
        sources: every ingredient.
    """

    key: str
    file: str
    split: str
    scenario: str
    truth: str
    size: tuple[int, int]
    people: int
    erased: int
    chain: int
    cut: int
    camouflaged: int
    occlusion: float
    entangled: float
    contrast: float
    shadow: float
    areas: tuple[float, ...]
    heights: tuple[float, ...]
    hidden: tuple[float, ...]
    posed: int
    objects: tuple[str, ...]
    sources: tuple[Source, ...]

    @property
    def groups(self) -> tuple[str, ...]:
        """Original photos; textures of drawn things count too."""
        return tuple(source.group for source in self.sources)


def facts_of(sample: Sample, file: str | Path = "") -> Facts:
    """Count."""
    areas, heights = [], []
    for person in sample.people:
        mask = sample.index == person.id
        rows = mask.any(1).nonzero()[0]
        areas.append(round(float(mask.mean()), 5))
        heights.append(round(float(rows[-1] + 1 - rows[0]) / sample.size[0], 4) if len(rows) else 0.0)
    tags = sample.tags
    return Facts(
        sample.key,
        str(file),
        sample.split,
        tags.scenario,
        sample.truth,
        sample.size,
        len(sample.people),
        len(sample.erased),
        tags.chain,
        sum(p.cut for p in sample.people),
        sum(p.camouflaged for p in sample.people),
        tags.occlusion,
        tags.entangled,
        tags.contrast,
        tags.shadow,
        tuple(areas),
        tuple(heights),
        tuple(p.hidden for p in sample.people),
        sum(bool((p.keypoints[:, 2] > 0).any()) for p in sample.people),
        tuple(layer.name.split(" ")[0] for layer in sample.layers if layer.kind == "object"),
        sample.sources,
    )


def licences(facts: Sequence[Facts]) -> list[tuple[str, int, int]]:
    """Licence, number of different ingredients under it, number of samples that use one: most used first."""
    files: dict[str, set[str]] = {}
    used: Counter[str] = Counter()
    for fact in facts:
        for source in fact.sources:
            files.setdefault(short_licence(source.licence), set()).add(source.file)
        used.update({short_licence(source.licence) for source in fact.sources})
    return sorted(((name, len(files[name]), used[name]) for name in files), key=lambda row: (-row[1], row[0]))


def short_licence(licence: str) -> str:
    """The licence without the photo's credit that some manifests add to it."""
    name = licence.split(";")[0].strip()
    if name.count("(") > name.count(")"):
        name += ")"
    return name if len(name) <= 60 else name[:57] + "…"
