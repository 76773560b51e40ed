"""The pictures of the README and of docs/gallery.md: the example photos before and after, made by today's program.

    MILD_OFFLINE=1 python bench/gallery.py     # writes docs/images/before-after.jpg and docs/images/gallery.jpg

Nothing is chosen by how well it came out: each example, the people named here, the default job.
"""

from __future__ import annotations

from pathlib import Path

from PIL import Image

import mild

ROOT = Path(__file__).resolve().parents[1]
IMAGES = ROOT / "docs" / "images"
#: Photo, and where somebody is who goes. A point and not a number, since numbers follow the finder.
GALLERY = (("cold_water", (465, 300)), ("pool", (562, 200)), ("bar55", (40, 290)), ("wayne", (370, 140)))
GAP = 8


def pair(name: str, at: tuple[int, int], models: mild.Models) -> Image.Image:
    """A photo and what is left of it, side by side."""
    result = mild.erase(ROOT / "examples" / f"{name}.jpg", at=at, models=models)
    before, after = Image.fromarray(result.stack.photo), result.image.convert("RGB")
    sheet = Image.new("RGB", (2 * before.width + GAP, before.height), "white")
    sheet.paste(before, (0, 0))
    sheet.paste(after, (before.width + GAP, 0))
    return sheet


def main() -> None:
    models = mild.Models()
    pairs = [pair(name, at, models) for name, at in GALLERY]
    pairs[0].save(IMAGES / "before-after.jpg", quality=88)
    small = [
        sheet.resize((1000, round(1000 * sheet.height / sheet.width)), Image.Resampling.LANCZOS) for sheet in pairs
    ]
    gallery = Image.new("RGB", (1000, sum(sheet.height + GAP for sheet in small) - GAP), "white")
    top = 0
    for sheet in small:
        gallery.paste(sheet, (0, top))
        top += sheet.height + GAP
    gallery.save(IMAGES / "gallery.jpg", quality=85)


if __name__ == "__main__":
    main()
