"""From records to tables: one JSON-able object that the report, Markdown and `mild bench compare` are made of."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from mild.errors import MildError
from mild.files import read_json_lines, write_json
from mild.lab.bench.figures import HEADLINES, TABLES, UNAVAILABLE, learned
from mild.lab.bench.methods import MethodSpec
from mild.lab.bench.metrics.features import WANTED, cmmd, frechet
from mild.lab.bench.metrics.score import flip_missing
from mild.lab.bench.recipe import BenchRecipe, SetChoice
from mild.lab.bench.records import FAILED, records_of
from mild.lab.bench.stats import Rank, holm, mean_of, paired, shared_seeds, spearman

Records = Mapping[str, Mapping[str, Any]]
#: Item -> seed -> value.
Table = dict[str, dict[int, float]]

#: Bins by name: the field of an item, and (title, from, below) of each bin.
BINS: dict[str, tuple[str, tuple[tuple[str, float, float], ...]]] = {
    "area to erase": ("hole_area", (("below 3 %", 0, 0.03), ("3 to 10 %", 0.03, 0.1), ("10 % and more", 0.1, 1.01))),
    "people": ("people", (("1", 1, 2), ("2", 2, 3), ("3", 3, 4), ("4 and more", 4, 1e9))),
    "hidden part of a kept person": (
        "occlusion",
        (("below 1 %", 0, 0.01), ("1 to 15 %", 0.01, 0.15), ("15 to 40 %", 0.15, 0.4), ("40 % and more", 0.4, 1.01)),
    ),
}


def summarise(out: str | Path) -> dict[str, Any]:
    """Everything the report shows, from a run's folder; also written to ``OUT/results.json``.

    Raises:
        MildError: the folder holds no run.
    """
    out = Path(out)
    if not (out / "recipe.json").is_file():
        raise MildError(f"{out} holds no run of the benchmark (no recipe.json).")
    recipe = BenchRecipe.build(**json.loads((out / "recipe.json").read_text(encoding="utf-8")))
    methods = {spec.name: _method(out, spec) for spec in recipe.specs}
    abouts = [json.loads(path.read_text(encoding="utf-8")) for path in (out / "sets").glob("*.json")]
    abouts.sort(key=lambda about: about["place"])
    sets = [_set_summary(out, a, recipe, recipe.sets[a.pop("place")], methods) for a in abouts]
    result: dict[str, Any] = {
        "recipe": json.loads(recipe.model_dump_json()),
        "reference": recipe.reference_name,
        "methods": methods,
        "sets": sets,
        "attention": _attention(sets),
        "missing": missing(recipe),
    }
    write_json(out / "results.json", result)
    return result


def missing(recipe: BenchRecipe) -> dict[str, str]:
    """Columns that are not there, and why."""
    found = {
        title: f"no weights were given (features: {kind}: {WANTED[kind]})"
        for title, kind in UNAVAILABLE.items()
        if kind not in recipe.features
    }
    why = "switched off in the recipe" if not recipe.flip else flip_missing()
    return found | ({"FLIP": why} if why else {})


def _method(out: Path, spec: MethodSpec) -> dict[str, Any]:
    path = out / "methods" / f"{spec.slug}.json"
    if not path.is_file():
        return {"name": spec.name, "text": spec.text, "slug": spec.slug, "failed": "it was not run yet"}
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return {**found, "slug": spec.slug}


def _set_summary(
    out: Path, about: dict[str, Any], recipe: BenchRecipe, choice: SetChoice, methods: Mapping[str, Any]
) -> dict[str, Any]:
    name = about["name"]
    rows = read_json_lines(out / "items" / f"{name}.jsonl")
    items = {row["id"]: row for row in rows if "unusable" not in row}
    records: dict[str, Records] = {}
    for spec in recipe.specs:
        mark = f"{methods[spec.name].get('stamp')}.{recipe.scoring_digest(choice)}"
        found = {k: r for k, r in records_of(out, spec, name, mark).items() if r["item"] in items}
        found = asked_for(found, recipe, choice, spec.name)
        if found:
            records[spec.name] = found
    masks = sorted({r["mask"] for of in records.values() for r in of.values()}, key=("dilated", "tight", "box").index)
    main = masks[0] if masks else "dilated"
    keys = sorted({key for of in records.values() for r in of.values() for key in figures_of(r)})
    clusters = {id: str(row["cluster"]) for id, row in items.items()}
    summary: dict[str, Any] = {
        "name": name,
        "about": about,
        "items": {id: {k: v for k, v in row.items() if k != "scoring"} for id, row in items.items()},
        "unusable": {row["id"]: row["unusable"] for row in rows if "unusable" in row},
        "finder": _finder(items.values()),
        "main_mask": main,
        "masks": {},
        "answers": {method: {r["key"]: _short(r) for r in of.values()} for method, of in records.items()},
    }
    for mask in masks:
        part: dict[str, Any] = {}
        for method, of in records.items():
            mine = [r for r in of.values() if r["mask"] == mask]
            if not mine:
                continue
            tables = {key: table(mine, key) for key in keys}
            means = {key: m for key, t in tables.items() if (m := mean_of(t, recipe.resamples, clusters)) is not None}
            part[method] = {"means": {key: asdict(m) for key, m in means.items()}, **_account(mine)}
            part[method]["learned"] = _distributions(out, methods[method]["slug"], name, mine)
        summary["masks"][mask] = part
    summary["paired"] = _paired(records, main, recipe, clusters)
    summary["bins"] = _bins(records, items, main, recipe)
    summary["rank"] = _ranks(records, main, clusters)
    return summary


def asked_for(records: Records, recipe: BenchRecipe, choice: SetChoice, method: str) -> dict[str, Any]:
    """The records that this recipe asks for: a folder may hold those of other seeds, masks or methods, even in part."""
    if choice.methods is not None and method not in choice.methods:
        return {}
    seeds = choice.seeds or recipe.seeds
    return {key: r for key, r in records.items() if r["seed"] in seeds and r["mask"] in choice.masks}


def figures_of(record: Mapping[str, Any]) -> dict[str, float]:
    """All numbers of a record: figures, and what the method measured of itself."""
    found = {**record.get("figures", {}), **record.get("measured", {})}
    return {key: float(value) for key, value in found.items() if value is not None and np.isfinite(value)}


def table(records: Iterable[Mapping[str, Any]], key: str) -> Table:
    """Item -> seed -> value of one figure."""
    found: Table = {}
    for record in records:
        value = figures_of(record).get(key)
        if value is not None:
            found.setdefault(record["item"], {})[record["seed"]] = value
    return found


def _short(record: Mapping[str, Any]) -> dict[str, Any]:
    kept = ("item", "mask", "seed", "status", "message", "sha256", "window", "seconds")
    return {name: record[name] for name in kept if name in record} | {"figures": figures_of(record)}


def _account(records: list[Mapping[str, Any]]) -> dict[str, Any]:
    """How many answers, which failures, how long, how much memory."""
    answered = [r for r in records if r["status"] not in FAILED]
    seconds = [r["seconds"] for r in answered]
    return {
        "asked": len(records),
        "answered": len(answered),
        "statuses": dict(sorted(Counter(r["status"] for r in records).items())),
        "failures": sorted({f"{r['item']}: {r['status']}: {r['message']}" for r in records if r["status"] in FAILED}),
        "cost": {
            "seconds": float(np.median(seconds)) if seconds else None,
            "cpu_seconds": float(np.median([r["cpu_seconds"] for r in answered])) if answered else None,
            "memory": max((float(r["memory"]) for r in answered if r["memory"] is not None), default=None),
        },
    }


def _finder(items: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """What perception gives on this set, whatever the method."""
    rows = list(items)
    found: dict[str, Any] = {}
    for key in ("found_before", "found_in_truth", "order_accuracy"):
        values = [float(r[key]) for r in rows if r.get(key) is not None]
        if values:
            found[key] = {"value": float(np.mean(values)), "items": len(values)}
    return found


def _paired(
    records: Mapping[str, Records], mask: str, recipe: BenchRecipe, clusters: Mapping[str, str]
) -> list[dict[str, Any]]:
    """Every method against the reference, for every headline; p adjusted over the whole list."""
    reference = recipe.reference_name
    found: list[dict[str, Any]] = []
    if reference not in records:
        return found
    for figure in HEADLINES:
        base = table((r for r in records[reference].values() if r["mask"] == mask), figure.key)
        for method, of in records.items():
            if method == reference:
                continue
            mine = table((r for r in of.values() if r["mask"] == mask), figure.key)
            result = paired(*shared_seeds(mine, base), recipe.resamples, clusters)
            if result is not None:
                found.append({"figure": figure.key, "method": method, **asdict(result)})
    for row, p in zip(found, holm([row["p"] for row in found]), strict=True):
        row["p_holm"] = p
    return found


def _bins(
    records: Mapping[str, Records], items: Mapping[str, Mapping[str, Any]], mask: str, recipe: BenchRecipe
) -> list[dict[str, Any]]:
    """Headline means in every bin that holds an item."""
    wanted: list[tuple[str, str, Callable[[Mapping[str, Any]], bool]]] = []
    for name, (field, edges) in BINS.items():
        for title, low, high in edges:
            wanted.append((name, title, _between(field, low, high)))
    scenarios = sorted({str(row["tags"].get("scenario", "")) for row in items.values()})
    if len(scenarios) > 1:
        wanted += [("scenario", scenario, _tagged(scenario)) for scenario in scenarios]
    found = []
    clusters = {id: str(row["cluster"]) for id, row in items.items()}
    for name, title, test in wanted:
        inside = {id for id, row in items.items() if test(row)}
        if not inside:
            continue
        means = {}
        for method, of in records.items():
            mine = [r for r in of.values() if r["mask"] == mask and r["item"] in inside]
            made = {f.key: mean_of(table(mine, f.key), recipe.resamples, clusters) for f in HEADLINES}
            means[method] = {key: asdict(m) for key, m in made.items() if m is not None}
        found.append({"by": name, "bin": title, "items": len(inside), "means": means})
    return found


def _between(field: str, low: float, high: float) -> Callable[[Mapping[str, Any]], bool]:
    return lambda row: row.get(field) is not None and low <= row[field] < high


def _tagged(scenario: str) -> Callable[[Mapping[str, Any]], bool]:
    return lambda row: row["tags"].get("scenario") == scenario


def _ranks(records: Mapping[str, Records], mask: str, clusters: Mapping[str, str]) -> dict[str, Any]:
    """CAG against leakage, per method across samples, and over all samples of all methods."""
    found: dict[str, Any] = {}
    pool: dict[str, list[tuple[float, float, str]]] = {"cag": [], "cag_area": []}
    for method, of in records.items():
        for gap in ("cag", "cag_area"):
            pairs = [
                (f[gap], f["leak.kept"], clusters[r["item"]])
                for r in of.values()
                if r["mask"] == mask and gap in (f := figures_of(r)) and "leak.kept" in f
            ]
            if pairs:
                pool[gap] += pairs
                found.setdefault(method, {})[gap] = asdict(_rank(pairs))
    if sum("cag" in of for of in found.values()) > 1:
        found["all methods"] = {gap: asdict(_rank(pairs)) for gap, pairs in pool.items() if pairs}
    return found


def _rank(triples: list[tuple[float, float, str]]) -> Rank:
    """Of (gap, leakage, cluster)."""
    return spearman([x for x, _, _ in triples], [y for _, y, _ in triples], clusters=[c for _, _, c in triples])


def _attention(sets: list[dict[str, Any]]) -> dict[str, Any]:
    """CAG against leakage across models: one point per method and set, means over the items that have both."""
    found: dict[str, Any] = {"points": []}
    for one in sets:
        for method, answers in one["answers"].items():
            both = [
                a["figures"]
                for a in answers.values()
                if a["mask"] == one["main_mask"] and "cag" in a["figures"] and "leak.kept" in a["figures"]
            ]
            if both:
                point = {key: float(np.mean([f[key] for f in both if key in f])) for key in ("cag", "leak.kept")}
                areas = [f["cag_area"] for f in both if "cag_area" in f]
                point["cag_area"] = float(np.mean(areas)) if areas else None  # type: ignore[assignment]
                found["points"].append({"set": one["name"], "method": method, "items": len(both), **point})
    for name in {p["set"] for p in found["points"]}:
        points = [p for p in found["points"] if p["set"] == name]
        found.setdefault("across_models", {})[name] = {
            gap: asdict(_rank([(p[gap], p["leak.kept"], p["method"]) for p in points if p[gap] is not None]))
            for gap in ("cag", "cag_area")
        }
    return found


def _distributions(out: Path, slug: str, name: str, records: list[Mapping[str, Any]]) -> dict[str, float]:
    """FID and CMMD of a method's answers against the people-free truths, where vectors were kept."""
    found: dict[str, float] = {}
    for folder in sorted((out / "vectors").glob("*")) if (out / "vectors").is_dir() else ():
        mine = [np.load(p) for r in records if (p := folder / slug / name / f"{r['key']}.npy").is_file()]
        truths = [np.load(p) for p in sorted((folder / "_truth" / name).glob("*.npy"))]
        inception = folder.name.startswith("inception")
        value = frechet(mine, truths) if inception else cmmd(mine, truths)
        if value is not None:
            found[f"{'fid' if inception else 'cmmd'} ({folder.name})"] = value
    return found


def columns(summary_set: Mapping[str, Any], title: str) -> list[Any]:
    """The figures of a table that have a value in this set, feature networks' in the table of the hole."""
    there = {key for part in summary_set["masks"].values() for row in part.values() for key in row["means"]}
    found = [figure for figure in TABLES[title] if figure.key in there]
    if title == "The hole":
        known = {f.key for figures in TABLES.values() for f in figures} | {"changed_in_hole"}
        extra = [k for k in sorted(there - known) if "(" in k]
        found += [learned(key) for key in extra]
    return found
