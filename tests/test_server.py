"""The HTTP API over a road without a model."""

from __future__ import annotations

import base64
import io
import json
import threading
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient
from PIL import Image

from fake_road import FakeRoad
from mild.app.server import Settings
from mild.app.server.app import create_app
from mild.app.server.jobs import INTERRUPTED
from mild.errors import MildError, UsageError
from mild.people.finders.coco import decode_rle, encode_rle
from mild.photo import Photo
from mild.request import EraseRequest
from stacks import make_photo


def png(seed: int = 0, height: int = 64, width: int = 96) -> bytes:
    out = io.BytesIO()
    Image.fromarray(make_photo(height, width, seed)).save(out, "png")
    return out.getvalue()


def pixels(data: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))


def form(data: bytes, request: Any = None, **more: Any) -> dict[str, Any]:
    fields = {} if request is None else {"request": json.dumps(request)}
    return {"files": {"photo": ("a.png", data, "image/png"), **more}, "data": fields}


ERASE_2 = {"selection": {"people": [2]}, "seed": 5}


class Server:
    """An app, its client and its road."""

    def __init__(self, state: Path, road: FakeRoad, **settings: Any) -> None:
        self.road = road
        self.app = create_app(Settings(state=state, **settings), road)
        self.client = TestClient(self.app, raise_server_exceptions=False)

    def wait(self, id: str, seconds: float = 10) -> dict[str, Any]:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            status = self.client.get(f"/v1/jobs/{id}").json()
            if status["state"] not in ("queued", "running"):
                return status
            time.sleep(0.01)
        raise AssertionError(f"job {id} hangs: {status}")


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Any]:
    opened: list[TestClient] = []

    def make(road: FakeRoad | None = None, **settings: Any) -> Server:
        server = Server(tmp_path / "state", road or FakeRoad(), **settings)
        server.client.__enter__()
        opened.append(server.client)
        return server

    yield make
    for client in opened:
        client.__exit__(None, None, None)


def expected(data: bytes, request: dict[str, Any] = ERASE_2) -> np.ndarray:
    photo = Photo.from_pil(Image.open(io.BytesIO(data)))
    return FakeRoad().run(EraseRequest.model_validate(request), photo, lambda stage, share: None).photo.pixels


def problem(response: Any, status: int, words: str) -> None:
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    body = response.json()
    assert body["status"] == status and words in body["detail"], body
    assert body["detail"].endswith(".") and "\n" not in body["detail"] and "/state/" not in body["detail"]


def test_erase_at_once_by_form_and_by_json(serve: Any) -> None:
    server = serve()
    data = png(1)
    by_form = server.client.post("/v1/erase", **form(data, ERASE_2))
    assert by_form.status_code == 200 and by_form.headers["content-type"] == "image/png"
    assert by_form.headers["x-mild-erased"] == "2"
    assert np.array_equal(pixels(by_form.content), expected(data))
    body = {"photo": base64.b64encode(data).decode(), "request": ERASE_2}
    by_json = server.client.post("/v1/erase", json=body)
    assert by_json.content == by_form.content
    body["photo"] = "data:image/png;base64," + body["photo"]
    assert server.client.post("/v1/erase", json=body).content == by_form.content
    state = server.app.state.settings.state
    assert list((state / "jobs").iterdir()) == [] and list((state / "scratch").iterdir()) == []


def test_a_photo_is_uploaded_once(serve: Any) -> None:
    server = serve()
    first = server.client.post("/v1/photos", **form(png()))
    assert first.status_code == 201
    photo = first.json()
    assert server.client.post("/v1/photos", **form(png())).json() == photo == {**photo, "width": 96, "height": 64}
    url = f"/v1/photos/{photo['id']}"
    for _ in range(3):
        people = server.client.get(f"{url}/people?masks=true").json()
    assert [p["id"] for p in people["people"]] == [1, 2, 3] and people["people"][0]["mask"]["size"] == [64, 96]
    labels = np.asarray(Image.open(io.BytesIO(server.client.get(f"{url}/people.png").content)))
    assert labels.shape == (64, 96) and set(np.unique(labels)) == {0, 1, 2, 3}
    assert np.array_equal(pixels(server.client.get(f"{url}/picture").content), make_photo(64, 96, 0))
    assert max(Image.open(io.BytesIO(server.client.get(f"{url}/picture?max_side=32").content)).size) == 32
    once = server.client.post("/v1/people", **form(png())).json()
    assert once["photo"] == photo
    chosen = server.client.post(f"{url}/select", json={"points": [[24, 38]]}).json()
    assert chosen["selected"] == [1]
    assert server.client.delete(url).status_code == 204
    problem(server.client.get(f"{url}/people"), 404, "no photo of this id")


def test_a_job_from_start_to_recomposition(serve: Any) -> None:
    server = serve(FakeRoad(steps=5, pause=0.02))
    data = png(3)
    id = server.client.post("/v1/photos", **form(data)).json()["id"]
    made = server.client.post("/v1/jobs", json={"photo_id": id, "request": ERASE_2})
    assert made.status_code == 202
    job = made.json()
    url = made.headers["location"]
    assert url == f"/v1/jobs/{job['id']}"
    events = server.client.get(f"{url}/events").text
    seen = [json.loads(line[6:]) for line in events.splitlines() if line.startswith("data: ")]
    assert seen[-1]["state"] == "done" and {"fill"} <= {event["stage"] for event in seen}
    status = server.client.get(url).json()
    assert status["report"]["erased"] == [2] and status["request"]["seed"] == 5
    for format in ("png", "jpeg", "webp", "psd", "ora", "zip"):  # what is said of the formats is what they hold
        held = server.client.get(f"{url}/result?format={format}").headers["X-Mild-Holds-Original"] == "true"
        assert held == (format in status["formats_with_original"])
    assert np.array_equal(pixels(server.client.get(f"{url}/result").content), expected(data))
    back = server.client.get(f"{url}/result?show=2")
    assert np.array_equal(pixels(back.content), pixels(data))
    problem(server.client.get(f"{url}/result?hide=9"), 422, "no layer of person 9")
    problem(server.client.get(f"{url}/result?hide=2&show=2"), 422, "hidden and shown")
    rows = server.client.get(f"{url}/layers").json()
    assert [(row["kind"], row["owner"], row["hidden"]) for row in rows["layers"]] == [
        ("background", None, False), ("person", 2, True),
    ]  # fmt: skip
    layer = Image.open(io.BytesIO(server.client.get(f"{url}/layers/1.png?full=true").content))
    assert (layer.mode, layer.size) == ("RGBA", (96, 64))
    problem(server.client.get(f"{url}/layers/7.png"), 404, "no layer 7")
    assert server.client.delete(url).status_code == 204
    problem(server.client.get(url), 404, "no job of this id")


@pytest.mark.parametrize(
    ("format", "head"),
    [("png", b"\x89PNG"), ("jpeg", b"\xff\xd8"), ("webp", b"RIFF"), ("psd", b"8BPS"), ("ora", b"PK"), ("zip", b"PK")],
)
def test_every_format(serve: Any, format: str, head: bytes, tmp_path: Path) -> None:
    server = serve()
    for address in ("erase", "layers"):
        answer = server.client.post(f"/v1/{address}?format={format}", **form(png(), ERASE_2))
        assert answer.status_code == 200 and answer.content.startswith(head)
    if format in ("psd", "ora", "zip"):
        from mild.layers.export import load_stack

        assert b"SourceType" in answer.content and answer.headers["X-Mild-Holds-Original"] == "true"
        safe = server.client.post(f"/v1/erase?format={format}&flatten_hidden=true", **form(png(), ERASE_2))
        assert safe.headers["X-Mild-Holds-Original"] == "false"
        (tmp_path / f"safe.{format}").write_bytes(safe.content)
        assert 2 not in [layer.owner for layer in load_stack(tmp_path / f"safe.{format}").people]
        (tmp_path / f"a.{format}").write_bytes(answer.content)
        assert [layer.owner for layer in load_stack(tmp_path / f"a.{format}").people] == [1, 2, 3]
    else:
        assert answer.headers["X-Mild-Holds-Original"] == "false"


def test_the_same_mask_sent_by_several_at_the_same_time_is_read_by_all(tmp_path: Path) -> None:
    from concurrent.futures import ThreadPoolExecutor

    from mild.app.server.photos import Photos

    photos = Photos(tmp_path, 10**6)
    mask = np.arange(96 * 64).reshape(64, 96) < 96
    out = io.BytesIO()
    Image.fromarray(mask).save(out, "png")
    with ThreadPoolExecutor(6) as threads:
        read = list(threads.map(lambda _: photos.mask(out.getvalue(), (64, 96)), range(240)))
    assert all((decode_rle(code, (64, 96)) == mask).all() for code in read)
    assert not list((tmp_path / "photos").iterdir()), "a mask was kept"
    with pytest.raises(MildError, match=r"^The photo has"):
        Photos(tmp_path, 100).mask(out.getvalue(), (64, 96))


def test_masks_as_picture_and_as_run_length_code_mean_the_same(serve: Any) -> None:
    server = serve()
    mask = np.zeros((64, 96), bool)
    mask[2:12, 40:60] = True
    out = io.BytesIO()
    Image.fromarray(mask).save(out, "png")
    by_file = server.client.post("/v1/erase", **form(png(), {"seed": 1}, mask=("m.png", out.getvalue(), "image/png")))
    request = {"selection": {"mask_rle": encode_rle(mask)}, "seed": 1}
    by_code = server.client.post("/v1/erase", **form(png(), request))
    assert by_file.status_code == 200 and by_file.content == by_code.content
    assert not np.array_equal(pixels(by_file.content), make_photo(64, 96, 0))
    small = io.BytesIO()
    Image.new("1", (5, 5), 1).save(small, "png")
    wrong = server.client.post("/v1/erase", **form(png(), {}, mask=("m.png", small.getvalue(), "image/png")))
    problem(wrong, 422, "5 x 5 pixels")


@pytest.mark.parametrize(
    ("request_", "words"),
    [
        ({"photo": "/etc/passwd", **ERASE_2}, "request.photo is a path"),
        ({"selection": {"mask": "/etc/passwd"}}, "selection.mask is a path"),
        ({"finder": {"backend": "coco", "annotations": "/etc/passwd"}, **ERASE_2}, "finder.annotations is a path"),
        ({"finder": {"model": "/etc"}, **ERASE_2}, "finder.model"),
        ({"finder": {"allow_download": True}, **ERASE_2}, "fetches no weights"),
        ({"method": {"model": "../../x"}, **ERASE_2}, "no such model"),
        ({}, "Nobody is chosen"),
        ({"selection": {"people": [7]}}, "no person 7"),
        ({"selection": {"people": [1], "keep": [2]}}, "not both"),
        ({"selection": {"mask_rle": {"size": [1, 1], "counts": "0"}}}, "run-length mask"),
        ({"method": {"steps": 0}, **ERASE_2}, "steps"),
        ({"unknown": 1}, "unknown"),
    ],
)
def test_bad_requests_are_one_sentence(serve: Any, request_: dict[str, Any], words: str) -> None:
    problem(serve().client.post("/v1/erase", **form(png(), request_)), 422, words)


def test_bad_bodies(serve: Any) -> None:
    client = serve(max_bytes=100_000, max_pixels=64 * 96).client
    problem(client.post("/v1/photos", **form(b"no image")), 422, "not an image")
    problem(client.post("/v1/photos", **form(png()[:200])), 422, "damaged")
    problem(client.post("/v1/photos", **form(b"")), 422, "empty")
    problem(client.post("/v1/photos", **form(png(height=65))), 413, "96 x 65 pixels")
    problem(client.post("/v1/photos", **form(b"x" * 200_000)), 413, "larger than")
    chunks = (b"x" * 1000 for _ in range(200))
    problem(client.post("/v1/photos", content=chunks, headers={"content-type": "application/json"}), 413, "larger than")
    problem(client.post("/v1/photos", content=b"x", headers={"content-type": "text/plain"}), 415, "Send multipart")
    problem(client.post("/v1/photos", content=b"{", headers={"content-type": "application/json"}), 400, "not JSON")
    problem(client.post("/v1/photos", content=b"x", headers={"content-type": "multipart/form-data"}), 400, "")
    problem(client.post("/v1/erase", json={"request": ERASE_2}), 422, "either the photo or the photo_id")
    problem(client.post("/v1/erase", json={"photo": "***", "request": ERASE_2}), 422, "not base64")
    problem(client.post("/v1/erase", json={"photo_id": "../lock", "request": ERASE_2}), 404, "no photo")
    lone = {"content": b'{"photo_id": "\\ud800"}', "headers": {"content-type": "application/json"}}
    problem(client.post("/v1/erase", **lone), 400, "not JSON")
    problem(client.get("/nothing"), 404, "nothing at this address")
    problem(client.put("/v1/erase"), 405, "does not take this method")
    problem(client.get("/v1/jobs/x/result?format=exe"), 422, "format")
    assert client.get("/health").json()["status"] == "ok"


def test_a_full_queue_says_when_to_come_back(serve: Any) -> None:
    server = serve(FakeRoad(steps=200, pause=0.01), max_queue=1)
    id = server.client.post("/v1/photos", **form(png())).json()["id"]
    body = {"photo_id": id, "request": ERASE_2}
    jobs = [server.client.post("/v1/jobs", json=body)]
    while server.client.get(f"/v1/jobs/{jobs[0].json()['id']}").json()["state"] == "queued":
        time.sleep(0.01)
    jobs.append(server.client.post("/v1/jobs", json=body))
    refused = server.client.post("/v1/jobs", json=body)
    problem(refused, 429, "Too many jobs")
    assert int(refused.headers["retry-after"]) >= 1
    problem(server.client.get(f"/v1/jobs/{jobs[0].json()['id']}/result"), 409, "running")
    problem(server.client.delete(f"/v1/jobs/{jobs[0].json()['id']}"), 409, "not over")
    for job in reversed(jobs):
        assert server.client.post(f"/v1/jobs/{job.json()['id']}/cancel").status_code == 202
    for job in jobs:
        status = server.wait(job.json()["id"])
        assert (status["state"], status["error"]) == ("cancelled", "The job was cancelled.")
    problem(server.client.get(f"/v1/jobs/{jobs[0].json()['id']}/result"), 409, "cancelled")


@pytest.mark.parametrize(
    ("fail", "status", "words"),
    [
        (UsageError("There is no person 9."), 422, "no person 9"),
        (MildError("The weights are missing."), 422, "weights are missing"),
        (RuntimeError("secret"), 500, "failed unexpectedly"),
        (MemoryError(), 413, "not enough memory"),
    ],
)
def test_failures(serve: Any, fail: Exception, status: int, words: str) -> None:
    server = serve(FakeRoad(fail=fail))
    answer = server.client.post("/v1/erase", **form(png(), ERASE_2))
    problem(answer, status, words)
    assert "secret" not in answer.text
    server.road.fail = None
    assert server.client.post("/v1/erase", **form(png(), ERASE_2)).status_code == 200


def test_a_job_that_takes_too_long(serve: Any) -> None:
    server = serve(FakeRoad(steps=500, pause=0.01), max_seconds=0.1)
    answer = server.client.post("/v1/erase", **form(png(), ERASE_2))
    problem(answer, 503, "longer than the 0.1 seconds")


def test_a_slow_job_is_handed_back(serve: Any) -> None:
    server = serve(FakeRoad(steps=30, pause=0.05), sync_seconds=0.2)
    answer = server.client.post("/v1/erase", **form(png(), ERASE_2))
    assert answer.status_code == 202
    assert server.wait(answer.json()["id"])["state"] == "done"
    assert np.array_equal(pixels(server.client.get(answer.headers["location"] + "/result").content), expected(png()))


def test_api_key(serve: Any) -> None:
    client = serve(api_key="s3cret of 16 letters").client
    assert client.get("/health").status_code == 200
    for headers in (
        {},
        {"x-api-key": "wrong"},
        {"authorization": "Bearer wrong"},
        {"x-api-key": "ä".encode("latin-1")},
    ):
        problem(client.get("/v1/limits", headers=headers), 401, "API key")
    right = "s3cret of 16 letters"
    for headers in ({"x-api-key": right}, {"authorization": f"Bearer {right}"}, {"authorization": f"bearer  {right}"}):
        assert client.get("/v1/limits", headers=headers).status_code == 200


def test_only_known_hosts_and_origins(serve: Any) -> None:
    client = serve(hosts=("localhost", "127.0.0.1")).client
    problem(client.get("/health"), 403, "host name")
    assert client.get("/health", headers={"host": "localhost:8000"}).status_code == 200
    evil = client.post("/v1/photos", headers={"host": "localhost", "origin": "https://evil.example"}, **form(png()))
    problem(evil, 403, "other web pages")
    for other in ("http://localhost:9000", "https://localhost:8000", "http://localhost"):
        problem(client.get("/health", headers={"host": "localhost:8000", "origin": other}), 403, "other web pages")
    own = client.get("/health", headers={"host": "localhost:8000", "origin": "http://localhost:8000"})
    assert own.status_code == 200 and "access-control-allow-origin" not in own.headers


def test_metrics_and_idle_unload(serve: Any) -> None:
    server = serve(idle_seconds=0.1)
    server.client.post("/v1/erase", **form(png(), ERASE_2))
    text = server.client.get("/metrics").text
    assert 'mild_jobs_total{kind="erase",state="done"} 1.0' in text
    assert 'mild_http_requests_total{method="POST",route="/v1/erase",status="200"} 1.0' in text
    end = time.monotonic() + 5
    while server.client.get("/health").json()["model_loaded"] and time.monotonic() < end:
        time.sleep(0.02)
    assert server.road.unloaded >= 1 and server.client.get("/health").json()["model_loaded"] is False
    assert server.client.post("/v1/erase", **form(png(), ERASE_2)).status_code == 200


def test_stopping_finishes_the_running_job_and_gives_back_the_rest(tmp_path: Path) -> None:
    server = Server(tmp_path, FakeRoad(steps=30, pause=0.01), grace_seconds=10)
    with server.client:
        id = server.client.post("/v1/photos", **form(png())).json()["id"]
        jobs = [server.client.post("/v1/jobs", json={"photo_id": id, "request": ERASE_2}).json()["id"] for _ in "abc"]
        while server.client.get(f"/v1/jobs/{jobs[0]}").json()["state"] == "queued":
            time.sleep(0.01)
    again = Server(tmp_path, FakeRoad())
    with again.client:
        states = [again.client.get(f"/v1/jobs/{job}").json() for job in jobs]
        assert [status["state"] for status in states] == ["done", "interrupted", "interrupted"]
        assert states[1]["error"] == INTERRUPTED
        assert np.array_equal(pixels(again.client.get(f"/v1/jobs/{jobs[0]}/result").content), expected(png()))


def test_stopping_does_not_wait_beyond_the_grace(tmp_path: Path) -> None:
    server = Server(tmp_path, FakeRoad(steps=1000, pause=0.01), grace_seconds=0.1)
    with server.client:
        job = server.client.post("/v1/jobs", **form(png(), ERASE_2)).json()["id"]
        begun = time.monotonic()
    assert time.monotonic() - begun < 5
    status = json.loads((tmp_path / "jobs" / job / "job.json").read_text())
    assert (status["state"], status["error"]) == ("interrupted", INTERRUPTED)


def test_one_server_per_state_folder(serve: Any) -> None:
    state = serve().app.state.settings.state
    with pytest.raises(MildError, match="Another server uses the state folder"), Server(state, FakeRoad()).client:
        pass


def test_old_jobs_and_photos_go(serve: Any) -> None:
    server = serve(keep_jobs=2, keep_photos=1)
    ids = [server.client.post("/v1/jobs", **form(png(seed), ERASE_2)).json()["id"] for seed in range(4)]
    server.wait(ids[-1])  # they are done in order, and the first may be gone already
    server.client.post("/v1/photos", **form(png(9)))
    assert [server.client.get(f"/v1/jobs/{id}").status_code for id in ids] == [404, 404, 200, 200]
    state = server.app.state.settings.state
    assert len(list((state / "photos").iterdir())) <= 2


def test_parallel_clients_get_their_own(serve: Any) -> None:
    server = serve()
    wrong: list[int] = []

    def client(seed: int) -> None:
        request = {"selection": {"people": [1 + seed % 3]}, "seed": seed}
        answer = server.client.post("/v1/erase", **form(png(seed), request))
        if answer.status_code != 200 or not np.array_equal(pixels(answer.content), expected(png(seed), request)):
            wrong.append(seed)

    threads = [threading.Thread(target=client, args=(seed,)) for seed in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_the_document_describes_both_bodies(serve: Any) -> None:
    document = serve().client.get("/openapi.json").json()
    content = document["paths"]["/v1/erase"]["post"]["requestBody"]["content"]
    assert set(content) == {"multipart/form-data", "application/json"}
    assert {"EraseRequest", "JobBody", "ProblemDocument"} <= set(document["components"]["schemas"])
    text = json.dumps(document)
    assert "HTTPValidationError" not in text
    names = set(document["components"]["schemas"])
    used = {part.split('"')[0] for part in text.split("#/components/schemas/")[1:]}
    assert used <= names


def test_a_zip_of_layers_opens_anywhere(serve: Any) -> None:
    answer = serve().client.post("/v1/layers", **form(png()))
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        assert {"background.png", "person-1.png", "layers.json"} <= set(archive.namelist())


def test_a_job_whose_folder_somebody_else_deletes_is_forgotten(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two rounds of housekeeping at once: a folder vanished under one of them, and an upload ended as 500 (chaos)."""
    import shutil

    from mild.app.server.jobs import Jobs
    from mild.request import EraseRequest

    photo = tmp_path / "photo"
    photo.write_bytes(b"a photo")
    jobs = Jobs(tmp_path / "jobs")
    job = jobs.create("erase", photo, "0" * 32, EraseRequest())
    job.update(state="failed", finished=0.0)

    def vanishing(folder: Path, pattern: str) -> Any:
        shutil.rmtree(folder)
        raise FileNotFoundError(folder)

    monkeypatch.setattr(Path, "glob", vanishing)
    assert [gone.id for gone in jobs.prune(1.0, 0)] == [job.id]
    assert jobs.get(job.id) is None and jobs.prune(1.0, 0) == []
    jobs.delete(job)


def test_a_server_that_does_not_start_does_not_say_that_it_listens(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As older versions of uvicorn end a start that fails; newer ones exit at once."""
    import uvicorn

    from mild.app.cli.serve import listen

    async def fails(self: uvicorn.Server, sockets: Any = None) -> None:
        self.should_exit = True

    monkeypatch.setattr(uvicorn.Server, "startup", fails)
    settings = Settings(state=tmp_path / "state")
    said: list[str] = []
    listen(create_app(settings, FakeRoad()), settings, "127.0.0.1", 0, said.append)
    assert not said
