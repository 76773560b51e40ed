"""What was reported of programs like this one, a small input each, where no other test module has it."""

from __future__ import annotations

import base64
import json
import struct
import time
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient
from PIL import Image

from fake_road import FakeRoad
from hiding import HEIGHT, WIDTH, Tiff, erased, packet, png, scene, with_private
from mild.app.cli.app import run
from mild.app.server.app import create_app
from mild.app.server.settings import Settings
from mild.errors import MildError, UsageError
from mild.layers.export import open_stack, save_stack
from mild.people.finders.coco import decode_rle, read_people
from mild.photo import Photo, mask_of, read_mask
from mild.photo.exif import read_exif
from mild.photo.icc import clean_icc
from mild.photo.meta import PhotoMeta
from stacks import make_stack

ERASE = ["--box", "70,30,106,78", "--finder", "none", "--no-denoise"]


def coco(segmentation: Any, names: tuple[str, ...] = ("a.png",)) -> str:
    images = [{"id": i, "file_name": name, "height": HEIGHT, "width": WIDTH} for i, name in enumerate(names)]
    rows = [{"id": i, "image_id": i, "category_id": 1, "segmentation": segmentation} for i in range(len(names))]
    return json.dumps({"images": images, "categories": [{"id": 1, "name": "person"}], "annotations": rows})


@pytest.mark.parametrize(
    "segmentation",
    [
        [[float("nan"), 1, 9, 1, 9, 9]], [[float("inf"), 1, 9, 1, 9, 9]], [[None, 1, 9, 1, 9, 9]], [[1, 1]], 5,
        [[[[1]]]],
        [["1", "1", "9", "1", "9", "9"]], [[10**400, 1, 9, 1, 9, 9]], [[1e8, 1, 9, 1, 9, 1e8]],
        {"size": [HEIGHT, WIDTH], "counts": [-1]},
        {"size": [HEIGHT, WIDTH], "counts": "\ud800"}, {"size": [10**6, 10**6], "counts": [1]},
    ],
)  # fmt: skip
def test_no_number_of_a_coco_file_reaches_the_codec_unseen(segmentation: Any, tmp_path: Path) -> None:
    """A NaN ended the process inside pycocotools; 1e8 took all memory."""
    (tmp_path / "a.json").write_text(coco(segmentation))
    begun = time.process_time()
    try:
        found = read_people(Photo(scene(), path=tmp_path / "a.png"), tmp_path / "a.json").people
        assert all(person.mask.any() for person in found)
    except MildError as error:
        assert str(error).endswith(".")
    assert time.process_time() - begun < 5


def test_of_two_photos_of_one_name_the_folder_decides_or_it_is_asked(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(coco([[10, 10, 40, 10, 40, 60]], ("train/a.png", "val/a.png")))
    photo = Photo(scene(), path=tmp_path / "val" / "a.png")
    try:
        assert read_people(photo, tmp_path / "a.json").people
    except UsageError as error:
        assert "a.png" in str(error) or "2 images" in str(error)
    with pytest.raises(UsageError):
        read_people(Photo(scene(), path=tmp_path / "a.png"), tmp_path / "a.json")


@pytest.mark.parametrize("name", ["soft", "float", "noise", "channel", "three"])
def test_a_mask_is_the_same_from_an_array_and_from_a_file(name: str, tmp_path: Path) -> None:
    """Files were taken from 128 on, arrays from 1 on."""
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    soft = np.clip(400 - 8 * np.hypot(y - 50, x - 80), 0, 255).astype(np.uint8)
    Image.fromarray(soft).save(tmp_path / "noise.jpg", quality=20)
    Image.fromarray(soft).save(tmp_path / "soft.png")
    file = tmp_path / ("noise.jpg" if name == "noise" else "soft.png")
    arrays = {"soft": soft, "float": soft / 255, "channel": soft[..., None], "three": np.dstack([soft] * 3)}
    array = np.asarray(Image.open(file)) if name == "noise" else arrays[name]
    assert (mask_of(array) == read_mask(file, (HEIGHT, WIDTH))).all()
    assert (mask_of(file) == read_mask(file, (HEIGHT, WIDTH))).all()


@pytest.mark.parametrize("name", ["[red]holiday.png", "trip [/b].png", "a\\[b].png", "[[]].png", "é" * 100 + ".png"])
def test_names_are_said_as_they_are(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    path = Path(name)
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(png())
    assert run(["erase", name, *ERASE]) == 0
    out = Path(f"{path.stem}.erased.png")  # in the folder of whoever calls
    assert out.is_file() and out.name in "".join(capsys.readouterr().out.split("\n"))
    assert run(["erase", f"none/{name}", *ERASE, "-f"]) == 2
    assert f"none/{name}".replace(" ", "") in "".join(capsys.readouterr().err.split())


@pytest.mark.parametrize("length", [251, 255, 300, 5000])
def test_a_name_near_the_longest_is_one_sentence_or_fits(
    length: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    name = "x" * (length - 4) + ".png"
    if length <= 255:
        Path(name).write_bytes(png())
    code = run(["erase", name, *ERASE])
    said = capsys.readouterr()
    assert code in (0, 1, 2) and "unexpectedly" not in said.err
    assert code or [path for path in tmp_path.iterdir() if path.name != name]


def test_metadata_that_a_jpeg_cannot_hold_is_left_out_and_said(tmp_path: Path) -> None:
    """The job was done, and then the file could not be written."""
    long = packet("<dc:description>" + "history " * 1900 + "</dc:description>").replace("</rdf:RDF>", "")
    rows = "".join(f"<dc:x{i}>{'words and ' * 1500}</dc:x{i}>" for i in range(8))
    tiff = Tiff()
    exif = tiff.whole(tiff.ifd({0xE000 + i: (2, b"some words " * 1400) for i in range(8)}))
    body = long.replace("</rdf:Description>", rows + "</rdf:Description></rdf:RDF>").encode()
    photo = Photo.from_bytes(png((b"eXIf", exif), (b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + body)))
    assert len(photo.meta.exif or b"") > 65_000 and len(photo.meta.xmp or b"") > 65_000
    changed, told = photo.edited(erased(), metadata="keep")
    assert changed.save(tmp_path / "a.jpg").stat().st_size > 0
    assert sum("left out" in note for note in told.notes) == 2


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".tif", ".webp", ".ora", ".zip", ".psd"])
def test_what_is_written_can_be_read_whatever_the_length_of_the_profile(suffix: str, tmp_path: Path) -> None:
    """Pillow refuses a PNG with a profile of more than a megabyte; ours could not be opened again."""
    table = b"mft2\0\0\0\0" + bytes([3, 3, 61, 0]) + bytes(36) + struct.pack(">HH", 2, 2)
    table += np.random.default_rng(1).integers(0, 2**16, 3 * 2 + 61**3 * 3 + 3 * 2).astype(">u2").tobytes()
    icc = with_private(table, b"A2B1")
    assert len(icc) > 1_300_000 and clean_icc(icc) == icc
    photo = Photo(make_stack().photo, meta=PhotoMeta(icc=icc))
    path = tmp_path / f"a{suffix}"
    if suffix in (".ora", ".zip", ".psd"):
        save_stack(make_stack(), path, photo)
        assert open_stack(path)[1].icc == icc
    else:
        assert Photo.open(photo.save(path)).meta.icc == icc


def test_a_stranger_s_layers_bring_no_picture_in_their_profile(tmp_path: Path) -> None:
    source = save_stack(make_stack(), tmp_path / "a.zip", Photo(make_stack().photo, meta=PhotoMeta(icc=None)))
    hidden = b"\xff\xd8\xff a picture of somebody"
    with zipfile.ZipFile(source) as archive, zipfile.ZipFile(tmp_path / "b.zip", "w") as out:
        for name in archive.namelist():
            data = archive.read(name)
            if name == "layers.json":
                said = json.loads(data) | {"icc": base64.b64encode(with_private(hidden)).decode()}
                data = json.dumps(said).encode()
            out.writestr(name, data)
    icc = open_stack(tmp_path / "b.zip")[1].icc
    assert icc is not None and hidden not in icc


def test_a_broken_pointer_costs_what_it_points_to_and_no_more() -> None:
    """One wrong pointer, and the photo came in sideways and lost all it said."""
    head = b"II*\0" + struct.pack("<IH", 8, 3)
    entries = struct.pack("<HHI", 0x010F, 2, 4) + b"ACM\0" + struct.pack("<HHIHH", 0x0112, 3, 1, 6, 0)
    bad = head + entries + struct.pack("<HHII", 0x8769, 4, 1, 0xFFFF00) + bytes(4)
    found = read_exif(bad)
    assert found.orientation == 6 and b"ACM" in (found.block or b"")
    cut = read_exif(bad[: 10 + 24].replace(b"\3\0", b"\x0c\0", 1))  # more entries than there are
    assert cut.orientation == 6


def test_over_a_larger_file_nothing_of_it_is_left_behind_the_end(tmp_path: Path) -> None:
    Image.fromarray(scene()).resize((960, 640)).save(tmp_path / "a.png", compress_level=0)
    before = (tmp_path / "a.png").read_bytes()
    Photo(erased()).save(tmp_path / "a.png")
    after = (tmp_path / "a.png").read_bytes()
    assert len(after) < len(before) and after.endswith(b"IEND" + struct.pack(">I", zlib.crc32(b"IEND")))


def test_what_is_old_goes_while_nobody_comes_and_after_a_restart(tmp_path: Path) -> None:
    """It went when somebody else sent a photo, and not before."""
    state = tmp_path / "state"
    settings = Settings(state=state, keep_seconds=0.4, idle_seconds=0.4)
    files = {"photo": ("a.png", png(), "image/png")}
    with TestClient(create_app(settings, FakeRoad())) as client:
        id = client.post("/v1/photos", files=files).json()["id"]
        held = [path for path in (state / "photos").rglob("*") if path.is_file()]
        assert held and all(path.stat().st_mode & 0o077 == 0 for path in held)
        end = time.monotonic() + 20
        while any((state / "photos").iterdir()) and time.monotonic() < end:
            time.sleep(0.05)
        assert not list((state / "photos").iterdir())
        assert client.get(f"/v1/photos/{id}").status_code == 404
    with TestClient(create_app(Settings(state=state), FakeRoad())) as client:
        client.post("/v1/photos", files=files)
    assert list((state / "photos").iterdir())
    time.sleep(0.5)
    with TestClient(create_app(settings, FakeRoad())):
        end = time.monotonic() + 20
        while any((state / "photos").iterdir()) and time.monotonic() < end:
            time.sleep(0.05)
        assert not list((state / "photos").iterdir())


@pytest.mark.parametrize("data", [b"", b"words", png()[:200], b"\xff\xd8\xff" + bytes(50), b"II*\0" + bytes(20)])
def test_no_answer_names_a_place_of_the_server_s(data: bytes, tmp_path: Path) -> None:
    with TestClient(
        create_app(Settings(state=tmp_path / "state"), FakeRoad()), raise_server_exceptions=False
    ) as client:
        for address in ("photos", "erase", "layers", "jobs"):
            answer = client.post(
                f"/v1/{address}", files={"photo": ("a.png", data, "image/png")}, data={"request": "{}"}
            )
            assert answer.status_code in (400, 413, 415, 422) and str(tmp_path) not in answer.text, answer.text


def test_a_mask_by_run_length_code_and_as_array_mean_the_same() -> None:
    from mild.library import _encoded

    soft = np.zeros((HEIGHT, WIDTH), np.float32)
    soft[10:20, 10:20], soft[30:40] = 0.6, 0.4
    assert decode_rle(_encoded(soft), (HEIGHT, WIDTH)).sum() == 100
