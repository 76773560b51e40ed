"""What a batch is asked for, how far it is, and what its results are called."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from mild.app.batch import store
from mild.app.batch.sources import Item, absolute
from mild.app.batch.worker import Setup, joined
from mild.errors import UsageError
from mild.photo.formats import format_of


@dataclass(frozen=True)
class Order:
    """What a batch is asked for.

    Attributes:
        source: see :func:`mild.app.batch.sources.items_of`.
        setup: where results and ledger go.
        request: of every photo, part by part, as the command line gives it; a manifest's fields are laid over it.
        include, exclude: patterns of names.
        pattern: of a result's name: ``{folder}``, ``{stem}``, ``{suffix}``, ``{name}``.
        format: suffix of the results, with its dot; None: the photo's own.
        force: results that are in the way may be replaced.
        bursts: which photos are shots of one scene, see :func:`mild.app.batch.bursts.with_shots`.
    """

    source: str
    setup: Setup
    request: dict[str, Any] = field(default_factory=dict)
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    pattern: str = "{folder}/{stem}{suffix}"
    format: str | None = None
    force: bool = False
    bursts: str | None = None

    @property
    def stem(self) -> str:
        """First part of the names of the ledger and the page."""
        return "dry-run" if self.setup.dry else "batch"


@dataclass
class Progress:
    """How far a batch is.

    Attributes:
        total: photos of this run; ``before``: those that an earlier run did.
        counts: by what became of them.
        seconds: since the run began.
    """

    total: int = 0
    before: int = 0
    counts: dict[str, int] = field(default_factory=dict)
    seconds: float = 0.0

    @property
    def finished(self) -> int:
        return sum(self.counts.values())

    @property
    def rate(self) -> float:
        """Photos a second."""
        return self.finished / self.seconds if self.seconds else 0.0

    @property
    def remaining(self) -> float | None:
        """Seconds until all are done, if it goes on like this; None before one is."""
        return (self.total - self.finished) / self.rate if self.finished else None

    @property
    def failed(self) -> int:
        return self.counts.get("failed", 0)


def planned(items: Iterable[Item], order: Order) -> dict[tuple[str, str | None], str]:
    """The result's name of every item, by the item's name and the output that its manifest says.

    Raises:
        UsageError: two would have the same, one would replace a photo, or lie among them.
    """
    out = order.setup.out
    names: dict[tuple[str, str | None], str] = {}
    taken: dict[str, str] = {}
    if not order.setup.dry and _within(out, order.source):
        raise UsageError(
            f"The output {out} lies inside {order.source}, where its results would be taken for photos; "
            "name a folder elsewhere."
        )
    sources = set()
    for item in items:
        name = item.output or _named(item.name, order)
        format_of(Path(name))
        if name in taken:
            raise UsageError(
                f"{taken[name]} and {item.name} would both become {name}; "
                "give --name a pattern that tells them apart, such as '{folder}/{name}{suffix}'."
            )
        taken[name] = item.name
        names[item.name, item.output] = name
        sources.add(item.source)
    if not order.setup.dry:
        for name in taken:
            if absolute(joined(out, name)) in sources:
                raise UsageError(f"The result {name} would replace the photo itself; name another output.")
    return names


def _named(name: str, order: Order) -> str:
    path = PurePosixPath(name)
    folder = "" if str(path.parent) == "." else str(path.parent)
    parts = {"folder": folder, "stem": path.stem, "name": path.name}
    try:
        made = order.pattern.format(suffix=order.format or path.suffix, **parts)
    except (KeyError, IndexError, ValueError):
        raise UsageError(
            f"--name {order.pattern!r} is no pattern; it may use {{folder}}, {{stem}}, {{name}}, {{suffix}}."
        ) from None
    made = os.path.normpath(made.lstrip("/")).replace("\\", "/")
    if made.startswith("..") or Path(made).is_absolute():
        raise UsageError(f"--name {order.pattern!r} leaves the output's folder.")
    return made


def _within(out: str, source: str) -> bool:
    """Does the output lie in the source, or is it the source?"""
    if store.is_uri(out) or store.is_uri(source):
        return f"{out.rstrip('/')}/".startswith(f"{source.rstrip('/')}/")
    inner, outer = Path(out).resolve(), Path(source).resolve()
    return outer.is_dir() and (inner == outer or outer in inner.parents)
