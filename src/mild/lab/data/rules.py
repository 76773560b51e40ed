"""The rules a sample and a set must keep; every breach names the sample and the rule."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np

from mild.errors import MildError
from mild.lab.data.facts import Facts, facts_of
from mild.lab.data.members import from_members
from mild.lab.data.sample import SCENARIOS, Sample, composed, visible_maps
from mild.lab.data.store import open_members, shards_of
from mild.people.body import PART_NAMES
from mild.people.scene import Box

#: Levels by which the alpha-over may differ from the photo: another rounding.
ROUNDING = 1


@dataclass(frozen=True)
class Breach:
    """One rule that does not hold.

    Attributes:
        where: the sample's key, or the file or set.
        rule: its name in ``docs/data-format.md``.
        says: what is wrong.
    """

    where: str
    rule: str
    says: str

    def __str__(self) -> str:
        return f"{self.where}: {self.rule}: {self.says}"


@dataclass(frozen=True)
class Verdict:
    """What a check of some sets found: the breaches, and facts of every sample that could be read."""

    breaches: tuple[Breach, ...]
    facts: tuple[Facts, ...]


def check(paths: Iterable[str | Path], *, jobs: int = 1, tell: Callable[[int, int], None] | None = None) -> Verdict:
    """Check sets (folders of shards, shards, plain folders), and that no original photo is in two splits of them."""
    places = [Path(path) for path in paths]
    files = [file for place in places for file in (shards_of(place) if place.is_dir() else [place]) or [place]]
    breaches: list[Breach] = []
    facts: list[Facts] = []
    for number, (found, seen) in enumerate(_each(files, jobs), 1):
        breaches += found
        facts += seen
        if tell:
            tell(number, len(files))
    for place in places:
        mine = [f for f in facts if Path(f.file) == place or place in Path(f.file).parents]
        breaches += _set_breaches(place, mine)
    breaches += _leaks(facts)
    return Verdict(tuple(breaches), tuple(facts))


def breaches_of(sample: Sample) -> Iterator[Breach]:
    """Every rule that one sample breaks."""
    for rule, test in _RULES.items():
        try:
            says = test(sample)
        except (MildError, ValueError, IndexError, KeyError, TypeError) as error:
            says = f"it cannot be checked ({error})"
        if says:
            yield Breach(sample.key, rule, says)
            if rule == "sizes":
                # Nothing else can be checked on maps of different sizes.
                return


def _each(files: list[Path], jobs: int) -> Iterator[tuple[list[Breach], list[Facts]]]:
    if jobs <= 1 or len(files) <= 1:
        yield from map(_file, files)
        return
    with ProcessPoolExecutor(min(jobs, len(files)), get_context("spawn")) as pool:
        yield from pool.map(_file, files)


def _file(path: Path) -> tuple[list[Breach], list[Facts]]:
    breaches: list[Breach] = []
    facts: list[Facts] = []
    try:
        for key, file, members in open_members(path):
            try:
                sample = from_members(members, key)
            except MildError as error:
                breaches.append(Breach(key, "readable", str(error)))
                continue
            if sample.key != key:
                breaches.append(Breach(key, "key", f"its JSON calls it {sample.key!r}"))
            found = list(breaches_of(sample))
            said = json.loads(members["json"])
            if (said.get("height"), said.get("width")) != sample.size:
                found.append(Breach(key, "sizes", "the JSON says another width or height than the photo has"))
            breaches += found
            facts.append(facts_of(sample, file))
    except MildError as error:
        breaches.append(Breach(path.name, "readable", str(error)))
    return breaches, facts


def _sizes(s: Sample) -> str | None:
    maps = {"index": s.index, "parts": s.parts, "belongings": s.belongings, "shadow": s.shadow}
    if s.background is not None:
        maps["background"] = s.background
    for name, pixels in maps.items():
        if pixels.shape[:2] != s.size:
            return f"the {name} is {pixels.shape[1]} x {pixels.shape[0]}, the photo {s.size[1]} x {s.size[0]}"
    return None


def _people(s: Sample) -> str | None:
    ids = [p.id for p in s.people]
    if not ids:
        return "there is nobody in it"
    if len(set(ids)) != len(ids) or ids != sorted(ids) or not all(1 <= i <= 254 for i in ids):
        return f"the people's numbers {ids} are not different numbers from 1 to 254 in order"
    for p in s.people:
        if not (s.index == p.id).any():
            return f"person {p.id} is nowhere to be seen (empty)"
        if (s.index == p.id).mean() > 0.9:
            return f"person {p.id} is larger than the scene"
    strangers = sorted({int(v) for v in np.unique(s.index)} - {0, *ids})
    return f"the index map knows {strangers}, the list of people does not" if strangers else None


def _task(s: Sample) -> str | None:
    return None if s.erased or s.truth == "none" else "nobody is to be erased"


def _order(s: Sample) -> str | None:
    ids = {p.id for p in s.people}
    if len(s.order) != len(set(s.order)):
        return f"the order {list(s.order)} goes in a circle: somebody is in it twice"
    if set(s.order) != ids:
        return f"the order {list(s.order)} is not complete: the people are {sorted(ids)}"
    drawn = tuple(layer.owner for layer in s.layers if layer.kind == "person")
    if s.truth == "layers" and drawn != s.order:
        return f"the layers are stacked {list(drawn)}, the order says {list(s.order)}"
    return None


def _layers(s: Sample) -> str | None:
    if s.truth not in ("layers", "plate", "none"):
        return f"the truth {s.truth!r} is not known"
    if s.truth != "layers":
        if s.layers:
            return f"its truth is {s.truth!r}, yet it has layers"
        if s.truth == "plate" and s.background is None:
            return "its truth is 'plate', yet it has no background"
        return None
    if s.background is None:
        return "its truth is 'layers', yet it has no background"
    ids = {p.id for p in s.people}
    owners = Counter(layer.owner for layer in s.layers if layer.kind == "person")
    for p in s.people:
        if owners[p.id] != 1:
            return f"person {p.id} has {owners[p.id]} layers of their own, not one"
    for layer in s.layers:
        if layer.kind not in ("shadow", "person", "object"):
            return f"the layer {layer.name!r} is of kind {layer.kind!r}, which is not known"
        if layer.owner not in ids:
            return f"the layer {layer.name!r} belongs to {layer.owner}, who is not there"
        if layer.kind == "person" and not (layer.rgba[..., 3] > 127).any():
            return f"the layer {layer.name!r} is empty"
        if layer.kind == "shadow" and layer.rgba[..., :3].any():
            return f"the layer {layer.name!r} is a shadow, but not black"
    return None


def _inside(s: Sample) -> str | None:
    frame = Box(0, 0, s.size[1], s.size[0])
    for layer in s.layers:
        if layer.box.intersect(frame) != layer.box or layer.box.area <= 0:
            return f"the layer {layer.name!r} at {list(layer.box)} reaches beyond the frame"
        if layer.rgba.shape != (layer.box.height, layer.box.width, 4):
            return f"the layer {layer.name!r} has another size than its box"
    for p in s.people:
        known = p.keypoints[p.keypoints[:, 2] > 0]
        if not np.isfinite(p.keypoints).all() or not ((p.keypoints[:, 2] >= 0) & (p.keypoints[:, 2] <= 1)).all():
            return f"the keypoints of person {p.id} are not finite, or their confidence is not in 0..1"
        if len(known) and not ((known[:, :2] >= -0.5) & (known[:, :2] <= (s.size[1], s.size[0]))).all():
            return f"keypoints of person {p.id} lie outside the frame"
    return None


def _recomposition(s: Sample) -> str | None:
    if s.truth != "layers" or s.background is None:
        return None
    off = np.abs(composed(s.background, s.layers).astype(np.int16) - s.photo)
    if int(off.max()) > ROUNDING:
        count = int((off.max(2) > ROUNDING).sum())
        return f"the alpha-over of the layers is not the photo: {count} pixels differ, by up to {int(off.max())}"
    return None


def _maps(s: Sample) -> str | None:
    if ((s.index > 0) & (s.belongings > 0)).any():
        return "index and belongings claim the same pixels"
    ids = [0, *(p.id for p in s.people)]
    if not np.isin(s.belongings, ids).all():
        return "belongings belong to somebody who is not there"
    if int(s.parts.max()) >= len(PART_NAMES):
        return f"the parts hold label {int(s.parts.max())}; the last one is {len(PART_NAMES) - 1}"
    if ((s.parts > 0) & (s.index == 0) & (s.belongings == 0)).any():
        return "there are body parts where nobody is"
    if s.truth == "layers":
        named = zip(("index", "belongings", "shadow"), visible_maps(s.size, s.layers), strict=True)
        for name, right in named:
            off = int((np.abs(getattr(s, name).astype(np.int16) - right) > (ROUNDING if name == "shadow" else 0)).sum())
            if off:
                return f"the {name} map is not what the layers show ({off} pixels)"
    return None


def _licence(s: Sample) -> str | None:
    if not s.sources:
        return "no source is named"
    for source in s.sources:
        if not source.licence.strip():
            return f"{source.file} has no licence"
        if not source.group.strip():
            return f"{source.file} does not say which original photo it is of"
    files = {source.file for source in s.sources}
    for p in s.people:
        if p.source not in files:
            return f"the source of person {p.id} ({p.source}) is not among the sources"
    return None


def _tags(s: Sample) -> str | None:
    tags = s.tags
    if tags.scenario not in (*SCENARIOS, "plain"):
        return f"the scenario {tags.scenario!r} is not known"
    for name, value in (("occlusion", tags.occlusion), ("shadow", tags.shadow)):
        if not 0 <= value <= 1:
            return f"the {name} {value} is not in 0..1"
    if any(not 0 <= p.hidden <= 1 for p in s.people):
        return "somebody is hidden by less than nothing or more than all"
    if s.truth == "layers":
        if tags.scenario == "human-human" and not (s.kept and s.erased and tags.occlusion > 0):
            return "it is called human-human, but nobody who goes and somebody who stays hide each other"
        if tags.scenario == "human-object" and not any(layer.kind == "object" for layer in s.layers):
            return "it is called human-object, but nobody holds anything"
    return None


def _split(s: Sample) -> str | None:
    return None if s.split in ("train", "test") else f"the split {s.split!r} is neither train nor test"


_RULES: dict[str, Callable[[Sample], str | None]] = {
    "sizes": _sizes,
    "people": _people,
    "task": _task,
    "order": _order,
    "layers": _layers,
    "inside": _inside,
    "recomposition": _recomposition,
    "maps": _maps,
    "licence": _licence,
    "tags": _tags,
    "split": _split,
}


def _set_breaches(place: Path, facts: list[Facts]) -> Iterator[Breach]:
    """What only the whole set shows."""
    for key, count in Counter(f.key for f in facts).items():
        if count > 1:
            yield Breach(key, "key", f"{count} samples of {place.name} have this key")
    if len({f.split for f in facts}) > 1:
        yield Breach(place.name, "split", "it holds samples of both splits")
    said = _said(place)
    if not said:
        return
    if said.get("samples") != len(facts):
        yield Breach(place.name, "count", f"set.json speaks of {said.get('samples')} samples, {len(facts)} were read")
    wanted = said.get("recipe", {}).get("scenarios") or []
    counts = Counter(f.scenario for f in facts)
    if wanted and len(facts) >= len(wanted) and max(counts[w] for w in wanted) - min(counts[w] for w in wanted) > 1:
        shares = ", ".join(f"{counts[w]} {w}" for w in wanted)
        yield Breach(place.name, "quota", f"the scenarios are not equally many: {shares}")


def _said(place: Path) -> dict[str, Any]:
    try:
        said = json.loads((place / "set.json").read_text("utf-8"))
        return said if isinstance(said, dict) else {}
    except (OSError, ValueError):
        return {}


def _leaks(facts: list[Facts]) -> Iterator[Breach]:
    """No original photo, neither of a person nor of a background, is in two splits."""
    splits: dict[str, dict[str, str]] = {}
    for fact in facts:
        for group in fact.groups:
            splits.setdefault(group, {}).setdefault(fact.split, fact.key)
    for group, seen in sorted(splits.items()):
        if len(seen) > 1:
            keys = " and ".join(f"{key} ({split})" for split, key in sorted(seen.items()))
            yield Breach(keys, "leak", f"both are made from {group}")
