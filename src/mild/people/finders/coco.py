"""People in and out of COCO instances files (arXiv:1405.0312), and masks as run-length code, through pycocotools."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as rle_codec

from mild.errors import UsageError
from mild.people.order import estimate_order
from mild.people.scene import KEYPOINT_NAMES, BoolMask, Person, Scene
from mild.photo import Photo
from mild.reading import guarded, parse_json, read_bytes

#: COCO's bones, numbered from 1 as the format wants.
_SKELETON = (
    (16, 14), (14, 12), (17, 15), (15, 13), (12, 13), (6, 12), (7, 13), (6, 7), (6, 8), (7, 9), (8, 10), (9, 11),
    (2, 3), (1, 2), (1, 3), (2, 4), (3, 5), (4, 6), (5, 7),
)  # fmt: skip
#: Bytes of an annotations file: COCO's own have half a gigabyte.
MOST_BYTES = 2**30
#: COCO's visibility flag as a confidence: 0 not labelled, 1 labelled but hidden, 2 in sight.
_CONFIDENCE = (0.0, 0.3, 1.0)


def read_people(photo: Photo, annotations: Path) -> Scene:
    """The persons that a COCO instances file gives for this photo.

    The image is matched by file name; when no name fits, by size, if only one image has it. Crowd regions are left
    out. Pixels that two polygons share go to the smaller person, who is usually the one drawn in front.

    Raises:
        UsageError: the file cannot be read, is no instances file, or does not know this photo.
    """
    data = load_instances(annotations)
    with guarded(annotations.name, "a COCO instances file"):
        return people_of(photo, data, _match(data, photo, annotations), annotations)


def people_of(photo: Photo, data: dict[str, Any], image: dict[str, Any], annotations: Path) -> Scene:
    """:func:`read_people` for a file that was loaded before and an image of it that is known to be this photo's."""
    persons = [c["id"] for c in data["categories"] if str(c.get("name", "")).lower() == "person"]
    if not persons:
        raise UsageError(f"The file {annotations.name} has no category 'person'.")
    size = photo.size
    entries = []
    for entry in data["annotations"]:
        if entry.get("image_id") == image["id"] and entry.get("category_id") in persons and not entry.get("iscrowd"):
            mask = mask_of(entry, size, annotations)
            if mask.any():
                entries.append((mask, entry))
    free = np.ones(size, bool)
    found: list[Person] = []
    for mask, entry in sorted(entries, key=lambda e: (int(e[0].sum()), _id_of(e[1]))):
        own = mask & free
        free &= ~own
        if own.any():
            found.append(
                Person.from_mask(len(found) + 1, own, score=_score(entry), keypoints=_keypoints(entry), source="coco")
            )
    found.sort(key=lambda p: (p.box.x0 + p.box.x1, p.box.y0))
    people = tuple(replace(p, id=number) for number, p in enumerate(found, 1))
    return Scene(photo, people, estimate_order(people, size))


def to_coco(scene: Scene, file_name: str = "photo") -> dict[str, Any]:
    """The scene as a COCO instances object, JSON-able: one image, category ``person``, masks as compressed RLE."""
    height, width = scene.size
    rows = []
    for p in scene.people:
        row: dict[str, Any] = {
            "id": p.id,
            "image_id": 1,
            "category_id": 1,
            "segmentation": encode_rle(p.full_mask(scene.size)),
            "area": p.area,
            "bbox": [p.box.x0, p.box.y0, p.box.width, p.box.height],
            "iscrowd": 0,
            "score": round(float(p.score), 4),
        }
        if p.keypoints is not None:
            flags = [2 if c >= 0.5 else 1 if c > 0 else 0 for c in p.keypoints[:, 2]]
            points = zip(p.keypoints, flags, strict=True)
            row["keypoints"] = [v for (x, y, _), f in points for v in (_two(x) if f else 0, _two(y) if f else 0, f)]
            row["num_keypoints"] = sum(f > 0 for f in flags)
        rows.append(row)
    category = {
        "id": 1,
        "name": "person",
        "supercategory": "person",
        "keypoints": list(KEYPOINT_NAMES),
        "skeleton": [list(bone) for bone in _SKELETON],
    }
    image = {"id": 1, "file_name": file_name, "height": height, "width": width}
    return {"images": [image], "categories": [category], "annotations": rows}


def encode_rle(mask: BoolMask) -> dict[str, Any]:
    """A mask ``[H, W]`` as COCO's compressed run-length code, JSON-able."""
    code = rle_codec.encode(np.asfortranarray(mask.astype(np.uint8)))
    return {"size": [int(v) for v in code["size"]], "counts": code["counts"].decode("ascii")}


def decode_rle(code: Mapping[str, Any], size: tuple[int, int]) -> BoolMask:
    """The mask ``[H, W]`` of a run-length code ``{size, counts}``, compressed (text) or plain (a list of numbers).

    Raises:
        UsageError: it is malformed, or made for another size than ``size = (height, width)``.
    """
    given, counts = code.get("size"), code.get("counts")
    if not isinstance(given, (list, tuple)) or len(given) != 2 or not isinstance(counts, (str, bytes, list, tuple)):
        raise UsageError("The run-length mask needs 'size' [height, width] and 'counts'.")
    if tuple(given) != size:
        raise UsageError(
            f"The run-length mask is made for {given[1]} x {given[0]} pixels, but the photo has {size[1]} x {size[0]}."
        )
    broken = UsageError("The run-length mask is damaged: its counts do not add up to the photo's pixels.")
    runs: Any
    if isinstance(counts, (list, tuple)):
        runs = [c for c in counts if isinstance(c, int) and c >= 0]
        if len(runs) != len(counts) or sum(runs) != size[0] * size[1]:
            raise broken
    else:
        # The codec trusts the counts blindly (it may read and write beyond its memory), so they are added up first.
        runs = _runs(counts.encode("ascii", "replace") if isinstance(counts, str) else bytes(counts))
        if runs is None or (runs < 0).any() or (runs > size[0] * size[1]).any() or runs.sum() != size[0] * size[1]:
            raise broken
    flat = np.repeat(np.arange(len(runs)) % 2 == 1, runs)
    return np.ascontiguousarray(flat.reshape(size[1], size[0]).T)


def _runs(text: bytes) -> NDArray[np.int64] | None:
    """Run lengths of COCO's text code: 6-bit characters from '0', 5 bits of value each, low first, sign-extended;
    from the fourth run on, differences to the run two before. None: it is no such code."""
    bits = np.frombuffer(text, np.uint8).astype(np.int64) - 48
    if not len(bits):
        return bits
    ends = np.flatnonzero(bits & 32 == 0)
    if bits.min() < 0 or bits.max() >= 64 or not len(ends) or ends[-1] != len(bits) - 1:
        return None
    starts = np.concatenate([[0], ends[:-1] + 1])
    lengths = ends - starts + 1
    if lengths.max() > 8:
        return None  # more than 40 bits: no picture has so many pixels
    places = np.arange(len(bits)) - np.repeat(starts, lengths)
    runs: NDArray[np.int64] = np.add.reduceat((bits & 31) << 5 * places, starts)
    runs -= np.where(bits[ends] & 16, np.int64(1) << 5 * lengths, 0)
    runs[1::2] = np.cumsum(runs[1::2])
    runs[2::2] = np.cumsum(runs[2::2])
    return runs


def load_instances(path: Path) -> dict[str, Any]:
    """An instances file as it is: ``images``, ``annotations`` and ``categories``.

    Raises:
        UsageError: it cannot be read or is none.
    """
    try:
        data = parse_json(read_bytes(path, MOST_BYTES))
    except OSError as error:
        raise UsageError(f"The annotations {path} cannot be read ({error.strerror}).") from None
    except (ValueError, RecursionError):
        raise UsageError(f"The annotations {path} are not a JSON file.") from None
    if not isinstance(data, dict) or not all(isinstance(data.get(k), list) for k in ("images", "annotations")):
        raise UsageError(f"The annotations {path} are not a COCO instances file (images, annotations, categories).")
    data.setdefault("categories", [])
    for part in ("images", "annotations", "categories"):
        if not isinstance(data[part], list) or not all(isinstance(row, dict) for row in data[part]):
            raise UsageError(f"In the annotations {path}, '{part}' is not a list of objects.")
    return data


def _match(data: dict[str, Any], photo: Photo, path: Path) -> dict[str, Any]:
    images: list[dict[str, Any]] = data["images"]
    height, width = photo.size
    if photo.path is not None:
        name = Path(photo.path).name
        named = [i for i in images if Path(str(i.get("file_name", ""))).name == name]
        if named:
            fitting = [i for i in named if (i.get("height"), i.get("width")) == (height, width)]
            if not fitting:
                raise UsageError(f"In {path.name}, {name} has another size than this photo ({width} x {height}).")
            return _nearest(fitting, photo.path, path)
    sized = [i for i in images if (i.get("height"), i.get("width")) == (height, width)]
    if len(sized) != 1:
        why = "none has" if not sized else f"{len(sized)} images have"
        raise UsageError(f"The file {path.name} does not name this photo, and {why} its size ({width} x {height}).")
    return sized[0]


def _nearest(images: list[dict[str, Any]], photo: Path, path: Path) -> dict[str, Any]:
    """Of images of one file name, the one whose folders are the photo's."""

    def common(image: dict[str, Any]) -> int:
        ours, theirs = Path(photo).resolve().parts[::-1], Path(str(image["file_name"])).parts[::-1]
        return next((n for n, (a, b) in enumerate(zip(ours, theirs, strict=False)) if a != b), len(theirs))

    best = max(common(image) for image in images)
    nearest = [image for image in images if common(image) == best]
    if len({image.get("id") for image in nearest}) > 1:
        raise UsageError(
            f"The file {path.name} has {len(nearest)} images of the name {photo.name}; keep the right one."
        )
    return nearest[0]


def mask_of(entry: dict[str, Any], size: tuple[int, int], path: Path) -> BoolMask:
    """The mask ``[H, W]`` of one annotation (polygons or run-length code) of the file ``path``."""
    shape = entry.get("segmentation")
    if isinstance(shape, dict):
        return decode_rle(shape, size)
    if shape is not None and not isinstance(shape, list):
        raise UsageError(f"A segmentation in {path.name} is neither polygons nor run-length code.")
    polygons = [p for p in shape or [] if isinstance(p, list) and len(p) >= 6 and len(p) % 2 == 0]
    if not polygons:
        return np.zeros(size, bool)
    for polygon in polygons:
        if not all(isinstance(value, int | float) and not isinstance(value, bool) for value in polygon):
            raise UsageError(f"A polygon in {path.name} holds what is no number.")
        # The codec takes memory by the length of the lines, and does not look where it writes.
        far = 2 * max(size)
        if not all(-far <= value <= far for value in polygon):
            raise UsageError(f"A polygon in {path.name} lies far outside the photo of {size[1]} x {size[0]} pixels.")
    codes = rle_codec.frPyObjects([[float(v) for v in p] for p in polygons], size[0], size[1])
    return np.asarray(rle_codec.decode(rle_codec.merge(codes)), bool)


def _keypoints(entry: dict[str, Any]) -> NDArray[np.float32] | None:
    values = entry.get("keypoints")
    if not isinstance(values, list) or len(values) != 3 * len(KEYPOINT_NAMES):
        return None
    points = np.array(values, np.float32).reshape(-1, 3)
    if not np.isfinite(points).all():
        return None
    points[:, 2] = np.take(np.array(_CONFIDENCE, np.float32), np.clip(points[:, 2].astype(int), 0, 2))
    return points


def _score(entry: dict[str, Any]) -> float:
    score = entry.get("score", 1.0)
    return float(min(1.0, max(0.0, score))) if isinstance(score, int | float) and score == score else 1.0


def _id_of(entry: dict[str, Any]) -> tuple[float, str]:
    """What ids are sorted by: numbers first, whatever a file has for ids."""
    id = entry.get("id", 0)
    return (float(id) if isinstance(id, int | float) and abs(id) < 2**53 else 0.0), str(id)


def _two(value: float) -> float:
    return round(float(value), 2)
