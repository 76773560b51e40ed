"""Means with intervals, paired tests, rank correlation: scipy and statsmodels do the work.

The unit is the item: an item's seeds are averaged first, so that three seeds of one photo are not three photos.
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
        low, high: 95 % bootstrap interval (percentiles); the value itself for a single item.
        items: how many.
        seeds: standard deviation of the means of single seeds; None with one seed.
    """

    value: float
    low: float
    high: float
    items: int
    seeds: float | None = None


@dataclass(frozen=True)
class Paired:
    """Two methods on the items that both answered.

    Attributes:
        difference: mean of first minus second.
        low, high: 95 % bootstrap interval of it.
        p: Wilcoxon signed-rank test, two-sided; 1 where all differences are zero; None below six items.
        wins: share of items where the first is larger, ties counting one half.
        items: how many.
    """

    difference: float
    low: float
    high: float
    p: float | None
    wins: float
    items: int


@dataclass(frozen=True)
class Rank:
    """Spearman's rank correlation.

    Attributes:
        rho: -1..1; None where one side is constant or fewer than four pairs are there.
        low, high: 95 % bootstrap interval over pairs; None where resamples are constant.
        p: two-sided.
        pairs: how many.
    """

    rho: float | None
    low: float | None
    high: float | None
    p: float | None
    pairs: int


def mean_of(by_item: Mapping[str, Mapping[int, float]], resamples: int = 2000) -> Mean | None:
    """Of item -> seed -> value."""
    values = item_means(by_item)
    if not values:
        return None
    low, high = interval(np.asarray(list(values.values())), resamples)
    seeds = sorted({seed for seeds in by_item.values() for seed in seeds})
    spread = None
    if len(seeds) > 1:
        singles = [np.mean([of[seed] for of in by_item.values() if seed in of]) for seed in seeds]
        spread = float(np.std(singles, ddof=1))
    return Mean(float(np.mean(list(values.values()))), low, high, len(values), spread)


def item_means(by_item: Mapping[str, Mapping[int, float]]) -> dict[str, float]:
    """Every item's mean over its seeds; items without a value are left out."""
    return {item: float(np.mean(list(seeds.values()))) for item, seeds in by_item.items() if seeds}


def interval(values: Values, resamples: int = 2000) -> tuple[float, float]:
    """95 % bootstrap interval of a mean; the same for the same values."""
    if len(values) < 2 or np.ptp(values) == 0:
        return float(values.mean()), float(values.mean())
    from scipy.stats import bootstrap

    found = bootstrap(
        (values,), np.mean, n_resamples=resamples, method="percentile", rng=np.random.default_rng(0), vectorized=True
    )
    return float(found.confidence_interval.low), float(found.confidence_interval.high)


def paired(first: Mapping[str, float], second: Mapping[str, float], resamples: int = 2000) -> Paired | None:
    """Compare item means on the items of both."""
    both = sorted(set(first) & set(second))
    if not both:
        return None
    a, b = (np.asarray([of[item] for item in both]) for of in (first, second))
    difference = a - b
    low, high = interval(difference, resamples)
    p: float | None = None
    if len(both) >= 6:
        from scipy.stats import wilcoxon

        p = 1.0 if not difference.any() else float(wilcoxon(difference).pvalue)
    wins = float(np.mean(np.where(difference > 0, 1.0, np.where(difference == 0, 0.5, 0.0))))
    return Paired(float(difference.mean()), low, high, p, wins, len(both))


def holm(ps: Sequence[float | None]) -> list[float | None]:
    """p-values adjusted for how many were looked at (Holm 1979)."""
    there = [i for i, p in enumerate(ps) if p is not None]
    adjusted: list[float | None] = [None] * len(ps)
    if there:
        from statsmodels.stats.multitest import multipletests

        for i, p in zip(there, multipletests([ps[i] for i in there], method="holm")[1], strict=True):
            adjusted[i] = float(p)
    return adjusted


def spearman(x: Sequence[float], y: Sequence[float], resamples: int = 500) -> Rank:
    """Rank correlation of pairs."""
    a, b = np.asarray(x, np.float64), np.asarray(y, np.float64)
    if len(a) < 4 or np.ptp(a) == 0 or np.ptp(b) == 0:
        return Rank(None, None, None, None, len(a))
    from scipy.stats import rankdata, spearmanr

    found = spearmanr(a, b)
    rng, rhos = np.random.default_rng(0), []
    for _ in range(resamples):
        pick = rng.integers(0, len(a), len(a))
        first, second = rankdata(a[pick]), rankdata(b[pick])
        if np.ptp(first) and np.ptp(second):
            rhos.append(float(np.corrcoef(first, second)[0, 1]))
    low, high = (float(v) for v in np.percentile(rhos, [2.5, 97.5])) if rhos else (None, None)
    return Rank(float(found.statistic), low, high, float(found.pvalue), len(a))
