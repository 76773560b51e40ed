"""Real before/after pairs: frames of a static camera with people, and the same place without them.

Who is a person says the finder; where exactly they are says the change against the clean plate, which is finer. What
moved and is nobody the finder knows (far people, a bicycle) is listed too, with half the confidence: it is not in the
plate either. Somebody who never moves is in the plate; they are listed as staying.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from mild.errors import MildError, UsageError
from mild.files import is_empty, replace_folder, write_json
from mild.lab.data.curation import Fate
from mild.lab.data.factory import write_sheet
from mild.lab.data.ingredients import Split
from mild.lab.data.licences import Licence
from mild.lab.data.members import to_members
from mild.lab.data.plates import MOST_LIGHT, MOST_SHIFT, Change, Frames, Plate, change, clean_plate, read_frames, shift
from mild.lab.data.real import real_sample
from mild.lab.data.review import FOLDER, write_page, write_preview
from mild.lab.data.sample import FORMAT, Sample
from mild.lab.data.store import write_members
from mild.people.find import find_people
from mild.people.order import estimate_order
from mild.people.scene import BoolMask, Person, Scene
from mild.photo import Photo, write_image
from mild.request import Finder

#: Two frames whose changes overlap more than this show the same.
_ALIKE = 0.5
#: Share of a frame that may change; more is a change of light, or somebody before the lens.
_MOST = 0.5
#: Share of a found person that must have changed; with less they stand in the plate, too.
_MOVED = 0.4
#: Share of the frames that must show the plate behind somebody for it to count as known.
_SUPPORT = 0.5


@dataclass(frozen=True)
class Burst:
    """A clip or folder of one static camera, and what is wanted of it.

    Attributes:
        source: video, or folder of photos.
        out: folder of the set.
        licence: of the clip.
        finder: how people are found.
        count: samples at most.
        frames: frames that are read at most, for the plate and to choose from.
        longest: long side, pixels.
        min_person: height of the tallest person, pixels.
        split: of all samples; a clip is one original photo, so it is in one split only.
    """

    source: Path
    out: Path
    licence: Licence
    finder: Finder = field(default_factory=Finder)
    count: int = 24
    frames: int = 150
    longest: int = 1024
    min_person: int = 48
    split: Split = "train"


@dataclass(frozen=True)
class Pairs:
    """What was made.

    Attributes:
        fates: what became of each frame that was read.
        notes: remarks on the clip as a whole.
        shift: largest shift of a frame that was used, pixels.
    """

    fates: tuple[Fate, ...]
    notes: tuple[str, ...]
    shift: float


def make_pairs(burst: Burst, *, tell: Callable[[str, float], None] | None = None) -> Pairs:
    """Make the set, whole or not at all: one shard, ``plate.png``, a contact sheet and a review page.

    Raises:
        MildError: the camera moves, no frame shows anybody, or the folder holds something already.
    """
    if burst.out.exists() and (not burst.out.is_dir() or not is_empty(burst.out)):
        raise UsageError(f"{burst.out} exists already; name a new folder for the pairs.")
    say = tell or (lambda stage, fraction: None)
    say("reading frames", 0.0)
    frames = read_frames(burst.source, burst.frames, burst.longest)
    say("making the clean plate", 0.1)
    plate, still, worst, fates = _aligned(burst, frames)
    fates += [Fate(burst.source.name, "problem", why=problem) for problem in frames.problems]
    changes = _choose(burst, frames, plate, still, fates)
    notes = _standing(burst, plate)
    made: list[Sample] = []
    for number, (place, found) in enumerate(changes):
        say(f"finding people: {number + 1} of {len(changes)}", 0.2 + 0.8 * number / len(changes))
        name, key = frames.names[place], _key(burst, frames.names[place])
        try:
            made.append(_sample(burst, key, frames.pixels[place], found, plate))
            fates.append(Fate(name, "taken", key))
        except MildError as error:
            fates.append(Fate(name, "filtered", key, str(error)))
    if not made:
        why = next((fate.why for fate in fates if fate.outcome == "filtered"), "nobody moves")
        raise MildError(f"No frame of {burst.source.name} gives a pair ({why}).")
    recipe = {"clip": burst.source.name, "frames": len(frames.names), "shift": round(worst, 3)}
    said = {"notes": notes, "shift": round(worst, 3), "frames": [vars(fate) for fate in fates]}

    def fill(out: Path) -> None:
        rows = [write_preview(out / FOLDER, sample) for sample in made]
        write_members(out / f"{burst.split}-00000.tar", ((s.key, to_members(s)) for s in made))
        write_sheet(out / "sheets" / "00000.jpg", made[:48])
        write_image(plate.pixels, out / "plate.png")
        write_page(out / FOLDER, burst.out.resolve().name, rows)
        write_json(out / "pairs.json", said)
        write_json(out / "set.json", {"format": FORMAT, "samples": len(made), "recipe": recipe})

    burst.out.parent.mkdir(parents=True, exist_ok=True)
    replace_folder(burst.out, fill)
    return Pairs(tuple(sorted(fates, key=lambda fate: fate.file)), tuple(notes), worst)


def _aligned(burst: Burst, frames: Frames) -> tuple[Plate, list[int], float, list[Fate]]:
    """The plate of the frames that lie on it, their places, their largest shift, and the fates of the others."""
    plate = clean_plate(frames.pixels)
    shifts = [shift(frame, plate.pixels) for frame in frames.pixels]
    still = [place for place, value in enumerate(shifts) if value <= MOST_SHIFT]
    if len(still) < max(5, len(shifts) // 2):
        raise MildError(
            f"The camera of {burst.source.name} moves: {len(shifts) - len(still)} of {len(shifts)} frames are shifted "
            f"by more than {MOST_SHIFT} pixels; pairs need a static one."
        )
    fates = [
        Fate(frames.names[place], "filtered", why=f"the camera moved by {value:.1f} pixels")
        for place, value in enumerate(shifts)
        if value > MOST_SHIFT
    ]
    if fates:
        plate = clean_plate(frames.pixels[still])
    return plate, still, max(shifts[place] for place in still), fates


def _choose(
    burst: Burst, frames: Frames, plate: Plate, still: list[int], fates: list[Fate]
) -> list[tuple[int, Change]]:
    """Frames in which somebody is, none like another, spread over the clip."""
    found: list[tuple[int, Change]] = []
    for place in still:
        name, seen = frames.names[place], change(frames.pixels[place], plate)
        if abs(seen.light) > MOST_LIGHT:
            fates.append(Fate(name, "filtered", why=f"the light changed by {seen.light:+.0f} of 255 levels"))
        elif seen.moved.mean() > _MOST:
            fates.append(Fate(name, "filtered", why=f"{100 * seen.moved.mean():.0f} % of it changed"))
        elif not _tall(seen.moved, burst.min_person):
            fates.append(Fate(name, "filtered", why=f"nothing of {burst.min_person} pixels' height moved"))
        else:
            like = next((other for other, before in found if _overlap(before.moved, seen.moved) > _ALIKE), None)
            if like is None:
                found.append((place, seen))
            else:
                fates.append(Fate(name, "duplicate", why=f"shows the same as frame {frames.names[like]}"))
    if len(found) <= burst.count:
        return found
    kept = {round(i) for i in np.linspace(0, len(found) - 1, burst.count)}
    fates += [
        Fate(frames.names[place], "filtered", why="more frames than were asked for")
        for number, (place, _) in enumerate(found)
        if number not in kept
    ]
    return [row for number, row in enumerate(found) if number in kept]


def _standing(burst: Burst, plate: Plate) -> list[str]:
    """Remarks on people in the plate: who never moves cannot be taken out of it."""
    people = find_people(Photo.from_array(plate.pixels), burst.finder).sure
    places = ", ".join(str(list(person.box)) for person in people)
    return [f"Somebody seems to stand in the clean plate ({places}); look at plate.png."] if people else []


def _sample(burst: Burst, key: str, frame: NDArray[np.uint8], seen: Change, plate: Plate) -> Sample:
    photo = Photo.from_array(frame)
    scene = _with_change(find_people(photo, burst.finder), seen, burst.min_person)
    erase = []
    for person in scene.people:
        mask = person.full_mask(scene.size)
        known = plate.support[mask] >= _SUPPORT
        if person.source != "plate" and known.mean() > 0.98 and (mask & seen.moved).sum() >= _MOVED * mask.sum():
            erase.append(person.id)
    if not erase:
        raise MildError("what is behind the people in it is not sure")
    people = scene.mask_of(p.id for p in scene.people)
    source = replace(burst.licence, group=burst.licence.group or burst.source.name).source(burst.source.name)
    return real_sample(
        key,
        scene,
        source,
        split=burst.split,
        made_by="mild data pairs",
        erase=erase,
        background=seen.plate,
        shadow=np.where(people, 0, seen.shadow).astype(np.uint8),
    )


def _with_change(scene: Scene, seen: Change, least: int) -> Scene:
    """The people with the outlines that the change gives them, and whatever else moved."""
    size = scene.size
    standing: list[Person] = []
    walking: list[Person] = []
    for person in scene.sure:
        changed = int((person.mask & seen.moved[person.box.slices]).sum())
        (walking if changed >= _MOVED * person.area else standing).append(person)
    count, labels = cv2.connectedComponents(seen.moved.astype(np.uint8))
    masks: dict[int, BoolMask] = {number: person.full_mask(size) for number, person in enumerate(walking)}
    index = np.zeros(size, np.int32)
    for number, mask in masks.items():
        index[mask] = number + 1
    if walking:
        # A changed pixel goes to the nearest person whose mask its region meets.
        _, nearest = cv2.distanceTransformWithLabels(
            (index == 0).astype(np.uint8), cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL
        )
        table = np.zeros(int(nearest.max()) + 1, np.int32)
        table[nearest[index > 0]] = index[index > 0]
        owned = np.zeros(count, bool)
        owned[np.unique(labels[index > 0])] = True
        owned[0] = False
        index = np.where((index == 0) & owned[labels], table[nearest], index)
    people = []
    for number, person in enumerate(walking):
        mask = _rounded(index == number + 1)
        people.append(Person.from_mask(0, mask, score=person.score, keypoints=person.keypoints, source=person.source))
    for number in range(1, count):
        region = labels == number
        if not (region & (index > 0)).any() and _height(region) >= max(8, least // 3):
            people.append(Person.from_mask(0, region, score=0.5, source="motion"))
    taken = np.zeros(size, bool)
    for person in people:
        taken[person.box.slices] |= person.mask
    for person in standing:
        rest = person.full_mask(size) & ~taken
        if rest.any():
            people.append(Person.from_mask(0, rest, score=person.score, keypoints=person.keypoints, source="plate"))
    people.sort(key=lambda p: (p.box.x0 + p.box.x1, p.box.y0))
    numbered = tuple(replace(person, id=number) for number, person in enumerate(people, 1))
    if not numbered:
        raise MildError("nobody was found")
    if max(person.box.height for person in numbered) < least:
        raise MildError(f"nobody of {least} pixels' height was found")
    return Scene(scene.photo, numbered, estimate_order(numbered, size))


def _rounded(mask: BoolMask) -> BoolMask:
    """Closed by a pixel, so that no rim of the person stays behind."""
    return np.asarray(cv2.morphologyEx(mask.astype(np.uint8), cv2.MORPH_CLOSE, np.ones((3, 3), np.uint8)) > 0)


def _tall(moved: BoolMask, least: int) -> bool:
    _, _, stats, _ = cv2.connectedComponentsWithStats(moved.astype(np.uint8))
    return bool((stats[1:, cv2.CC_STAT_HEIGHT] >= least).any())


def _height(mask: BoolMask) -> int:
    rows = np.flatnonzero(mask.any(1))
    return int(rows[-1] + 1 - rows[0]) if len(rows) else 0


def _overlap(a: BoolMask, b: BoolMask) -> float:
    either = int((a | b).sum())
    return float((a & b).sum()) / either if either else 1.0


def _key(burst: Burst, name: str) -> str:
    words = (re.sub(r"[^A-Za-z0-9_-]+", "-", text).strip("-") for text in (burst.source.stem, name))
    return "-".join(word for word in words if word)[:60]
