"""``-``: a photo from standard input, the result to standard output."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mild.app.cli.app import run
from stacks import make_photo

WORDS = ["erase", "-", "--box", "40,20,70,60", "--finder", "none", "--no-denoise"]


def mild(words: list[str], data: bytes, folder: Path) -> subprocess.CompletedProcess[bytes]:
    environment = {**os.environ, "MILD_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "mild", *words]
    return subprocess.run(command, input=data, cwd=folder, env=environment, capture_output=True, timeout=120)


def test_a_photo_goes_through_a_pipe_and_is_the_file_s_own(tmp_path: Path) -> None:
    out = io.BytesIO()
    Image.fromarray(make_photo()).save(out, "png")
    (tmp_path / "in.png").write_bytes(out.getvalue())
    piped = mild(WORDS, out.getvalue(), tmp_path)
    assert piped.returncode == 0, piped.stderr
    assert b"erased:" in piped.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["in.png"], "a file named - was written"
    by_file = [word if word != "-" else "in.png" for word in WORDS]
    assert mild([*by_file, "-o", "out.png"], b"", tmp_path).returncode == 0
    with Image.open(io.BytesIO(piped.stdout)) as one, Image.open(tmp_path / "out.png") as other:
        assert one.format == "PNG"
        assert (np.asarray(one) == np.asarray(other)).all() and (np.asarray(one) != make_photo()).any()
    to_file = mild([*WORDS, "-o", "named.jpg"], out.getvalue(), tmp_path)
    assert to_file.returncode == 0 and (tmp_path / "named.jpg").read_bytes()[:2] == b"\xff\xd8"
    for data, code, words in ((b"", 2, b"nothing on standard input"), (b"words", 1, b"standard input is not an image")):
        failed = mild(WORDS, data, tmp_path)
        assert (failed.returncode, failed.stdout) == (code, b"") and words in failed.stderr


@pytest.mark.parametrize(
    ("more", "sentence"), [(["--json"], "--json and the photo"), (["--report", "cag"], "--report")]
)
def test_what_cannot_share_the_stream_is_refused_before_the_work(
    more: list[str], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["erase", "photo.png", "--box", "1,1,9,9", "-o", "-", *more]) == 2
    assert sentence in capsys.readouterr().err
