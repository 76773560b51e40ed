"""Standard streams that are closed, full or not UTF-8, and signals: the photo is there, and nothing is left behind."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from mild.photo import Photo
from stacks import make_photo

ERASE = "erase photo.png --mask mask.png --finder none --no-denoise --force -o 'ü [b].png'"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    Photo.from_array(make_photo(48, 64, 0)).save(tmp_path / "photo.png")
    mask = np.zeros((48, 64), np.uint8)
    mask[20:30, 20:30] = 255
    Photo.from_array(mask).save(tmp_path / "mask.png")
    return tmp_path


def shell(folder: Path, line: str, **environment: str) -> subprocess.CompletedProcess[str]:
    given = os.environ | {"MILD": f"{sys.executable} -m mild", "MILD_OFFLINE": "1"} | environment
    words = ["bash", "-c", line.replace("MILD ", "$MILD ")]
    return subprocess.run(words, cwd=folder, env=given, capture_output=True, text=True, timeout=120)


@pytest.mark.parametrize("end", [">&-", "2>&-", "0<&- >&- 2>&-", "> /dev/full", "| true"])
def test_a_photo_is_written_whoever_can_be_told(folder: Path, end: str) -> None:
    done = shell(folder, f"set -o pipefail; MILD {ERASE} {end}")
    assert done.returncode == 0, done.stderr
    assert Photo.open(folder / "ü [b].png").size == (48, 64)
    assert "Traceback" not in done.stderr


def test_a_terminal_that_is_not_utf_8(folder: Path) -> None:
    done = shell(folder, f"MILD {ERASE}", PYTHONIOENCODING="ascii", LC_ALL="C")
    assert done.returncode == 0 and "photo: " in done.stdout and "Traceback" not in done.stderr


def test_what_was_to_be_printed_and_could_not_be_is_a_failure(folder: Path) -> None:
    done = shell(folder, "MILD people photo.png --finder none --json > /dev/full")
    assert done.returncode == 1 and "could not be" in done.stderr


@pytest.mark.parametrize("sign", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_signals_clean_up(folder: Path, sign: signal.Signals) -> None:
    script = (
        "import sys, time\n"
        "from mild.app.cli import app\n"
        "from mild.files import write_atomically\n"
        "def wait(file):\n"
        "    file.write(b'half'); file.flush(); print('ready', flush=True); time.sleep(30)\n"
        "app.run = lambda words: write_atomically('a.png', wait) and 0\n"
        "real = app.run\n"
        "def run(words):\n"
        "    try:\n"
        "        return real(words)\n"
        "    except KeyboardInterrupt:\n"
        "        return app._stopped()\n"
        "app.run = run\n"
        "app.main([])\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", script], cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        preexec_fn=lambda: signal.signal(sign, signal.SIG_DFL),  # whoever runs the tests may ignore it (nohup)
    )  # fmt: skip
    assert process.stdout is not None and process.stdout.readline() == b"ready\n"
    assert list(folder.glob(".mild-*"))
    time.sleep(0.1)
    process.send_signal(sign)
    assert process.wait(30) == 130
    assert not list(folder.glob(".mild-*")) and not (folder / "a.png").exists()


def test_a_fault_names_the_help_of_the_command_that_was_meant(folder: Path) -> None:
    done = shell(folder, "MILD data synth --nonsense")
    assert done.returncode == 2 and "`mild data synth --help`" in done.stderr


def test_two_outputs_of_one_name_are_refused(folder: Path) -> None:
    line = "MILD erase photo.png --mask mask.png --finder none -o a.png --report cag --save-request a.cag.json"
    done = shell(folder, line)
    assert done.returncode == 2 and "same name" in done.stderr and not (folder / "a.png").exists()


def test_a_cache_that_is_somebody_else_s_is_one_sentence(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A folder of root's in the user's cache: five commands had "failed unexpectedly"."""
    from mild.app.cli.app import run
    from mild.people import memory

    def theirs() -> Path:
        raise PermissionError(errno.EACCES, "Permission denied", "/home/me/.cache/mild/people")

    monkeypatch.setattr(memory, "folder", theirs)
    assert run(["cache"]) == 1
    assert capsys.readouterr().err == "mild: /home/me/.cache/mild/people cannot be used: Permission denied.\n"


@pytest.mark.parametrize("words", ["train", "bench", "bench study", "data"])
def test_a_group_without_a_command_says_so(capsys: pytest.CaptureFixture[str], words: str) -> None:
    """`mild: . See `mild train --help`.`"""
    from mild.app.cli.app import run

    assert run(words.split()) == 2
    assert capsys.readouterr().err == f"mild: Missing command. See `mild {words} --help`.\n"


def test_a_full_disk_where_nobody_looked_is_one_sentence(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A write into an open file: the system does not say into which."""
    from mild.app.cli.app import run
    from mild.people import memory

    def full() -> Path:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(memory, "folder", full)
    assert run(["cache"]) == 1
    assert capsys.readouterr().err.startswith("mild: A file cannot be used: No space left on device; make room")


@pytest.mark.parametrize(
    "words",
    ["train FILE --check", "train ablate FILE", "bench run --recipe FILE", "bench compare FILE FILE",
     "bench study read FILE FILE", "bench run --set samples:x -m mild:FILE", "data curate . out --decisions FILE"],
)  # fmt: skip
@pytest.mark.parametrize("content", [b"[" * 100_000, b"9" * 100_000, bytes(range(256)), b"5", b"[]", b"", None])
def test_any_file_in_place_of_a_recipe_is_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], words: str, content: bytes
) -> None:
    """`RecursionError`, `Exceeds the limit (4300 digits)`, `UnicodeDecodeError`: "MILD failed unexpectedly"."""
    from mild.app.cli.app import run

    monkeypatch.chdir(tmp_path)
    if content is not None:
        (tmp_path / "file.json").write_bytes(content)
    assert run(words.replace("FILE", "file.json").split()) in (1, 2)
    told = capsys.readouterr().err
    assert told.startswith("mild: ") and told.count("\n") == 1 and "unexpectedly" not in told


def test_a_list_of_photos_that_is_no_text_is_one_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from mild.app.cli.app import run

    for name, content in (("a.txt", b"\0" * 9), ("a.jsonl", b'{"photo": "a\\u0000.jpg"}'), ("a.csv", b"photo\na\0b\n")):
        (tmp_path / name).write_bytes(content)
        assert run(["batch", str(tmp_path / name), "-o", str(tmp_path / "out"), "--all"]) == 2
        assert "unexpectedly" not in capsys.readouterr().err
