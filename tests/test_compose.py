"""``mild compose``: the same stack, another choice, no model."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mild.app.cli.app import run
from mild.errors import UsageError
from mild.layers.export import load_stack, save_stack
from mild.layers.recompose import recompose
from stacks import make_stack


@pytest.mark.parametrize("name", ["in.ora", "in.psd", "in.zip", "in"])
def test_hide_show_front(tmp_path: Path, name: str) -> None:
    stack = make_stack(hidden=(2,))
    save_stack(stack, tmp_path / name)
    out = tmp_path / "out.png"
    assert run(["compose", str(tmp_path / name), "--hide", "1,3", "--show", "2", "-o", str(out)]) == 0
    assert np.array_equal(np.asarray(Image.open(out)), stack.compose(hide=[1, 3]))
    assert run(["compose", str(tmp_path / name), "--front", "1", "-f", "-o", str(out)]) == 0
    assert np.array_equal(np.asarray(Image.open(out)), stack.to_front(1).compose())
    assert not np.array_equal(stack.to_front(1).compose(), stack.compose())


def test_a_layered_output_carries_the_choice(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    save_stack(make_stack(hidden=(2,)), tmp_path / "in.ora")
    target = tmp_path / "out.psd"
    assert run(["compose", str(tmp_path / "in.ora"), "--hide", "1", "--front", "3", "--json", "-o", str(target)]) == 0
    assert json.loads(capsys.readouterr().out)["hidden"] == [1, 2]
    assert (load_stack(target).hidden, load_stack(target).raised) == ({1, 2}, (3,))


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--hide", "9"], "no layer of person 9"),
        (["--hide", "1", "--show", "1"], "cannot be hidden and shown at once"),
        (["--hide", "x"], "whole numbers"),
    ],
)
def test_wrong_use_is_one_sentence(
    tmp_path: Path, words: list[str], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    save_stack(make_stack(), tmp_path / "in.ora")
    assert run(["compose", str(tmp_path / "in.ora"), *words, "-o", str(tmp_path / "o.png")]) == 2
    error = capsys.readouterr().err
    assert sentence in error and error.count("\n") == 1
    assert not (tmp_path / "o.png").exists()


def test_the_input_is_never_overwritten(tmp_path: Path) -> None:
    save_stack(make_stack(), tmp_path / "in.ora")
    assert run(["compose", str(tmp_path / "in.ora"), "-f", "-o", str(tmp_path / "in.ora")]) == 2


def test_showing_everybody_gives_the_photo() -> None:
    stack = make_stack(hidden=(1, 2))
    assert np.array_equal(recompose(stack, show=[1, 2]).compose(), stack.photo)
    with pytest.raises(UsageError, match="no layer of person 7"):
        recompose(stack, front=[7])


def test_no_model_library_is_imported(tmp_path: Path) -> None:
    save_stack(make_stack(), tmp_path / "in.ora")
    code = (
        "import sys; from mild.app.cli.app import run;"
        f"assert run(['compose', {str(tmp_path / 'in.ora')!r}, '-o', {str(tmp_path / 'o.png')!r}]) == 0;"
        "assert not {'torch', 'diffusers', 'transformers'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)
