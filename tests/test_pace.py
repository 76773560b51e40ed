"""How long a job will still take, by a clock that the tests turn."""

from __future__ import annotations

from pathlib import Path

import pytest

from mild.app.cli.progress import left_in_words
from mild.pace import OVERDUE, STAGES, Pace, Share


class Machine:
    """Wall and processor time; ``busy``: wall seconds per processor second."""

    def __init__(self, busy: float = 1.0) -> None:
        self.wall, self.processor, self.busy = 100.0, 7.0, busy

    def work(self, seconds: float) -> None:
        self.processor += seconds
        self.wall += seconds * self.busy

    def pace(self, tell: object = None) -> Pace:
        made = Pace(tell, lambda: self.wall, lambda: self.processor)  # type: ignore[arg-type]
        made.expect({"fill": [2.0, 4.0], "denoise": [1.0], "paint": [3.0, 1.0], "compose": [1.0]})
        return made


def test_at_the_start_it_is_what_the_tables_say() -> None:
    assert Machine().pace().remaining() == pytest.approx(12.0)


def test_time_that_passes_within_a_part_counts() -> None:
    machine = Machine()
    pace = machine.pace()
    pace("fill", 0.0)
    machine.work(1.0)
    assert pace.remaining() == pytest.approx(11.0)


def test_parts_are_of_equal_share_but_not_of_equal_length() -> None:
    machine = Machine()
    pace = machine.pace()
    pace("fill", 0.0)
    machine.work(2.0)
    pace("fill", 0.5)
    assert pace.remaining() == pytest.approx(10.0)
    machine.work(4.0)
    pace("denoise", 0.0)
    assert pace.remaining() == pytest.approx(6.0)


@pytest.mark.parametrize("speed", [0.25, 1.0, 4.0])
@pytest.mark.parametrize("busy", [0.5, 1.0, 5.0])
def test_a_slow_or_busy_machine_is_noticed(speed: float, busy: float) -> None:
    machine = Machine(busy)
    pace = machine.pace()
    pace("fill", 0.0)
    machine.work(2.0 * speed)
    pace("fill", 0.5)
    true = 10.0 * speed * busy
    assert true / 1.5 < pace.remaining() < true * 1.5


def test_a_part_that_is_overdue_is_not_nearly_done() -> None:
    machine = Machine()
    pace = machine.pace()
    pace("compose", 0.0)
    machine.work(50.0)
    assert pace.remaining() == pytest.approx(OVERDUE * 50.0, rel=0.01)


def test_a_denoiser_of_unknown_cost_says_nothing_of_the_other_stages() -> None:
    machine = Machine()
    pace = machine.pace()
    pace("denoise", 0.0)
    machine.work(50.0)
    pace("denoise", 0.5)
    assert 25.0 < pace.remaining() - 5.0 < 75.0  # half of it is left, and 5 s of painting and composing
    machine.work(50.0)
    pace("denoise", 1.0)
    assert pace.remaining() == pytest.approx(5.0)


def test_what_was_said_later_counts() -> None:
    pace = Machine().pace()
    pace.expect({"fill": [0.5], "paint": []})
    assert pace.remaining() == pytest.approx(2.5)


def test_the_end_is_the_end_and_steps_come_in_any_order() -> None:
    machine = Machine()
    pace = machine.pace()
    pace("paint", 0.5)
    machine.work(0.5)
    before = pace.remaining()
    pace("fill", 0.1)  # late news change nothing
    pace("layers", 1.0)  # a stage that frames others
    assert pace.remaining() == before
    pace("compose", 1.0)
    assert pace.remaining() == 0.0
    assert Pace().remaining() is None
    assert set(STAGES) >= {"find", "load"}


def test_a_share_is_a_number_that_knows_what_remains_now() -> None:
    machine = Machine()
    told: list[tuple[str, Share]] = []
    pace = machine.pace(lambda stage, share: told.append((stage, share)))
    pace("fill", 0.0)
    stage, share = told[0]
    assert (stage, share) == ("fill", 0.0)
    machine.work(1.5)
    assert share.remaining == pytest.approx(10.5)


def test_the_status_of_a_running_job_asks_anew(tmp_path: Path) -> None:
    from mild.app.server.jobs import Job, JobStatus

    fields = {"id": "a", "kind": "erase", "state": "running", "created": 0.0, "photo_id": "b", "request": {}}
    job = Job(tmp_path, JobStatus.model_validate(fields))
    assert job.status.remaining is None
    left = [4.0, 3.0]
    job.remaining = lambda: left.pop(0)
    assert (job.status.remaining, job.status.remaining) == (4.0, 3.0)
    job.update(state="done")
    assert job.status.remaining is None


def test_the_bar_says_what_is_left() -> None:
    assert left_in_words(Share(0.5, lambda: 7.2)) == "about 7 s left"
    assert left_in_words(Share(0.5, lambda: 130.0)) == "about 2 min left"
    assert left_in_words(0.5) == left_in_words(Share(0.5, lambda: None)) == ""
