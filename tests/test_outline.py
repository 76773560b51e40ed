"""The net that draws outlines: what it is told of a window, and that its word becomes the mask; with a tiny net."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from mild.models import onnx
from mild.models.onnx_file import Graph as OurGraph
from mild.models.onnx_file import with_outputs
from mild.people.finders import outline
from mild.people.finders.blaze_candidates import Candidate
from mild.people.finders.blaze_masks import claim, claim_score, field
from mild.people.finders.blaze_nets import Landmarks, Picture, Square, Window
from mild.people.finders.boxes import Layers, Place
from mild.people.finders.detectors import OneDetector
from mild.people.finders.looks import Find, mask_corners
from mild.people.finders.search import full_mask
from standins import FLOAT, Graph

SIZE = (200, 300)
SOFT, OTHERS, SURE, BONES, OTHERS_BONES, BOX, INSIDE, SCORE = 3, 4, 5, 6, 7, 10, 11, 12


def somebody(x: float, y: float, side: float, score: float = 0.8, angle: float = 0.0) -> Find:
    """A body of half the region's width, its points on the middle line."""
    row, column = np.mgrid[:256, :256]
    mask = (1 / (1 + np.exp((np.hypot((column - 128) / 50, (row - 128) / 90) - 1) * 20))).astype(np.float32)
    region = Square(x, y, side, angle)
    _, to_net = Picture(np.zeros((*SIZE, 3), np.uint8)).turned(region, 256)
    back = cv2.invertAffineTransform(to_net)
    spots = np.stack([np.full(39, 128.0), np.linspace(50, 200, 39)], 1)
    points = (spots @ back[:, :2].T + back[:, 2]).astype(np.float32)
    look = Landmarks(points, np.ones(39, np.float32), 0.99, 0.8, mask, to_net, region)
    return Find(Candidate(look, mask, score), Place(mask_corners(look), (0.8,)), 1.0)


class Detector:
    """Layers that say nothing."""

    asked: Window

    def layers(self, picture: Picture, window: Window) -> Layers:
        self.asked = window
        shapes = ((64, 64, 24), (64, 64, 17), (64, 64, 1), (64, 64, 34), (52, 52, 128))
        return Layers(*(np.zeros(shape, np.float32) for shape in shapes))


def told(finds: list[Find], index: int) -> outline.Seen:
    detector: Any = Detector()
    seen = outline.fed(detector, Picture(np.full((*SIZE, 3), 255, np.uint8)), finds, index)
    assert seen is not None and seen.window == detector.asked
    return seen


def test_a_window_holds_the_box_and_the_mask() -> None:
    find = somebody(100, 100, 120)
    x0, y0, x1, y1 = find.place.box
    window = outline.window_of(find)
    assert window.side == pytest.approx(1.3 * (y1 - y0), abs=1)
    assert window.x + window.side / 2 == pytest.approx((x0 + x1) / 2, abs=1)
    wide = replace(find, place=replace(find.place, box=(x0 - 100, y0, x1, y1)))
    assert outline.window_of(wide).side == pytest.approx(1.3 * (x1 - x0 + 100), abs=1)


def test_it_is_told_of_this_one_and_of_others_apart() -> None:
    finds = [somebody(100, 100, 120, 0.8), somebody(140, 100, 120, 0.5)]
    seen = told(finds, 0)
    assert (
        seen.cells.shape == (13, 128, 128) and seen.bodies.shape == (45, 64, 64) and seen.things.shape == (128, 52, 52)
    )
    assert all(part.dtype == np.float32 and np.isfinite(part).all() for part in seen[:3])
    x, y, side = seen.window
    mine, theirs = (
        tuple(int((v - o + 0.5) * 128 / side) for v, o in zip(at, (y, x), strict=True))
        for at in ((100, 100), (100, 140))
    )
    cells = seen.cells
    assert cells[SOFT][mine] > 0.95 and cells[SOFT][theirs] < 0.05
    assert cells[OTHERS][theirs] > 0.95 and cells[OTHERS][mine] < 0.05
    assert cells[SURE][theirs] == pytest.approx(0.5 * cells[OTHERS][theirs])
    assert (
        cells[BONES][mine] < 0.05 < cells[BONES][theirs]
        and cells[OTHERS_BONES][theirs] < 0.05 < cells[OTHERS_BONES][mine]
    )
    assert (cells[SCORE] == np.float32(0.8)).all()
    alone = told(finds[:1], 0).cells
    assert not alone[OTHERS].any() and (alone[OTHERS_BONES] == 2).all()
    np.testing.assert_array_equal(alone[SOFT], cells[SOFT])


def test_what_lies_beyond_the_picture_is_said_to() -> None:
    cells = told([somebody(30, 30, 120)], 0).cells
    inside = cells[INSIDE] > 0
    assert (
        0 < inside.mean() < 1
        and (cells[:3][:, ~inside] == -1).mean() > 0.98
        and (cells[:3][:, inside] == 1).mean() > 0.98
    )
    assert 0 < cells[BOX].mean() < 1


def test_where_a_cell_expects_the_trunk_is_told_from_this_ones() -> None:
    finds = [somebody(100, 100, 120), somebody(160, 100, 120)]
    bodies = told(finds, 0).bodies
    row, column = np.unravel_index(np.hypot(*bodies[42:44]).argmin(), (64, 64))
    window = outline.window_of(finds[0])
    middle = finds[0].candidate.landmarks.points[[11, 12, 23, 24]].mean(0)
    assert (column + 0.5, row + 0.5) == pytest.approx((middle - window[:2] + 0.5) * 64 / window.side, abs=1)
    assert bodies[42, row + 9, column] > 0.1 > abs(bodies[43, row + 9, column]), "down first, then across"
    assert bodies[44, row, column] == pytest.approx(60 / (120 / 2.2), rel=0.05), "the other is sixty pixels away"


def test_no_more_than_the_nearest_others_are_told_of() -> None:
    """A crowd of a hundred made ten thousand maps."""
    crowd = [somebody(100, 100, 120), *(somebody(140 + 30 * k, 100, 40) for k in range(30))]
    near = outline._nearest(crowd, 0)
    assert len(near) == 8 and near == crowd[1:9]


@pytest.fixture
def right_half(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A net by which a person is whatever lies in the right half of the window."""
    graph = Graph()
    for name, shape in (("cells", [1, 13, 128, 128]), ("bodies", [1, 45, 64, 64]), ("things", [1, 128, 52, 52])):
        graph.takes(name, FLOAT, shape)
    half = np.where(np.arange(128) < 64, -9, 9).astype(np.float32)[None, None].repeat(128, 1)
    nothing = graph("Mul", graph("Gather", "cells", np.int64(0), axis=1), np.float32(0))
    graph("Add", nothing, half, out="says")
    graph.gives("says", FLOAT, [1, 128, 128])
    session = onnx.open_session(graph.save(tmp_path / "tiny.onnx"))
    monkeypatch.setattr(outline, "_net", lambda: session)


@pytest.mark.usefixtures("right_half")
@pytest.mark.parametrize("angle", [0.0, 0.4, -1.5])
def test_its_word_becomes_the_mask_where_the_window_is(angle: float) -> None:
    picture, detector = Picture(np.zeros((*SIZE, 3), np.uint8)), Detector()
    find = somebody(150, 100, 110, angle=angle)
    (drawn,) = outline.outlined(detector, picture, [find])  # type: ignore[arg-type]
    assert drawn.candidate.landmarks is find.candidate.landmarks and drawn.score == find.score
    assert drawn.candidate.outlined and not find.candidate.outlined
    window = outline.window_of(find)
    mask, half = full_mask(drawn, picture), np.zeros(SIZE, bool)
    left, top = round(window.x + window.side / 2), round(window.y)
    half[max(0, top) : round(window.y + window.side), left : round(window.x + window.side)] = True
    # The look's frame is turned and may not reach the corners of the window.
    reach = (
        cv2.warpAffine(
            np.ones((256, 256), np.float32), find.candidate.landmarks.to_net, SIZE[::-1], flags=cv2.WARP_INVERSE_MAP
        )
        > 0.5
    )
    off = cv2.morphologyEx(half.astype(np.uint8), cv2.MORPH_GRADIENT, np.ones((3, 3), np.uint8)) > 0
    np.testing.assert_array_equal(mask[reach & ~off], half[reach & ~off])


def test_beside_a_border_the_likelier_of_two_takes_what_is_somebodys() -> None:
    """Both were unsure there, and a line of pixels between two people stayed in the photo."""
    one, two = Window(10, 20, 64), Window(42, 20, 128)
    mine, theirs = np.full((128, 128), 0.4, np.float32), np.full((128, 128), 0.05, np.float32)
    # Cells of the second window are twice as wide; the first reaches to its column 32.
    theirs[:, 8:16], theirs[:, 16:24] = 0.3, 0.45
    first, second = (outline._settled([(one, mine), (two, theirs)], k) for k in range(2))
    columns = 64 + 2 * np.array([4, 12, 20])  # the same places in the first window: 2 pixels a cell there, 1 here
    assert first[10, columns].tolist() == pytest.approx([0.4, 0.52, 0.4]), "nobody's, this one's, the other's"
    assert second[10, [4, 12, 20, 40]].tolist() == pytest.approx([0.05, 0.3, 0.52, 0.05])
    np.testing.assert_array_equal(outline._settled([(one, mine), (Window(500, 20, 64), theirs)], 0), mine)
    # Up to column 30 of the second window, which is the middle between two columns of the first.
    rising = (np.arange(128, dtype=np.float32) / 100 + 0.1)[None].repeat(128, 0)
    first = outline._settled([(one, mine), (two, rising)], 0)
    assert first[10, 123:126].tolist() == pytest.approx([0.52, 0.52, 0.4])


def test_whose_a_pixel_is_a_drawn_mask_says_alone() -> None:
    soft, far, head = (np.full((2, 2), value, np.float32) for value in (0.7, 0.3, 1.0))
    assert claim_score(soft, far, head, outlined=True) == pytest.approx(np.log(0.701), abs=1e-5)
    candidate = somebody(100, 100, 120).candidate
    drawn, plain = (claim(replace(candidate, outlined=value), SIZE, 1.0) for value in (True, False))
    assert drawn is not None and plain is not None
    known = field(candidate, drawn.box, drawn.score.shape[::-1], 1.0)[0]
    assert drawn.score == pytest.approx(np.log(known + 1e-3), abs=1e-4)
    assert plain.score.min() < drawn.score.min() - 1, "the skeleton counts"
    assert claim_score(soft, far, head) == pytest.approx(np.log(0.701) - 4.5 + 6, abs=1e-5)


@pytest.mark.usefixtures("right_half")
def test_a_detector_without_such_layers_changes_nothing() -> None:
    find, detector = somebody(150, 100, 110), OneDetector.__new__(OneDetector)
    assert outline.outlined(detector, Picture(np.zeros((*SIZE, 3), np.uint8)), [find]) == [find]


def test_the_net_that_ships_takes_what_it_is_told() -> None:
    seen = told([somebody(100, 100, 120)], 0)
    likely = outline.says(seen)
    assert likely.shape == (128, 128) and likely.dtype == np.float32 and 0 <= likely.min() <= likely.max() <= 1
    np.testing.assert_array_equal(likely, outline.says(seen))


def test_a_file_gives_what_its_nodes_say_when_asked(tmp_path: Path) -> None:
    graph = OurGraph()
    (twice,) = graph.node("Mul", ["x", graph.constant(np.float32([2]))])
    (more,) = graph.node("Add", [twice, graph.constant(np.float32([1]))])
    path = tmp_path / "net.onnx"
    path.write_bytes(graph.file({"x": (3,)}, {"out": more}))
    x = np.float32([1, 2, 3])
    session = onnx.open_session(path, inner=(twice,))
    assert [one.name for one in session.get_outputs()] == ["out", twice]
    out, inner = session.run(None, {"x": x})
    assert out.tolist() == [3, 5, 7] and inner.tolist() == [2, 4, 6]
    assert with_outputs(b"abc", ()) == b"abc" + with_outputs(b"", ())
    assert [one.name for one in onnx.open_session(path).get_outputs()] == ["out"]
