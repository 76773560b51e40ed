"""Texture from the fill, low frequencies from the model, colours that meet at the ring."""

from __future__ import annotations

import numpy as np

from mild.paint.detail import enlarge, match_ring, with_texture


def test_a_model_that_changes_nothing_leaves_the_fill() -> None:
    rng = np.random.default_rng(0)
    fill = rng.uniform(0, 255, (64, 64, 3)).astype(np.float32)
    seen = fill.reshape(16, 4, 16, 4, 3).mean((1, 3))
    hole = np.zeros((16, 16), bool)
    hole[4:12, 4:12] = True
    assert np.allclose(with_texture(fill, seen, seen, hole), fill, atol=1e-3)


def test_a_uniform_correction_arrives_whole_and_keeps_the_texture() -> None:
    rng = np.random.default_rng(1)
    fill = rng.uniform(50, 200, (64, 64, 3)).astype(np.float32)
    seen = fill.reshape(16, 4, 16, 4, 3).mean((1, 3))
    hole = np.zeros((16, 16), bool)
    hole[4:12, 4:12] = True
    answer = with_texture(fill, seen + 20 * hole[..., None], seen, hole)
    assert np.allclose((answer - fill)[24:40, 24:40], 20, atol=0.5)


def test_ring_match_removes_a_step_of_colour() -> None:
    photo = np.full((60, 60, 3), 100, np.float32)
    hole = np.zeros((60, 60), bool)
    hole[20:40, 20:40] = True
    made = photo.copy()
    made[hole] = 130
    fixed = match_ring(made, photo, hole, ~hole, reach=10)
    border = hole.copy()
    border[22:38, 22:38] = False
    assert np.abs(fixed[border] - 100).mean() < 0.5 * 30
    assert np.array_equal(fixed[~hole], made[~hole])


def test_ring_match_without_evidence_does_nothing() -> None:
    made = np.zeros((8, 8, 3), np.float32)
    hole = np.ones((8, 8), bool)
    assert match_ring(made, made, hole, ~hole, 4) is made


def test_enlarge_keeps_a_constant() -> None:
    assert np.allclose(enlarge(np.full((4, 5, 3), 7, np.float32), (31, 17)), 7)


def test_a_step_on_a_plain_wall_is_evened_out_however_small() -> None:
    photo = np.full((60, 60, 3), 100, np.float32)
    hole = np.zeros((60, 60), bool)
    hole[20:40, 20:40] = True
    made = photo + 4 * hole[..., None]
    fixed = match_ring(made, photo, hole, ~hole, reach=6)
    border = hole.copy()
    border[22:38, 22:38] = False
    assert np.abs(fixed[border] - 100).mean() < 1.5


def test_an_edge_along_the_border_is_left_alone() -> None:
    photo = np.full((60, 60, 3), 100, np.float32)
    hole = np.zeros((60, 60), bool)
    hole[20:40, 20:40] = True
    made = photo + 90 * hole[..., None]
    assert np.array_equal(match_ring(made, photo, hole, ~hole, reach=6), made)


def test_a_large_hole_is_evened_out_on_a_smaller_picture() -> None:
    photo = np.full((300, 300, 3), 100, np.float32)
    hole = np.zeros((300, 300), bool)
    hole[60:240, 60:240] = True
    made = photo + 6 * hole[..., None]
    fixed = match_ring(made, photo, hole, ~hole, reach=20)
    border = hole.copy()
    border[64:236, 64:236] = False
    assert np.abs(fixed[border] - 100).mean() < 2.5
    assert np.array_equal(fixed[~hole], made[~hole])
