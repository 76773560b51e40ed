"""The report's plots, as SVG text drawn by matplotlib; the same numbers give the same bytes."""

from __future__ import annotations

import io
import re
import textwrap
from collections.abc import Mapping
from typing import Any

from mild.lab.bench.figures import HEADLINES, Figure
from mild.lab.plotting import plotting

Summary = Mapping[str, Any]
COLOURS = ("#0b6e99", "#c2571a", "#3a7d44", "#8e4585", "#a08300", "#5b5f66", "#d1495b", "#2e4057", "#66a182", "#aa7dce")


def plots(one: Summary) -> list[tuple[str, str]]:
    """``(title, svg)`` of a set's plots; those without numbers are left out."""
    found = [
        ("Means and 95 % intervals", _means(one)),
        ("PSNR in the hole by bins", _bins(one, HEADLINES[0])),
        ("Attention gap against leakage, one point per answer", _scatter(one)),
        ("Cost against quality", _cost(one)),
    ]
    return [(title, svg) for title, svg in found if svg]


def _means(one: Summary) -> str:
    part = one["masks"].get(one["main_mask"], {})
    used = [f for f in HEADLINES if any(f.key in row["means"] for row in part.values())]
    if not used:
        return ""
    rows = -(-len(used) // 3)
    figure = plotting("The report", "bench")(figsize=(11, 0.35 * len(part) * rows + 1.1 * rows), layout="constrained")
    axes = figure.subplots(rows, min(3, len(used)), squeeze=False).flatten()
    for ax in axes[len(used) :]:
        ax.set_axis_off()
    for ax, f in zip(axes, used, strict=False):
        for y, (method, row) in enumerate(part.items()):
            mean = row["means"].get(f.key)
            if mean is None:
                continue
            error = [[mean["value"] - mean["low"]], [mean["high"] - mean["value"]]]
            ax.errorbar(mean["value"], y, xerr=error, fmt="o", ms=4, capsize=2, color=_colour(one, method))
        ax.set_yticks(range(len(part)), list(part), fontsize=8)
        ax.invert_yaxis()
        ax.set_title(f"{f.title} {f.sign}", fontsize=9, loc="left")
        ax.tick_params(axis="x", labelsize=8)
        ax.grid(axis="x", alpha=0.3)
    return _svg(figure)


def _bins(one: Summary, f: Figure) -> str:
    bins = [b for b in one["bins"] if any(f.key in m for m in b["means"].values())]
    if not bins:
        return ""
    figure = plotting("The report", "bench")(figsize=(11, 3.4), layout="constrained")
    ax = figure.subplots()
    methods = list(one["masks"].get(one["main_mask"], {}))
    for k, method in enumerate(methods):
        points = [(i, b["means"][method][f.key]) for i, b in enumerate(bins) if f.key in b["means"].get(method, {})]
        shift = (k - (len(methods) - 1) / 2) * 0.7 / max(1, len(methods))
        for i, m in points:
            error = [[m["value"] - m["low"]], [m["high"] - m["value"]]]
            ax.errorbar(
                i + shift, m["value"], yerr=error, fmt="o", ms=3.5, color=_colour(one, method),
                label=method if i == points[0][0] else None,
            )  # fmt: skip
    ax.set_xticks(range(len(bins)), [_wrapped(b) for b in bins], fontsize=7)
    ax.set_ylabel(f.title, fontsize=8)
    ax.grid(axis="y", alpha=0.3)
    ax.legend(fontsize=7, ncols=4)
    return _svg(figure)


def _wrapped(bin: Summary) -> str:
    """Narrow enough to stand beside a dozen others."""
    return "\n".join([*textwrap.wrap(bin["by"], 13), *textwrap.wrap(bin["bin"], 13), f"({bin['items']})"])


def _scatter(one: Summary) -> str:
    figure = plotting("The report", "bench")(figsize=(6.5, 3.6), layout="constrained")
    ax = figure.subplots()
    drawn = False
    for method, answers in one["answers"].items():
        points = [
            (a["figures"]["cag"], a["figures"]["leak.kept"])
            for a in answers.values()
            if a["mask"] == one["main_mask"] and "cag" in a["figures"] and "leak.kept" in a["figures"]
        ]
        if points:
            drawn = True
            x, y = zip(*points, strict=True)
            ax.scatter(x, y, s=14, alpha=0.7, color=_colour(one, method), label=method)
    if not drawn:
        return ""
    ax.set_xlabel("CAG", fontsize=8)
    ax.set_ylabel("leakage from what stays visible", fontsize=8)
    ax.grid(alpha=0.3)
    ax.legend(fontsize=7)
    return _svg(figure)


def _cost(one: Summary) -> str:
    part = one["masks"].get(one["main_mask"], {})
    points = [
        (method, row["cost"]["cpu_seconds"], row["means"]["hole.psnr"]["value"])
        for method, row in part.items()
        if row["cost"]["cpu_seconds"] and "hole.psnr" in row["means"]
    ]
    if not points:
        return ""
    figure = plotting("The report", "bench")(figsize=(6.5, 3.6), layout="constrained")
    ax = figure.subplots()
    for method, x, y in points:
        ax.scatter([x], [y], s=22, color=_colour(one, method))
        ax.annotate(method, (x, y), xytext=(4, 3), textcoords="offset points", fontsize=7)
    ax.set_xscale("log")
    ax.set_xlabel("processor seconds per photo (median)", fontsize=8)
    ax.set_ylabel("PSNR in the hole, dB", fontsize=8)
    ax.grid(alpha=0.3)
    return _svg(figure)


def _colour(one: Summary, method: str) -> str:
    names = list(one["answers"])
    return COLOURS[names.index(method) % len(COLOURS)]


def _svg(figure: Any) -> str:
    import matplotlib

    stream = io.StringIO()
    with matplotlib.rc_context({"svg.hashsalt": "mild", "svg.fonttype": "none"}):
        figure.savefig(stream, format="svg", metadata={"Date": None})
    # Without the XML head and the outside addresses in it, it can stand in a page that names no other.
    text = stream.getvalue()
    text = text[text.index("<svg") :]
    return re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.S)
