"""matplotlib without any display, for whoever draws a report; it comes with an extra."""

from __future__ import annotations

from typing import Any

from mild.extras import needs


def plotting(what: str, *extras: str) -> Any:
    """matplotlib's ``Figure``.

    Args:
        what: begins the sentence where it is missing, as of :func:`mild.extras.needs`.
        extras: which bring it, and whatever else ``what`` needs.

    Raises:
        MildError: it is not installed.
    """
    with needs(what, *extras):
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure

    def figure(**kwargs: Any) -> Any:
        made = Figure(**kwargs)
        FigureCanvasAgg(made)
        return made

    return figure
