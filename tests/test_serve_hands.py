"""Jobs run in processes: whatever happens in one ends that job and nothing else."""

from __future__ import annotations

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, TypeVar

import pytest
from fastapi.testclient import TestClient

import rough_road as rough
from fake_road import FakeRoad
from mild.app.cli.app import run
from mild.app.server import Settings
from mild.app.server.app import create_app
from mild.app.server.state import MARKER, PROBE, claim
from mild.app.server.tasks import Tasks
from mild.errors import UsageError
from mild.request import Finder, Selection
from test_server import form, png, problem

T = TypeVar("T")
Serve = Callable[..., AbstractContextManager[TestClient]]


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    state = tmp_path_factory.mktemp("rough") / "state"
    settings = Settings(
        state=state, road="rough_road:RoughRoad", max_seconds=3.0, task_seconds=3.0, max_memory=2 * 2**30
    )
    with TestClient(create_app(settings), raise_server_exceptions=False) as client:
        yield client


@pytest.fixture
def serve(tmp_path: Path) -> Serve:
    """Opens a server on ``state`` of the test's folder, over a road without a model if no other is given; over one in
    processes of its own, if its name is."""

    def go(road: FakeRoad | str | None = None, **settings: Any) -> AbstractContextManager[TestClient]:
        here, named = (None, {"road": road}) if isinstance(road, str) else (road or FakeRoad(), {})
        app = create_app(Settings(state=tmp_path / "state", **settings, **named), here)
        return TestClient(app, raise_server_exceptions=False)

    return go


def until(answer: Callable[[], T], seconds: float = 60.0) -> T:
    """The first answer that is true; it must come in time."""
    end = time.monotonic() + seconds
    while not (said := answer()):
        assert time.monotonic() < end
        time.sleep(0.02)
    return said


def ended(client: TestClient, id: str, seconds: float = 60.0) -> dict[str, Any]:
    """A job's status once it is neither queued nor running."""

    def over() -> dict[str, Any] | None:
        status: dict[str, Any] = client.get(f"/v1/jobs/{id}").json()
        return None if status["state"] in ("queued", "running") else status

    return until(over, seconds)  # type: ignore[return-value]


def at_work(client: TestClient, id: str) -> bool:
    return client.get(f"/v1/jobs/{id}").json()["stage"] in ("fill", "denoise")


def python(code: str, *words: str, **options: Any) -> subprocess.Popen[str]:
    """Another Python that knows the tests' modules."""
    places = os.pathsep.join([str(Path(__file__).parent), *(path or "." for path in sys.path)])
    env = os.environ | {"PYTHONPATH": places}
    return subprocess.Popen([sys.executable, "-c", code, *words], stdout=subprocess.PIPE, text=True, env=env, **options)


def job(seed: int, **more: Any) -> dict[str, Any]:
    return form(png(1), {"selection": {"people": [1]}, "seed": seed, **more})


def health(client: TestClient) -> dict[str, Any]:
    begun = time.monotonic()
    answer = client.get("/health")
    assert answer.status_code == 200 and time.monotonic() - begun < 5.0  # it waits for no job
    found: dict[str, Any] = answer.json()
    return found


@pytest.mark.parametrize(
    ("seed", "status", "words"),
    [
        (rough.CRASH, 500, "crashed, and so did a second one"),
        (rough.HOG, 413, "not enough memory"),
        (rough.FULL, 507, "disk is full"),
        (rough.UNFORESEEN, 500, "failed unexpectedly"),
    ],
)
def test_what_ends_a_job_ends_nothing_else(client: TestClient, seed: int, status: int, words: str) -> None:
    lost = sum(process["lost"] for process in health(client)["processes"])
    answer = client.post("/v1/erase", **job(seed))
    problem(answer, status, words)
    assert "secret" not in answer.text
    # Whoever asked has the answer a moment before the queue has put the job away.
    until(lambda: not health(client)["running"])
    state = health(client)
    assert state["status"] == "ok"
    assert sum(process["lost"] for process in state["processes"]) - lost == 2 * (seed == rough.CRASH)
    assert client.post("/v1/erase", **job(0)).status_code == 200


def test_a_stuck_job_ends_in_time_and_a_cancelled_one_at_once(client: TestClient) -> None:
    client.post("/v1/erase", **job(0))  # the process is there
    begun = time.monotonic()
    problem(client.post("/v1/erase", **job(rough.STUCK)), 503, "longer than the 3 seconds")
    assert time.monotonic() - begun < 3.0 + 2.0 + 3.0
    for seed in (rough.STUCK, rough.SLOW):
        id = client.post("/v1/jobs", **job(seed)).json()["id"]
        until(lambda id=id: at_work(client, id))
        client.post(f"/v1/jobs/{id}/cancel")
        assert ended(client, id, 2.0)["state"] == "cancelled"
    assert client.post("/v1/erase", **job(0)).status_code == 200


def test_a_process_that_was_killed_while_it_wrote_leaves_nothing_in_a_job_that_is_done(
    serve: Serve, tmp_path: Path
) -> None:
    state = tmp_path / "state"
    with serve(FakeRoad(steps=5, pause=0.05)) as client:
        id = client.post("/v1/jobs", **job(0)).json()["id"]
        (state / "jobs" / id / ".mild-0.part").write_bytes(b"half")
        ended(client, id)
        until(lambda: not ((state / "jobs" / id / ".mild-0.part").exists()), 10)
        names = {path.name for path in (state / "jobs" / id).iterdir()}
        assert names == {"job.json", "photo", "result.png", "stack.zip"}


def test_a_job_is_cancelled_at_once_while_its_process_starts(serve: Serve) -> None:
    """A process that was stopped while it started held up the queue, and the job's end, for a minute (chaos)."""
    with serve("rough_road:RoughRoad") as client:
        id = client.post("/v1/jobs", **job(0)).json()["id"]
        while not (maker := [p["pid"] for p in health(client)["processes"] if p["name"] == "maker" and p["pid"]]):
            pass
        os.kill(maker[0], signal.SIGSTOP)
        client.post(f"/v1/jobs/{id}/cancel")
        assert ended(client, id, 2.0)["state"] == "cancelled"
        os.kill(maker[0], signal.SIGCONT)
        assert client.post("/v1/erase", **job(0)).status_code == 200
        assert health(client)["processes"][0]["pid"] == maker[0]


def test_finding_is_bounded_too(client: TestClient) -> None:
    id = client.post("/v1/photos", **form(png(1))).json()["id"]
    problem(client.get(f"/v1/photos/{id}/people?backend=hub"), 503, "longer than the 3 seconds")
    assert client.get(f"/v1/photos/{id}/people").status_code == 200


def test_a_killed_process_is_replaced(client: TestClient) -> None:
    client.post("/v1/erase", **job(0))
    for process in health(client)["processes"]:
        if process["pid"]:
            os.kill(process["pid"], signal.SIGKILL)
    assert client.post("/v1/erase", **job(0)).status_code == 200
    assert health(client)["status"] == "ok"


def test_processes_end_with_their_server(serve: Serve) -> None:
    with serve("rough_road:RoughRoad") as client:
        client.post("/v1/photos", **form(png(1)))
        pids = [process["pid"] for process in health(client)["processes"] if process["pid"]]
        assert pids
    time.sleep(0.2)
    for pid in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


def test_the_event_loop_loads_no_library_at_the_first_request(tmp_path: Path) -> None:
    """The first photo in base64 had it import all that draws and decodes: nobody was answered for half a second."""
    code = (
        "import base64, sys\n"
        "from pathlib import Path\n"
        "from fastapi.testclient import TestClient\n"
        "from mild.app.server import Settings\n"
        "from mild.app.server.app import create_app\n"
        "from test_server import png\n"
        "settings = Settings(state=Path(sys.argv[1]), road='fake_road:FakeRoad')\n"
        "with TestClient(create_app(settings)) as client:\n"
        "    loaded = set(sys.modules)\n"
        "    body = {'photo': base64.b64encode(png(1)).decode(), 'request': {'selection': {'people': [1]}}}\n"
        "    assert client.post('/v1/erase', json=body).status_code == 200\n"
        "    print(sorted(name for name in set(sys.modules) - loaded if name.startswith('mild')))\n"
    )
    said, told = python(code, str(tmp_path / "state"), stderr=subprocess.PIPE).communicate(timeout=120)
    assert said.strip() == "[]", told


def test_health_says_that_the_disk_is_full(serve: Serve) -> None:
    with serve(least_disk=2**62) as client:
        answer = client.get("/health")
        assert answer.status_code == 503
        assert answer.json()["status"] == "failing" and answer.json()["faults"] == ["the disk is full"]


def test_a_record_that_cannot_be_written_is_the_job_s_failure(
    serve: Serve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mild.app.server import jobs
    from mild.files import NoSpace, write_bytes

    full = False

    def write(path: Path, data: bytes) -> Path:
        if full:
            raise NoSpace("job.json cannot be written: No space left on device.")
        return write_bytes(path, data)

    monkeypatch.setattr(jobs, "write_bytes", write)
    road = FakeRoad(steps=5, pause=0.05)
    with serve(road, idle_seconds=0.4) as client:
        id = client.post("/v1/jobs", **job(0)).json()["id"]
        full = True
        status = ended(client, id)
        assert status["state"] == "failed" and "disk is full" in status["error"]
        problem(client.post("/v1/jobs", **job(0)), 507, "disk is full")
        full = False
        assert client.post("/v1/erase", **job(0)).status_code == 200
        record = tmp_path / "state" / "jobs" / id / "job.json"
        until(lambda: json.loads(record.read_text())["state"] == "failed", 5)


def test_a_folder_that_is_not_ours_is_refused_and_left_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("photos", "jobs", "scratch"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "holiday.jpg").write_bytes(b"mine")
    for command in (["serve", "--port", "0"], ["studio", "--no-browser"]):
        assert run([*command, "--state", str(tmp_path)]) == 2
        assert "holds other things" in capsys.readouterr().err
    with pytest.raises(UsageError, match="holds other things"):
        claim(tmp_path)
    found = {path.relative_to(tmp_path) for path in tmp_path.rglob("*") if path.is_file()}
    assert found == {Path(name) / "holiday.jpg" for name in ("photos", "jobs", "scratch")}


def test_what_others_put_into_our_folder_stays(serve: Serve, tmp_path: Path) -> None:
    state = tmp_path / "state"
    with serve(keep_seconds=0.2) as client:
        id = client.post("/v1/photos", **form(png(1))).json()["id"]
        made = client.post("/v1/jobs", **job(0)).json()["id"]
        strange = [state / "photos" / "mine.jpg", state / "jobs" / made / "mine.txt", state / "jobs" / "mine.txt"]
        strange += [state / "scratch" / "mine.txt", state / "people" / "mine.npz"]
        for path in strange:
            path.write_text("mine")
        assert (state / MARKER).is_file() and state.stat().st_mode & 0o077 == 0
        assert (state / "photos").stat().st_mode & 0o077 == 0
        # Expiry is by time: nobody has to come for it.
        until(lambda: not ((state / "photos" / id).exists() or (state / "jobs" / made / "photo").exists()), 10)
    with serve(keep_seconds=0.2):
        pass
    assert all(path.read_text() == "mine" for path in strange)


@pytest.mark.parametrize("how", ["removed", "another in its place", "a file in its place", "emptied"])
def test_a_state_folder_that_goes_under_a_running_server(serve: Serve, how: str, tmp_path: Path) -> None:
    """It answered 422 with the server's own paths in it, or 500, and its health was ok."""
    state, others = tmp_path / "state", tmp_path / "others"
    others.mkdir()
    (others / "mine.txt").write_text("mine")
    with serve(idle_seconds=0.4, keep_seconds=3600) as client:
        made = client.post("/v1/jobs", **job(0)).json()["id"]
        assert ended(client, made)["state"] == "done"
        if how == "emptied":
            for name in ("photos", "jobs", "scratch", "people"):
                shutil.rmtree(state / name)
        else:
            state.rename(tmp_path / "moved")
        if how == "another in its place":
            state.symlink_to(others)
        elif how == "a file in its place":
            state.write_text("mine")
        for answer in (
            client.get(f"/v1/jobs/{made}/result?show=1"), client.get(f"/v1/jobs/{made}/result"),
            client.post("/v1/photos", **form(png(2))), client.post("/v1/jobs", **job(0)),
        ):  # fmt: skip
            assert answer.status_code in (410, 503) or how == "emptied"
            assert answer.status_code not in (422, 500) and str(tmp_path) not in answer.text
        if how == "emptied":
            time.sleep(0.5)  # a round of the housekeeper
            assert client.post("/v1/erase", **job(0)).status_code == 200
            assert client.get("/health").json()["status"] == "ok"
        else:
            answer = client.get("/health")
            assert answer.status_code == 503 and "state folder is gone" in answer.json()["faults"][0]
    assert [path.name for path in others.iterdir()] == ["mine.txt"]


def test_what_cannot_be_deleted_is_not_said_to_be(
    serve: Serve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a disk that can no longer be written, DELETE of a job said 204, its files stayed, and the health was ok."""
    with serve() as client:
        made = client.post("/v1/jobs", **job(0)).json()["id"]
        assert ended(client, made)["state"] == "done"
        with monkeypatch.context() as read_only:
            read_only.setattr(Path, "unlink", lambda *_, **__: (_ for _ in ()).throw(OSError(errno.EROFS, "read-only")))
            read_only.setattr(os, "access", lambda *_, **__: False)
            problem(client.delete(f"/v1/jobs/{made}"), 503, "its operator must look after it")
            answer = client.get("/health")
            assert answer.status_code == 503 and answer.json()["faults"] == ["the state folder cannot be written"]
        assert client.get(f"/v1/jobs/{made}/result").status_code == 200
        assert client.delete(f"/v1/jobs/{made}").status_code == 204
        assert list((tmp_path / "state" / "jobs").iterdir()) == []


@pytest.mark.parametrize(
    "number, status, said", [(errno.EROFS, 503, "the state folder cannot be written"), (errno.ENOSPC, 200, None)]
)
def test_health_knows_of_a_disk_that_turned_read_only_under_open_files(
    serve: Serve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, status: int, said: str | None
) -> None:
    """The rights of its folders were as before, every job was refused with 503, and the health was ok."""
    with serve() as client:
        assert client.get("/health").json()["status"] == "ok"
        monkeypatch.setattr(Path, "touch", lambda *_, **__: (_ for _ in ()).throw(OSError(number, "as the test says")))
        time.sleep(1.1)  # an answer is good for a second
        answer = client.get("/health")
        assert answer.status_code == status and answer.json()["faults"] == ([said] if said else [])
    assert not (tmp_path / "state" / PROBE).exists()


def test_deleting_a_photo_deletes_who_was_found_in_it(serve: Serve, tmp_path: Path) -> None:
    state = tmp_path / "state"
    with serve() as client:
        id = client.post("/v1/photos", **form(png(1))).json()["id"]
        pixels = json.loads((state / "photos" / f"{id}.json").read_text())["pixels"]
        (state / "people" / f"{pixels[:32]}-{'0' * 32}.npz").write_bytes(b"masks and poses")
        assert client.delete(f"/v1/photos/{id}").status_code == 204
        assert [path for path in state.rglob("*") if path.is_file() and path.name not in (MARKER, "lock")] == []


@pytest.mark.parametrize(
    "key", ["", "   ", "short", "fifteen letters", " sixteen letters of it", "a key with\na line end in it"]
)
def test_a_key_that_keeps_nobody_out_is_refused(key: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for command in (["serve", "--port", "0"], ["studio", "--no-browser"]):
        assert run([*command, "--state", str(tmp_path / "state"), "--api-key", key]) == 2
        assert "The API key" in capsys.readouterr().err
    assert not (tmp_path / "state").exists()


@pytest.mark.parametrize(
    ("request_", "words"),
    [
        ({"selection": {"points": [[1, 1]] * 65}}, "at most 64 points and boxes"),
        ({"selection": {"points": [[1, 1]] * 40, "boxes": [[1, 1, 9, 9]] * 40}}, "at most 64 points and boxes"),
        ({"selection": {"clicks": [{"on": [[1, 1]]}] * 65}}, "at most 64 points and boxes"),  # these were not counted
        ({"selection": {"also": [[1, 1]] * 65, "people": [1]}}, "at most 64 points and boxes"),
        ({"selection": {"clicks": [{"on": [[1, 1]], "off": [[2, 2]] * 1000}]}}, "at most 1000 further points"),
        ({"selection": {"people": [1]}, "method": {"resolution": 2048}}, "at most 1024 pixels of resolution"),
        ({"selection": {"people": [1]}, "method": {"steps": 1000}}, "at most 100 denoising steps"),
        ({"selection": {"people": list(range(1500))}}, "at most 1000 people"),
        ({"selection": {"mask_rle": {"size": [64, 96], "counts": "0" * 300_000}}}, "run-length mask is damaged"),
    ],
)
def test_too_much_is_refused_before_the_work(
    serve: Serve, tmp_path: Path, request_: dict[str, Any], words: str
) -> None:
    road = FakeRoad()
    with serve(road) as client:
        problem(client.post("/v1/jobs", **form(png(1), request_)), 422, words)
        assert road.found == road.ran == 0 and list((tmp_path / "state" / "jobs").iterdir()) == []


def test_a_field_that_there_is_not_is_told_with_those_there_are(serve: Serve) -> None:
    """ "selection: Extra inputs are not permitted": nothing said where it belongs."""
    with serve() as client:
        for body, words in (
            ({"selection": {"people": [1]}}, "selection: there is no such field; it belongs inside `request`."),
            ({"fotos": "x"}, "fotos: there is no such field; there are kind, photo, photo_id, mask, request."),
            ({"request": {"selection": {"peple": [1]}}}, "request.selection.peple: there is no such field."),
        ):
            problem(client.post("/v1/jobs", json=body), 422, words)


def test_a_request_longer_than_is_taken(serve: Serve) -> None:
    with serve(max_request=10_000) as client:
        code = {"size": [64, 96], "counts": "0" * 20_000}
        problem(
            client.post("/v1/jobs", **form(png(1), {"selection": {"mask_rle": code}})), 400, "The form cannot be read"
        )
        id = client.post("/v1/photos", **form(png(1))).json()["id"]
        body = {"photo_id": id, "request": {"selection": {"mask_rle": code}}}
        problem(client.post("/v1/jobs", json=body), 413, "longer than the 10000 bytes")


@pytest.mark.parametrize("id", ["x" * 10_000, "..%2Flock", "%00", "a" * 31, "A" * 32, "é"])
def test_an_id_that_is_none_is_404(serve: Serve, id: str) -> None:
    with serve() as client:
        for address in (f"/v1/photos/{id}", f"/v1/photos/{id}/people", f"/v1/jobs/{id}", f"/v1/jobs/{id}/result"):
            assert client.get(address).status_code == 404
        assert client.delete(f"/v1/photos/{id}").status_code == 404


def test_a_damaged_result_is_gone_and_says_so(serve: Serve, tmp_path: Path) -> None:
    with serve() as client:
        id = client.post("/v1/jobs", **job(0)).json()["id"]
        assert ended(client, id)["state"] == "done"
        (tmp_path / "state" / "jobs" / id / "stack.zip").write_bytes(b"PK\x03\x04cut short")
        for address in ("layers", "layers/0.png", "result?show=1", "result?format=psd"):
            problem(client.get(f"/v1/jobs/{id}/{address}"), 410, "damaged or gone")
        (tmp_path / "state" / "jobs" / id / "result.png").unlink()
        problem(client.get(f"/v1/jobs/{id}/result"), 410, "is gone")


def test_a_process_that_is_killed_at_a_job_is_replaced_and_the_job_done(client: TestClient) -> None:
    """Chaos saw 284 answers 500 in half an hour, though nothing was wrong with most of these jobs."""
    id = client.post("/v1/jobs", **job(rough.SLOW)).json()["id"]
    for kill in range(2):
        while not (busy := [p["pid"] for p in health(client)["processes"] if p["name"] == "maker" and p["pid"]]):
            time.sleep(0.02)
        until(lambda id=id: at_work(client, id))
        os.kill(busy[0], signal.SIGKILL)
        if kill == 0:
            while any(p["pid"] == busy[0] for p in health(client)["processes"]):
                time.sleep(0.02)
    status = ended(client, id)
    assert (status["state"], status["fault"]) == ("failed", "process") and "try again later" in status["error"]


@pytest.mark.skipif(sys.platform != "linux", reason="the system ends the process of a dead parent")
@pytest.mark.parametrize("when", ["as soon as it is known", "when it is ready"])
def test_a_stopped_process_ends_with_a_killed_server(when: str, tmp_path: Path) -> None:
    """Chaos left dozens of stopped processes behind, each with its memory, one for each server killed meanwhile."""
    code = (
        "import os, signal, sys, threading, time\n"
        "from pathlib import Path\n"
        "from mild.app.server import Settings\n"
        "from mild.app.server.hands import Hand\n"
        "hand = Hand('maker', Settings(state=Path(sys.argv[1]), road='rough_road:RoughRoad'))\n"
        "def work(): hand.call('forget', [], None); time.sleep(60)\n"
        "threading.Thread(target=work, daemon=True).start()\n"
        "while hand.pid is None or (sys.argv[2] == 'when it is ready' and hand.busy): pass\n"
        "os.kill(hand.pid, signal.SIGSTOP)\n"
        "print(hand.pid, flush=True)\n"
        "time.sleep(60)\n"
    )
    server = python(code, str(tmp_path / "state"), when)
    assert server.stdout is not None
    pid = int(server.stdout.readline())
    try:
        assert Path(f"/proc/{pid}").exists()
        server.kill()
        server.wait()
        end = time.monotonic() + 20
        while alive(pid) and time.monotonic() < end:
            time.sleep(0.05)
        assert not alive(pid)
    finally:
        server.kill()
        if alive(pid):
            os.kill(pid, signal.SIGKILL)


def alive(pid: int) -> bool:
    """Is it there, and not only waiting to be reaped?"""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def test_what_a_further_point_wants_is_prepared_once_a_click_is_answered(serve: Serve) -> None:
    """The second click on somebody who was found waited up to two seconds for looks that the first had not needed."""
    road = FakeRoad(steps=3, pause=0.01)
    with serve(road) as client:
        id = client.post("/v1/photos", files={"photo": png()}).json()["id"]
        assert client.post(f"/v1/photos/{id}/select", json={"people": [1]}).status_code == 200
        assert client.post(f"/v1/photos/{id}/select", json={"points": [[1, 1]]}).status_code == 200
        until(lambda: road.prepared == 3)


def _tasks(tmp_path: Path, road: FakeRoad) -> tuple[Tasks, str]:
    path = tmp_path / "photo.png"
    path.write_bytes(png())
    return Tasks(road, Settings(state=tmp_path / "state"), lambda stage, share: None), str(path)


def _select(tasks: Tasks, path: str, **selection: Any) -> Any:
    return tasks.do("select", (path, Finder(), Selection.model_validate(selection), False))


def test_any_other_task_comes_before_what_is_prepared(tmp_path: Path) -> None:
    """It is done a piece at a time; a click that wants it does the rest, and a photo that is closed ends it."""
    road = FakeRoad(steps=5)
    tasks, path = _tasks(tmp_path, road)
    assert not tasks.prepare(), "nobody has clicked"
    _select(tasks, path, points=[(1, 1)])
    assert road.prepared == 0, "the answer does not wait"
    assert tasks.prepare() and road.prepared == 1
    tasks.do("people", (path, Finder(), False))
    assert road.prepared == 1
    _select(tasks, path, clicks=[{"on": [(1, 1)], "off": [(0, 0)]}])
    assert road.prepared == 5 and not tasks.prepare()

    _select(tasks, path, points=[(1, 1)])
    assert tasks.prepare() and road.prepared == 1
    tasks.do("forget", ([path], None))
    assert not tasks.prepare() and road.prepared == 1


def test_a_click_that_cannot_be_prepared_harms_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    road = FakeRoad()
    tasks, path = _tasks(tmp_path, road)

    def broken(scene: Any, selection: Any) -> Iterator[None]:
        raise MemoryError
        yield

    monkeypatch.setattr(road, "further", broken)
    _select(tasks, path, points=[(1, 1)])
    assert not tasks.prepare()
    assert _select(tasks, path, people=[1])[1] == [1]
