"""The cheapest border: against all borders on tiny grids, and against a maximum flow on larger ones."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mild.people.finders.cheapest import DIRECTIONS, cheapest_border, pairs


def random_case(rng: np.random.Generator, shape: tuple[int, int], share: float):
    zone = rng.random(shape) < share
    pull = np.where(zone, rng.normal(0, 3, shape), 0).astype(np.float32)
    links = np.zeros((4, *shape), np.float32)
    for link, direction in zip(links, DIRECTIONS, strict=True):
        here, there = pairs(shape, direction)
        link[here] = rng.exponential(2, link[here].shape) * (zone[here] & zone[there])
    return pull, links, zone


def price(side: np.ndarray, pull: np.ndarray, links: np.ndarray) -> float:
    cut = sum(
        float((link[here] * (side[here] != side[there])).sum())
        for link, (here, there) in zip(links, (pairs(side.shape, one) for one in DIRECTIONS), strict=True)
    )
    return cut - float(pull[side].sum())


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_no_border_of_a_tiny_grid_is_cheaper(seed: int) -> None:
    pull, links, zone = random_case(np.random.default_rng(seed), (3, 3), 0.9)
    found = cheapest_border(pull, links, zone)
    assert not found[~zone].any()
    best = min(
        price(np.where(zone, np.reshape(bits, (3, 3)), False), pull, links)
        for bits in itertools.product((False, True), repeat=9)
    )
    assert price(found, pull, links) <= best + 1e-3 * float(np.abs(pull).sum()) + 1e-5


@pytest.mark.parametrize("seed", range(3))
def test_it_is_what_a_maximum_flow_finds(seed: int) -> None:
    from scipy import sparse
    from scipy.sparse.csgraph import maximum_flow

    rng = np.random.default_rng(seed)
    pull, links, zone = random_case(rng, (40, 60), 0.85)
    pull *= 0.3  # neighbours decide
    count = zone.size
    number = np.arange(count).reshape(zone.shape)
    rows, columns, capacity = [], [], []
    for link, direction in zip(links, DIRECTIONS, strict=True):
        here, there = pairs(zone.shape, direction)
        for a, b in ((here, there), (there, here)):
            rows.append(number[a].ravel())
            columns.append(number[b].ravel())
            capacity.append(link[here].ravel())
    rows += [np.full(count, count), number.ravel()]
    columns += [number.ravel(), np.full(count, count + 1)]
    capacity += [np.maximum(pull, 0).ravel(), np.maximum(-pull, 0).ravel()]
    whole = np.rint(np.concatenate(capacity) * 1000).astype(np.int32)
    graph = sparse.csr_matrix((whole, (np.concatenate(rows), np.concatenate(columns))), (count + 2, count + 2))
    flow = maximum_flow(graph, count, count + 1).flow_value / 1000
    found = cheapest_border(pull, links, zone)
    assert price(found, pull, links) <= flow - float(np.maximum(pull, 0).sum()) + 2e-3 * float(np.abs(pull).sum())


def test_an_empty_zone_has_no_border() -> None:
    nothing = np.zeros((4, 5), bool)
    assert not cheapest_border(np.zeros((4, 5), np.float32), np.zeros((4, 4, 5), np.float32), nothing).any()


def test_what_is_surely_somebody_s_pulls_its_neighbours() -> None:
    """Two flat halves, a strong edge between them, and one cell of each side that is certain."""
    zone = np.ones((6, 10), bool)
    pull = np.zeros((6, 10), np.float32)
    pull[3, 0], pull[3, 9] = 5, -5
    links = np.zeros((4, 6, 10), np.float32)
    for link, (dy, dx) in zip(links, DIRECTIONS, strict=True):
        here, there = pairs(zone.shape, (dy, dx))
        side = np.arange(10)[None, :].repeat(6, 0) < 4
        link[here] = np.where(side[here] == side[there], 4.0, 0.1)
    assert (cheapest_border(pull, links, zone) == (np.arange(10) < 4)).all()
