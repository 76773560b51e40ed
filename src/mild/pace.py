"""How long a job will still take: told with every step of its progress.

The plan says how much there is to search, to denoise and to paint; tables measured once say what that costs on one core
of an ordinary processor. While the job runs, what its stages took so far corrects the tables (a slower machine), and
wall time over processor time says how much of the processor the job gets (a busy machine).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence

from mild.fill.canvas import searched_size
from mild.plan.planning import LayerPlan, Plan
from mild.request import Method

Tell = Callable[[str, float], None]
Clock = Callable[[], float]

#: The road's stages in their order. ``layers`` frames the three that make them, and is not counted.
STAGES = ("find", "plan", "load", "parse", "fill", "denoise", "paint", "compose")
#: Stages that say how fast the machine is: always the same work, which the plan tells well. (Denoisers differ.)
TELLING = ("fill", "paint")
#: The tables' word counts as much as so many seconds of experience.
TRUST = 0.4
#: As much of the wait for the processor, which is seen at once.
SURE = 0.05
#: A part that takes longer than it should is thought to need this much more of what it took.
OVERDUE = 0.3

# Seconds of one core, measured (bench/estimates.py compares them with the truth).
FIND, FIND_PER_PIXEL = 1.7, 60e-9
PLAN_PER_PIXEL, COMPOSE_PER_PIXEL = 15e-9, 10e-9
LOAD = {"onnx": 0.35, "torch": 6.5}
#: Of the exemplar search, per hole pixel at the size that is searched.
SEARCH = 52e-6
#: Of one step, per canvas pixel and layer.
DENOISE = {"onnx": 1.7e-6, "torch": 2.6e-6}
#: Of painting: the first places per hole pixel at the searched size; then per hole pixel and per pixel of the crop.
PLACES, PAINT, VIEW = 20e-6, 0.35e-6, 0.06e-6
#: A job whose plan is not made yet: its layers, and the part of each that is hole at the searched size.
LAYERS, HOLE = 1.4, 25_000


class Share(float):
    """The part of a stage that is done, 0..1, as every progress callback is given it.

    Args:
        ask: says how many seconds the whole job will still take, when it is asked.
    """

    _ask: Callable[[], float | None]

    def __new__(cls, value: float, ask: Callable[[], float | None]) -> Share:
        made = super().__new__(cls, value)
        made._ask = ask
        return made

    @property
    def remaining(self) -> float | None:
        """About how many seconds the job will still take, now: it may be asked again between two steps.

        None before anything is known of the job.
        """
        return self._ask()


class Pace:
    """A progress callback that adds what remains, and hands on.

    Args:
        tell: hears every step: the stage's name and a :class:`Share` of it; None: nobody does.
        clock: wall time, seconds.
        processor: processor time of this process, seconds.
    """

    def __init__(
        self, tell: Tell | None = None, clock: Clock = time.perf_counter, processor: Clock = time.process_time
    ) -> None:
        self._tell, self._clock, self._processor = tell, clock, processor
        self._parts: dict[str, tuple[float, ...]] = {}
        self._at = 0
        self._share = 0.0
        self._begun = clock(), processor()
        self._moved = self._begun[1]
        # Per stage, of what is done: what the tables said it would take, and what it took.
        self._promised, self._took = dict.fromkeys(STAGES, 0.0), dict.fromkeys(STAGES, 0.0)

    def expect(self, seconds: Mapping[str, Sequence[float]]) -> None:
        """What stages will take by the tables, part by part; said again, the later word counts."""
        self._parts |= {stage: tuple(parts) for stage, parts in seconds.items()}

    def __call__(self, stage: str, share: float) -> None:
        """A stage has come so far; those before it are done."""
        if stage in STAGES:
            self._move(STAGES.index(stage), share)
        if self._tell is not None:
            self._tell(stage, Share(share, self.remaining))

    def remaining(self) -> float | None:
        """Seconds until the job is done, by what is known now; None before anything was expected."""
        if not self._parts:
            return None
        here = STAGES[self._at]
        machine = (sum(self._took[s] for s in TELLING) + TRUST) / (sum(self._promised[s] for s in TELLING) + TRUST)
        speed = (self._took[here] + TRUST * machine) / (self._promised[here] + TRUST)
        # The part that is under way; nobody hears of it before it ends.
        part = self._next() * speed
        spent = max(0.0, self._processor() - self._moved)
        left = part - spent if spent < part / (1 + OVERDUE) else OVERDUE * spent if part else 0.0
        later = sum(sum(self._parts.get(stage, ())) for stage in STAGES[self._at + 1 :]) * machine
        rest = sum(self._parts.get(here, ())) - self._done(self._at, self._share) - self._next()
        return (later + max(0.0, rest) * speed + left) * self._waiting()

    def _move(self, at: int, share: float) -> None:
        now = self._processor()
        if (at, share) <= (self._at, self._share):
            return
        if at == self._at:
            self._promised[STAGES[at]] += self._done(at, share) - self._done(at, self._share)
            self._took[STAGES[at]] += now - self._moved
        self._at, self._share, self._moved = at, share, now

    def _done(self, at: int, share: float) -> float:
        """Of a stage's seconds, those of the share: its parts are of equal share, not of equal length."""
        parts = self._parts.get(STAGES[at], ())
        whole = min(len(parts), int(share * len(parts) + 1e-6))
        inside = max(0.0, share * len(parts) - whole)
        return sum(parts[:whole]) + (inside * parts[whole] if whole < len(parts) else 0.0)

    def _next(self) -> float:
        """Seconds of what is left of the part under way."""
        parts = self._parts.get(STAGES[self._at], ())
        whole = min(len(parts), int(self._share * len(parts) + 1e-6))
        if whole == len(parts):
            return 0.0
        return sum(parts[: whole + 1]) - self._done(self._at, self._share)

    def _waiting(self) -> float:
        """Wall seconds per processor second, so far; several threads make it smaller than one."""
        wall, processor = self._clock() - self._begun[0], self._processor() - self._begun[1]
        return min(max((wall + SURE) / (processor + SURE), 0.1), 20.0)


def unplanned(pixels: int, method: Method, runtime: str, *, find: bool, load: bool) -> dict[str, list[float]]:
    """Seconds of each stage of a job on a photo of so many pixels, before anybody knows what is to be made."""
    crop = min(pixels, 12_000_000)
    return {
        "find": [FIND + FIND_PER_PIXEL * pixels] if find else [],
        "plan": [PLAN_PER_PIXEL * pixels],
        "load": [LOAD[runtime]] if load else [],
        "fill": [LAYERS * SEARCH * HOLE] if method.prior else [],
        "denoise": [LAYERS * _denoise(method, runtime, method.resolution**2)] if method.denoise else [],
        "paint": [LAYERS * (PLACES * HOLE + (0.2 * PAINT + VIEW) * crop)] if method.detail else [],
        "compose": [COMPOSE_PER_PIXEL * pixels],
    }


def planned(plan: Plan, method: Method, runtime: str) -> dict[str, list[float]]:
    """Seconds of the stages that make the layers of a plan, layer by layer."""
    searched = [int(row.hole.sum()) * _finer(row) for row in plan.layers]
    painted = [
        PLACES * pixels * (_finer(row) < 1) + PAINT * int(row.hole.sum()) + VIEW * row.crop.area
        for row, pixels in zip(plan.layers, searched, strict=True)
    ]
    canvas = sum(row.bucket[0] * row.bucket[1] for row in plan.layers)
    return {
        "fill": [SEARCH * pixels + VIEW * row.crop.area for row, pixels in zip(plan.layers, searched, strict=True)]
        if method.prior
        else [],
        "denoise": [_denoise(method, runtime, canvas)] if method.denoise else [],
        "paint": painted if method.detail else [VIEW * row.crop.area for row in plan.layers],
    }


def _denoise(method: Method, runtime: str, pixels: int) -> float:
    return DENOISE[runtime] * pixels * (1 if runtime == "onnx" else method.steps)


def _finer(row: LayerPlan) -> float:
    """Pixels that are searched per pixel of the crop."""
    height, width = searched_size(row.crop)
    return height * width / row.crop.area
