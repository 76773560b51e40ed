"""Read a study: who won, how surely, and whether the raters agree."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np

from mild.errors import UsageError
from mild.lab.bench.report.markdown import grid
from mild.lab.bench.stats import interval
from mild.reading import read_json

#: What a rater may say of a pair: the first, the second, no difference.
CHOICES = ("left", "right", "same")


@dataclass(frozen=True)
class Duel:
    """One pair of methods.

    Attributes:
        first, second: the methods.
        share: mean share of the first (a tie counts one half), over photos.
        low, high: 95 % bootstrap interval over photos.
        p: sign test over photos whose raters lean to one side.
        answers, photos: how many.
    """

    first: str
    second: str
    share: float
    low: float
    high: float
    p: float | None
    answers: int
    photos: int


@dataclass(frozen=True)
class Agreement:
    """Between raters: 1 perfect, 0 as by chance.

    Attributes:
        fleiss: Fleiss' kappa over photos that all raters judged; None with one rater, or without such photos.
        cohen: mean of Cohen's kappa over pairs of raters; None with one.
        raters: names.
        photos: judged by all.
    """

    fleiss: float | None
    cohen: float | None
    raters: tuple[str, ...]
    photos: int


def read_study(key: str | Path, answers: Sequence[str | Path]) -> tuple[list[Duel], Agreement]:
    """The outcome of a study.

    Raises:
        UsageError: answers of another study, or two of one rater.
        MildError: a file cannot be read.
    """
    secret = _read(Path(key))
    raters: dict[str, dict[int, str]] = {}
    for path in answers:
        given = _read(Path(path))
        if given.get("study") != secret["study"]:
            raise UsageError(f"{path} belongs to another study.")
        name = str(given.get("rater") or Path(path).stem)
        if name in raters:
            raise UsageError(f"There are two files of the rater {name}; name them differently.")
        chosen = {int(k): v for k, v in given.get("answers", {}).items()}
        wrong = [v for k, v in chosen.items() if v not in CHOICES or not 0 <= k < len(secret["pairs"])]
        if wrong:
            raise UsageError(f"{path} has an answer that is none ({wrong[0]!r}).")
        raters[name] = chosen
    if not raters:
        raise UsageError("Name at least one file of answers.")
    return _duels(secret["pairs"], raters), agreement(raters)


def _duels(pairs: list[dict[str, Any]], raters: dict[str, dict[int, str]]) -> list[Duel]:
    votes: dict[tuple[str, str], dict[int, list[float]]] = {}
    for chosen in raters.values():
        for index, choice in chosen.items():
            left, right = pairs[index]["left"], pairs[index]["right"]
            first, second = sorted((left, right))
            won = 0.5 if choice == "same" else float((left if choice == "left" else right) == first)
            votes.setdefault((first, second), {}).setdefault(index, []).append(won)
    found = []
    for (first, second), photos in sorted(votes.items()):
        shares = np.asarray([np.mean(v) for v in photos.values()])
        low, high = interval(shares)
        decided = int((shares != 0.5).sum())
        p = None
        if decided:
            from scipy.stats import binomtest

            p = float(binomtest(int((shares > 0.5).sum()), decided).pvalue)
        count = sum(len(v) for v in photos.values())
        found.append(Duel(first, second, float(shares.mean()), low, high, p, count, len(photos)))
    return found


def agreement(raters: dict[str, dict[int, str]]) -> Agreement:
    """Fleiss' and Cohen's kappa (statsmodels) of raters' choices by photo."""
    from statsmodels.stats.inter_rater import cohens_kappa, fleiss_kappa

    names = tuple(sorted(raters))
    common = sorted(set.intersection(*(set(chosen) for chosen in raters.values())))
    if len(names) < 2 or not common:
        return Agreement(None, None, names, len(common))
    table = np.asarray([[sum(raters[n][i] == c for n in names) for c in CHOICES] for i in common])
    # All of one mind on one choice: chance agreement is 1 too, and kappa is not defined.
    fleiss = float(fleiss_kappa(table)) if (table.sum(0) > 0).sum() > 1 else None
    kappas = []
    for a, b in combinations(names, 2):
        both = sorted(set(raters[a]) & set(raters[b]))
        crossed = np.asarray(
            [[sum(raters[a][i] == x and raters[b][i] == y for i in both) for y in CHOICES] for x in CHOICES]
        )
        used = (crossed.sum(0) + crossed.sum(1)) > 0
        if used.sum() > 1:
            kappas.append(float(cohens_kappa(crossed, return_results=False)))
    finite = [k for k in kappas if np.isfinite(k)]
    return Agreement(fleiss, float(np.mean(finite)) if finite else None, names, len(common))


def told(duels: Sequence[Duel], raters: Agreement) -> str:
    """As Markdown."""
    lines = grid(
        ["preferred", "over", "share", "95 % interval", "p (sign test)", "answers", "photos"],
        [
            [d.first, d.second, f"{100 * d.share:.0f} %", f"{100 * d.low:.0f} to {100 * d.high:.0f} %",
             "-" if d.p is None else f"{d.p:.3g}", str(d.answers), str(d.photos)]
            for d in duels
        ],
    )  # fmt: skip
    fleiss, cohen = (f"{k:.2f}" if k is not None else "not defined" for k in (raters.fleiss, raters.cohen))
    lines.append(
        f"Raters: {len(raters.raters)} ({', '.join(raters.raters)}); photos judged by all: {raters.photos}; "
        f"Fleiss' kappa {fleiss}, mean of Cohen's kappa {cohen}."
    )
    return "\n".join(lines) + "\n"


def _read(path: Path) -> dict[str, Any]:
    loaded: dict[str, Any] = read_json(path)
    if not isinstance(loaded, dict) or "study" not in loaded:
        raise UsageError(f"{path} is no file of a study.")
    return loaded
