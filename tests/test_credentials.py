"""Content credentials: what they say, that they hold no picture, and every way in which signing can be refused."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import mild
from certificates import chain
from mild.app.cli.app import run
from mild.errors import MildError, UsageError
from mild.photo.carve import pictures
from mild.photo.credentials import Signer
from mild.request import EraseRequest

c2pa = pytest.importorskip("c2pa", reason="the extra c2pa is not installed")

HOLE = np.zeros((64, 96), bool)
HOLE[20:44, 40:60] = True
COMPOSITE = "http://cv.iptc.org/newscodes/digitalsourcetype/compositeWithTrainedAlgorithmicMedia"


def photo() -> np.ndarray:
    y, x = np.mgrid[:64, :96]
    return np.stack([90 + y, 60 + x, 50 + (x + y) // 2], -1).astype(np.uint8)


def read(path: Path) -> dict[str, Any]:
    """What c2pa's own reader finds."""
    mime = {".jpg": "image/jpeg", ".tif": "image/tiff", ".heic": "image/heic"}.get(
        path.suffix, f"image/{path.suffix[1:]}"
    )
    return json.loads(c2pa.Reader(mime, io.BytesIO(path.read_bytes())).json())


def told(store: dict[str, Any]) -> dict[str, Any]:
    return store["manifests"][store["active_manifest"]]


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".tif", ".heic"])
def test_a_signed_file_says_what_was_done_and_holds_no_picture(tmp_path: Path, suffix: str) -> None:
    cert, key = chain(tmp_path)
    source = mild.Photo.from_array(photo()).save(tmp_path / f"in{suffix if suffix != '.heic' else '.png'}")
    out = tmp_path / f"out{suffix}"
    result = mild.erase(source, mask=HOLE, finder="none", sign_cert=cert, private_key=key)
    result.save(out)
    store = read(out)
    assert store["validation_state"] == "Valid", store["validation_status"]
    manifest = told(store)
    assert len(store["manifests"]) == 1 and "thumbnail" not in manifest
    (parent,) = manifest["ingredients"]
    assert parent["relationship"] == "parentOf" and "thumbnail" not in parent and "active_manifest" not in parent
    (actions,) = [a["data"]["actions"] for a in manifest["assertions"] if a["label"].startswith("c2pa.actions")]
    opened, edited = actions
    assert opened["action"] == "c2pa.opened" and opened["parameters"]["ingredients"]
    assert edited["action"] == "c2pa.edited" and edited["digitalSourceType"] == COMPOSITE
    assert edited["softwareAgent"] == {"name": "MILD", "version": mild.__version__}
    # The same pixels as without, and one picture in the file.
    again = mild.Photo.open(out)
    unsigned = mild.erase(source, mask=HOLE, finder="none")
    assert (again.pixels == mild.Photo.open(unsigned.save(tmp_path / f"plain{suffix}")).pixels).all()
    assert len(list(pictures(out.read_bytes()))) <= 2  # Pillow's TIFF reader finds the same file again
    # The certificate's place is nobody's business.
    assert "cert.pem" not in json.dumps(result.report()) and "key.pem" not in json.dumps(result.report())
    assert "output" in result.report()["request"]


def test_a_manifest_of_the_source_is_not_copied(tmp_path: Path) -> None:
    cert, key = chain(tmp_path)
    source = mild.Photo.from_array(photo()).save(tmp_path / "in.jpg")
    first = mild.erase(source, mask=HOLE, finder="none", sign_cert=cert, private_key=key).save(tmp_path / "first.jpg")
    before = read(first)["active_manifest"]
    plain = mild.erase(first, mask=HOLE, finder="none").save(tmp_path / "plain.jpg")
    assert before.encode() not in plain.read_bytes() and b"jumb" not in plain.read_bytes()
    second = mild.erase(first, mask=HOLE, finder="none", sign_cert=cert, private_key=key).save(tmp_path / "second.jpg")
    assert before.encode() not in second.read_bytes() and read(second)["validation_state"] == "Valid"


@pytest.mark.parametrize("kind", ["rsa", "ed25519"])
def test_other_kinds_of_keys(tmp_path: Path, kind: str) -> None:
    cert, key = chain(tmp_path, kind)
    mild.Photo.from_array(photo()).save(tmp_path / "in.png")
    data = Signer(str(cert), str(key)).signed((tmp_path / "in.png").read_bytes(), "PNG")
    (tmp_path / "out.png").write_bytes(data)
    assert read(tmp_path / "out.png")["validation_state"] == "Valid"


def test_what_cannot_sign_is_refused_before_the_work(tmp_path: Path) -> None:
    cert, key = chain(tmp_path)
    (other := tmp_path / "other").mkdir()
    _, foreign = chain(other)
    (locked := tmp_path / "locked").mkdir()
    locked_cert, locked_key = chain(locked, password=b"word")
    (broken := tmp_path / "broken.pem").write_bytes(key.read_bytes()[:90] + b"!!!\n-----END PRIVATE KEY-----\n")
    (text := tmp_path / "text.pem").write_text("no certificate")
    (begun := tmp_path / "begun.pem").write_text("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
    for one, two, said in (
        (tmp_path / "none.pem", key, "cannot be read"), (cert, tmp_path / "none.pem", "cannot be read"),
        (tmp_path, key, "cannot be read"), (text, key, "no certificate"), (begun, key, "no certificate"),
        (cert, broken, "no private key"), (cert, foreign, "does not belong"), (locked_cert, locked_key, "password"),
    ):  # fmt: skip
        with pytest.raises(UsageError, match=said):
            Signer(str(one), str(two)).check()
    with pytest.raises(UsageError, match="holds no content credentials"):
        Signer(str(cert), str(key)).check("BMP")
    called = []
    with pytest.raises(UsageError, match="no private key"):
        mild.erase(photo(), mask=HOLE, finder="none", sign_cert=cert, private_key=broken,
                   progress=lambda stage, done: called.append(stage))  # fmt: skip
    assert not called


def test_a_certificate_that_c2pa_refuses_is_one_sentence(tmp_path: Path) -> None:
    cert, key = chain(tmp_path)
    lines = cert.read_bytes().split(b"-----END CERTIFICATE-----\n")
    cert.write_bytes(lines[0] + b"-----END CERTIFICATE-----\n")  # without its issuer
    try:
        Signer(str(cert), str(key)).check()
    except MildError as error:
        assert str(error).count("\n") == 0 and str(error).endswith(".")


def test_a_request_carries_paths_only() -> None:
    with pytest.raises(UsageError, match="paths of files") as caught:
        EraseRequest.build(output={"sign_cert": "a.pem", "private_key": "-----BEGIN PRIVATE KEY-----\nsecret"})
    assert "secret" not in str(caught.value)
    with pytest.raises(UsageError, match="both sign_cert and private_key"):
        EraseRequest.build(output={"sign_cert": "a.pem"})
    with pytest.raises(UsageError, match="leave out"):
        EraseRequest.build(output={"sign_cert": "a.pem", "private_key": "b.pem", "mark": False})


def test_the_command_line_and_the_batch_sign(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cert, key = chain(tmp_path)
    (folder := tmp_path / "photos").mkdir()
    mild.Photo.from_array(photo()).save(folder / "in.jpg")
    mild.photo.write_image(HOLE, tmp_path / "mask.png")
    signing = ["--sign-cert", str(cert), "--private-key", str(key), "--mask", str(tmp_path / "mask.png")]
    signing += ["--finder", "none"]
    assert run(["erase", str(folder / "in.jpg"), *signing, "-o", str(tmp_path / "out.jpg")]) == 0
    assert read(tmp_path / "out.jpg")["validation_state"] == "Valid"
    assert run(["batch", str(folder), *signing, "-o", str(tmp_path / "clean"), "--jobs", "1"]) == 0
    assert read(tmp_path / "clean" / "in.jpg")["validation_state"] == "Valid"
    assert "key.pem" not in (tmp_path / "clean" / "batch.jsonl").read_text()
    assert "key.pem" not in (tmp_path / "clean" / "batch.html").read_text()
    key.unlink()
    capsys.readouterr()
    assert run(["erase", str(folder / "in.jpg"), *signing, "-o", str(tmp_path / "two.jpg")]) == 2
    assert "cannot be read" in capsys.readouterr().err and not (tmp_path / "two.jpg").exists()
