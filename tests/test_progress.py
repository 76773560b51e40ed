"""How far a job is, and what it guesses of its rest."""

from __future__ import annotations

import pytest

from mild.progress import STAGES, Clock, Share


class Wall:
    """A clock that goes only when it is told to."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_nothing_is_guessed_at_the_start() -> None:
    assert Clock().remaining() is None


def test_the_rest_goes_as_what_is_done() -> None:
    wall = Wall()
    clock = Clock(clock=wall)
    wall.now = 4.0
    clock("fill", 0.0)
    done = STAGES["find"] + STAGES["plan"] + STAGES["load"]
    assert clock.remaining() == pytest.approx(4.0 * (sum(STAGES.values()) - done) / done)


def test_a_stage_that_the_job_does_not_have_counts_for_nothing() -> None:
    wall = Wall()
    clock = Clock(skipped=("find", "load"), clock=wall)
    wall.now = 1.0
    clock("fill", 0.5)
    done = STAGES["plan"] + 0.5 * STAGES["fill"]
    whole = sum(STAGES.values()) - STAGES["find"] - STAGES["load"]
    assert clock.remaining() == pytest.approx((whole - done) / done)


def test_it_never_runs_backwards_and_ends_at_nothing() -> None:
    wall = Wall()
    clock = Clock(clock=wall)
    wall.now = 10.0
    clock("paint", 0.5)
    before = clock.remaining()
    clock("fill", 0.1)
    assert clock.remaining() == before
    clock("compose", 1.0)
    assert clock.remaining() == 0.0


def test_every_step_is_told_with_what_remains() -> None:
    told: list[tuple[str, float, float | None]] = []

    def tell(stage: str, share: float) -> None:
        assert isinstance(share, Share)
        told.append((stage, float(share), share.remaining))

    clock = Clock(tell, clock=Wall())
    with clock.stage("find"):
        clock("find", 0.5)
    assert [(stage, share) for stage, share, _ in told] == [("find", 0.0), ("find", 0.5), ("find", 1.0)]
    assert told[0][2] is None and told[-1][2] == 0.0
    assert set(clock.seconds) == {"find"}


def test_an_unknown_stage_is_handed_on_and_not_counted() -> None:
    told: list[str] = []
    clock = Clock(lambda stage, share: told.append(stage))
    clock("layers", 1.0)
    assert told == ["layers"] and clock.remaining() is None
