"""How far a job is: one kind of callback for every stage, and about how long the rest will take."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

#: Hears a stage's name and the fraction of it that is done, 0..1; raising :class:`mild.errors.Cancelled` stops the job.
Progress = Callable[[str, float], None]

#: The road's stages in their order, and how much of a typical job each is. ``layers`` frames fill, denoise and paint,
#: and is not counted.
STAGES = {"find": 16, "plan": 2, "load": 8, "parse": 0, "fill": 40, "denoise": 6, "paint": 26, "compose": 2}
#: From this part of a job on its rest is guessed.
KNOWN = 0.05


class Share(float):
    """The part of a stage that is done, as every callback of a job is given it.

    Attributes:
        remaining: about how many seconds the whole job will still take, by the wall clock; None while it is too early
            to tell.
    """

    remaining: float | None

    def __new__(cls, value: float, remaining: float | None = None) -> Share:
        made = super().__new__(cls, value)
        made.remaining = remaining
        return made


class Clock:
    """Tells the progress of one job, and keeps the wall time of its stages.

    Args:
        tell: hears every step; None: nobody does.
        skipped: stages that this job does not have.
        clock: wall time, seconds.

    Attributes:
        seconds: wall time per stage that was framed by :meth:`stage`.
    """

    def __init__(
        self,
        tell: Progress | None = None,
        *,
        skipped: tuple[str, ...] = (),
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self.seconds: dict[str, float] = {}
        self._tell, self._clock, self._skipped = tell, clock, skipped
        self._begun = clock()
        self._done = 0.0

    def __call__(self, stage: str, share: float) -> None:
        """A stage has come so far; those before it are done."""
        if stage in STAGES:
            names = list(STAGES)
            before = sum(self._weight(name) for name in names[: names.index(stage)])
            self._done = max(self._done, before + self._weight(stage) * share)
        if self._tell is not None:
            self._tell(stage, Share(share, self.remaining()))

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Frames one stage: told at its begin and its end, and timed."""
        self(name, 0.0)
        begun = self._clock()
        yield
        self.seconds[name] = self._clock() - begun
        self(name, 1.0)

    def remaining(self) -> float | None:
        """Seconds until the job is done, if the rest goes as what is done; None while too little is."""
        whole = sum(self._weight(name) for name in STAGES)
        if self._done < KNOWN * whole:
            return None
        return (self._clock() - self._begun) * (whole - self._done) / self._done

    def _weight(self, stage: str) -> float:
        return 0 if stage in self._skipped else STAGES[stage]
