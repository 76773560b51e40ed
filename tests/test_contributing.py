"""The recipes of CONTRIBUTING.md work: each is run as it stands there, and used as any finder, filler or format is."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import mild
from mild.fill import fillers
from mild.layers import export
from mild.people import find
from stacks import ellipse, equal, make_stack

TEXT = (Path(__file__).resolve().parent.parent / "CONTRIBUTING.md").read_text("utf-8")


def recipe(title: str) -> dict[str, Any]:
    """What the code under a heading defines."""
    part = TEXT.split(f"## {title}", 1)[1].split("\n## ", 1)[0]
    (code,) = re.findall(r"^```python\n(.*?)^```", part, re.M | re.S)
    assert len(code.splitlines()) <= 20
    names: dict[str, Any] = {}
    exec(compile(code, title, "exec"), names)
    return names


def test_add_a_finder(monkeypatch: pytest.MonkeyPatch) -> None:
    bright = recipe("Add a finder")["find"]
    backend = find.Backend("bright", "what is bright", "nobody", "-", lambda photo, finder: bright(photo))
    monkeypatch.setitem(find.BACKENDS, "bright", backend)
    pixels = np.full((90, 120, 3), 60, np.uint8)
    pixels[20:70, 40:60] = 250
    result = mild.erase(pixels, people=1, finder="bright")
    assert [person.box for person in result.people] == [(40, 20, 60, 70)]
    assert (result.photo.pixels[30:60, 45:55] < 200).all()


def test_add_a_filler(monkeypatch: pytest.MonkeyPatch) -> None:
    filler = recipe("Add a filler")["Mean"]
    monkeypatch.setitem(fillers.FILLERS, "mean", lambda name: filler())
    pixels = np.full((90, 120, 3), 80, np.uint8)
    mask = ellipse(90, 120, 60, 45, 15, 30)
    pixels[mask] = 250
    result = mild.erase(pixels, mask=mask, finder="none", fill="mean")
    assert "mean" in fillers.choices()
    assert abs(result.photo.pixels[mask].mean() - 80) < 3


def test_add_an_export_format(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    made = recipe("Add an export format")
    monkeypatch.setitem(export.FORMATS, ".npz", (made["write"], made["read"]))
    stack = make_stack()
    again = export.load_stack(export.save_stack(stack, tmp_path / "group.npz"))
    assert equal(again, stack)
