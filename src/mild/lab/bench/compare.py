"""Two runs, or two methods of them: what changed, by how much, and whether the numbers are the same."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mild.errors import UsageError
from mild.lab.bench.figures import HEADLINES, TABLES, Figure
from mild.lab.bench.report.markdown import grid, heading
from mild.lab.bench.stats import Paired, holm, item_means, paired
from mild.lab.bench.summary import summarise, table
from mild.reading import read_json


@dataclass(frozen=True)
class Difference:
    """One figure of one method on one set, second run minus first."""

    set: str
    method: str
    figure: Figure
    first: float
    second: float
    paired: Paired
    p: float | None


@dataclass(frozen=True)
class Comparison:
    """What two runs share.

    Attributes:
        rows: of every set and method that both have.
        answers: answers compared, pixel hashes equal, and figures equal (all figures of an answer, timings left out).
        only: what one of them has alone.
    """

    rows: tuple[Difference, ...]
    answers: int
    same_pixels: int
    same_figures: int
    only: tuple[str, ...]

    @property
    def same(self) -> bool:
        """Is every number of the one a number of the other?"""
        return not self.only and self.answers == self.same_pixels == self.same_figures


def load_results(folder: str | Path) -> dict[str, Any]:
    """``results.json`` of a run, or the file itself; made from the records where it is missing.

    Raises:
        MildError: there is none.
    """
    path = Path(folder)
    if path.is_dir():
        if not (path / "results.json").is_file():
            return summarise(path)
        path = path / "results.json"
    loaded: dict[str, Any] = read_json(path)
    if not isinstance(loaded, dict) or "sets" not in loaded:
        raise UsageError(f"{path} holds no results of the benchmark.")
    return loaded


def compare(
    first: Mapping[str, Any], second: Mapping[str, Any], methods: tuple[str, str] | None = None, resamples: int = 2000
) -> Comparison:
    """Compare by set and method.

    Args:
        methods: compare this method of the first with that one of the second, instead of equal names.

    Raises:
        UsageError: a method that is not there.
    """
    known = {f.key: f for columns in TABLES.values() for f in columns} | {f.key: f for f in HEADLINES}
    sets = [{one["name"]: one for one in side["sets"]} for side in (first, second)]
    only = [f"set {name}" for name in sorted(set(sets[0]) ^ set(sets[1]))]
    rows: list[Difference] = []
    answers = pixels = figures = 0
    for name in [n for n in sets[0] if n in sets[1]]:
        a, b = sets[0][name]["answers"], sets[1][name]["answers"]
        clusters = {id: row["cluster"] for id, row in sets[0][name]["items"].items() if "cluster" in row}
        if methods is not None:
            for method, side in zip(methods, (a, b), strict=True):
                if method not in side:
                    raise UsageError(f"There is no method {method!r} on {name} (there are: {', '.join(side)}).")
            pairs = [methods]
        else:
            pairs = [(m, m) for m in a if m in b]
            only += [f"{m} on {name}" for m in sorted(set(a) ^ set(b))]
        for left, right in pairs:
            label = left if left == right else f"{right} - {left}"
            common = sorted(set(a[left]) & set(b[right]))
            only += [f"{label} on {name}: {key}" for key in sorted(set(a[left]) ^ set(b[right]))]
            answers += len(common)
            for key in common:
                x, y = a[left][key], b[right][key]
                pixels += x["sha256"].get("composited") == y["sha256"].get("composited")
                figures += x["status"] == y["status"] and x["figures"] == y["figures"]
            keys = sorted({k for key in common for k in a[left][key]["figures"]} & set(known))
            for key in keys:
                means = [item_means(table((side[k] for k in common), key)) for side in (a[left], b[right])]
                found = paired(means[1], means[0], resamples, clusters)
                if found is not None:
                    both = set(means[0]) & set(means[1])
                    values = [sum(m[i] for i in both) / len(both) for m in means]
                    rows.append(Difference(name, label, known[key], values[0], values[1], found, None))
    adjusted = holm([row.paired.p for row in rows])
    done = tuple(
        Difference(r.set, r.method, r.figure, r.first, r.second, r.paired, p)
        for r, p in zip(rows, adjusted, strict=True)
    )
    return Comparison(done, answers, pixels, figures, tuple(only))


def told(comparison: Comparison, *, everything: bool = False) -> str:
    """As Markdown; only headline figures unless ``everything``."""
    keys = {f.key for f in HEADLINES}
    shown = [r for r in comparison.rows if everything or r.figure.key in keys]
    lines = grid(
        ["set", "method", "figure", "first", "second", "difference", "95 % interval", "p (Holm)", "items"],
        [
            [
                r.set, r.method, heading(r.figure), r.figure.shown(r.first), r.figure.shown(r.second),
                f"{r.paired.difference:+.4f}", f"{r.paired.low:+.4f} to {r.paired.high:+.4f}",
                "-" if r.p is None else f"{r.p:.3g}", str(r.paired.items),
            ]
            for r in shown
        ],
    )  # fmt: skip
    lines.append(
        f"{comparison.answers} answers in both: {comparison.same_pixels} with equal pixels, "
        f"{comparison.same_figures} with equal figures."
    )
    lines += [f"Only in one: {name}" for name in comparison.only[:20]]
    if len(comparison.only) > 20:
        lines.append(f"… and {len(comparison.only) - 20} more.")
    lines.append("The numbers are the same." if comparison.same else "The numbers are not the same.")
    return "\n".join(lines) + "\n"
