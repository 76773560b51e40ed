"""XMP in a file beside the photo: cleaned as what the photo itself says, written beside the output, never touched."""

from __future__ import annotations

from pathlib import Path

import pytest

import mild
from mild.app.batch import store
from mild.app.cli.app import run
from mild.photo.mark import COMPOSITE
from mild.photo.sidecar import Sidecar
from test_batch import run as batch_run
from test_privacy import MASK, people_packet, scene


def laid(folder: Path, name: str = "photo.jpg.xmp") -> tuple[Path, Path]:
    """A photo and its sidecar, which places and names who is in it."""
    photo = mild.Photo.from_array(scene()).save(folder / "photo.jpg")
    sidecar = folder / name
    sidecar.write_text(people_packet())
    mild.photo.write_image(MASK, folder / "mask.png")
    return photo, sidecar


def erase(photo: Path, out: Path, *more: str) -> int:
    mask = str(photo.parent / "mask.png")
    return run(["erase", str(photo), "--mask", mask, "--finder", "none", "-o", str(out), *more])


@pytest.mark.parametrize(("name", "written"), [("photo.jpg.xmp", "out.png.xmp"), ("photo.xmp", "out.xmp"),
                                                ("photo.XMP", "out.xmp")])  # fmt: skip
def test_a_sidecar_is_cleaned_and_written_beside_the_output(tmp_path: Path, name: str, written: str) -> None:
    photo, sidecar = laid(tmp_path, name)
    before = sidecar.read_bytes()
    assert erase(photo, tmp_path / "out.png") == 0
    text = (tmp_path / written).read_text()
    assert COMPOSITE in text and "MILD" in text and "Gone Girl" not in text and "Stay Put" in text
    assert sidecar.read_bytes() == before
    told = mild.erase(photo, mask=MASK, finder="none").report()["metadata"]
    assert told["regions_removed"] >= 1 and told["names_removed"] >= 1, told


def test_none_writes_none_and_nothing_is_replaced(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    photo, sidecar = laid(tmp_path)
    assert erase(photo, tmp_path / "out.jpg", "--metadata", "none") == 0
    assert not (tmp_path / "out.jpg.xmp").exists()
    (tmp_path / "two.jpg.xmp").write_text("mine")
    assert erase(photo, tmp_path / "two.jpg") == 2 and not (tmp_path / "two.jpg").exists()
    assert (tmp_path / "two.jpg.xmp").read_text() == "mine"
    before = sidecar.read_bytes()
    capsys.readouterr()
    assert erase(photo, photo, "--force") == 0 and sidecar.read_bytes() == before
    assert "may still name" in capsys.readouterr().err


def test_an_output_of_the_same_stem_leaves_the_sources_sidecar_alone(tmp_path: Path) -> None:
    photo, sidecar = laid(tmp_path, "photo.xmp")
    before = sidecar.read_bytes()
    assert erase(photo, tmp_path / "photo.png") == 0
    assert sidecar.read_bytes() == before and COMPOSITE in (tmp_path / "photo.png.xmp").read_text()


@pytest.mark.parametrize("data", [b"", b"<x", b"\0" * 100, b"<!DOCTYPE a [<!ENTITY b 'c'>]><a>&b;</a>"])
def test_a_sidecar_that_is_none_costs_nothing(tmp_path: Path, data: bytes) -> None:
    photo, sidecar = laid(tmp_path)
    sidecar.write_bytes(data)
    assert erase(photo, tmp_path / "out.jpg") == 0 and not (tmp_path / "out.jpg.xmp").exists()
    assert sidecar.read_bytes() == data


def test_a_batch_writes_sidecars(tmp_path: Path) -> None:
    (folder := tmp_path / "photos").mkdir()
    _, sidecar = laid(folder)
    (folder / "mask.png").rename(tmp_path / "mask.png")
    words = ["batch", str(folder), "--mask", str(tmp_path / "mask.png"), "--finder", "none", "--jobs", "1"]
    assert run([*words, "-o", str(tmp_path / "clean")]) == 0
    assert COMPOSITE in (tmp_path / "clean" / "photo.jpg.xmp").read_text()
    assert COMPOSITE not in sidecar.read_text()


def test_there_is_no_sidecar_of_a_photo_without(tmp_path: Path) -> None:
    assert Sidecar.beside(tmp_path / "photo.jpg") is None
    (tmp_path / "photo.jpg.xmp").mkdir()
    assert Sidecar.beside(tmp_path / "photo.jpg") is None


def test_a_photo_that_cannot_be_written_leaves_its_old_sidecar(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And its new one is in place before it is, so that a killed run leaves no photo whose sidecar names the erased."""
    photo, _ = laid(tmp_path)
    result = mild.erase(photo, mask=MASK, finder="none")
    out, beside = tmp_path / "out.jpg", tmp_path / "out.jpg.xmp"
    out.write_bytes(b"old")
    beside.write_text("old")

    def full(self: mild.Photo, file: object, suffix: str) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(mild.Photo, "write", full)
        with pytest.raises(mild.MildError, match=r"out\.jpg cannot be written"):
            result.save(out)
    assert out.read_bytes() == b"old" and beside.read_text() == "old"

    replaced: list[str] = []
    put = Path.replace
    monkeypatch.setattr(Path, "replace", lambda self, to: (replaced.append(Path(to).name), put(self, to))[1])
    result.save(out)
    assert replaced == ["out.jpg.xmp", "out.jpg"] and COMPOSITE in beside.read_text()
    assert not list(tmp_path.glob(".mild-*"))


def test_a_batch_that_ends_between_a_sidecar_and_its_photo_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both are put in place by renames; whoever is killed between the two has the sidecar alone."""
    (folder := tmp_path / "photos").mkdir()
    laid(folder)
    (folder / "mask.png").rename(tmp_path / "mask.png")
    request = {"selection": {"mask": str(tmp_path / "mask.png")}, "finder": {"backend": "none"}}
    publish = store.published

    def killed(made: Path, place: str) -> None:
        if made.suffix != ".xmp":
            raise KeyboardInterrupt
        publish(made, place)

    whole = batch_run(str(folder), str(tmp_path / "whole"), request=request)
    assert whole[0].counts == {"done": 1}
    monkeypatch.setattr(store, "published", killed)
    with pytest.raises(KeyboardInterrupt):
        batch_run(str(folder), str(tmp_path / "out"), request=request)
    assert (tmp_path / "out/photo.jpg.xmp").exists() and not (tmp_path / "out/photo.jpg").exists()
    monkeypatch.setattr(store, "published", publish)
    assert batch_run(str(folder), str(tmp_path / "out"), request=request)[0].counts == {"done": 1}
    for name in ("photo.jpg", "photo.jpg.xmp"):
        assert (tmp_path / "out" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
