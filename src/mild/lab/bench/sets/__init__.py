"""The registry of sets: ``samples:FOLDER``, ``outlines:DATA``, ``triples:FOLDER``, ``coco:FOLDER``, ``photos:…``."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from mild.errors import UsageError
from mild.lab.bench.items import Item

__all__ = ["KINDS", "BenchSet", "SetKind", "choose", "load_set"]


class BenchSet(Protocol):
    """Items by id; nothing is decoded before it is asked for.

    Attributes:
        name: in the tables.
        about: what the set is; JSON-able.
    """

    name: str
    about: Mapping[str, Any]

    def ids(self) -> Sequence[str]:
        """All ids, in a fixed order."""
        ...

    def stratum(self, id: str) -> str:
        """What :func:`choose` keeps in proportion; ``""`` where nothing is known without decoding."""
        ...

    def load(self, id: str) -> Item: ...


@dataclass(frozen=True)
class SetKind:
    """One family of sets.

    Attributes:
        summary: for help texts.
        load: (path, options) -> set.
    """

    summary: str
    load: Callable[[str, Mapping[str, Any]], BenchSet]


def _samples(path: str, options: Mapping[str, Any]) -> BenchSet:
    from mild.lab.bench.sets.samples import SampleSet

    return SampleSet.open(path, **options)


def _outlines(path: str, options: Mapping[str, Any]) -> BenchSet:
    from mild.lab.bench.sets.outlines import OutlineSet

    return OutlineSet.open(path, **options)


def _triples(path: str, options: Mapping[str, Any]) -> BenchSet:
    from mild.lab.bench.sets.triples import TripleSet

    return TripleSet.open(path, **options)


def _coco(path: str, options: Mapping[str, Any]) -> BenchSet:
    from mild.lab.bench.sets.photos import CocoSet

    return CocoSet.open(path, **options)


def _photos(path: str, options: Mapping[str, Any]) -> BenchSet:
    from mild.lab.bench.sets.photos import PhotoSet

    return PhotoSet.open(path, **options)


KINDS: dict[str, SetKind] = {
    "samples": SetKind("MILD samples (shards or folders), such as MILD-Bench or real pairs", _samples),
    "outlines": SetKind("person-free photos with people's outlines as holes; count, size, seed", _outlines),
    "triples": SetKind("folders of photos, masks and truths: RORD-Val, OBER-Test, RemovalBench", _triples),
    "coco": SetKind("a folder of photos and a COCO instances file (annotations); erases one person", _coco),
    "photos": SetKind("a folder of photos; the finder finds the people, erase says where", _photos),
}


def load_set(text: str, options: Mapping[str, Any] | None = None) -> BenchSet:
    """``KIND:PATH[,name=value…]``.

    Raises:
        UsageError: no such kind, or no such option.
        MildError: nothing there.
    """
    kind, _, rest = text.partition(":")
    if kind not in KINDS:
        raise UsageError(f"There is no set {kind!r} (known: {', '.join(KINDS)}); for example samples:FOLDER.")
    path, *parts = rest.split(",")
    given: dict[str, Any] = dict(options or {})
    for part in parts:
        name, sign, value = part.partition("=")
        if not sign:
            raise UsageError(f"The set {kind} takes name=value, not {part!r}.")
        given[name] = int(value) if value.lstrip("-").isdigit() else value
    try:
        return KINDS[kind].load(path, given)
    except TypeError as error:
        raise UsageError(f"The set {kind} does not take these options ({error}).") from None


def choose(whole: BenchSet, limit: int | None, seed: int = 0) -> list[str]:
    """At most ``limit`` ids, each stratum in proportion, the same for the same seed.

    A larger limit adds items and drops none: within a stratum the order is fixed, and strata take turns by how far
    they are behind their share.
    """
    ids = list(whole.ids())
    if limit is None or limit >= len(ids):
        return ids
    groups: dict[str, list[str]] = {}
    for i in np.random.default_rng(seed).permutation(len(ids)):
        groups.setdefault(whole.stratum(ids[i]), []).append(ids[i])
    # (taken + 1) / size is the share of a group that would be taken: the lowest goes next.
    turns = sorted((k / len(group), name, k - 1) for name, group in groups.items() for k in range(1, len(group) + 1))
    chosen = {groups[name][k] for _, name, k in turns[:limit]}
    return [i for i in ids if i in chosen]
