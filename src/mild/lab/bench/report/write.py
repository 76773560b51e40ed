"""Write the report of a run: ``report.html``, ``report.md`` and ``results.json`` beside its records."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mild.files import write_atomically
from mild.lab.bench.listing import load_sets
from mild.lab.bench.recipe import BenchRecipe
from mild.lab.bench.report.cases import cases
from mild.lab.bench.report.markdown import markdown
from mild.lab.bench.report.page import page
from mild.lab.bench.summary import summarise


def write_report(out: str | Path, *, results: Path | None = None, command: str | None = None) -> dict[str, Any]:
    """The three files, and ``results`` too when it is named: the same Markdown with the command that made it.

    Returns:
        The summary.
    """
    out = Path(out)
    summary = summarise(out)
    recipe = BenchRecipe.build(**summary["recipe"])
    shown = cases(out, summary, load_sets(recipe))
    _write(out / "report.html", page(summary, shown))
    _write(out / "report.md", markdown(summary))
    if results is not None:
        _write(results, markdown(summary, command=command))
    return summary


def _write(path: Path, text: str) -> None:
    write_atomically(path, lambda stream: stream.write(text.encode()))
