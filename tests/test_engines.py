"""Engines: what becomes of items whose worker raises, dies, hangs or eats memory, and that the others go on."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from mild.engines import Done, Engine, Limits, Work, Workers, chosen, note
from mild.errors import MildError, UsageError


def begin(setup: str) -> Callable[[Any], Any]:
    """A worker that does as it is told."""
    loaded = f"{setup}:{os.getpid()}"

    def handle(item: Any) -> Any:
        what, value = item
        if what == "raise":
            raise MildError(value)
        if what == "fault":
            raise ZeroDivisionError(value)
        if what == "die":
            os.kill(os.getpid(), signal.SIGKILL)
        if what == "sleep":
            time.sleep(value)
        if what == "eat":
            kept = bytearray(value << 20)
            kept[::4096] = b"x" * len(kept[::4096])
            time.sleep(5)
        if what == "note":
            for number in range(value):
                note(number)
        if what == "write":
            half = Path(value)
            half.write_text("half")
            try:
                time.sleep(600)
            finally:
                half.unlink()
        if what == "threads":
            return os.environ["OMP_NUM_THREADS"]
        return loaded, value

    return handle


@pytest.fixture
def engine() -> Iterator[Callable[..., Engine]]:
    made: list[Engine] = []

    def make(jobs: int = 2, **limits: float) -> Engine:
        made.append(chosen("local", Work(begin, "it"), jobs=jobs, limits=Limits(**limits)))
        return made[-1]

    yield make
    for one in made:
        one.close()


def by_index(done: Iterator[Done]) -> dict[int, Done]:
    found = {}
    for one in done:
        assert one.index not in found
        found[one.index] = one
    return found


def test_every_item_is_done_once_by_workers_that_load_once(engine: Callable[..., Engine]) -> None:
    workers = engine()
    first = by_index(workers.run(("value", n) for n in range(20)))
    again = by_index(workers.run([("value", 0)]))
    assert [first[n].value[1] for n in range(20)] == list(range(20))
    loaded = {done.value[0] for done in (*first.values(), *again.values())}
    assert len(loaded) <= 2 and all(name.startswith("it:") for name in loaded)


def test_failures_are_told_and_the_others_go_on(engine: Callable[..., Engine]) -> None:
    items = [("raise", "No such thing."), ("value", 1), ("fault", "odd"), ("die", None), ("value", 4)]
    done = by_index(engine().run(items))
    assert (done[0].error, done[0].fault) == ("No such thing.", "raised")
    assert done[2].error == "It failed unexpectedly (ZeroDivisionError: odd)."
    assert (done[3].error, done[3].fault) == ("Its process died (signal 9).", "died")
    assert done[1].value[1] == 1 and done[4].value[1] == 4


def test_limits_end_the_item_and_not_the_run(engine: Callable[..., Engine], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mild.engines.local.WARMING", 5.0)
    done = by_index(engine(1, seconds=0.5).run([("value", 0), ("sleep", 60), ("value", 2)]))
    assert (done[1].fault, done[1].error) == ("time", "It took longer than the 0.5 seconds allowed.")
    assert done[2].value[1] == 2
    if Path("/proc/self/statm").exists():
        done = by_index(engine(1, memory=400).run([("eat", 700), ("value", 1)]))
        assert done[0].fault == "memory" and done[1].value[1] == 1


def test_whoever_is_stopped_leaves_no_half_written_file(engine: Callable[..., Engine], tmp_path: Path) -> None:
    """`mild data synth`, told to stop, said that none was left; its workers were killed, and one was."""
    half = tmp_path / "half"
    running = engine(2).run([("write", str(half)), ("value", 1)])
    assert next(running).value[1] == 1
    until = time.monotonic() + 20
    while not half.exists() and time.monotonic() < until:
        time.sleep(0.02)
    assert half.exists()
    running.close()  # type: ignore[attr-defined]
    assert not half.exists()


def test_a_worker_has_its_share_of_the_cores(engine: Callable[..., Engine], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mild.engines.local.cores", lambda: 6)
    (done,) = engine(2).run([("threads", None)])
    assert done.value == "3"
    assert os.environ.get("OMP_NUM_THREADS") != "3"


def test_workers_do_not_outlive_whoever_started_them(tmp_path: Path) -> None:
    """A killed batch left workers that went on writing beside the next batch's."""
    script = (
        f"import sys; sys.path[:0] = {[str(Path(__file__).parent), *sys.path]!r}\n"
        "from mild.engines import *\n"
        "import test_engines\n"
        "if __name__ == '__main__':\n"
        "    engine = chosen('local', Work(test_engines.begin, 'it'), jobs=1)\n"
        "    for done in engine.run([('value', 0), ('sleep', 600)]): print(done.value[0], flush=True)\n"
    )
    (tmp_path / "run.py").write_text(script)
    with subprocess.Popen([sys.executable, str(tmp_path / "run.py")], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        worker = int(process.stdout.readline().partition(":")[2])
        os.kill(worker, 0)
        process.kill()
    until = time.monotonic() + 20
    while time.monotonic() < until:
        try:
            os.kill(worker, 0)
            # A zombie that nobody waits for answers too.
            if Path(f"/proc/{worker}/stat").read_text().split()[2] == "Z":
                return
        except (OSError, IndexError):
            return
        time.sleep(0.05)
    pytest.fail("the worker lives on")


CHOICES = [Workers(), Workers(jobs=2), pytest.param(Workers("ray", 2), marks=pytest.mark.slow)]


@pytest.mark.parametrize("workers", CHOICES, ids=["this process", "processes", "ray"])
def test_a_list_is_worked_through_in_its_order_and_notes_are_heard(workers: Workers) -> None:
    if workers.engine == "ray":
        pytest.importorskip("ray.data")
    work = Work(begin, "it", threads=1)
    assert [value for _, value in workers.mapped(work, [("value", n) for n in range(9)])] == list(range(9))
    heard: list[int] = []
    done = by_index(workers.run(work, [("note", 3), ("raise", "No such thing."), ("note", 2)], heard.append))
    assert sorted(heard) == [0, 0, 1, 1, 2] and done[1].error == "No such thing." and done[2].value[1] == 2
    with pytest.raises(MildError, match=r"^No such thing\.$"):
        list(workers.mapped(work, [("value", 0), ("raise", "No such thing.")]))


def test_engines_that_are_not_there() -> None:
    with pytest.raises(UsageError, match="There is no engine 'cloud'"):
        chosen("cloud", Work(begin))
    with pytest.raises(UsageError, match="for the engine ray"):
        chosen("local", Work(begin), gpus=1)


@pytest.mark.slow
def test_a_ray_cluster_that_is_not_there_is_told_at_once() -> None:
    """It took minutes, with a page of Ray's own lines."""
    pytest.importorskip("ray.data")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    begun = time.monotonic()
    with pytest.raises(MildError, match=rf"^The Ray cluster at 127\.0\.0\.1:{port} cannot be reached"):
        chosen("ray", Work(begin), address=f"127.0.0.1:{port}")
    assert time.monotonic() - begun < 60


@pytest.mark.slow
def test_ray_does_the_same_and_survives_a_killed_worker() -> None:
    pytest.importorskip("ray.data")
    engine = chosen("ray", Work(begin, "it"), jobs=2)
    try:
        items = [("raise", "No such thing."), ("die", None), *(("value", n) for n in range(2, 12))]
        done = by_index(engine.run(items))
        assert done[0].error == "No such thing." and done[1].fault == "died"
        assert [done[n].value[1] for n in range(2, 12)] == list(range(2, 12))
    finally:
        engine.close()
