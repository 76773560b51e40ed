"""The net that sees a click's whole window: what it is told, and that its word is followed; with a tiny net."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mild.models import onnx
from mild.people import refine, window
from mild.people.guesses import Guesses
from mild.people.view import GRID, View, viewed
from mild.photo import Photo
from standins import FLOAT, Graph

SIZE, CHANNELS, BEST_LOOK, SAID = (60, 90), 31, 24, 29


def seen() -> tuple[np.ndarray, View]:
    """Somebody in a grey photo, and what there is to see after a click on them beside a wrong region."""
    photo = Photo.from_array(np.full((*SIZE, 3), 128, np.uint8))
    person, region = np.zeros(SIZE, bool), np.zeros(SIZE, bool)
    person[10:50, 30:50] = True
    region[10:30, 20:50] = True
    masks = np.zeros((1, 256, 256), np.uint8)
    masks[0, : SIZE[0], : SIZE[1]] = person * 255
    look = Guesses(masks, np.eye(2, 3)[None], np.array([(0, 0, 90, 60.0)]), np.array([0.5]))
    return person, viewed(photo, region, [(40, 20), (40, 40)], [], (40, 40), None, look)


def test_each_cell_is_told_apart_from_what_lies_beyond_the_window() -> None:
    _, view = seen()
    height, width = view.before.shape
    assert max(height, width) <= GRID and min(height, width) < GRID
    cells = window.channels(view, np.full(view.before.shape, 20, np.float32))
    assert cells.shape == (height, width, CHANNELS) and cells.dtype == np.float32 and np.isfinite(cells).all()
    assert (cells[..., SAID] == 4).all(), "what the net of cells said is bounded, and halved"
    framed = window.framed(cells)
    assert framed.shape == (GRID, GRID, CHANNELS)
    assert framed[..., -1].sum() == height * width


@pytest.fixture
def follows_the_best_look(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    graph = Graph()
    graph.takes("cells", FLOAT, [1, CHANNELS, GRID, GRID])
    graph("Mul", graph("Gather", "cells", np.int64(BEST_LOOK), axis=1), 8.0, out="says")
    graph.gives("says", FLOAT, [1, GRID, GRID])
    session = onnx.open_session(graph.save(tmp_path / "tiny.onnx"))
    monkeypatch.setattr(window, "_net", lambda: session)


@pytest.mark.usefixtures("follows_the_best_look")
def test_its_word_is_what_the_outline_follows() -> None:
    person, view = seen()
    said = refine.whole(view, np.zeros(view.before.shape, np.float32))
    assert said.shape == view.before.shape and said.min() == -4 and said.max() == 4, "as much as the net of cells"
    before = np.zeros(SIZE, bool)
    before[10:30, 20:50] = True
    after = refine.outlined(view, before, [(40, 20), (40, 40)], [])
    assert (after & person).sum() / (after | person).sum() > 0.95


def test_the_net_that_ships_takes_what_it_is_told_and_keeps_to_the_window() -> None:
    _, view = seen()
    said = window.says(view, np.zeros(view.before.shape, np.float32))
    assert said.shape == view.before.shape and np.isfinite(said).all()
    assert said.max() - said.min() > 1
