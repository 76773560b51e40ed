"""The batch: exactly once, the same bytes as one photo alone, and one sentence or one line for what goes wrong."""

from __future__ import annotations

import json
import logging
import os
import re
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image

from mild.app.batch import store, worker
from mild.app.batch.batch import Batch
from mild.app.batch.bursts import with_shots
from mild.app.batch.order import Order, Progress
from mild.app.batch.sources import items_of
from mild.app.batch.worker import Setup, Worker
from mild.app.cli import app
from mild.engines import Done
from mild.errors import MildError, UsageError

#: Fast, and without a finder: a box is cut out, and filled from around it.
REQUEST = {
    "selection": {"mask": "mask.png"},
    "finder": {"backend": "none"},
    "method": {"denoise": False, "detail": False},
}
SIZE = (48, 64)


class Here:
    """An engine in this process, which counts what it did."""

    name = "here"

    def __init__(self, setup: Setup) -> None:
        self.worker, self.did = Worker(setup), []
        self.stop_after: int | None = None

    def run(self, items: Iterable[Any]) -> Iterator[Done]:
        for index, job in enumerate(items):
            if self.stop_after is not None and len(self.did) >= self.stop_after:
                raise KeyboardInterrupt
            self.did.append(job.name)
            try:
                yield Done(index, self.worker(job))
            except MildError as error:
                yield Done(index, error=str(error), fault="raised")

    def close(self) -> None:
        pass


def photo(path: Path, seed: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(60, 200, (*SIZE, 3)).astype(np.uint8)
    Image.fromarray(pixels).save(path)


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with photos in ``in``, and a mask that fits all of them."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv(app.DEBUG_VARIABLE, raising=False)
    for number, name in enumerate(("a.png", "b.jpg", "trip/c.png", "trip/d.webp")):
        photo(tmp_path / "in" / name, number)
    (tmp_path / "in" / "notes.txt").write_text("no photo")
    mask = np.zeros(SIZE, np.uint8)
    mask[10:30, 20:40] = 255
    Image.fromarray(mask).save(tmp_path / "mask.png")
    return tmp_path


def run(
    source: str = "in", out: str = "out", change: Callable[[Here], None] | None = None, **more: Any
) -> tuple[Progress, list[str]]:
    """A batch in this process: how it ended, and which photos it worked on."""
    fields = {name: more.pop(name) for name in list(more) if name in Setup.__dataclass_fields__}
    setup = Setup(out, fields.pop("books", out), **fields)
    engine = Here(setup)
    if change:
        change(engine)
    batch = Batch(Order(source, setup, **{"request": REQUEST} | more), engine)
    try:
        return batch.run(), engine.did
    finally:
        batch.close()


def rows(path: str = "out/batch.jsonl") -> list[dict[str, Any]]:
    return [json.loads(line) for line in Path(path).read_text().splitlines()]


def results(out: str = "out") -> dict[str, bytes]:
    found = {str(p.relative_to(out)): p.read_bytes() for p in Path(out).rglob("*") if p.is_file()}
    return {name: data for name, data in found.items() if not name.startswith("batch.")}


def test_the_results_are_those_of_one_photo_alone_byte_for_byte(place: Path) -> None:
    from mild.request import EraseRequest
    from mild.road import run as road

    progress, _ = run()
    assert progress.counts == {"done": 4} and not progress.failed
    assert set(results()) == {"a.png", "b.jpg", "trip/c.png", "trip/d.webp"}
    for name, data in results().items():
        alone = Path("alone") / name
        alone.parent.mkdir(parents=True, exist_ok=True)
        road(EraseRequest.build(photo=str(place / "in" / name), **REQUEST)).save(alone)
        assert alone.read_bytes() == data != (place / "in" / name).read_bytes()
    for row in rows():
        assert row["result"]["sha256"] == worker.sha256_of(Path("out", row["output"]))
        assert row["input"]["sha256"] == worker.sha256_of(Path("in", row["photo"]))


def test_nothing_is_done_twice_and_what_changed_is_done_again(place: Path) -> None:
    run()
    assert run()[1] == []
    os.utime(place / "in/a.png", (1, 1))  # touched, but the same
    assert run()[1] == ["a.png"] and len(rows()) == 5 and rows()[-1]["status"] == "done"
    before = results()
    photo(place / "in/a.png", 99)
    (place / "out/b.jpg").unlink()
    assert run()[1] == ["a.png", "b.jpg"]
    assert results()["a.png"] != before["a.png"] and results()["b.jpg"] == before["b.jpg"]
    again = run(request=REQUEST | {"seed": 4})[1]
    assert sorted(again) == ["a.png", "b.jpg", "trip/c.png", "trip/d.webp"]
    sizes = [Path("in", name).stat().st_size for name in again]
    assert sizes == sorted(sizes, reverse=True)  # the largest first: in the end no worker is left with a long one


def test_a_stopped_run_goes_on(place: Path) -> None:
    run(out="whole")

    def soon(engine: Here) -> None:
        engine.stop_after = 2

    with pytest.raises(KeyboardInterrupt):
        run(change=soon)
    # Killed in the middle of a line, and of a photo.
    with Path("out/batch.jsonl").open("ab") as file:
        file.write(b'{"photo":"trip/c.png","outp')
    Path("out/.batch/left").mkdir(parents=True)
    Path("out/.batch/left/half.png").write_bytes(b"half")
    done = {row["photo"] for line in Path("out/batch.jsonl").read_text().splitlines()[:2] for row in [json.loads(line)]}
    progress, did = run()
    assert sorted(did) == sorted(set(results("whole")) - done) and progress.before == len(done) == 2
    assert results() == results("whole")
    lines = Path("out/batch.jsonl").read_text().splitlines()
    assert sorted(json.loads(line)["photo"] for line in lines if line.endswith("}")) == sorted(results())


def test_a_photo_that_fails_is_tried_once_more_and_told(place: Path) -> None:
    (place / "in/a.png").write_bytes((place / "in/a.png").read_bytes()[:200])
    progress, did = run()
    assert did.count("a.png") == 2 and did.count("b.jpg") == 1 and progress.counts == {"done": 3, "failed": 1}
    failed = [row for row in rows() if row["status"] == "failed"]
    assert len(failed) == 1 and "cannot be read as PNG" in failed[0]["error"] and failed[0]["attempt"] == 2
    photo(place / "in/a.png", 0)
    assert run()[0].counts == {"done": 1}


def test_nobody_goes(place: Path) -> None:
    everyone = REQUEST | {"selection": {"everyone": True}}
    assert run(request=everyone)[0].counts == {"copied": 4}
    assert results()["b.jpg"] == (place / "in/b.jpg").read_bytes()
    assert "No person was found" in rows()[0]["why"]
    assert run(out="fewer", nobody="skip", request=everyone)[0].counts == {"skipped": 4}
    assert results("fewer") == {}
    assert run(out="png", format=".png", request=everyone)[0].counts == {"copied": 4}
    assert Image.open("png/b.png").format == "PNG"


def test_a_dry_run_writes_no_photo_and_no_ledger_of_the_batch(place: Path) -> None:
    progress, _ = run(dry=True, pictures="dry-run.pictures")
    assert progress.counts == {"done": 4}
    assert sorted(p.name for p in Path("out").iterdir()) == [
        "dry-run.html", "dry-run.jsonl", "dry-run.lock", "dry-run.pictures",
    ]  # fmt: skip
    assert all(row["erased"] == [1] for row in rows("out/dry-run.jsonl"))
    assert run()[0].counts == {"done": 4}


def test_lists_and_manifests(place: Path) -> None:
    Path("list.txt").write_text(f"in/a.png\n# not this\n\n{place}/in/trip/c.png\n")
    assert [item.name for item in items_of("list.txt")] == ["a.png", "trip/c.png"]
    Path("some.csv").write_text(
        'photo,seed,people,mask,output,steps\nin/a.png,3,,,x/y.png,\nin/b.jpg,,"1,3",mask.png,,2\n'
    )
    first, second = items_of("some.csv")
    assert (first.fields, first.output) == ({"seed": 3}, "x/y.png")
    assert second.fields == {"selection": {"people": [1, 3], "mask": str(place / "mask.png")}, "method": {"steps": 2}}
    Path("other.csv").write_text("photo;people\nin/a.png;1,3\n")  # as some spreadsheets write it
    assert items_of("other.csv")[0].fields == {"selection": {"people": [1, 3]}}
    Path("more.jsonl").write_text(json.dumps({"photo": "in/a.png", "selection": {"boxes": [[20, 10, 40, 30]]}}) + "\n")
    assert run("more.jsonl")[0].counts == {"done": 1}
    assert rows()[0]["fields"]["selection"] == {"boxes": [[20, 10, 40, 30]]}
    assert run("some.csv", "other", request=REQUEST)[0].counts["done"] >= 1
    assert Path("other/x/y.png").is_file()


def test_numbers_in_a_manifest_with_semicolons_between(place: Path) -> None:
    """As other shots are given: "selection.people: Input should be a valid tuple"."""
    Path("some.csv").write_text("photo,people\nin/a.png,1;3\n")
    assert items_of("some.csv")[0].fields == {"selection": {"people": [1, 3]}}


def scene_folder(place: Path) -> list[str]:
    """Two folders, each of three shots of a scene with somebody (a box) at another place, and in one a stray photo."""
    texture = cv2.GaussianBlur(np.random.default_rng(5).integers(0, 255, (240, 280, 3)).astype(np.uint8), (0, 0), 1.2)
    names = []
    for number in range(3):
        view = texture[8 * number : 8 * number + 150, 6 * number : 6 * number + 200].copy()
        names.append(f"one/{number}.png")
        (place / "shots/one").mkdir(parents=True, exist_ok=True)
        Image.fromarray(view).save(place / "shots" / names[-1])
    photo(place / "shots/one/stray.png", 3)
    (place / "shots/one/torn.png").write_bytes(b"\x89PNG\r\n\x1a\nxx")
    mask = np.zeros((150, 200), np.uint8)
    mask[50:90, 80:110] = 255
    Image.fromarray(mask).save(place / "hole.png")
    return names


def test_shots_of_one_scene_help_each_other_and_strays_are_left_out(place: Path) -> None:
    """--bursts, --also and the manifest's fields; what is used is said, and what does not fit."""
    names = scene_folder(place)
    request = REQUEST | {"selection": {"mask": str(place / "hole.png")}}
    progress, _ = run("shots", request=request, bursts="folder", exclude=("stray.png", "torn.png"))
    assert progress.counts == {"done": 3}
    for row in rows():
        others = [str(place / "shots" / name) for name in names if name != row["photo"]]
        assert row["also"] == others == row["fields"]["also"] and row["seen"] > 0.98 and "refused" not in row
    before = np.asarray(Image.open("shots/one/0.png")).astype(int)
    after = np.asarray(Image.open("out/one/0.png")).astype(int)
    assert np.abs(after - before).max() < 12, "what nobody hides is what the others saw"
    assert run("shots", request=request, bursts="folder", exclude=("stray.png", "torn.png"))[1] == []

    # A new shot is new evidence; one that does not fit, or cannot be read, is left out, and the ledger says so.
    progress, did = run("shots", request=request, bursts="folder", exclude=())
    assert {"one/0.png", "one/1.png", "one/2.png"} <= set(did)
    row = next(row for row in reversed(rows()) if row["photo"] == "one/1.png")
    assert len(row["also"]) == 2 and row["seen"] > 0.98
    assert "stray.png does not fit the photo" in row["refused"][0] and "torn.png" in row["refused"][1]

    # Shots that are named must fit.
    Path("some.jsonl").write_text(
        json.dumps({"photo": "shots/one/0.png", "also": ["shots/one/1.png"]})
        + "\n"
        + json.dumps({"photo": "shots/one/1.png", "also": "shots/one/stray.png"})
    )
    progress, _ = run("some.jsonl", "named", request=request)
    assert progress.counts == {"done": 1, "failed": 1}
    told = {row["photo"]: row for row in rows("named/batch.jsonl")}
    assert told["0.png"]["also"] == [str(place / "shots/one/1.png")] and told["0.png"]["seen"] > 0.98
    assert "stray.png does not fit the photo" in told["1.png"]["error"]
    Path("some.csv").write_text(
        "photo,also,scene\nshots/one/0.png,shots/one/1.png;shots/one/2.png,\nshots/one/1.png,,a\nshots/one/2.png,,a\n"
    )
    first, second, third = items_of("some.csv")
    assert first.fields == {"also": [str(place / "shots/one/1.png"), str(place / "shots/one/2.png")]}
    assert (second.scene, third.scene) == ("a", "a")
    assert [[Path(shot).name for shot, _ in item.shots] for item in with_shots([first, second, third], None)] == [
        [], ["2.png"], ["1.png"],
    ]  # fmt: skip
    with pytest.raises(UsageError, match=r"--bursts takes 'folder', or how many seconds"):
        run("shots", "other", request=request, bursts="soon")


def test_the_pages_pictures_are_no_photos(place: Path) -> None:
    """A batch of a batch's results, or one whose ledger lay among the photos, erased people from thumbnails."""
    assert run(books="in/books")[0].counts == {"done": 4}
    assert run(books="in/books")[1] == []
    assert run("out", "again")[0].counts == {"done": 4}
    assert Path("in/books/batch.pictures/000/000000a.jpg").is_file()


def test_a_link_that_leads_nowhere_is_a_line_of_the_ledger(place: Path) -> None:
    """It was left out, and nobody said so."""
    (place / "in/lost.png").symlink_to("nowhere.png")
    assert run()[0].counts == {"done": 4, "failed": 1}
    assert rows()[-1]["photo"] == "lost.png" and "There is no file" in rows()[-1]["error"]


def test_a_name_that_is_not_utf_8_is_a_photo_like_others(place: Path) -> None:
    """One such name in a folder ended the batch, with "failed unexpectedly"; so did every run after."""
    Path("in/a.png").rename(os.fsdecode(b"in/a\xff.png"))
    progress, did = run()
    assert progress.failed == 0 and len(did) == 4
    assert Path(os.fsdecode(b"out/a\xff.png")).is_file()
    assert "a\udcff.png" in [row["photo"] for row in rows()]
    assert run()[1] == []


def test_what_changed_beside_a_photo_does_it_again(place: Path) -> None:
    """A mask or a plate that was painted anew was taken for the one that was used."""
    names = scene_folder(place)
    request = REQUEST | {"selection": {"mask": str(place / "hole.png")}, "also": [str(place / "shots" / names[1])]}
    assert run(f"shots/{names[0]}", request=request)[1] == ["0.png"]
    assert run(f"shots/{names[0]}", request=request)[1] == []
    os.utime(place / "shots" / names[1], (1, 1))
    assert run(f"shots/{names[0]}", request=request)[1] == ["0.png"]
    Image.fromarray(np.full((150, 200), 255, np.uint8)).crop((0, 0, 200, 150)).save(place / "hole.png")
    assert run(f"shots/{names[0]}", request=request)[1] == ["0.png", "0.png"]  # all of it: nothing is left to see


def test_bursts_by_time(tmp_path: Path) -> None:
    for number, when in enumerate(("10:00:00", "10:00:02", "10:00:05", "10:30:00", None)):
        exif = Image.Exif()
        if when:
            exif.get_ifd(0x8769)[0x9003] = f"2026:11:26 {when}"
        Image.new("RGB", (8, 8)).save(tmp_path / f"{number}.jpg", exif=exif)
    found = {
        item.name: [Path(shot).stem for shot, _ in item.shots] for item in with_shots(items_of(str(tmp_path)), "3")
    }
    assert found == {"0.jpg": ["1", "2"], "1.jpg": ["0", "2"], "2.jpg": ["0", "1"], "3.jpg": [], "4.jpg": []}


WRONG = {
    "no source": ("nowhere", "out", {}, r"There is no nowhere"),
    "empty": ("empty", "out", {}, r"There is no photo in empty\."),
    "other things": ("other", "out", {}, r"no photo in other; it holds 1 other file\."),
    "inside": ("in", "in/out", {}, r"lies inside in, where its results would be taken for photos"),
    "the same": ("in", "in", {}, r"lies inside in"),
    "one name": ("in", "out", {"pattern": "x.png"}, r"a\.png and b\.jpg would both become x\.png"),
    "no pattern": ("in", "out", {"pattern": "{what}.png"}, r"is no pattern; it may use \{folder\}"),
    "leaves": ("in", "out", {"pattern": "../../{stem}.png"}, r"leaves the output's folder"),
    "no format": ("in", "out", {"format": ".bmp"}, r"no suffix of an image format"),
    "the photo": ("list.txt", "in", {}, r"would replace the photo itself"),
    "twice": ("twice.csv", "out", {}, r"in/a\.png is named twice \(lines 2 and 3\)"),
    "unknown": ("unknown.csv", "out", {}, r"Line 2 of unknown\.csv has 'colour', which is no field of a request"),
    "wrong value": ("value.csv", "out", {}, r"Line 2 of value\.csv: seed:"),
    "no column": ("column.csv", "out", {}, r"must name the columns, one of them photo"),
    "too many": ("many.csv", "out", {}, r"Line 2 of many\.csv has more cells"),
    "no json": ("no.jsonl", "out", {}, r"Line 1 of no\.jsonl is not JSON"),
    "outside": ("outside.csv", "out", {}, r"does not lie in the output's folder"),
    "no text": ("text.lst", "out", {}, r"is not text"),
    "nobody": ("in", "out", {"request": {}}, r"Nobody says who goes in a\.png"),
    "in the way": ("in", "full", {}, r"full/a\.png exists already, and no ledger says"),
}


@pytest.mark.parametrize("name", WRONG)
def test_bad_input_is_one_sentence_and_nothing_is_written(name: str, place: Path) -> None:
    for folder in ("empty", "other", "full"):
        Path(folder).mkdir()
    Path("other/x.doc").write_text("")
    photo(Path("full/a.png"), 5)
    Path("list.txt").write_text("in/a.png\n")
    Path("twice.csv").write_text("photo\nin/a.png\nin/a.png\n")
    Path("unknown.csv").write_text("photo,colour\nin/a.png,red\n")
    Path("value.csv").write_text("photo,seed\nin/a.png,-1\n")
    Path("column.csv").write_text("picture\nin/a.png\n")
    Path("many.csv").write_text("photo,seed\nin/a.png,1,2,3\n")
    Path("no.jsonl").write_text("{\n")
    Path("outside.csv").write_text("photo,output\nin/a.png,../a.png\n")
    Path("text.lst").write_bytes(b"\xff\xfe\x00\x80")
    before = {p: p.read_bytes() for p in place.rglob("*") if p.is_file()}
    source, out, more, sentence = WRONG[name]
    with pytest.raises(UsageError, match=sentence):
        run(source, out, **more)
    assert {p: p.read_bytes() for p in place.rglob("*") if p.is_file()} == before


def test_two_batches_of_one_output(place: Path) -> None:
    setup = Setup("out", "out")
    first = Batch(Order("in", setup, REQUEST), Here(setup))
    with pytest.raises(UsageError, match="Another batch is writing to out"):
        Batch(Order("in", setup, REQUEST), Here(setup))
    first.close()


def test_a_damaged_ledger_costs_its_photo_alone(place: Path) -> None:
    """A byte that is no text, lines of another kind, and names with what Unicode calls the end of a line."""
    odd = "o\u2028d\x85d.png"
    photo(place / "in" / odd, 5)
    run()
    assert run()[1] == []
    ledger = Path("out/batch.jsonl")
    lines = ledger.read_bytes().split(b"\n")
    hit = next(i for i, line in enumerate(lines) if b'"photo":"b.jpg"' in line)
    lines[hit] = lines[hit][:40] + b"\xff\x00" + lines[hit][40:]
    strange: list[Any] = [1, None, [], {"output": 5}, {"output": "a.png"}, {"output": "no.png", "status": "odd"}]
    strange += [{"output": "a.png", "status": "done", "number": 0, "input": {"stamp": "1:2"}}]
    ledger.write_bytes(b"\n".join([*lines[:-1], *(json.dumps(one).encode() for one in strange), b""]))
    progress, did = run()
    assert did == ["b.jpg"] and progress.counts == {"done": 1} and run()[1] == []


def test_a_file_that_every_photo_needs_is_missed_at_once(place: Path) -> None:
    with pytest.raises(UsageError, match=r"There is no file nowhere\.png\."):
        run(request=REQUEST | {"also": ["nowhere.png"]})
    assert not Path("out").exists()


def test_what_stopped_a_batch_is_said_though_the_page_cannot_be_written(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*args: Any) -> None:
        raise MildError("out/batch.html cannot be written: No space left on device.")

    monkeypatch.setattr("mild.app.batch.batch.write_page", full)
    setup = Setup("out", "out")
    with pytest.raises(MildError, match="The batch stopped"), Batch(Order("in", setup, REQUEST), Here(setup)):
        raise MildError("The batch stopped.")
    with pytest.raises(MildError, match=r"batch\.html"), Batch(Order("in", setup, REQUEST), Here(setup)):
        pass


def test_a_full_disk_stops_the_batch_in_one_sentence(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = worker.store.published

    def full(made: Path, where: str) -> None:
        if where.endswith("c.png"):
            raise OSError(28, "No space left on device", where)
        real(made, where)

    monkeypatch.setattr(worker.store, "published", full)
    with pytest.raises(MildError, match=r"The batch stopped: out: No space left on device\. The same command goes on"):
        run()
    done = {row["photo"] for row in rows() if row["status"] == "done"}
    assert len(done) == len(rows()) < 4
    monkeypatch.undo()
    monkeypatch.chdir(place)
    assert set(run()[1]) == {"a.png", "b.jpg", "trip/c.png", "trip/d.webp"} - done


def test_object_stores(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import fsspec

    memory = fsspec.filesystem("memory")
    memory.put(str(place / "in"), "/photos", recursive=True)
    mask = REQUEST | {"selection": {"mask": str(place / "mask.png")}}
    run(request=mask, out="here")
    progress, _ = run("memory://photos", "memory://results", request=mask, books="books")
    assert progress.counts == {"done": 4}
    for name, data in results("here").items():
        assert memory.cat_file(f"/results/{name}") == data
    assert run("memory://photos", "memory://results", request=mask, books="books")[1] == []
    assert not list(Path("books").rglob("*.png")) and not Path("books/.batch").exists()
    with pytest.raises(UsageError, match="lies inside memory://photos"):
        run("memory://photos", "memory://photos/out", request=mask, books="books2")

    # The store is lost in the middle of a run: lines in the ledger, and the same command goes on.
    memory.pipe_file("/photos/e.png", memory.cat_file("/photos/a.png"))

    def lost(*args: Any, **kwargs: Any) -> Any:
        raise ConnectionError("no route to host")

    with monkeypatch.context() as patch:
        patch.setattr(type(memory), "get_file", lost)
        progress, _ = run("memory://photos", "memory://results", request=mask, books="books")
    assert progress.failed == 1
    assert "does not answer (ConnectionError: no route to host)" in rows("books/batch.jsonl")[-1]["error"]
    assert run("memory://photos", "memory://results", request=mask, books="books")[0].counts == {"done": 1}
    with monkeypatch.context() as patch:
        patch.setattr(type(memory), "find", lost)
        with pytest.raises(MildError, match="The store of memory://photos does not answer"):
            run("memory://photos", "memory://results", request=mask, books="books")
    with pytest.raises(MildError, match="There is no kind of store nosuchstore://"):
        store.is_folder("nosuchstore://x")
    memory.rm("/photos", recursive=True)
    memory.rm("/results", recursive=True)


def test_what_is_warned_of_stands_with_its_photo(
    place: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """It came on the screen, without saying of which of thousands of photos."""
    done = Worker._done

    def warning(self: Worker, job: Any, scratch: Path) -> dict[str, Any]:
        logging.getLogger("mild").warning("It may lie on its side.")
        return done(self, job, scratch)

    monkeypatch.setattr(Worker, "_done", warning)
    run()
    assert rows() and all(row["notes"] == ["It may lie on its side."] for row in rows())
    assert "It may lie on its side." in Path("out/batch.html").read_text()
    assert "its side" not in "".join(capfd.readouterr())


def test_a_folder_of_this_machine_by_its_uri(tmp_path: Path) -> None:
    """The newcomer's first try of a store: every photo failed, since nobody made the folder of the results."""
    pytest.importorskip("fsspec")
    (made := tmp_path / "made.png").write_bytes(b"result")
    store.published(made, (tmp_path / "clean" / "deep" / "a.png").as_uri())
    assert (tmp_path / "clean" / "deep" / "a.png").read_bytes() == b"result" and not made.exists()


def test_watching_leaves_files_until_they_rest(place: Path) -> None:
    setup = Setup("out", "out")
    batch = Batch(Order("in", setup, REQUEST), Here(setup))
    grown = place / "in/late.png"
    data = (place / "in/a.png").read_bytes()

    def copy_slowly() -> None:
        time.sleep(0.3)
        for size in range(len(data) // 4, len(data) + len(data) // 4, len(data) // 4):
            grown.write_bytes(data[:size])
            time.sleep(0.15)
        grown.write_bytes(data)

    copier = threading.Thread(target=copy_slowly)
    copier.start()
    progress = batch.watch(lambda progress: None, rest=0.6, idle=1.5)
    copier.join()
    batch.close()
    assert progress.counts == {"done": 5}
    assert [row["photo"] for row in rows()][-1] == "late.png" and len(rows()) == 5


def test_the_page_loads_nothing_from_outside(place: Path) -> None:
    (place / "in/</script><b>.png").parent.mkdir(parents=True, exist_ok=True)
    photo(place / "in/</script><b>.png", 3)
    run()
    text = Path("out/batch.html").read_text()
    assert not re.search(r"https?://|//\w+\.\w", text)
    assert text.count("</script>") == 2
    inside = re.search(r'<script id="data" type="application/json">(.*?)</script>', text, re.S)
    assert inside is not None
    data = json.loads(inside[1])
    assert len(data["entries"]) == 5 and data["entries"][0][0] == "</script><b>.png"
    for row in data["entries"]:
        for side in "ab":
            assert Path(f"out/{data['pictures']}/000/{row[2]:06d}{side}.jpg").is_file()


def test_the_command_line(place: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (place / "in/broken.png").write_bytes(b"\x89PNG\r\n\x1a\nxx")
    command = ["batch", "in", "-o", "out", "--mask", "mask.png", "--finder", "none", "--no-denoise", "--no-detail"]
    assert app.run([*command, "--jobs", "1"]) == 1
    out, err = capfd.readouterr()
    assert "5 photos: 4 done, 1 failed" in out
    assert "mild: 1 photo was not done; out/batch.jsonl says why of each." in err
    (place / "in/broken.png").unlink()
    assert app.run([*command, "--json"]) == 0
    assert json.loads(capfd.readouterr().out)["before"] == 4
    assert app.run(["batch", "in", "-o", "memory://x", "--all"]) == 2
