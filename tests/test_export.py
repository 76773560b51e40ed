"""Layered files: they come back equal, and what an editor draws is what we compose."""

from __future__ import annotations

import io
import sys
import zipfile
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageCms

from mild.errors import MildError, UsageError
from mild.layers import LayerStack, ora
from mild.layers.export import load_stack, save_stack
from mild.layers.pack import Colour
from mild.layers.sheets import Group, flatten, paint, sheets_of
from mild.photo import Photo
from stacks import equal, make_stack

sys.path.insert(0, str(Path(__file__).parents[1] / "bench"))
from editor_render import available, render

ICC = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
CASES = [(), (1,), (2,), (1, 3), (1, 2, 3)]


def draw(tree: tuple, size: tuple[int, int]) -> NDArray[np.uint8]:
    """Alpha-over of the visible sheets: what an editor does."""
    canvas = np.zeros((*size, 3), np.uint8)
    for sheet in flatten(tree):
        paint(canvas[sheet.box.slices], sheet.rgba)
    return canvas


def worst(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> int:
    return int(np.abs(a.astype(int) - b.astype(int)).max())


@pytest.mark.parametrize("hidden", CASES)
def test_the_sheets_draw_the_composition(hidden: tuple[int, ...]) -> None:
    stack = make_stack(hidden=hidden)
    drawn = draw(sheets_of(stack), stack.size)
    assert worst(drawn, stack.compose()) <= 1
    untouched = stack.change_matte(stack.hidden) == 0
    assert np.array_equal(drawn[untouched], stack.photo[untouched])


@pytest.mark.parametrize("hidden", CASES)
def test_showing_the_erased_brings_the_photo_back(hidden: tuple[int, ...]) -> None:
    stack = make_stack(hidden=hidden)
    tree = tuple(
        Group(node.name, node.children) if isinstance(node, Group) and node.name == "erased" else node
        for node in sheets_of(stack)
    )
    assert np.array_equal(draw(tree, stack.size), stack.photo)


def test_hiding_a_kept_person_shows_the_background() -> None:
    stack = make_stack(hidden=())
    tree = tuple(node for node in sheets_of(stack) if not node.name.startswith("person 3"))
    assert worst(draw(tree, stack.size), stack.compose(hide=[3])) <= 1


def test_whoever_is_moved_to_the_front_is_drawn_in_front() -> None:
    stack = make_stack(hidden=(2,)).to_front(1)
    assert worst(draw(sheets_of(stack), stack.size), stack.compose()) <= 1


def test_the_tree_is_named_as_an_editor_user_expects() -> None:
    tree = sheets_of(make_stack(hidden=(1,)))
    names = [(node.name, node.visible) for node in tree]
    assert names == [
        ("original", False), ("background", True), ("person 2, middle", True), ("person 3, right", True),
        ("erased", False),
    ]  # fmt: skip
    assert isinstance(tree[-1], Group) and tree[-1].children[0].name == "person 1, left"


@pytest.mark.parametrize("name", ["a.ora", "a.psd", "a.zip", "a"])
@pytest.mark.parametrize("hidden", [(), (2,), (1, 2, 3)])
def test_a_stack_comes_back_equal(tmp_path: Path, name: str, hidden: tuple[int, ...]) -> None:
    stack = make_stack(hidden=hidden).to_front(1)
    save_stack(stack, tmp_path / name)
    assert equal(load_stack(tmp_path / name), stack)
    assert [p.name for p in tmp_path.iterdir()] == [name], "a temporary file was left"


@pytest.mark.parametrize("name", ["a.ora", "a.psd", "a.zip", "a"])
def test_a_stack_without_people_comes_back(tmp_path: Path, name: str) -> None:
    one = make_stack(17, 23, hidden=())
    stack = LayerStack(one.photo, one.layers[:1])
    save_stack(stack, tmp_path / name)
    assert equal(load_stack(tmp_path / name), stack)


@pytest.mark.parametrize("suffix", [".ora", ".psd", ".zip"])
def test_the_same_stack_gives_the_same_bytes(tmp_path: Path, suffix: str) -> None:
    for name in "ab":
        save_stack(make_stack(), tmp_path / (name + suffix))
    assert (tmp_path / f"a{suffix}").read_bytes() == (tmp_path / f"b{suffix}").read_bytes()


def test_the_openraster_layout(tmp_path: Path) -> None:
    stack = make_stack()
    with (tmp_path / "a.ora").open("wb") as out:
        ora.write(stack, out, Colour(ICC, (300.0, 300.0)))
    with zipfile.ZipFile(tmp_path / "a.ora") as archive:
        first = archive.infolist()[0]
        assert (first.filename, first.compress_type) == ("mimetype", zipfile.ZIP_STORED)
        assert archive.read("mimetype") == b"image/openraster"
        merged = Image.open(io.BytesIO(archive.read("mergedimage.png")))
        assert merged.info["icc_profile"] == ICC
        assert np.array_equal(np.asarray(merged), stack.compose())
        assert max(Image.open(io.BytesIO(archive.read("Thumbnails/thumbnail.png"))).size) <= 256
        root = ElementTree.fromstring(archive.read("stack.xml"))
        assert (root.tag, root.get("w"), root.get("xres")) == ("image", "160", "300")
        assert all(layer.get("src") in archive.namelist() for layer in root.iter("layer"))


def test_psd_tools_reads_what_we_composed(tmp_path: Path) -> None:
    from psd_tools import PSDImage
    from psd_tools.constants import Resource

    stack = make_stack(hidden=(1, 3))
    photo = Photo.from_array(stack.photo)
    save_stack(stack, tmp_path / "a.psd", photo)
    document = PSDImage.open(tmp_path / "a.psd")
    assert np.array_equal(np.asarray(document.topil().convert("RGB")), stack.compose())
    assert [(layer.name, layer.visible, layer.is_group()) for layer in document] == [
        ("original", False, False), ("background", True, True), ("person 2, middle", True, True),
        ("erased", False, True),
    ]  # fmt: skip
    # Re-drawn from the layers alone, by a plain alpha-over of what psd-tools hands out.
    canvas = Image.new("RGBA", document.size)
    for layer in document.descendants():
        if layer.is_group() or not layer.is_visible():
            continue
        sheet = Image.new("RGBA", document.size)
        sheet.paste(layer.topil().convert("RGBA"), (layer.left, layer.top))
        canvas = Image.alpha_composite(canvas, sheet)
    assert worst(np.asarray(canvas)[..., :3], stack.compose()) <= 1
    assert Resource.ICC_PROFILE not in document.image_resources


def test_psd_keeps_the_profile_and_the_resolution(tmp_path: Path) -> None:
    from psd_tools import PSDImage
    from psd_tools.constants import Resource

    from mild.layers import psd

    with (tmp_path / "a.psd").open("wb") as out:
        psd.write(make_stack(), out, Colour(ICC, (300.0, 150.0)))
    resources = PSDImage.open(tmp_path / "a.psd").image_resources
    assert resources.get_data(Resource.ICC_PROFILE) == ICC
    with Image.open(tmp_path / "a.psd") as image:
        assert image.info.get("icc_profile") == ICC and image.size == (160, 96)


def test_a_folder_keeps_what_is_not_ours_and_drops_the_old_set(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    save_stack(make_stack(people=3), tmp_path)
    save_stack(make_stack(people=2), tmp_path)
    assert (tmp_path / "notes.txt").read_text() == "mine"
    assert not (tmp_path / "person-3.png").exists()
    assert equal(load_stack(tmp_path), make_stack(people=2))
    with Image.open(tmp_path / "person-1.png") as image:
        assert (image.mode, image.size) == ("RGBA", (160, 96))


@pytest.mark.parametrize("name", ["a.ora", "a.psd", "a.zip"])
def test_a_failed_write_leaves_the_old_file(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / name
    save_stack(make_stack(), target)
    before = target.read_bytes()

    def fail(*args: object, **kwargs: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("mild.layers.pack.png", fail)
    with pytest.raises(MildError, match=r"cannot be written: No space left on device\.$"):
        save_stack(make_stack(seed=5), target)
    assert target.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize("name", ["a.ora", "a.psd", "a.zip"])
def test_a_broken_file_is_one_sentence(tmp_path: Path, name: str) -> None:
    target = tmp_path / name
    save_stack(make_stack(), target)
    data = target.read_bytes()
    for cut in (0, 10, len(data) // 2):
        target.write_bytes(data[:cut])
        with pytest.raises(MildError) as caught:
            load_stack(target)
        assert "\n" not in str(caught.value) and str(caught.value).endswith(".")


def test_foreign_files_are_refused_in_one_sentence(tmp_path: Path) -> None:
    from psd_tools import PSDImage

    PSDImage.new("RGB", (8, 8)).save(tmp_path / "x.psd")
    with zipfile.ZipFile(tmp_path / "x.ora", "w") as archive:
        archive.writestr("mimetype", "image/openraster")
    for name in ("x.psd", "x.ora", "missing.ora"):
        with pytest.raises(MildError, match=r"\.$"):
            load_stack(tmp_path / name)
    with pytest.raises(MildError, match="no layered file"):
        load_stack(Path(__file__))
    with pytest.raises(MildError, match=r"holds no layers\.json"):
        load_stack(tmp_path)
    with pytest.raises(UsageError, match=r"not as \.png"):
        save_stack(make_stack(), tmp_path / "a.png")


def test_a_description_cannot_lead_out_of_its_folder(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    save_stack(make_stack(), folder)
    Image.new("RGB", (160, 96)).save(tmp_path / "secret.png")
    text = (folder / "layers.json").read_text().replace('"original.png"', '"../secret.png"')
    (folder / "layers.json").write_text(text)
    with pytest.raises(MildError, match="outside the folder"):
        load_stack(folder)


@pytest.mark.slow
@pytest.mark.parametrize(("editor", "suffix"), [("gimp", ".psd"), ("krita", ".psd"), ("krita", ".ora")])
def test_an_editor_shows_what_we_composed(tmp_path: Path, editor: str, suffix: str) -> None:
    if not available(editor):
        pytest.skip(f"{editor} is not installed")
    stack = make_stack(hidden=(1, 3))
    save_stack(stack, tmp_path / f"a{suffix}")
    render(editor, tmp_path / f"a{suffix}", tmp_path / "a.png")
    with Image.open(tmp_path / "a.png") as image:
        assert worst(np.asarray(image.convert("RGB")), stack.compose()) <= 1


@pytest.mark.parametrize("suffix", [".zip", ".ora"])
def test_a_small_file_cannot_become_gigabytes(tmp_path: Path, suffix: str) -> None:
    """Pictures far larger than they are packed: one named by many layers, and boxes that cover the photo many times."""
    import json

    side = 6000
    blank = io.BytesIO()
    Image.new("RGBA", (side, side)).save(blank, "png")
    grey = io.BytesIO()
    Image.new("L", (side, side)).save(grey, "png")
    row = {"kind": "person", "name": "p", "box": [0, 0, side, side], "rgba": "a.png", "generated": "b.png"}
    for names in ("one picture", "its own"):
        rows = []
        for k in range(25):
            own = {"rgba": f"a{k}.png", "generated": f"b{k}.png"} if names == "its own" else {}
            rows.append(row | {"owner": k + 1, "matte": None} | own)
        rows[0] |= {"kind": "background", "owner": None}
        about = {
            "format": "mild-layers",
            "version": 1,
            "size": [side, side],
            "photo": "a.png",
            "icc": None,
            "dpi": None,
        }
        path = tmp_path / f"bomb{suffix}"
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("mimetype", "image/openraster")
            text = json.dumps(about | {"hidden": [], "raised": [], "layers": rows})
            archive.writestr("layers.json" if suffix == ".zip" else "mild/layers.json", text)
            archive.writestr("a.png", blank.getvalue())
            archive.writestr("b.png", grey.getvalue())
        with pytest.raises(
            MildError, match="far larger than the photo" if names == "its own" else "same picture|larger"
        ):
            load_stack(path)


@pytest.mark.parametrize("suffix", [".zip", ".ora"])
def test_a_description_of_half_a_million_layers_is_not_parsed(tmp_path: Path, suffix: str) -> None:
    """A zip of 250 kB took ten seconds; one of 4 MB would have taken all memory, before the layers were counted."""
    save_stack(make_stack(), tmp_path / f"a{suffix}")
    path = tmp_path / f"b{suffix}"
    with zipfile.ZipFile(tmp_path / f"a{suffix}") as old, zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as new:
        for name in old.namelist():
            data = old.read(name)
            if name.endswith("layers.json"):
                data = data.rstrip()[:-1] + b', "more": [' + b"[]," * 6_000_000 + b"[]]}"
            new.writestr(name, data)
    with pytest.raises(MildError, match="unpacked it is too large"):
        load_stack(path)
