"""The ablation's table (Markdown and JSON) and plot: means with intervals, and differences sample by sample.

Intervals are 95 % bootstrap percentiles over background photos, with all samples of each; a sample's sampling (and
training) seeds are averaged first.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mild.files import read_json_lines
from mild.lab.bench.stats import item_means, mean_of, paired
from mild.lab.data.sample import SCENARIOS
from mild.lab.train.ablation_recipe import AblationRecipe
from mild.lab.train.ablation_scores import HIDDEN, scores_name
from mild.lab.train.variants import VARIANTS

#: Figures of the table; larger is better, but for the sharpness, whose best value is 1, and what is left or invented. A
#: single path completes nobody.
FIGURES = ("psnr", "ssim", "haarpsi", "sharpness", *HIDDEN)
HEADINGS = {
    "psnr": "PSNR, dB",
    "ssim": "SSIM",
    "haarpsi": "HaarPSI",
    "sharpness": "sharpness",
    "hidden_iou": "hidden people, IoU",
    "left": "hidden, left empty",
    "invented": "made where nobody is",
    "completion_ssim": "hidden people, SSIM",
}
DIGITS = {"psnr": 2}
#: Where people stand before people, and where they are entangled.
PLACES = ("all", *SCENARIOS)

Lines = Sequence[Mapping[str, Any]]
#: Of one figure: sample -> seed -> value.
Values = dict[str, dict[int, float]]


def write_table(recipe: AblationRecipe) -> Path:
    """``table.md``, ``table.json`` and ``plot.png``, from the scores that there are; returns the first."""
    out = Path(recipe.out)
    scores = {name: _scores(recipe, name) for name in recipe.variants}
    table = [_entry(scores, name, place, recipe.reference) for name in recipe.variants for place in PLACES]
    (out / "table.json").write_text(json.dumps(table, indent=1), encoding="utf-8")
    path = out / "table.md"
    path.write_text(_markdown(recipe, table), encoding="utf-8")
    _plot(table, out / "plot.png")
    return path


def _scores(recipe: AblationRecipe, name: str) -> Lines:
    folder = Path(recipe.out) / "scores"
    return [
        line | {"run": seed}
        for seed in recipe.training_seeds
        for line in read_json_lines(folder / scores_name(name, seed))
    ]


def _entry(scores: Mapping[str, Lines], name: str, place: str, reference: str | None) -> dict[str, Any]:
    """A variant's means in one kind of scene, and its differences to what it is compared with."""
    entry: dict[str, Any] = {"variant": name, "scenario": place}
    clusters = {line["sample"]: line["cluster"] for line in scores[name] if "cluster" in line}
    other = compared_with(name, scores, reference)
    for figure in FIGURES:
        values = _values(scores[name], place, figure)
        mean = mean_of(values, clusters=clusters)
        if mean is None:
            continue
        entry[figure] = {"mean": mean.value, "low": mean.low, "high": mean.high, "samples": mean.items}
        if other is not None:
            theirs = item_means(_values(scores[other], place, figure))
            pair = paired(item_means(values), theirs, clusters=clusters)
            if pair is not None:
                entry["against"] = other
                entry[figure]["more"] = {"mean": pair.difference, "low": pair.low, "high": pair.high, "p": pair.p}
    return entry


def compared_with(name: str, present: Collection[str], reference: str | None = None) -> str | None:
    """The reference, or the nearest variant before this one, of those that are there: with fewer rows, steps are taken
    together."""
    if reference is not None:
        return reference if reference != name else None
    other = VARIANTS[name].against
    while other is not None and other not in present:
        other = VARIANTS[other].against
    return other


def _values(scores: Lines, place: str, figure: str) -> Values:
    out: Values = {}
    for line in scores:
        if figure in line and place in ("all", line["scenario"]):
            out.setdefault(line["sample"], {})[line["seed"] + 1000 * line["run"]] = line[figure]
    return out


def _markdown(recipe: AblationRecipe, table: Sequence[Mapping[str, Any]]) -> str:
    setting = recipe.run.get("optimiser", {})
    text = [
        f"Every variant: {setting.get('steps', 6000)} steps of {setting.get('batch', 32)} rows, the same rows; "
        f"training seeds {list(recipe.training_seeds)}, sampling seeds {list(recipe.seeds)}; figures of the hole, "
        "mean and 95 % bootstrap interval over the samples' background photos.",
        "",
    ]
    for place in PLACES:
        rows = [entry for entry in table if entry["scenario"] == place and "psnr" in entry]
        if not rows:
            continue
        text += [f"### {place}, {rows[0]['psnr']['samples']} samples", ""]
        text += _lines_of("variant", rows, lambda entry, figure: entry.get(figure))
        compared = [{**e, "variant": f"{e['variant']} − {e['against']}"} for e in rows if "against" in e]
        if compared:
            other = recipe.reference or "the nearest variant before it that is here"
            text += [f"Sample by sample, against {other}:", ""]
            text += _lines_of("difference", compared, lambda entry, figure: entry.get(figure, {}).get("more"))
    return "\n".join(text)


def _lines_of(first: str, rows: Sequence[Mapping[str, Any]], of: Any) -> list[str]:
    """A Markdown table of means with intervals; ``of(row, figure)`` is a mean or None."""
    out = [f"| {first} | " + " | ".join(HEADINGS[f] for f in FIGURES) + " |", "| --- |" + " --- |" * len(FIGURES)]
    for entry in rows:
        cells = [_cell(of(entry, figure), DIGITS.get(figure, 3), signed=first == "difference") for figure in FIGURES]
        out.append(f"| {entry['variant']} | " + " | ".join(cells) + " |")
    return [*out, ""]


def _cell(mean: Mapping[str, float] | None, digits: int, signed: bool) -> str:
    if mean is None:
        return "-"
    sign = "+" if signed else ""
    return f"{mean['mean']:{sign}.{digits}f} ({mean['low']:{sign}.{digits}f} to {mean['high']:{sign}.{digits}f})"


def _plot(table: Sequence[Mapping[str, Any]], to: Path) -> None:
    from matplotlib.figure import Figure

    names = list(dict.fromkeys(entry["variant"] for entry in table))
    figure = Figure(figsize=(4 * len(FIGURES), 0.32 * len(names) + 1.2), layout="constrained")
    all_axes = figure.subplots(1, len(FIGURES), sharey=True)
    for axes, kind in zip(np.atleast_1d(all_axes), FIGURES, strict=True):
        for i, scenario in enumerate(PLACES):
            rows = [(names.index(e["variant"]), e[kind]) for e in table if e["scenario"] == scenario and kind in e]
            if not rows:
                continue
            places = np.asarray([place + 0.16 * (i - 1.5) for place, _ in rows])
            means = np.asarray([m["mean"] for _, m in rows])
            spans = np.abs(np.asarray([[m["mean"] - m["low"], m["high"] - m["mean"]] for _, m in rows])).T
            axes.errorbar(means, places, xerr=spans, fmt="o", markersize=3, linewidth=1, label=scenario)
        axes.set_yticks(range(len(names)), names, fontsize=7)
        axes.set_title(HEADINGS[kind], fontsize=9)
    np.atleast_1d(all_axes)[0].invert_yaxis()
    np.atleast_1d(all_axes)[0].legend(fontsize=6)
    figure.savefig(to, dpi=100)
