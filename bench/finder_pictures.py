"""The picture of docs/finding-people.md: whom the finder before and today's find in the examples, side by side.

    MILD_OFFLINE=1 python bench/finder_pictures.py     # writes docs/images/finder-before-after.jpg

Left ``blazepose``, right ``nanodet``, as ``mild people`` shows everybody; sure finds are filled.
"""

from __future__ import annotations

from PIL import Image

from gallery import GALLERY, GAP, IMAGES, ROOT
from mild.people.find import draw_overlay, find_people
from mild.photo import Photo
from mild.request import Finder

#: Width of one cell, pixels.
CELL = 400


def cell(name: str, finder: str) -> Image.Image:
    """An example with everybody whom a finder sees."""
    scene = find_people(Photo.of(ROOT / "examples" / f"{name}.jpg"), Finder(backend=finder))
    picture = Image.fromarray(draw_overlay(scene, [person.id for person in scene.sure]))
    return picture.resize((CELL, round(CELL * picture.height / picture.width)), Image.Resampling.LANCZOS)


def main() -> None:
    rows = [[cell(name, finder) for finder in ("blazepose", "nanodet")] for name, _ in GALLERY]
    sheet = Image.new("RGB", (2 * CELL + GAP, sum(row[0].height + GAP for row in rows) - GAP), "white")
    top = 0
    for row in rows:
        for column, picture in enumerate(row):
            sheet.paste(picture, (column * (CELL + GAP), top))
        top += row[0].height + GAP
    sheet.save(IMAGES / "finder-before-after.jpg", quality=80)


if __name__ == "__main__":
    main()
