"""`mild data curate`, `pairs` and `export`: real photos in, samples out, and a page on which a person decides."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from mild.app.cli.app import run
from mild.engines import Workers
from mild.errors import MildError, UsageError
from mild.lab.data import accepted as accepting
from mild.lab.data import pairs as pairing
from mild.lab.data.cocoset import write_coco
from mild.lab.data.curate import curate
from mild.lab.data.curation import Curation
from mild.lab.data.licences import Licence, read_licences
from mild.lab.data.looks import Filters, Look, duplicates, look, shortcoming
from mild.lab.data.plates import change, clean_plate, shift
from mild.lab.data.real import occlusions, real_sample, scaled_scene
from mild.lab.data.review import entry_of, read_decisions, write_page
from mild.lab.data.rules import check
from mild.lab.data.sample import Sample, Source
from mild.lab.data.store import open_samples, write_shard
from mild.people.finders.coco import encode_rle
from mild.people.scene import Person, Scene
from mild.photo import Photo
from perception_scenes import need_nets
from samples import tiny_sample
from studio_browser import QUIET, find_browser

EXAMPLES = Path(__file__).resolve().parent.parent / "examples"
SIZE = (160, 200)
FREE = Licence("CC0-1.0", "A. Author", "web")


def texture(seed: int, size: tuple[int, int] = SIZE) -> np.ndarray:
    """A picture with structure at all scales, so that hashes, sharpness and shifts mean something."""
    rng = np.random.default_rng(seed)
    out = np.zeros((*size, 3), np.float32)
    for step in (4, 9, 40):
        coarse = rng.uniform(0, 255, (size[0] // step + 2, size[1] // step + 2, 3)).astype(np.float32)
        out += cv2.resize(coarse, size[::-1], interpolation=cv2.INTER_NEAREST if step == 9 else cv2.INTER_CUBIC) / 3
    return np.clip(out, 0, 255).astype(np.uint8)


def entry(image: int, x: int, y: int, width: int, height: int, category: int = 1, **more: object) -> dict:
    polygon = [x, y, x + width, y, x + width, y + height, x, y + height]
    return {"id": image * 100 + x, "image_id": image, "category_id": category, "segmentation": [polygon], **more}


def album(folder: Path) -> Path:
    """Photos good and bad, and who is in them."""
    folder.mkdir()
    Image.fromarray(texture(1)).save(folder / "good.png")
    Image.fromarray(texture(2)).save(folder / "bag.png")
    Image.fromarray(texture(1)).resize((190, 152)).save(folder / "again.jpg", quality=80)
    Image.fromarray(cv2.GaussianBlur(texture(3), (0, 0), 3)).save(folder / "blurred.png")
    Image.fromarray(texture(4) // 20).save(folder / "dark.png")
    Image.fromarray(texture(5)).save(folder / "crowd.png")
    Image.fromarray(texture(6)).save(folder / "empty.png")
    Image.fromarray(texture(7)).save(folder / "mine.png")
    Image.fromarray(texture(8)).save(folder / "resized.png")
    Image.fromarray(texture(9)[:40, :50]).save(folder / "small.png")
    (folder / "broken.jpg").write_bytes(b"no picture")
    names = ["good", "bag", "again", "blurred", "dark", "crowd", "empty", "mine", "resized", "small", "broken"]
    ends = {"again": "jpg", "broken": "jpg"}
    images = [
        {"id": n, "file_name": f"{name}.{ends.get(name, 'png')}", "license": 4} for n, name in enumerate(names, 1)
    ]
    images[7]["license"] = 9
    images[8] |= {"width": 10, "height": 10}
    rows = [
        entry(1, 20, 30, 40, 110, keypoints=[40, 40, 2, *[0] * 48]),
        entry(1, 50, 40, 40, 100),
        entry(2, 60, 20, 50, 120),
        entry(2, 100, 80, 24, 30, 27),
        entry(6, 60, 20, 50, 120),
        entry(6, 10, 20, 30, 30, iscrowd=1),
        *(entry(n, 60, 20, 50, 120) for n in (3, 4, 5, 8, 9, 10, 11)),
    ]
    data = {
        "images": [*images, {"id": 99, "file_name": "../outside.png"}],
        "annotations": rows,
        "categories": [{"id": 1, "name": "person"}, {"id": 27, "name": "backpack"}],
        "licenses": [{"id": 4, "name": "CC-BY-2.0"}, {"id": 9, "name": ""}],
    }
    path = folder.parent / "people.json"
    path.write_text(json.dumps(data))
    return path


def lenient(**changes: object) -> Filters:
    return replace(Filters(min_side=64), **changes)  # type: ignore[arg-type]


def fates_of(folder: Path) -> dict[str, tuple[str, str]]:
    said = json.loads((folder / "curate.json").read_text())
    return {fate["file"]: (fate["outcome"], fate["why"]) for fate in said["photos"]}


@pytest.fixture(scope="module")
def curated(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, int]:
    root = tmp_path_factory.mktemp("curated")
    coco = album(root / "photos")
    code = run(
        ["data", "curate", str(root / "photos"), str(root / "set"), "--coco", str(coco), "--min-side", "64", "-j", "1"]
    )
    return root / "photos", root / "set", code


def test_every_photo_is_taken_or_left_out_with_a_reason(curated: tuple[Path, Path, int]) -> None:
    _, made, code = curated
    assert code == 1  # some could not be used
    fates = fates_of(made)
    assert {file for file, (outcome, _) in fates.items() if outcome == "taken"} == {"good.png", "bag.png"}
    for file, outcome, why in (
        ("again.jpg", "duplicate", "good.png"),
        ("blurred.png", "filtered", "blurred"),
        ("dark.png", "filtered", "too dark"),
        ("small.png", "filtered", "too small"),
        ("crowd.png", "filtered", "crowd"),
        ("empty.png", "filtered", "nobody"),
        ("mine.png", "problem", "no licence"),
        ("resized.png", "problem", "10 x 10"),
        ("broken.jpg", "problem", "broken.jpg"),
        ("", "problem", "no usable file_name"),
    ):
        assert fates[file][0] == outcome, file
        assert why in fates[file][1], file


def test_curated_samples_keep_every_rule(curated: tuple[Path, Path, int]) -> None:
    verdict = check([curated[1]])
    assert verdict.breaches == ()
    assert {f.truth for f in verdict.facts} == {"none"}
    assert {s.licence for f in verdict.facts for s in f.sources} == {"CC-BY-2.0"}


def test_masks_pose_and_belongings_come_from_the_annotations(curated: tuple[Path, Path, int]) -> None:
    samples = {s.sources[0].file: s for s in open_samples(curated[1])}
    bag, good = samples["bag.png"], samples["good.png"]
    assert bag.tags.scenario == "human-object"
    assert (bag.belongings[82:108, 104:122] == 1).all()
    assert not bag.index[82:108, 104:122].any()
    assert good.tags.scenario == "human-human"
    assert good.tags.chain == 2
    assert len(good.people) == 2
    assert good.people[0].keypoints[0].tolist() == [40, 40, 1]


def test_the_same_run_again_makes_nothing_anew(curated: tuple[Path, Path, int]) -> None:
    photos, made, _ = curated
    shard = made / "train-00000.tar"
    before = shard.stat().st_mtime_ns, shard.read_bytes()
    order = Curation(photos, made, read_licences(None), lenient(), coco=photos.parent / "people.json")
    curate(order)
    assert (shard.stat().st_mtime_ns, shard.read_bytes()) == before
    (made / "curate" / "00000.json").unlink()  # interrupted: the shard has no notes
    curate(order)
    assert shard.stat().st_mtime_ns != before[0]
    assert shard.read_bytes() == before[1]
    with pytest.raises(MildError, match="curated otherwise"):
        curate(replace(order, split="test"))


def files_of(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


@pytest.mark.parametrize("engine", ["local", pytest.param("ray", marks=pytest.mark.slow)])
def test_the_set_is_the_same_whoever_makes_it(
    engine: str, curated: tuple[Path, Path, int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if engine == "ray":
        pytest.importorskip("ray.data")
    photos, _, _ = curated
    monkeypatch.setattr("mild.lab.data.curate.FEW", 0)
    made = {}
    for workers in (Workers(), Workers(engine, 2)):
        out = tmp_path / str(workers.jobs) / "set"
        order = Curation(photos, out, read_licences(None), lenient(), coco=photos.parent / "people.json", per_shard=1)
        curate(order, workers=workers)
        made[workers.jobs] = files_of(out)
    assert made[1] == made[2] and len([name for name in made[1] if name.endswith(".tar")]) > 1


def test_a_licence_is_looked_up_or_the_photo_stays_out(tmp_path: Path) -> None:
    table = tmp_path / "licences.csv"
    table.write_text("file;license;author\na/one.jpg;CC0-1.0;Ada\ntwo.jpg;;Bob\n")
    found = read_licences(table, FREE)
    assert found.of("a/one.jpg") == Licence("CC0-1.0", "Ada")
    assert found.of("b/two.jpg") is None  # listed by its name, without a licence
    assert found.of("three.jpg") == FREE
    assert read_licences(table).of("three.jpg") is None
    listed = tmp_path / "licences.json"
    listed.write_text(json.dumps({"one.jpg": "CC-BY-4.0", "two.jpg": {"licence": "CC0-1.0", "group": "roll 7"}}))
    assert read_licences(listed).of("one.jpg") == Licence("CC-BY-4.0")
    assert read_licences(listed).of("two.jpg") == Licence("CC0-1.0", group="roll 7")
    assert FREE.source("val/000000000139.jpg").group == "coco/000000000139"
    assert FREE.source("roll/one.jpg").group == "roll/one.jpg"
    table.write_text("picture,terms\n")
    with pytest.raises(UsageError, match="no column 'file'"):
        read_licences(table)


@pytest.mark.parametrize(
    ("damage", "why"),
    [
        (lambda p: cv2.GaussianBlur(p, (0, 0), 4), "blurred"),
        (lambda p: p // 16, "too dark"),
        (lambda p: 255 - p // 16, "too bright"),
        (lambda p: p // 8 + 100, "flat"),
        (lambda p: p[:90], "too small"),
    ],
)
def test_filters_name_what_is_wrong(tmp_path: Path, damage, why: str) -> None:
    whole = texture(0, (300, 400))
    filters = Filters(min_side=100)
    Image.fromarray(whole).save(tmp_path / "a.png")
    Image.fromarray(damage(whole)).save(tmp_path / "b.png")
    assert shortcoming(look(tmp_path, "a.png"), filters) is None
    assert why in (shortcoming(look(tmp_path, "b.png"), filters) or "")


@given(st.lists(st.integers(0, 2**64 - 1), min_size=1, max_size=12), st.integers(0, 20))
@settings(max_examples=50, deadline=None)
def test_of_near_duplicates_exactly_one_stays(hashes: list[int], distance: int) -> None:
    looks = [Look(f"{n:02d}", sha256=str(h), size=(10 + n, 10), hash=h) for n, h in enumerate([*hashes, hashes[0]])]
    left_out = duplicates(looks, distance)
    kept = [one for one in looks if one.file not in left_out]
    assert all((a.hash ^ b.hash).bit_count() > distance for a in kept for b in kept if a is not b)
    by_name = {one.file: one for one in looks}
    for file, other in left_out.items():
        assert other not in left_out
        assert (by_name[file].hash ^ by_name[other].hash).bit_count() <= distance
        assert by_name[file].size <= by_name[other].size
    # With near-duplicates allowed, the very same pixels still count once.
    assert len(looks) - len(duplicates(looks, -1)) == len(set(hashes))


def test_photos_of_another_set_do_not_come_again(curated: tuple[Path, Path, int], tmp_path: Path) -> None:
    photos, made, _ = curated
    order = Curation(
        photos, tmp_path / "test", read_licences(None, FREE), lenient(), coco=photos.parent / "people.json",
        split="test", against=(made,),
    )  # fmt: skip
    curate(order)
    fates = fates_of(tmp_path / "test")
    assert fates["good.png"][0] == fates["bag.png"][0] == "duplicate"
    assert fates["mine.png"][0] == "taken"
    assert not check([made, tmp_path / "test"]).breaches


def test_the_estimate_of_what_is_hidden() -> None:
    photo = Photo.from_array(texture(0))
    back = np.zeros(SIZE, bool)
    back[20:140, 40:60] = True
    back[20:140, 80:100] = True  # the middle third is covered
    front = np.zeros(SIZE, bool)
    front[10:150, 60:80] = True
    people = (Person.from_mask(1, back), Person.from_mask(2, front))
    assert occlusions(Scene(photo, people, (1, 2)))[1, 2] == pytest.approx(1 / 3, abs=0.02)
    assert (1, 2) not in occlusions(Scene(photo, people, (2, 1)))
    apart = (Person.from_mask(1, back), Person.from_mask(2, np.roll(front, 80, 1)))
    assert occlusions(Scene(photo, apart, (1, 2))) == {}


@given(st.integers(20, 260))
@settings(max_examples=20, deadline=None)
def test_a_scaled_scene_fits_its_photo(longest: int) -> None:
    mask = np.zeros(SIZE, bool)
    mask[20:140, 40:90] = True
    points = np.zeros((17, 3), np.float32)
    points[5] = (60, 50, 1)
    scene = Scene(Photo.from_array(texture(0)), (Person.from_mask(1, mask, keypoints=points),))
    small = scaled_scene(scene, longest)
    assert max(small.size) == min(longest, max(SIZE))
    ratio = max(small.size) / max(SIZE)
    assert small.people[0].area == pytest.approx(mask.sum() * ratio**2, rel=0.2)
    x, y = small.people[0].keypoints[5, :2]
    assert small.people[0].full_mask(small.size)[round(float(y)), round(float(x))]


# --- COCO out and in


def test_coco_out_and_in_gives_the_same_people(tmp_path: Path) -> None:
    whole = tiny_sample(size=(96, 128))
    write_shard(tmp_path / "set" / "train-00000.tar", [whole])
    coco = tmp_path / "out.json"
    assert run(["data", "export", str(tmp_path / "set"), "--coco", str(coco), "--photos", str(tmp_path / "p")]) == 0
    said = json.loads(coco.read_text())
    assert [row["category_id"] for row in said["annotations"]] == [1, 1, 2]
    assert said["annotations"][1]["mild"]["erase"] is True
    order = Curation(
        tmp_path / "p",
        tmp_path / "again",
        read_licences(None),
        lenient(min_person=8, blur=0, exposure=False),
        coco=coco,
    )
    curate(order)
    back = next(open_samples(tmp_path / "again"))
    assert (back.photo == whole.photo).all()
    assert (back.index == whole.index).all()
    assert (back.belongings == whole.belongings).all()
    assert "CC-BY-2.0" in back.sources[0].licence
    assert run(["data", "export", str(tmp_path / "set"), "--coco", str(coco)]) == 1  # it is there already


def test_pycocotools_reads_what_is_written(tmp_path: Path) -> None:
    from pycocotools.coco import COCO

    samples = [tiny_sample("a"), tiny_sample("b", 1)]
    write_coco(samples, tmp_path / "out.json")
    read = COCO(str(tmp_path / "out.json"))
    assert len(read.getImgIds()) == 2
    rows = read.loadAnns(read.getAnnIds(imgIds=2, catIds=1))
    for row, person in zip(rows, samples[1].people, strict=True):
        assert (read.annToMask(row) == (samples[1].index == person.id)).all()
    with pytest.raises(MildError, match="already exists"):
        write_coco(samples, tmp_path / "out.json")


# --- the review page


def test_decisions_are_read_back(curated: tuple[Path, Path, int], tmp_path: Path) -> None:
    photos, made, _ = curated
    keys = {s.sources[0].file: s.key for s in open_samples(made)}
    decisions = tmp_path / "decisions.json"
    said = {"format": "mild-decisions/1", "decisions": {keys["good.png"]: "accept", keys["bag.png"]: "reject"}}
    decisions.write_text(json.dumps(said))
    assert run(["data", "curate", str(made), str(tmp_path / "kept"), "--decisions", str(decisions)]) == 0
    assert [s.key for s in open_samples(tmp_path / "kept")] == [keys["good.png"]]
    assert check([tmp_path / "kept"]).breaches == ()
    # The same from the photos.
    order = Curation(
        photos, tmp_path / "from photos", read_licences(None), lenient(), coco=photos.parent / "people.json",
        decisions=decisions,
    )  # fmt: skip
    curate(order)
    assert [s.key for s in open_samples(tmp_path / "from photos")] == [keys["good.png"]]
    assert fates_of(tmp_path / "from photos")["bag.png"][0] == "rejected"
    decisions.write_text(json.dumps({**said, "decisions": {"x": "maybe"}}))
    with pytest.raises(UsageError, match="maybe"):
        read_decisions(decisions)
    decisions.write_text("{}")
    with pytest.raises(UsageError, match="holds no decisions"):
        read_decisions(decisions)


def test_the_page_fetches_nothing_and_survives_odd_names(tmp_path: Path) -> None:
    row = replace(entry_of(tiny_sample()), caption="</script><b>&amp; a.jpg")
    text = write_page(tmp_path, "se</script>t", [row]).read_text()
    assert "http" not in text
    assert text.count("</script>") == 2
    assert "\\u003c/script>\\u003cb>" in text


def test_a_person_decides_with_keys(curated: tuple[Path, Path, int], tmp_path: Path) -> None:
    browser = find_browser()
    from playwright.sync_api import sync_playwright

    made = curated[1]
    keys = [s.key for s in open_samples(made)]
    faults: list[str] = []
    with sync_playwright() as play:
        running = play.chromium.launch(executable_path=browser, args=QUIET)
        page = running.new_page()
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.goto((made / "review" / "index.html").resolve().as_uri())
        assert page.locator("#picture").evaluate("p => p.decode().then(() => p.naturalWidth)") > 100
        page.keyboard.press("r")
        page.keyboard.press("u")
        page.keyboard.press("ArrowLeft")
        page.keyboard.press("a")
        page.keyboard.press("r")
        with page.expect_download() as coming:
            page.keyboard.press("s")
        coming.value.save_as(tmp_path / "decisions.json")
        page.reload()
        assert "1 accepted · 1 rejected · 0 undecided" in page.locator("#counts").inner_text()
        # Found by our own runs under load: a browser that has just started may lose what a page of a file stored.
        page.evaluate("localStorage.clear()")
        page.reload()
        assert "1 accepted · 1 rejected · 0 undecided" in page.locator("#counts").inner_text()
        running.close()
    assert not faults
    assert read_decisions(tmp_path / "decisions.json") == {keys[0]: "accept", keys[1]: "reject"}


# --- pairs from a static camera

PLACE = texture(11, (120, 160))


def walk(step: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """A frame in which a red block, with a soft shadow beside it, walks to the right; and where it is."""
    rng = np.random.default_rng(seed + step)
    frame = PLACE.astype(np.float32) * 0.8 + 30
    where = np.zeros(PLACE.shape[:2], bool)
    x = -20 + 9 * step
    shade = np.zeros_like(where)
    shade[80:95, max(0, x + 16) : max(0, x + 34)] = True
    frame[shade] *= 0.75
    where[30:95, max(0, x) : max(0, x + 16)] = True
    frame[where] = (230, 20, 20)
    noisy = frame + rng.normal(0, 2, frame.shape)
    return np.clip(np.rint(noisy), 0, 255).astype(np.uint8), where


def block_finder(photo: Photo, finder: object) -> Scene:
    """Finds the block, a little too small, as a finder would."""
    pixels = photo.pixels.astype(int)
    mask = (pixels[..., 0] > 180) & (pixels[..., 1] < 70)
    mask = cv2.erode(mask.astype(np.uint8), np.ones((5, 5), np.uint8)) > 0
    return Scene(photo, (Person.from_mask(1, mask, score=0.9),) if mask.sum() > 200 else ())


def burst(folder: Path, frames: list[np.ndarray]) -> Path:
    folder.mkdir()
    for number, frame in enumerate(frames):
        Image.fromarray(frame).save(folder / f"{number:03d}.png")
    return folder


def test_the_plate_is_the_place_without_anybody() -> None:
    plate = clean_plate(np.stack([walk(step)[0] for step in range(20)]))
    truth = PLACE.astype(np.float32) * 0.8 + 30
    assert np.abs(plate.pixels - truth).mean() < 1.5
    assert np.abs(plate.pixels - truth).max() < 12
    assert plate.noise.mean() == pytest.approx(3.2, abs=1.0)  # the largest of three channels
    frame, where = walk(8)
    seen = change(frame, plate)
    assert seen.moved[where].mean() > 0.99
    grown = cv2.dilate(where.astype(np.uint8), np.ones((11, 11), np.uint8)) > 0
    assert not seen.moved[~grown].any()
    assert (seen.shadow[84:92, 72:82] > 40).mean() > 0.8
    assert not (seen.shadow > 0)[:60].any()


@given(st.integers(-6, 6), st.integers(-6, 6))
@settings(max_examples=15, deadline=None)
def test_shifts_are_measured(dx: int, dy: int) -> None:
    moved = np.roll(walk(5)[0], (dy, dx), (0, 1))
    assert shift(moved, walk(30)[0]) == pytest.approx(np.hypot(dx, dy), abs=0.5)


def test_a_static_camera_gives_pairs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pairing, "find_people", block_finder)
    frames = [walk(step)[0] for step in range(20)]
    frames[7] = np.roll(frames[7], 5, 1)  # somebody touched the camera
    frames[9] = np.clip(frames[9].astype(int) + 40, 0, 255).astype(np.uint8)  # the sun came out
    clip = burst(tmp_path / "clip", frames)
    (clip / "020.png").write_bytes(b"no picture")
    out = tmp_path / "set"
    assert run(["data", "pairs", str(clip), str(out), "--licence", "CC0-1.0"]) == 1  # 020.png
    verdict = check([out])
    assert verdict.breaches == ()
    said = {fate["file"]: fate for fate in json.loads((out / "pairs.json").read_text())["frames"]}
    assert "camera moved" in said["007"]["why"]
    assert "light changed" in said["009"]["why"]
    samples = list(open_samples(out))
    assert len(samples) >= 5
    truth = PLACE.astype(np.float32) * 0.8 + 30
    for sample in samples:
        assert sample.truth == "plate"
        assert sample.sources[0].group == "clip"
        assert np.abs(sample.erased_truth() - truth).mean() < 2.5
        assert np.abs(sample.erased_truth() - truth).max() < 30  # nothing of the red block is left
    assert run(["data", "pairs", str(clip), str(out), "--licence", "CC0-1.0"]) == 2  # it is there already


def test_a_moving_camera_is_refused(tmp_path: Path) -> None:
    clip = burst(tmp_path / "clip", [np.roll(walk(step)[0], 4 * step, 1) for step in range(12)])
    with pytest.raises(MildError, match="moves"):
        pairing.make_pairs(pairing.Burst(clip, tmp_path / "set", FREE))
    assert not (tmp_path / "set").exists()


def test_videos_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "walk.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 10, (160, 120))
    if not writer.isOpened():
        pytest.skip("this OpenCV cannot write MJPG")
    for step in range(20):
        writer.write(np.ascontiguousarray(walk(step)[0][..., ::-1]))
    writer.release()
    monkeypatch.setattr(pairing, "find_people", block_finder)
    made = pairing.make_pairs(pairing.Burst(path, tmp_path / "set", FREE, count=3))
    assert sum(fate.outcome == "taken" for fate in made.fates) == 3
    assert check([tmp_path / "set"]).breaches == ()
    (tmp_path / "no.avi").write_bytes(b"no video")
    with pytest.raises(MildError, match="cannot be read as a video"):
        pairing.make_pairs(pairing.Burst(tmp_path / "no.avi", tmp_path / "other", FREE))


def test_somebody_who_stands_still_is_never_erased(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def both(photo: Photo, finder: object) -> Scene:
        mask = np.zeros(photo.size, bool)
        mask[20:100, 120:135] = True  # a bollard that the finder takes for somebody
        found = block_finder(photo, finder).people
        free = mask & ~(found[0].full_mask(photo.size) if found else False)
        return Scene(photo, (*found, Person.from_mask(2, free)) if free.any() else found)

    monkeypatch.setattr(pairing, "find_people", both)
    clip = burst(tmp_path / "clip", [walk(step)[0] for step in range(20)])
    made = pairing.make_pairs(pairing.Burst(clip, tmp_path / "set", FREE))
    assert "stand in the clean plate" in made.notes[0]
    for sample in open_samples(tmp_path / "set"):
        standing = [p for p in sample.people if sample.index[60, 127] == p.id]
        if standing and not (sample.photo[60, 127].astype(int) - (230, 20, 20) == 0).all():
            moving = np.abs(sample.photo[60, 127].astype(int) - (230, 20, 20)).max() < 25
            assert standing[0].erase == moving


def test_samples_say_who_is_too_many() -> None:
    photo = Photo.from_array(texture(0))
    source = Source("a.jpg", "photo", "CC0-1.0", "", "", "a")
    with pytest.raises(MildError, match="nobody"):
        real_sample("a", Scene(photo), source, split="train", made_by="test")
    mask = np.zeros(SIZE, bool)
    mask[:20, :20] = True
    with pytest.raises(MildError, match="254"):
        real_sample("a", Scene(photo, (Person.from_mask(255, mask),)), source, split="train", made_by="test")


def test_bad_annotations_of_one_photo_stop_nothing(tmp_path: Path) -> None:
    coco = album(tmp_path / "photos")
    data = json.loads(coco.read_text())
    data["annotations"] += [
        {"id": 1, "image_id": 1, "category_id": 1, "segmentation": {"size": [1, 1], "counts": "x"}},
        {"id": 2, "image_id": 8, "category_id": 1, "segmentation": encode_rle(np.ones((3, 3), bool))},
    ]
    coco.write_text(json.dumps(data))
    order = Curation(tmp_path / "photos", tmp_path / "set", read_licences(None, FREE), lenient(), coco=coco)
    fates = {fate.file: fate for fate in curate(order)}
    assert fates["good.png"].outcome == fates["mine.png"].outcome == "problem"
    assert fates["bag.png"].outcome == "taken"


@pytest.mark.slow
def test_the_example_photos_become_samples(tmp_path: Path) -> None:
    need_nets()
    out = tmp_path / "set"
    assert run(["data", "curate", str(EXAMPLES), str(out), "--licence", "GPL-2.0-or-later", "-j", "1"]) == 0
    samples: list[Sample] = list(open_samples(out))
    assert len(samples) == 4
    assert check([out]).breaches == ()
    assert all(len(s.people) >= 2 for s in samples)


def test_a_set_that_was_not_finished_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Killed between two files: half a set, which no rule objected to, and which the same command would not replace."""

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    clip = burst(tmp_path / "clip", [walk(step)[0] for step in range(20)])
    monkeypatch.setattr(pairing, "find_people", block_finder)
    with monkeypatch.context() as patch:
        patch.setattr(pairing, "write_image", killed)
        with pytest.raises(KeyboardInterrupt):
            pairing.make_pairs(pairing.Burst(clip, tmp_path / "set", FREE))
    assert not (tmp_path / "set").exists()
    pairing.make_pairs(pairing.Burst(clip, tmp_path / "set", FREE))
    keys = {sample.key: "accept" for sample in open_samples(tmp_path / "set")}
    decisions = tmp_path / "decisions.json"
    decisions.write_text(json.dumps({"format": "mild-decisions/1", "decisions": keys}))
    with monkeypatch.context() as patch:
        patch.setattr(accepting, "write_json", killed)
        with pytest.raises(KeyboardInterrupt):
            accepting.accepted(tmp_path / "set", tmp_path / "chosen", decisions, per_shard=2)
    assert not (tmp_path / "chosen").exists()
    assert accepting.accepted(tmp_path / "set", tmp_path / "chosen", decisions)["taken"] == len(keys)
    assert check([tmp_path / "chosen"]).breaches == ()
