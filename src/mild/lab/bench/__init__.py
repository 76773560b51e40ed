"""The benchmark: any method, on any set, behind one small interface; metrics, statistics and a report.

    recipe.py ──> runner.py ──> metrics/score.py ──> summary.py ──> report/
     what to do    one worker     one row of           means,         HTML, Markdown,
                   per method     numbers per answer   intervals      JSON

What every number means is in ``docs/bench.md``.
"""
