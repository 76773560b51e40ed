"""Two thousand damaged inputs, and every one that was ever found."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import readers

from mild.errors import MildError
from mild.people.scene import Box
from mild.reading import guarded

HERE = Path(__file__).resolve().parent

CORPUS = sorted(path for path in (HERE / "corpus").iterdir() if path.name.partition("-")[0] in readers.READERS)


@pytest.mark.parametrize("path", CORPUS, ids=lambda path: path.name)
def test_what_was_found_once_is_refused_or_read(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(readers.memory, "_folder", None)
    monkeypatch.setenv("MILD_REMEMBER", "1")
    read, _ = readers.READERS[path.name.partition("-")[0]]
    try:
        read(tmp_path, path.suffix, path.read_bytes())
    except readers.REFUSED as refusal:
        sentence = getattr(refusal, "detail", None) or str(refusal)
        assert sentence.endswith(".") and "\n" not in sentence and len(sentence) < 600
        # A reader's words, not Python's: it says neither which call failed nor with which of our classes.
        assert not re.search(r"__\w+__|NoneType|object is not|object has no", sentence)


def test_two_thousand_damaged_inputs(tmp_path: Path) -> None:
    call = [sys.executable, str(HERE / "fuzz.py"), "--count", "2000", "--found", str(tmp_path / "found")]
    done = subprocess.run(call, capture_output=True, text=True, timeout=300)
    told = json.loads(done.stdout)
    assert told["found"] == [] and told["tried"] == 2000
    # Most damage is noticed; if nothing were, the inputs would not reach the readers.
    assert 500 < told["refused"] < 1950


def test_damaged_blocks_of_metadata_cost_no_photo(tmp_path: Path) -> None:
    call = [sys.executable, str(HERE / "fuzz.py"), "--kind", "metadata", "--count", "100", "--found", str(tmp_path)]
    done = subprocess.run(call, capture_output=True, text=True, timeout=300)
    told = json.loads(done.stdout)
    assert told["found"] == [] and told["tried"] == 100 and told["refused"] == 0


def test_a_refusal_speaks_of_the_file_and_not_of_our_classes() -> None:
    """`Box.__new__() missing 1 required positional argument` and two hundred times the letter a were such sentences."""

    def said(block: Callable[[], object]) -> str:
        with pytest.raises(MildError) as refusal, guarded("a.zip", "a zip of layers"):
            block()
        return str(refusal.value)

    start = "a.zip is not a zip of layers, or it is damaged ("
    odd = f"{start}a value is missing, or is of another kind than it should be)."
    assert said(lambda: Box(*[1, 2, 3])) == odd
    assert said(lambda: json.loads("null")["size"]) == odd
    assert said(lambda: {}["id"]) == f"{start}'id' is missing)."
    assert len(said(lambda: int("a" * 10_000))) < 200
