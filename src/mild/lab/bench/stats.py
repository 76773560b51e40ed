"""Means with intervals, paired tests, rank correlation: scipy and statsmodels do the work.

An item's seeds are averaged first, so that three seeds of one photo are not three photos. Items that share their
background photo are no independent photos either: they are one cluster, and clusters are what is resampled and tested.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float64]


@dataclass(frozen=True)
class Mean:
    """A mean over items.

    Attributes:
        value: the mean.
        low, high: 95 % bootstrap interval (percentiles); the value itself for a single item or cluster.
        items: how many.
        seeds: standard deviation of the means of single seeds, over the items that have them all; None with one seed.
        clusters: how many of them these items are from.
    """

    value: float
    low: float
    high: float
    items: int
    seeds: float | None = None
    clusters: int = 0


@dataclass(frozen=True)
class Paired:
    """Two methods on the items that both answered.

    Attributes:
        difference: mean of first minus second.
        low, high: 95 % bootstrap interval of it.
        p: Wilcoxon signed-rank test of the clusters' mean differences, two-sided; 1 where all are zero; None below six
            clusters.
        wins: share of items where the first is larger, ties counting one half.
        items, clusters: how many.
    """

    difference: float
    low: float
    high: float
    p: float | None
    wins: float
    items: int
    clusters: int = 0


@dataclass(frozen=True)
class Rank:
    """Spearman's rank correlation.

    Attributes:
        rho: -1..1; None where one side is constant or fewer than four pairs are there.
        low, high: 95 % bootstrap interval over clusters of pairs; None where resamples are constant.
        p: two-sided; None where pairs share clusters, as the test knows independent pairs only.
        pairs: how many.
    """

    rho: float | None
    low: float | None
    high: float | None
    p: float | None
    pairs: int


def mean_of(
    by_item: Mapping[str, Mapping[int, float]], resamples: int = 2000, clusters: Mapping[str, str] | None = None
) -> Mean | None:
    """Of item -> seed -> value; ``clusters``: item -> its cluster, an item that is not there is one of its own."""
    values = item_means(by_item)
    if not values:
        return None
    groups = clusters_of(list(values), clusters)
    low, high = interval(np.asarray(list(values.values())), resamples, groups)
    seeds = sorted({seed for seeds in by_item.values() for seed in seeds})
    spread = None
    if len(seeds) > 1:
        # Of the same items: the means of different ones differ by what they show, not by the seed.
        whole = [of for of in by_item.values() if len(of) == len(seeds)]
        if whole:
            spread = float(np.std([np.mean([of[seed] for of in whole]) for seed in seeds], ddof=1))
    return Mean(float(np.mean(list(values.values()))), low, high, len(values), spread, len(set(groups)))


def clusters_of(items: Sequence[str], clusters: Mapping[str, str] | None) -> list[str]:
    """The cluster of every item."""
    return [(clusters or {}).get(item, item) for item in items]


def item_means(by_item: Mapping[str, Mapping[int, float]]) -> dict[str, float]:
    """Every item's mean over its seeds; items without a value are left out."""
    return {item: float(np.mean(list(seeds.values()))) for item, seeds in by_item.items() if seeds}


def shared_seeds(
    first: Mapping[str, Mapping[int, float]], second: Mapping[str, Mapping[int, float]]
) -> tuple[dict[str, float], dict[str, float]]:
    """Item means of two methods over the seeds that both have of an item: seed with seed, never three with one."""
    found: tuple[dict[str, float], dict[str, float]] = ({}, {})
    for item in set(first) & set(second):
        both = sorted(set(first[item]) & set(second[item]))
        for means, seeds in zip(found, (first[item], second[item]), strict=True):
            if both:
                means[item] = float(np.mean([seeds[seed] for seed in both]))
    return found


def interval(values: Values, resamples: int = 2000, clusters: Sequence[str] | None = None) -> tuple[float, float]:
    """95 % bootstrap interval of a mean; the same for the same values.

    Args:
        clusters: the cluster of every value. Whole clusters are drawn then, with replacement, and the mean is that of
            all values drawn (Field and Welsh 2007, "cluster bootstrap"); None: every value is its own.
    """
    names = list(range(len(values))) if clusters is None else list(clusters)
    _, which = np.unique(names, return_inverse=True)
    if which.max(initial=0) < 1 or np.ptp(values) == 0:
        return float(values.mean()), float(values.mean())
    sums, counts = np.bincount(which, weights=values), np.bincount(which)
    pick = np.random.default_rng(0).integers(0, len(sums), (resamples, len(sums)))
    means = sums[pick].sum(1) / counts[pick].sum(1)
    low, high = np.percentile(means, [2.5, 97.5])
    return float(low), float(high)


def paired(
    first: Mapping[str, float], second: Mapping[str, float], resamples: int = 2000,
    clusters: Mapping[str, str] | None = None,
) -> Paired | None:  # fmt: skip
    """Compare item means on the items of both."""
    both = sorted(set(first) & set(second))
    if not both:
        return None
    a, b = (np.asarray([of[item] for item in both]) for of in (first, second))
    difference, groups = a - b, clusters_of(both, clusters)
    low, high = interval(difference, resamples, groups)
    _, which = np.unique(groups, return_inverse=True)
    units = np.bincount(which, weights=difference) / np.bincount(which)
    p: float | None = None
    if len(units) >= 6:
        from scipy.stats import wilcoxon

        p = 1.0 if not units.any() else float(wilcoxon(units).pvalue)
    wins = float(np.mean(np.where(difference > 0, 1.0, np.where(difference == 0, 0.5, 0.0))))
    return Paired(float(difference.mean()), low, high, p, wins, len(both), len(units))


def holm(ps: Sequence[float | None]) -> list[float | None]:
    """p-values adjusted for how many were looked at (Holm 1979)."""
    there = [i for i, p in enumerate(ps) if p is not None]
    adjusted: list[float | None] = [None] * len(ps)
    if there:
        from statsmodels.stats.multitest import multipletests

        for i, p in zip(there, multipletests([ps[i] for i in there], method="holm")[1], strict=True):
            adjusted[i] = float(p)
    return adjusted


def spearman(
    x: Sequence[float], y: Sequence[float], resamples: int = 500, clusters: Sequence[str] | None = None
) -> Rank:
    """Rank correlation of pairs; ``clusters`` as in :func:`interval`."""
    a, b = np.asarray(x, np.float64), np.asarray(y, np.float64)
    if len(a) < 4 or np.ptp(a) == 0 or np.ptp(b) == 0:
        return Rank(None, None, None, None, len(a))
    from scipy.stats import rankdata, spearmanr

    found = spearmanr(a, b)
    _, which = np.unique(list(range(len(a))) if clusters is None else list(clusters), return_inverse=True)
    members = [np.flatnonzero(which == k) for k in range(int(which.max()) + 1)]
    rng, rhos = np.random.default_rng(0), []
    for _ in range(resamples):
        pick = np.concatenate([members[k] for k in rng.integers(0, len(members), len(members))])
        first, second = rankdata(a[pick]), rankdata(b[pick])
        if np.ptp(first) and np.ptp(second):
            rhos.append(float(np.corrcoef(first, second)[0, 1]))
    # Of one cluster every resample is the same: no interval.
    known = len(members) > 1 and bool(rhos)
    low, high = (float(v) for v in np.percentile(rhos, [2.5, 97.5])) if known else (None, None)
    p = float(found.pvalue) if len(members) == len(a) else None
    return Rank(float(found.statistic), low, high, p, len(a))
