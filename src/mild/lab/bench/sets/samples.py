"""Sets in MILD's own sample format: MILD-Bench, and real pairs from a camera that stood still."""

from __future__ import annotations

import json
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from mild.errors import MildError
from mild.files import flat
from mild.lab.bench.items import Item, Truth
from mild.lab.data.members import from_members
from mild.lab.data.sample import Sample, whole_person
from mild.lab.data.store import open_members, shards_of
from mild.people.scene import Person, Scene


@dataclass
class SampleSet:
    """Samples of shards or folders, by key.

    Attributes:
        places: key -> the shard or folder that holds it.
        strata: key -> scenario and number of people.
        size: long side that photos are shrunk to, or None.
    """

    name: str
    places: Mapping[str, Path]
    strata: Mapping[str, str]
    about: Mapping[str, Any]
    size: int | None = None
    _open: dict[Path, tarfile.TarFile] = field(default_factory=dict)

    @classmethod
    def open(
        cls, path: str, name: str | None = None, size: int | None = None, split: str | None = None,
        photos: str | None = None, count: int | None = None,
    ) -> SampleSet:  # fmt: skip
        """Index a shard, a folder of shards or a folder of sample folders; samples with nobody to erase are left out.

        Args:
            size: long side to shrink larger photos to.
            split: only this one.
            photos: make MILD-Bench in ``path`` from these photos, if it is not there.
            count: how many samples to make then.

        Raises:
            MildError: nothing there, or a part of it is damaged.
        """
        root = Path(path)
        if photos is not None:
            from mild.lab.bench.sets.make import SAMPLES, ensure

            ensure(root, photos, count or SAMPLES)
        places: dict[str, Path] = {}
        strata: dict[str, str] = {}
        for key, place, record in _records(root):
            if not any(person["erase"] for person in record["people"]) or split not in (None, record["split"]):
                continue
            places[key] = place
            strata[key] = f"{record['tags']['scenario']}, {len(record['people'])} people"
        if not places:
            raise MildError(f"No sample in {path} says whom to erase.")
        about = {"kind": "samples", "path": root.name, "samples": len(places)}
        return cls(name or root.name or "samples", places, strata, about, size)

    def ids(self) -> Sequence[str]:
        return list(self.places)

    def stratum(self, id: str) -> str:
        return self.strata[id]

    def load(self, id: str) -> Item:
        place = self.places[id]
        if place.is_dir():
            _, _, members = next(iter(open_members(place)))
        else:
            tar = self._open.setdefault(place, tarfile.open(place))  # noqa: SIM115 - read at random while we live
            members = {}
            for member in tar.getmembers():
                key, _, rest = member.name.partition(".")
                if key == id and (stream := tar.extractfile(member)) is not None:
                    members[rest] = stream.read()
        return item_of(from_members(members, id), self.size)


def item_of(sample: Sample, size: int | None = None) -> Item:
    """The item of a sample; people whom others hide altogether are in the truth only.

    Args:
        size: long side to shrink a larger photo to.
    """
    scene = sample.scene()
    known = {p.id for p in scene.people}
    truth = None
    if sample.truth != "none":
        people = {i: whole_person(sample, i) for i in known} if sample.truth == "layers" else {}
        order = tuple(i for i in sample.order if i in known)
        truth = Truth(sample.erased_truth(), sample.background, people, order)
    tags = {"scenario": sample.tags.scenario, "chain": sample.tags.chain, "truth": sample.truth}
    erased = tuple(i for i in sample.erased if i in known)
    item = Item(sample.key, scene, erased, truth, tags, cluster=cluster_of(sample))
    longest = max(sample.size)
    return item if size is None or longest <= size else shrunk(item, size / longest)


def cluster_of(sample: Sample) -> str:
    """The original photo that a sample's background is from; of real photos, the photo (or the clip) itself."""
    groups = {source.kind: source.group for source in reversed(sample.sources)}
    return groups.get("background") or groups.get("photo") or sample.key


def shrunk(item: Item, factor: float) -> Item:
    """An item at a smaller size: pictures by area, masks by majority."""
    height, width = item.scene.size
    size = (max(1, round(width * factor)), max(1, round(height * factor)))

    def small(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)

    def small_rgba(rgba: NDArray[np.uint8]) -> NDArray[np.uint8]:
        alpha = rgba[..., 3:].astype(np.float32) / 255
        premultiplied = cv2.resize(rgba[..., :3] * alpha, size, interpolation=cv2.INTER_AREA)
        share = cv2.resize(alpha[..., 0], size, interpolation=cv2.INTER_AREA)
        rgb = premultiplied / np.maximum(share, 1e-3)[..., None]
        return np.dstack([np.clip(np.rint(rgb), 0, 255), np.rint(share * 255)]).astype(np.uint8)

    from mild.photo import Photo

    people: list[Person] = []
    taken = np.zeros(size[::-1], bool)
    for person in item.scene.people:
        mask = small(person.full_mask(item.scene.size).astype(np.uint8) * 255) > 127
        mask &= ~taken
        taken |= mask
        if not mask.any():
            continue
        points = None if person.keypoints is None else person.keypoints.copy()
        if points is not None:
            points[:, :2] = (points[:, :2] + 0.5) * factor - 0.5
        people.append(Person.from_mask(person.id, mask, score=person.score, sure=person.sure, keypoints=points))
    there = {p.id for p in people}
    scene = Scene(Photo(small(item.photo)), tuple(people), tuple(i for i in item.scene.order if i in there))
    truth = item.truth
    if truth is not None:
        background = None if truth.background is None else small(truth.background)
        layers = {i: small_rgba(rgba) for i, rgba in truth.people.items() if i in there}
        order = None if truth.order is None else tuple(i for i in truth.order if i in there)
        truth = Truth(small(truth.photo), background, layers, order)
    return Item(item.id, scene, tuple(i for i in item.erase if i in there), truth, item.tags, cluster=item.cluster)


def _records(root: Path) -> list[tuple[str, Path, dict[str, Any]]]:
    """Key, place and JSON of every sample, without its pictures."""
    found: list[tuple[str, Path, dict[str, Any]]] = []
    shards = [root] if root.is_file() else shards_of(root)
    for shard in shards:
        with _whole(shard), tarfile.open(shard) as tar:
            for member in tar:
                key, _, rest = member.name.partition(".")
                if rest == "json" and (stream := tar.extractfile(member)) is not None:
                    found.append((key, shard, json.loads(stream.read())))
    if not shards and root.is_dir():
        places = [root] if (root / "sample.json").is_file() else sorted(p.parent for p in root.glob("*/sample.json"))
        for place in places:
            with _whole(place):
                found.append((place.name, place, json.loads((place / "sample.json").read_text(encoding="utf-8"))))
    if not found:
        raise MildError(f"There are no samples in {root}: make a set with `mild data synth`.")
    return found


@contextmanager
def _whole(place: Path) -> Iterator[None]:
    """What is damaged in a shard or a sample is told in a sentence."""
    try:
        yield
    except (OSError, tarfile.TarError, ValueError, EOFError) as error:
        raise MildError(
            f"{place} is damaged ({flat(error)[:200]}); make the set anew, or take that part out of it."
        ) from None
