"""Layered files: the mark of the edit in them, and what they still hold of who was erased."""

from __future__ import annotations

import io
import json
import shutil
import subprocess
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mild.app.cli.app import run
from mild.layers.export import load_stack, open_stack, save_stack
from mild.photo import Photo, write_image
from mild.photo.carve import remains
from mild.photo.mark import COMPOSITE, Mark
from stacks import make_stack

MARK = Mark("0.1", "mild-small", "2026-01-01T00:00:00Z")
LAYERED = [".psd", ".ora", ".zip"]


def said(data: bytes) -> bool:
    return COMPOSITE.encode() in data and b"MILD (mild-small)" in data


@pytest.mark.parametrize("suffix", LAYERED)
def test_the_mark_is_in_every_layered_file_and_comes_back(tmp_path: Path, suffix: str) -> None:
    stack = make_stack(hidden=(2,))
    out = save_stack(stack, tmp_path / f"a{suffix}", mark=MARK)
    assert open_stack(out)[1].mark == MARK
    assert said(out.read_bytes())
    bare = save_stack(stack, tmp_path / f"b{suffix}")
    assert b"AlgorithmicMedia" not in bare.read_bytes() and open_stack(bare)[1].mark is None
    if suffix != ".psd":
        with zipfile.ZipFile(out) as archive:
            original = {".ora": "data/000.png", ".zip": "original.png"}[suffix]
            shown = {".ora": "mergedimage.png", ".zip": "composed.png"}[suffix]
            assert said(archive.read(shown)) and not said(archive.read(original))
            assert (np.asarray(Image.open(io.BytesIO(archive.read(original))).convert("RGB")) == stack.photo).all()
            described = next(name for name in archive.namelist() if name.endswith("layers.json"))
            assert json.loads(archive.read(described))["mark"]["DigitalSourceType"] == COMPOSITE


def test_exiftool_reads_the_mark_of_a_psd(tmp_path: Path) -> None:
    if shutil.which("exiftool") is None:
        pytest.skip("exiftool is not installed")
    out = save_stack(make_stack(), tmp_path / "a.psd", mark=MARK)
    done = subprocess.run(["exiftool", "-j", "-G", str(out)], capture_output=True, text=True, check=True)
    row = json.loads(done.stdout)[0]
    assert COMPOSITE in row.values() and not [key for key in row if key.endswith((":Warning", ":Error"))]


def test_a_photo_that_a_model_made_whole_says_so_in_its_layers_too(tmp_path: Path) -> None:
    from mild.photo.allowed import EXT
    from mild.photo.mark import MADE
    from mild.photo.meta import PhotoMeta
    from mild.photo.xmp import Xmp, write_xmp

    stack = make_stack()
    packet = write_xmp(Xmp({(EXT, "DigitalSourceType"): MADE}, {}))
    out = save_stack(stack, tmp_path / "a.psd", Photo(stack.photo, meta=PhotoMeta(xmp=packet)), mark=MARK)
    assert f">{MADE}<".encode() in out.read_bytes()


def test_compose_names_the_model_that_made_the_layers(tmp_path: Path) -> None:
    source = save_stack(make_stack(hidden=(2,)), tmp_path / "in.ora", mark=MARK)
    for name in ("out.png", "out.psd"):
        assert run(["compose", str(source), "-o", str(tmp_path / name)]) == 0
        assert said((tmp_path / name).read_bytes())
    assert run(["compose", str(source), "--no-mark", "-f", "-o", str(tmp_path / "out.png")]) == 0
    assert b"AlgorithmicMedia" not in (tmp_path / "out.png").read_bytes()
    by_copying = save_stack(make_stack(hidden=(2,)), tmp_path / "copied.zip", mark=Mark("0.1"))
    assert run(["compose", str(by_copying), "-f", "-o", str(tmp_path / "out.png")]) == 0
    data = (tmp_path / "out.png").read_bytes()
    assert b"humanEdits" in data and b"AISystemUsed" not in data


def test_a_mark_by_a_stranger_does_no_harm(tmp_path: Path) -> None:
    from mild.photo.mark import packet
    from mild.photo.xmp import read_xmp

    assert Mark.of_dict({"version": 3}) is None and Mark.of_dict("x") is None
    mark = Mark.of_dict({"version": "1", "model": "<a>\x00&\ud800" * 99, "when": ["x"]})
    assert mark is not None and read_xmp(packet(mark)) is not None


@pytest.mark.parametrize("suffix", LAYERED)
def test_check_finds_the_hidden_layers_and_none_without_them(
    tmp_path: Path, suffix: str, capsys: pytest.CaptureFixture[str]
) -> None:
    stack = make_stack(240, 320, hidden=(2,))
    write_image(stack.photo, tmp_path / "before.png")
    source = save_stack(stack, tmp_path / f"in{suffix}", mark=MARK)
    assert run(["check", str(source), str(tmp_path / "before.png"), "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["remains"]
    safe = tmp_path / f"safe{suffix}"
    assert run(["compose", str(source), "--flatten-hidden", "-o", str(safe), "--json"]) == 0
    row = json.loads(capsys.readouterr().out)
    assert not row["holds_hidden_people"] and not row["holds_original"]
    assert run(["check", str(safe), str(tmp_path / "before.png")]) == 0
    assert (load_stack(safe).compose() == stack.compose()).all()
    assert said(safe.read_bytes())


def test_a_layer_in_its_own_window_is_found(tmp_path: Path) -> None:
    stack = make_stack(240, 320, hidden=(2,))
    layer = stack.layer_of(2)
    mask = stack.change_matte([2]) > 0
    hidden = np.array(layer.rgba)
    out = io.BytesIO()
    Image.fromarray(hidden).save(out, "png")
    assert [remain for remain in remains(out.getvalue(), stack.photo, mask) if remain.likeness > 0.9]
    other = io.BytesIO()
    Image.fromarray(np.array(stack.layer_of(1).rgba)).save(other, "png")
    assert remains(other.getvalue(), stack.photo, mask) == []
