"""The tables as Markdown: what ``docs/results.md`` is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mild.lab.bench.figures import HEADLINES, TABLES, Figure
from mild.lab.bench.summary import columns

Summary = Mapping[str, Any]


def markdown(summary: Summary, *, title: str = "Results", command: str | None = None) -> str:
    """The whole report without pictures.

    Timings stand in tables of their own: they are the only figures that change from run to run.
    """
    lines = [f"# {title}", ""]
    if command is not None:
        lines += [
            "Written by this command, not by hand; what the columns mean is in [bench.md](bench.md):", "",
            "```sh", command, "```", "",
        ]  # fmt: skip
    lines += [
        "Means over items (an item's seeds are averaged first) with 95 % bootstrap intervals over clusters: items "
        "whose background is from one photo are resampled together. (48): on 48 items only. ↑ larger is better, "
        "↓ smaller is better, →1 nearest to one is best.",
        "",
    ]
    for one in summary["sets"]:
        lines += _set(one, summary)
    lines += _across(summary)
    lines += ["## What is not here", ""]
    lines += [f"* {name}: {why}." for name, why in summary["missing"].items()] or ["Nothing is missing."]
    lines += ["", "## Methods", ""]
    lines += [_method(m) for m in summary["methods"].values()]
    return "\n".join(lines).rstrip() + "\n"


def grid(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """A Markdown table; empty without rows."""
    if not rows:
        return []
    cells = [[c.replace("|", "\\|") for c in row] for row in (header, *rows)]
    out = ["| " + " | ".join(cells[0]) + " |", "| " + " | ".join(["---"] * len(header)) + " |"]
    return [*out, *("| " + " | ".join(row) + " |" for row in cells[1:]), ""]


def cell(figure: Figure, mean: Mapping[str, Any] | None, items: int = 0) -> str:
    """``20.59 [20.1, 21.0]``; with how many items it has where that is less than ``items``."""
    if mean is None:
        return "-"
    text = figure.shown(mean["value"])
    if mean["low"] != mean["high"]:
        text += f" [{figure.shown(mean['low'])}, {figure.shown(mean['high'])}]"
    return text if mean["items"] >= items else f"{text} ({mean['items']})"


def counted(row: Mapping[str, Any]) -> int:
    """How many items a method answered."""
    return max((mean["items"] for mean in row["means"].values()), default=0)


def heading(figure: Figure) -> str:
    return f"{figure.title} {figure.sign}".strip()


def _set(one: Summary, summary: Summary) -> list[str]:
    lines = [f"## Set: {one['name']}", "", _about(one), ""]
    for mask, part in one["masks"].items():
        main = mask == one["main_mask"]
        for title in TABLES if main else ("The hole",):
            figures = columns(one, title)
            used = [f for f in figures if any(f.key in row["means"] for row in part.values())]
            if not used:
                continue
            lines += [f"### {title}, {mask} masks", ""]
            rows = [
                [method, str(row["answered"]), *(cell(f, row["means"].get(f.key), counted(row)) for f in used)]
                for method, row in part.items()
            ]
            lines += grid(["method", "answers", *map(heading, used)], rows)
        if main:
            lines += _learned(part)
            lines += _failures(part)
            lines += _cost(part)
            lines += _seeds(part)
    lines += _paired(one, summary["reference"])
    lines += _bins(one)
    return lines + _ranks(one)


def _about(one: Summary) -> str:
    about = ", ".join(f"{k} {v}" for k, v in one["about"].items() if k != "name")
    clusters = len({row["cluster"] for row in one["items"].values()})
    text = f"{len(one['items'])} items from {clusters} photos ({about})."
    finder = one["finder"]
    told = {
        "found_before": "The finder sees somebody to erase, before anything is done, in",
        "found_in_truth": "It sees somebody there in the truth, falsely, in",
        "order_accuracy": "Perception orders pairs who hide each other rightly in",
    }
    for key in told:
        if key in finder:
            text += f" {told[key]} {100 * finder[key]['value']:.0f} % of {finder[key]['items']} items."
    if one["unusable"]:
        text += f" Left out: {len(one['unusable'])} ({'; '.join(f'{k}: {v}' for k, v in one['unusable'].items())})"
    return text


def _learned(part: Summary) -> list[str]:
    names = sorted({name for row in part.values() for name in row["learned"]})
    rows = [
        [m, *(f"{row['learned'][n]:.3f}" if n in row["learned"] else "-" for n in names)] for m, row in part.items()
    ]
    return ["### Distances of distributions ↓", "", *grid(["method", *names], rows)] if names else []


def _failures(part: Summary) -> list[str]:
    rows = []
    for method, row in part.items():
        statuses = {k: v for k, v in row["statuses"].items() if k != "ok"}
        if statuses:
            told = "; ".join(row["failures"][:3]) + ("; …" if len(row["failures"]) > 3 else "")
            rows.append([method, ", ".join(f"{v} {k}" for k, v in statuses.items()), told or "-"])
    return ["### Answers that were none", "", *grid(["method", "how many", "which"], rows)] if rows else []


def _cost(part: Summary) -> list[str]:
    rows = []
    for method, row in part.items():
        cost = row["cost"]
        if cost["seconds"] is not None:
            cells = [f"{cost['seconds']:.2f}", f"{cost['cpu_seconds']:.2f}", _memory(cost["memory"])]
            rows.append([method, *cells])
    header = ["method", "seconds (median)", "processor seconds", "peak memory of the process, MiB"]
    return ["### Cost (differs from run to run)", "", *grid(header, rows)] if rows else []


def _memory(value: float | None) -> str:
    return "-" if value is None else f"{value:.0f}"


def _seeds(part: Summary) -> list[str]:
    keys = [f for f in HEADLINES if any(_spread(row, f) is not None for row in part.values())]
    rows = [
        [method, *(_digits(f, _spread(row, f)) for f in keys)]
        for method, row in part.items()
        if any(_spread(row, f) is not None for f in keys)
    ]
    return (
        ["### Spread over seeds (standard deviation)", "", *grid(["method", *(f.title for f in keys)], rows)]
        if rows
        else []
    )


def _spread(row: Summary, figure: Figure) -> float | None:
    mean = row["means"].get(figure.key)
    return None if mean is None else mean["seeds"]


def _digits(figure: Figure, value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"


def _paired(one: Summary, reference: str) -> list[str]:
    known = {f.key: f for f in HEADLINES}
    rows = []
    for row in one["paired"]:
        figure = known[row["figure"]]
        shown = f"{row['difference']:+.4f} [{row['low']:+.4f}, {row['high']:+.4f}]"
        p = "-" if row["p_holm"] is None else f"{row['p_holm']:.3g}"
        share = f"{100 * row['wins']:.0f} %"
        rows.append([heading(figure), row["method"], shown, p, share, f"{row['items']} ({row['clusters']})"])
    if not rows:
        return []
    header = ["figure", "method", f"difference to {reference}", "p (Wilcoxon, Holm)", "larger on", "items (photos)"]
    return [f"### Against {reference}, item by item", "", *grid(header, rows)]


def _bins(one: Summary) -> list[str]:
    lines: list[str] = []
    for figure in HEADLINES:
        methods = list(one["masks"].get(one["main_mask"], {}))
        rows = [
            [
                f"{b['by']}: {b['bin']}",
                str(b["items"]),
                *(cell(figure, b["means"].get(m, {}).get(figure.key)) for m in methods),
            ]
            for b in one["bins"]
            if any(figure.key in b["means"].get(m, {}) for m in methods)
        ]
        if rows and figure.key in ("hole.psnr", "leak.total"):
            lines += [f"### {heading(figure)}, by bins", "", *grid(["bin", "items", *methods], rows)]
    return lines


def _ranks(one: Summary) -> list[str]:
    rows = []
    for method, gaps in one["rank"].items():
        rows.append([method, *(rank(gaps.get(gap)) for gap in ("cag", "cag_area"))])
    if not rows:
        return []
    header = ["method", "Spearman of CAG and leakage", "of CAG_area and leakage"]
    note = "Leakage from what stays visible; a gap that speaks of leakage has a negative correlation with it."
    return ["### Attention against leakage, across samples", "", note, "", *grid(header, rows)]


def rank(found: Mapping[str, Any] | None) -> str:
    """``-0.41 [-0.6, -0.2], p 0.01, 60 pairs``."""
    if found is None:
        return "-"
    if found["rho"] is None:
        return f"too few pairs, or no spread ({found['pairs']})"
    inside = "" if found["low"] is None else f" [{found['low']:+.2f}, {found['high']:+.2f}]"
    p = "" if found["p"] is None else f", p {found['p']:.2g}"
    return f"{found['rho']:+.2f}{inside}{p}, {found['pairs']} pairs"


def _across(summary: Summary) -> list[str]:
    points = summary["attention"]["points"]
    if len(points) < 2:
        return []
    rows = [
        [p["set"], p["method"], f"{p['cag']:.3f}", "-" if p["cag_area"] is None else f"{p['cag_area']:.2f}",
         f"{p['leak.kept']:.4f}", str(p["items"])]
        for p in points
    ]  # fmt: skip
    lines = ["## Attention against leakage, across models", ""]
    lines += grid(["set", "model", "CAG", "CAG_area", "leakage", "samples"], rows)
    ranks = summary["attention"].get("across_models", {})
    return [*lines, *(f"* {line}" for line in across_lines(ranks)), ""]


def across_lines(ranks: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """A line for every set: the rank correlations over its methods."""
    return [
        f"{name}: Spearman of CAG and leakage {rank(of['cag'])}; of CAG_area and leakage {rank(of['cag_area'])}"
        for name, of in ranks.items()
    ]


def _method(method: Mapping[str, Any]) -> str:
    if "failed" in method:
        return f"* **{method['name']}** (`{method['text']}`): could not be used: {method['failed']}"
    about = ", ".join(f"{k} {_brief(v)}" for k, v in method.get("about", {}).items())
    return f"* **{method['name']}** (`{method['text']}`){': ' + about if about else ''}"


def _brief(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{k}={_brief(v)}" for k, v in value.items() if v is not None) + "}"
    text = str(value)
    return text[:12] + "…" if len(text) == 64 and all(c in "0123456789abcdef" for c in text) else text
