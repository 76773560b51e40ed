"""A set in COCO's instances format (arXiv:1405.0312): read to be curated, and written from samples.

Read: people, what they hold (other categories), crowd regions, licences. Written: every person with mask, box, pose,
whether they are to go and how much of them is hidden; their belongings; the licence of each photo.
"""

from __future__ import annotations

import io
import json
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from PIL import Image

from mild.errors import MildError, UsageError
from mild.files import write_atomically
from mild.lab.data.licences import Licence
from mild.lab.data.real import Thing
from mild.lab.data.sample import Sample
from mild.people.finders.coco import encode_rle, load_instances, mask_of, people_of, to_coco
from mild.people.scene import Box, Scene
from mild.photo import Photo

#: COCO's categories that people hold or wear, and our own name for all of them.
HELD = frozenset({
    "belongings", "backpack", "umbrella", "handbag", "tie", "suitcase", "frisbee", "skis", "snowboard", "sports ball",
    "kite", "baseball bat", "baseball glove", "skateboard", "surfboard", "tennis racket", "bottle", "wine glass",
    "cup", "fork", "knife", "spoon", "bowl", "banana", "apple", "sandwich", "hot dog", "pizza", "donut", "cake",
    "laptop", "remote", "cell phone", "book", "teddy bear", "hair drier", "toothbrush",
})  # fmt: skip


@dataclass(frozen=True)
class CocoSet:
    """A COCO-style set that was read.

    Attributes:
        path: of the JSON.
        images: file (path below the photos' folder) to its entry.
        found: number of an image to its annotations.
        categories: as in the file.
        licences: what the file says of each image.
        problems: one sentence for each image that cannot be used.
    """

    path: Path
    images: dict[str, dict[str, Any]]
    annotations: dict[int, list[dict[str, Any]]]
    categories: list[dict[str, Any]]
    licences: dict[str, Licence]
    problems: tuple[str, ...]

    @classmethod
    def read(cls, path: Path) -> CocoSet:
        """
        Raises:
            UsageError: it cannot be read, or is no instances file.
        """
        data = load_instances(path)
        categories = [c for c in data["categories"] if isinstance(c, dict) and "id" in c]
        if not any(str(c.get("name", "")).lower() == "person" for c in categories):
            raise UsageError(f"The file {path.name} has no category 'person'.")
        names = {
            annotation.get("id"): annotation
            for annotation in data.get("licenses") or []
            if isinstance(annotation, dict)
        }
        images: dict[str, dict[str, Any]] = {}
        licences: dict[str, Licence] = {}
        problems = []
        for number, image in enumerate(data["images"], 1):
            file = str(image.get("file_name") or "").replace("\\", "/") if isinstance(image, dict) else ""
            name = PurePosixPath(file)
            if not file or name.is_absolute() or ".." in name.parts or "id" not in image:
                problems.append(f"Image {number} of {path.name} has no usable file_name and id; it is left out.")
                continue
            if file in images:
                problems.append(f"The image {file} is twice in {path.name}; the first entry counts.")
                continue
            images[file] = image
            terms = names.get(image.get("license"), {})
            licences[file] = Licence(
                str(terms.get("name") or ""),
                str(image.get("credit") or ""),
                str(image.get("flickr_url") or image.get("coco_url") or terms.get("url") or ""),
                str(image.get("group") or ""),
            )
        found: dict[int, list[dict[str, Any]]] = defaultdict(list)
        for annotation in data["annotations"]:
            if isinstance(annotation, dict) and annotation.get("image_id") is not None:
                found[annotation["image_id"]].append(annotation)
        return cls(path, images, dict(found), categories, licences, tuple(problems))

    def scene(self, photo: Photo, file: str) -> tuple[Scene, tuple[Thing, ...]]:
        """Who is in this photo, and what they may hold.

        Raises:
            MildError: the photo has another size than the file says, an annotation is malformed, or there is a crowd
                region: people who are not told apart cannot be samples.
        """
        image = self.images[file]
        height, width = photo.size
        if (image.get("height", height), image.get("width", width)) != photo.size:
            raise MildError(
                f"{file} is {width} x {height}, but {self.path.name} says {image.get('width')} x {image.get('height')}."
            )
        mine = self.annotations.get(image["id"], [])
        names = {c["id"]: str(c.get("name", "")).lower() for c in self.categories}
        if any(
            names.get(annotation.get("category_id")) == "person" and annotation.get("iscrowd") for annotation in mine
        ):
            raise Crowded("it has a crowd region, in which people are not told apart")
        one = {"annotations": mine, "categories": self.categories, "images": [image]}
        scene = people_of(photo, one, image, self.path)
        things = []
        for annotation in mine:
            name = names.get(annotation.get("category_id"), "")
            if name in HELD and not annotation.get("iscrowd"):
                mask = mask_of(annotation, photo.size, self.path)
                if mask.any():
                    things.append(Thing(mask, name))
        return scene, tuple(things)


class Crowded(MildError):
    """A photo with people who are not told apart."""


def write_coco(
    samples: Iterable[Sample], path: Path, photos: Path | None = None, *, overwrite: bool = False
) -> dict[str, int]:
    """Samples as a COCO instances file; returns how many images, people and belongings it lists.

    Args:
        photos: folder for the photos, as ``KEY.png``; None writes none.

    Raises:
        MildError: a file exists, or cannot be written.
    """
    if path.exists() and not overwrite:
        raise MildError(f"The file {path} already exists; remove it or say that it may be overwritten.")
    images: list[dict[str, Any]] = []
    found: list[dict[str, Any]] = []
    terms: dict[str, int] = {}
    categories: list[dict[str, Any]] = []
    things = 0
    for sample in samples:
        number, file = len(images) + 1, f"{sample.key}.png"
        if photos is not None:
            _write_photo(sample, photos / file, overwrite)
        licence = "; ".join(dict.fromkeys(source.licence for source in sample.sources))
        images.append(
            {
                "id": number,
                "file_name": file,
                "height": sample.size[0],
                "width": sample.size[1],
                "license": terms.setdefault(licence, len(terms) + 1),
                "credit": "; ".join(dict.fromkeys(s.credit for s in sample.sources if s.credit)),
                "coco_url": next((s.origin for s in sample.sources if s.origin), ""),
                "group": sample.sources[0].group if len(sample.sources) == 1 else "",
            }
        )
        said = to_coco(sample.scene(belongings=False), file)
        categories = said["categories"]
        for annotation in said["annotations"]:
            subject = sample.subject(annotation["id"])
            own = {"person": annotation["id"], "erase": subject.erase, "hidden": round(subject.hidden, 4)}
            found.append({**annotation, "id": len(found) + 1, "image_id": number, "mild": own})
        for owner in sorted({int(v) for v in np.unique(sample.belongings)} - {0}):
            mask = sample.belongings == owner
            box = Box.around(mask)
            things += 1
            found.append(
                {
                    "id": len(found) + 1,
                    "image_id": number,
                    "category_id": 2,
                    "segmentation": encode_rle(mask),
                    "area": int(mask.sum()),
                    "bbox": [box.x0, box.y0, box.width, box.height],
                    "iscrowd": 0,
                    "mild": {"owner": owner},
                }
            )
    if not images:
        raise MildError("There are no samples to write.")
    data = {
        "info": {"description": "written by mild data export"},
        "licenses": [{"id": id, "name": name, "url": ""} for name, id in terms.items()],
        "images": images,
        "categories": [*categories, {"id": 2, "name": "belongings", "supercategory": "accessory"}],
        "annotations": found,
    }
    text = json.dumps(data, ensure_ascii=False).encode()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, lambda handle: handle.write(text))
    except OSError as error:
        raise MildError(f"The file {path} could not be written ({error.strerror or error}).") from None
    return {"images": len(images), "people": len(found) - things, "belongings": things}


def _write_photo(sample: Sample, path: Path, overwrite: bool) -> None:
    if path.exists() and not overwrite:
        raise MildError(f"The photo {path} already exists; remove it or say that it may be overwritten.")
    data = io.BytesIO()
    Image.fromarray(np.asarray(sample.photo)).save(data, "PNG", compress_level=3)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, lambda handle: handle.write(data.getvalue()))
    except OSError as error:
        raise MildError(f"The photo {path} could not be written ({error.strerror or error}).") from None
