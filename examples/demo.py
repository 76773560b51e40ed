"""What ``make demo`` runs: one person leaves each example photo, through the library, with every step's picture kept.

    python examples/demo.py [PHOTO ...]

For each photo the pictures lie in ``out/demo/NAME/``: ``before``, ``people`` (who was found, whom we erase), ``layers``
(a sheet of the background and the people, and a folder of the layers themselves) and ``after``.
"""

from __future__ import annotations

import shutil
import sys
import time
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mild.errors import MildError
from mild.layers import Layer, LayerStack
from mild.layers.export import save_stack
from mild.people.find import find_people
from mild.people.overlay import draw_overlay
from mild.people.scene import Scene
from mild.photo import Photo
from mild.request import EraseRequest
from mild.road import decompose, run

HERE = Path(__file__).resolve().parent
OUT = HERE.parent / "out" / "demo"

#: Whom the demo erases, as a pixel (x, y) of theirs: numbers would change with a better finder.
CHOICE = {"bar55": (57, 282), "cold_water": (462, 282), "pool": (549, 216), "wayne": (370, 103)}
#: Side of the squares, in pixels, that show transparency on the sheet.
SQUARE = 12


def main(photos: list[str]) -> int:
    paths = [Path(name) for name in photos] or sorted(HERE.glob("*.jpg"))
    if not paths:
        # The archive of the source (sdist) holds none of them: they are under another licence.
        print(
            "The example photos are not here, as they are under another licence (GPL-2+): MILD's repository has them "
            "in examples/, and Debian's source package kphotoalbum 5.9.1 in demo/. Or name photos of your own: "
            "python examples/demo.py PHOTO ...",
            file=sys.stderr,
        )
        return 2
    failed = 0
    for path in paths:
        try:
            demo(path, OUT / path.stem)
        except MildError as error:
            # One photo that does not work out is worth knowing, and no reason to withhold the others.
            failed += 1
            print(f"{path.name}: {error}\n", file=sys.stderr)
    return 1 if failed else 0


def demo(path: Path, folder: Path) -> None:
    """Find, erase, take apart; print where the pictures are and how long each stage took."""
    folder.mkdir(parents=True, exist_ok=True)
    before = folder / f"before{path.suffix}"
    shutil.copyfile(path, before)
    print(f"{path.name}\n  before  {_shown(before)}")

    started = time.perf_counter()
    photo = Photo.open(path)
    scene = find_people(photo, EraseRequest().finder)
    found = time.perf_counter() - started
    chosen = choose(scene, path.stem)
    people = folder / "people.png"
    Image.fromarray(draw_overlay(scene, () if chosen is None else (chosen,))).save(people)
    print(f"  people  {_shown(people)}  ({len(scene.sure)} sure, {len(scene.people) - len(scene.sure)} unsure)")
    if chosen is None:
        print("  nobody was surely found here; point at somebody with `mild erase PHOTO --at X,Y`\n")
        return

    request = EraseRequest.build(photo=str(path), selection={"people": (chosen,)})
    result = run(request)
    after = folder / "after.png"

    apart = decompose(EraseRequest.build(photo=str(path)))
    sheet = folder / "layers.png"
    Image.fromarray(contact_sheet(apart.stack)).save(sheet)
    save_stack(apart.stack, folder / "layers", apart.photo)
    print(f"  layers  {_shown(sheet)}  (and each by itself in {_shown(folder / 'layers')}/)")

    result.save(after)
    print(f"  after   {_shown(after)}  (person {chosen} erased)")
    stages = ", ".join(f"{name} {seconds:.1f} s" for name, seconds in result.seconds.items())
    print(f"  took    find for the overlay {found:.1f} s; erase: {stages}; ", end="")
    print(f"take apart: {sum(apart.seconds.values()):.1f} s\n")


def choose(scene: Scene, name: str) -> int | None:
    """Whom to erase: the demo's choice, in other photos the smallest of the people surely found; None if nobody was."""
    if name in CHOICE:
        x, y = CHOICE[name]
        there = int(scene.label_map()[y, x])
        if there:
            return there
    return min(scene.sure, key=lambda p: p.area).id if scene.sure else None


def contact_sheet(stack: LayerStack) -> NDArray[np.uint8]:
    """The background and every person's layer side by side, uint8 ``[H, W * layers, 3]``; squares are transparent."""
    nobody = stack.compose(hide=[layer.owner for layer in stack.people if layer.owner is not None])
    return np.concatenate([nobody, *(_on_squares(layer, stack.size) for layer in stack.people)], axis=1)


def _on_squares(layer: Layer, size: tuple[int, int]) -> NDArray[np.uint8]:
    ys, xs = np.indices(size) // SQUARE
    picture = np.where((ys + xs) % 2, 204, 255).astype(np.float32)[..., None].repeat(3, axis=2)
    window = picture[layer.box.slices]
    window += (layer.rgba[..., :3] - window) * (layer.rgba[..., 3:] / np.float32(255))
    return np.rint(picture).astype(np.uint8)


def _shown(path: Path) -> str:
    """Relative to where the user is, where that is shorter to click."""
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
