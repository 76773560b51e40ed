"""Files that are written whole, and JSON in them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from mild.errors import MildError, UsageError
from mild.files import NoSpace, check_target, read_json_lines, replace_folder, write_bytes, write_json
from mild.photo import Photo
from mild.reading import parse_json


def test_json_comes_back_and_folders_are_made(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b.json"
    write_json(path, {"name": "Ælf", "numbers": [1, 2.5, None]})
    assert json.loads(path.read_text("utf-8")) == {"name": "Ælf", "numbers": [1, 2.5, None]}
    assert [file.name for file in path.parent.iterdir()] == ["b.json"], "nothing unfinished is left"


def test_a_folder_that_cannot_be_made_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("no folder")
    with pytest.raises(MildError, match=r"b\.json cannot be written"):
        write_json(tmp_path / "a" / "b.json", {})


def test_half_a_line_is_left_out(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    assert read_json_lines(path) == []
    write_bytes(path, b'{"step": 1}\n{"step": 2}\n{"st')
    assert read_json_lines(path) == [{"step": 1}, {"step": 2}]


def test_a_folder_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    def half(folder: Path) -> None:
        (folder / "half.png").write_bytes(b"half")
        raise RuntimeError

    with pytest.raises(MildError, match="cannot be written"):
        replace_folder(tmp_path / "new", half)
    assert list(tmp_path.iterdir()) == []
    replace_folder(tmp_path / "new", lambda folder: (folder / "old.png").write_bytes(b"one"))
    (tmp_path / "new" / "diary").mkdir()
    (tmp_path / "new" / "diary" / "mine.txt").write_text("mine")
    with pytest.raises(MildError):
        replace_folder(tmp_path / "new", half, {"old.png"})
    assert (tmp_path / "new" / "old.png").read_bytes() == b"one"
    replace_folder(tmp_path / "new", lambda folder: (folder / "new.png").write_bytes(b"two"), {"old.png"})
    found = sorted(str(path.relative_to(tmp_path / "new")) for path in (tmp_path / "new").rglob("*"))
    assert found == ["diary", "diary/mine.txt", "new.png"]
    assert [path.name for path in tmp_path.iterdir()] == ["new"]


def test_a_kill_leaves_the_old_set_whole_and_the_next_run_cleans_up(tmp_path: Path) -> None:
    script = (
        "import os, sys; from pathlib import Path; from mild.files import replace_folder\n"
        "replace_folder(Path(sys.argv[1]), lambda f: ((f / 'a').write_text('half'), os.kill(os.getpid(), 9)))"
    )
    replace_folder(tmp_path / "set", lambda folder: (folder / "a").write_text("whole"))
    subprocess.run([sys.executable, "-c", script, str(tmp_path / "set")])
    assert (tmp_path / "set" / "a").read_text() == "whole" and len(list(tmp_path.iterdir())) == 2
    replace_folder(tmp_path / "set", lambda folder: (folder / "a").write_text("new"), {"a"})
    assert (tmp_path / "set" / "a").read_text() == "new" and len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize("name", ["x" * 256, "a/" * 3000 + "b", "nowhere/a.png", "link.png", "pipe.png", "nul\0.png"])
def test_a_name_that_no_file_can_have_is_said_before_the_work(tmp_path: Path, name: str) -> None:
    (tmp_path / "link.png").symlink_to(tmp_path / "gone" / "a.png")
    os.mkfifo(tmp_path / "pipe.png")
    with pytest.raises(UsageError):
        check_target(tmp_path / name)


def test_a_file_is_no_folder_for_another(tmp_path: Path) -> None:
    """The advice was to create a folder where a photo lies."""
    (tmp_path / "photo.png").touch()
    with pytest.raises(UsageError, match="is a file, and can hold no other"):
        check_target(tmp_path / "photo.png" / "a.png")


def test_a_number_of_five_thousand_digits_is_refused_in_a_user_s_words() -> None:
    with pytest.raises(ValueError, match=r"^a number in it has 5000 digits$"):
        parse_json('{"seed": ' + "9" * 5000 + "}")
    assert parse_json('{"seed": -12}') == {"seed": -12}


@pytest.mark.parametrize("name", ["pipe", "/dev/zero", "/dev/null"])
def test_a_pipe_or_a_device_is_no_photo(tmp_path: Path, name: str) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(MildError, match=r"pipe or a device\)|is not a file"):
        Photo.open(tmp_path / name)


@pytest.mark.skipif(sys.platform == "win32", reason="needs limits of POSIX")
@pytest.mark.parametrize("suffix", [".jpg", ".png", ".tif", ".webp"])
def test_a_picture_of_which_the_disk_takes_only_a_part_is_not_written(suffix: str, tmp_path: Path) -> None:
    """Pillow overlooks a short write: a JPEG lacked its last bytes, and the command said that all was well (chaos)."""
    path = tmp_path / f"a{suffix}"
    code = (
        "import os, resource, sys\n"
        "import numpy as np\n"
        "from mild.errors import MildError\n"
        "from mild.photo import Photo\n"
        "path = sys.argv[1]\n"
        "photo = Photo.from_array(np.random.default_rng(0).integers(0, 255, (96, 128, 3)).astype(np.uint8))\n"
        "photo.save(path)\n"
        "before = open(path, 'rb').read()\n"
        "for less in (1, 40, 5000):\n"
        "    resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) - less, resource.RLIM_INFINITY))\n"
        "    try:\n"
        "        photo.save(path)\n"
        "    except MildError:\n"
        "        assert open(path, 'rb').read() == before\n"
        "    else:\n"
        "        raise AssertionError('it was written')\n"
    )
    done = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


def test_a_full_disk_names_the_folder_that_was_asked_for(tmp_path: Path) -> None:
    """`.mild-folder-7adc….part/new/original.png cannot be written`: a place that is nobody's, and is gone."""

    def full(folder: Path) -> None:
        raise NoSpace(f"{folder / 'original.png'} cannot be written: No space left on device.")

    with pytest.raises(NoSpace, match=f"^{tmp_path / 'layers' / 'original.png'} cannot be written"):
        replace_folder(tmp_path / "layers", full)
    assert not list(tmp_path.iterdir())


def test_what_a_killed_process_left_is_nobody_s_file(tmp_path: Path) -> None:
    """A `.mild-….part` in a new folder made it one that "holds other things": the same command never went on."""
    from mild.app.cli.output import check_folder
    from mild.app.server.state import claim

    for use in (lambda folder: check_folder(folder, force=False), claim):
        folder = tmp_path / use.__name__
        folder.mkdir()
        (folder / ".mild-0123.part").write_bytes(b"half")
        use(folder)
        other = tmp_path / f"{use.__name__}-others"
        other.mkdir()
        (other / "mine.part").write_bytes(b"whole")
        with pytest.raises(UsageError, match="holds other things"):
            use(other)
