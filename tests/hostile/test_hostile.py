"""Two thousand damaged inputs, and every one that was ever found."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import readers

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
        assert sentence.endswith(".") and "\n" not in sentence


def test_two_thousand_damaged_inputs(tmp_path: Path) -> None:
    call = [sys.executable, str(HERE / "fuzz.py"), "--count", "2000", "--found", str(tmp_path / "found")]
    done = subprocess.run(call, capture_output=True, text=True, timeout=300)
    told = json.loads(done.stdout)
    assert told["found"] == [] and told["tried"] == 2000
    # Most damage is noticed; if nothing were, the inputs would not reach the readers.
    assert 500 < told["refused"] < 1950
