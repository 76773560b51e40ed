"""Which engine a command means."""

from __future__ import annotations

from mild.engines.engine import Engine, Limits, Work, cores
from mild.errors import UsageError

#: The engines' names, as ``--engine`` takes them.
ENGINES = ("local", "ray")


def chosen(
    name: str,
    work: Work,
    *,
    jobs: int | None = None,
    limits: Limits | None = None,
    address: str | None = None,
    gpus: float = 0.0,
) -> Engine:
    """An engine by its name.

    Args:
        name: ``local``: processes of this machine. ``ray``: a Ray cluster, or this machine as one.
        jobs: workers; None: one per core (of the cluster).
        limits: of an item.
        address: of the Ray cluster; None: the environment's ``RAY_ADDRESS``, or else a cluster of this machine alone.
        gpus: of each Ray worker; may be a part of one.

    Raises:
        UsageError: no engine of that name, or options that it does not take.
        MildError: Ray is not installed, or its cluster cannot be reached.
    """
    limits = limits or Limits()
    check(name, address, gpus)
    if name == "local":
        from mild.engines.local import LocalEngine

        return LocalEngine(work, jobs or cores(), limits)
    from mild.engines.ray_data import RayEngine

    return RayEngine(work, jobs, limits, address, gpus)


def check(name: str, address: str | None, gpus: float) -> None:
    """Raises :class:`UsageError` where there is no engine of that name, or it does not take such options."""
    if name not in ENGINES:
        raise UsageError(f"There is no engine {name!r} (known: {', '.join(ENGINES)}).")
    if name == "local" and (address or gpus):
        raise UsageError("An address and GPUs per worker are for the engine ray; leave them out, or choose it.")
