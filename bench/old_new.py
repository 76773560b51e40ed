"""The default job of two versions side by side: the examples and the first twelve test scenes (docs/old-and-new.md).

    PYTHONPATH=OLD/src python bench/old_new.py make OUT/old --data FOLDER    # a worktree of the older version
    python bench/old_new.py make OUT/new --data FOLDER
    python bench/old_new.py show OUT --data FOLDER                            # the pictures, and credits

Nothing is chosen by how well it came out. The finder is on. Scenes: as ``real.py --kind own``; one person of each goes.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

import mild
from gallery import GALLERY, GAP, ROOT
from mild.people.finders.coco import decode_rle
from mild.people.scene import Box
from mild.photo import Photo
from real import crops, items, photo_of

IMAGES = ROOT / "docs" / "images" / "old-new"
SCENES = 12
#: Longest side of a cell, pixels, and quality of the WebP.
CELL, QUALITY = 420, 72


def save(path: Path, pixels: NDArray[np.uint8]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


def make(out: Path, data: Path) -> None:
    for name, at in GALLERY:
        if not (out / f"{name}.png").exists():
            result = mild.erase(ROOT / "examples" / f"{name}.jpg", at=at)
            save(out.parent / "photo" / f"{name}.png", np.asarray(result.stack.photo))
            save(out / f"{name}.png", np.asarray(result.image.convert("RGB")))
    chosen = items(data, SCENES, ["own"], "test")
    (out.parent / "items.json").write_text(json.dumps(chosen))
    for item in chosen:
        if not (out / f"{item['name']}.png").exists():
            photo = photo_of(data, item)
            mask = decode_rle(item["mask"], photo.shape[:2])
            save(out.parent / "photo" / f"{item['name']}.png", photo)
            save(out / f"{item['name']}.png", np.asarray(mild.erase(Photo.of(photo), mask=mask).photo.pixels))


def opened(path: Path) -> NDArray[np.uint8]:
    return np.asarray(Image.open(path).convert("RGB"))


def strip(cells: list[NDArray[np.uint8]]) -> Image.Image:
    """Photo, old and new beside each other."""
    scale = min(1.0, CELL / max(cells[0].shape[:2]))
    size = max(1, round(cells[0].shape[1] * scale)), max(1, round(cells[0].shape[0] * scale))
    out = Image.new("RGB", (len(cells) * (size[0] + GAP) - GAP, size[1]), "white")
    for number, cell in enumerate(cells):
        out.paste(Image.fromarray(cell).resize(size, Image.Resampling.LANCZOS), (number * (size[0] + GAP), 0))
    return out


def show(out: Path, data: Path) -> None:
    IMAGES.mkdir(parents=True, exist_ok=True)
    for name, _ in GALLERY:
        three = [opened(out / kind / f"{name}.png") for kind in ("photo", "old", "new")]
        changed = (three[1] != three[0]).any(2) | (three[2] != three[0]).any(2)
        box = Box.around(changed)
        box = box.grow(40 + max(box.width, box.height) // 4, (changed.shape[0], changed.shape[1]))
        strip([picture[box.slices] for picture in three]).save(IMAGES / f"{name}.webp", quality=QUALITY)
    chosen: list[dict[str, Any]] = json.loads((out / "items.json").read_text())
    for item in chosen:
        cells = crops(data, item, [opened(out / kind / f"{item['name']}.png") for kind in ("old", "new")])
        name = item["name"].split("-")[0].lstrip("0")
        strip(cells).save(IMAGES / f"{name}.webp", quality=QUALITY)
        print(f"![{name}](images/old-new/{name}.webp)\n{item['credit']}, {item['licence']}\n")
    print(f"{sum(p.stat().st_size for p in IMAGES.iterdir()) / 1e6:.2f} MB")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("does", choices=("make", "show"))
    parser.add_argument("out", type=Path)
    parser.add_argument("--data", type=Path, required=True)
    args = parser.parse_args()
    (make if args.does == "make" else show)(args.out, args.data)


if __name__ == "__main__":
    main()
