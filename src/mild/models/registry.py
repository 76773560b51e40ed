"""Every model that the program can use, one :class:`~mild.models.spec.ModelSpec` each, by task and in order of choice.

Within a task the order is the order of defaults: the licence first, quality second. What forbids commercial use, or
leaves it open, is never a default and is said before the download. Licences were read in model cards and licence files
in November 2026; none of the optional files could be run where this was written (see ``docs/better-models.md``).

To add a model, add a spec to the file of its task in ``known/``.
"""

from __future__ import annotations

from mild.errors import UsageError
from mild.models.known import backbones, clicks, erasers, fillers, finders, parts
from mild.models.spec import ModelSpec, Task

REGISTRY: dict[str, ModelSpec] = {
    spec.name: spec
    for group in (erasers.SPECS, finders.SPECS, fillers.SPECS, clicks.SPECS, parts.SPECS, backbones.SPECS)
    for spec in group
}

#: ``mild models --fetch good`` means all of these.
GOOD = "good"


def spec(name: str) -> ModelSpec:
    """The registered model; :class:`UsageError` when there is none of that name."""
    try:
        return REGISTRY[name]
    except KeyError:
        raise UsageError(f"There are no weights called '{name}' (known: {', '.join(REGISTRY)}).") from None


def of_task(task: Task) -> list[ModelSpec]:
    """The models of a task, in order of choice."""
    return [one for one in REGISTRY.values() if one.task == task]


def by_sha256(sha256: str) -> ModelSpec | None:
    """The registered model of which a file has this whole sha256."""
    return next((s for s in REGISTRY.values() if any(f.sha256 == sha256 for f in s.files)), None)
