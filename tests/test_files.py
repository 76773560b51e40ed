"""Files that are written whole, and JSON in them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mild.errors import MildError
from mild.files import read_json_lines, write_bytes, write_json


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
