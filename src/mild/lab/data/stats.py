"""Tables and plots of what is in a set."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mild.errors import MildError
from mild.lab.data.facts import Facts, licences

#: Percentiles of the tables.
_MARKS = (5, 25, 50, 75, 95)


@dataclass(frozen=True)
class Distribution:
    """One quantity: its name, what it is counted over, and its values."""

    name: str
    per: str
    values: tuple[float, ...]

    def marks(self) -> list[float]:
        return [round(float(v), 4) for v in np.percentile(self.values, _MARKS)] if self.values else []


def distributions(facts: Sequence[Facts]) -> list[Distribution]:
    """Everything that is plotted."""
    return [
        Distribution("people", "sample", tuple(float(f.people) for f in facts)),
        Distribution("people to erase", "sample", tuple(float(f.erased) for f in facts)),
        Distribution("chain of occlusion", "sample", tuple(float(f.chain) for f in facts)),
        Distribution("occlusion across erased and kept", "sample", tuple(f.occlusion for f in facts)),
        Distribution("share of a person that is hidden", "person", tuple(h for f in facts for h in f.hidden)),
        Distribution(
            "visible area of a person (share of the photo)", "person", tuple(a for f in facts for a in f.areas)
        ),
        Distribution("visible height (share of the photo's)", "person", tuple(h for f in facts for h in f.heights)),
        Distribution("object pixels over people", "sample", tuple(f.entangled for f in facts if f.entangled > 0)),
        Distribution("CIELAB contrast of the erased", "sample", tuple(f.contrast for f in facts if f.contrast < 100)),
        Distribution("share of the photo in shadow", "sample", tuple(f.shadow for f in facts)),
    ]


def summary(facts: Sequence[Facts]) -> dict[str, Any]:
    """All numbers, JSON-able."""
    if not facts:
        raise MildError("There are no samples to count.")
    sizes = Counter(f"{f.size[1]} x {f.size[0]}" for f in facts)
    groups: dict[str, set[str]] = {}
    for fact in facts:
        for source in fact.sources:
            groups.setdefault(source.kind, set()).add(source.group)
    return {
        "samples": len(facts),
        "people": sum(f.people for f in facts),
        "sizes": dict(sizes.most_common()),
        "splits": dict(Counter(f.split for f in facts)),
        "truth": dict(Counter(f.truth for f in facts)),
        "scenarios": dict(sorted(Counter(f.scenario for f in facts).items())),
        "people_per_sample": {str(k): v for k, v in sorted(Counter(f.people for f in facts).items())},
        "objects": dict(Counter(name for f in facts for name in f.objects).most_common()),
        "cut_by_the_frame": sum(f.cut for f in facts),
        "camouflaged": sum(f.camouflaged for f in facts),
        "pose_known": sum(f.posed for f in facts),
        "original_photos": {kind: len(found) for kind, found in sorted(groups.items())},
        "distributions": {
            d.name: {"per": d.per, "count": len(d.values), **dict(zip(map(str, _MARKS), d.marks(), strict=False))}
            for d in distributions(facts)
        },
        "licences": [{"licence": n, "ingredients": i, "samples": s} for n, i, s in licences(facts)],
    }


def write_stats(facts: Sequence[Facts], folder: Path) -> list[Path]:
    """``stats.json`` and ``stats.png`` in this folder."""
    numbers = folder / "stats.json"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        numbers.write_text(json.dumps(summary(facts), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        return [numbers, _plot(facts, folder / "stats.png")]
    except OSError as error:
        raise MildError(f"The statistics could not be written to {folder} ({error.strerror or error}).") from None


def _plot(facts: Sequence[Facts], path: Path) -> Path:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    shown = [d for d in distributions(facts) if d.values]
    figure, axes = pyplot.subplots(-(-(len(shown) + 1) // 4), 4, figsize=(16, 3.2 * -(-(len(shown) + 1) // 4)))
    places = list(np.ravel(axes))
    scenarios = sorted(Counter(f.scenario for f in facts).items())
    places[0].bar([name for name, _ in scenarios], [count for _, count in scenarios], color="#55769c")
    places[0].set_title("scenario", fontsize=9)
    places[0].tick_params(axis="x", labelsize=7)
    for place, one in zip(places[1:], shown, strict=False):
        whole = all(value == int(value) for value in one.values)
        top = int(max(one.values))
        bins: Any = np.arange(top + 2) - 0.5 if whole and top < 40 else 30
        place.hist(one.values, bins=bins, color="#55769c")
        place.set_title(f"{one.name} (per {one.per})", fontsize=9)
        place.tick_params(labelsize=7)
    for place in places[len(shown) + 1 :]:
        place.axis("off")
    figure.tight_layout()
    figure.savefig(path, dpi=80, metadata={"Software": None})
    pyplot.close(figure)
    return path
