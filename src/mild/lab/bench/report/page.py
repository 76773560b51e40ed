"""The run as one HTML file: nothing outside it is named, so it can be mailed, archived, opened without a network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.resources import files
from typing import Any

from mild.lab.bench.figures import HEADLINES, TABLES, Figure
from mild.lab.bench.report.cases import Case
from mild.lab.bench.report.markdown import across_lines, cell, counted, heading, rank
from mild.lab.bench.report.plots import plots
from mild.lab.bench.summary import columns

Summary = Mapping[str, Any]


def page(summary: Summary, cases: Sequence[Case], *, title: str = "MILD benchmark") -> str:
    """The report as HTML text."""
    from jinja2 import Environment
    from markupsafe import Markup

    def file(name: str) -> Markup:
        return Markup(files("mild.lab.bench.report").joinpath(name).read_text(encoding="utf-8"))

    environment = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    template = environment.from_string(files("mild.lab.bench.report").joinpath("page.html").read_text(encoding="utf-8"))
    across = summary["attention"].get("across_models", {})
    sets = [_view(one, summary, [c for c in cases if c.set == one["name"]]) for one in summary["sets"]]
    return template.render(
        title=title, style=file("page.css"), script=file("page.js"), sets=sets, missing=summary["missing"],
        methods=list(summary["methods"].values()), reference=summary["reference"], recipe=summary["recipe"],
        points=summary["attention"]["points"], across=across_lines(across),
    )  # fmt: skip


def _view(one: Summary, summary: Summary, cases: Sequence[Case]) -> dict[str, Any]:
    """What the template shows of a set."""
    from markupsafe import Markup

    tables = []
    for mask, part in one["masks"].items():
        for title in TABLES if mask == one["main_mask"] else ("The hole",):
            used = [f for f in columns(one, title) if any(f.key in row["means"] for row in part.values())]
            if used:
                tables.append(_table(f"{title}, {mask} masks", used, part))
    main = one["masks"].get(one["main_mask"], {})
    known = {f.key: f for f in HEADLINES}
    return {
        "name": one["name"],
        "about": one["about"],
        "count": len(one["items"]),
        "clusters": len({row["cluster"] for row in one["items"].values()}),
        "items": one["items"],
        "unusable": one["unusable"],
        "finder": one["finder"],
        "tables": tables,
        "cost": {method: row["cost"] for method, row in main.items()},
        "failures": {method: row for method, row in main.items() if set(row["statuses"]) - {"ok"}},
        "paired": [{**row, "title": heading(known[row["figure"]])} for row in one["paired"]],
        "ranks": {m: {gap: rank(of.get(gap)) for gap in ("cag", "cag_area")} for m, of in one["rank"].items()},
        "plots": [(title, Markup(svg)) for title, svg in plots(one)],
        "cases": cases,
        "methods": list(dict.fromkeys(case.method for case in cases)),
    }


def _table(title: str, figures: Sequence[Figure], part: Summary) -> dict[str, Any]:
    best = {
        f.key: _best(f, [row["means"][f.key]["value"] for row in part.values() if f.key in row["means"]])
        for f in figures
    }
    rows = []
    for method, row in part.items():
        cells = []
        for f in figures:
            mean = row["means"].get(f.key)
            value = None if mean is None else mean["value"]
            cells.append(
                {
                    "text": cell(f, mean, counted(row)),
                    "value": value,
                    "best": value is not None and value == best[f.key],
                }
            )
        rows.append({"method": method, "answered": row["answered"], "asked": row["asked"], "cells": cells})
    return {"title": title, "heads": [heading(f) for f in figures], "rows": rows}


def _best(figure: Figure, values: Sequence[float]) -> float | None:
    if len(set(values)) < 2 or figure.better == "none":
        return None
    if figure.better == "one":
        return min(values, key=lambda v: abs(v - 1))
    return max(values) if figure.better == "up" else min(values)
