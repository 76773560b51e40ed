"""The product on real photos with the model that ships: found, erased, everybody else untouched."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import mild
from mild.errors import UsageError
from mild.models import assets

EXAMPLES = Path(__file__).parent.parent / "examples"

pytestmark = pytest.mark.skipif(
    assets.locate("blazepose") is None,
    reason="the person finder's nets are not here; `python -m mild.models.assets` fetches them",
)


@pytest.fixture(scope="module")
def pool() -> mild.EraseResult:
    """The man with the cue leaves pool.jpg."""
    return mild.erase(EXAMPLES / "pool.jpg", people=[1])


def test_the_chosen_person_is_gone_and_the_rest_is_untouched(pool: mild.EraseResult) -> None:
    before, after = mild.Photo.open(EXAMPLES / "pool.jpg").pixels, pool.photo.pixels
    matte = pool.stack.change_matte({1})
    assert np.array_equal(after[matte == 0], before[matte == 0])
    person = pool.scene.person(1).full_mask(pool.scene.size)
    assert (matte[person] == 255).all()
    changed = np.abs(after[person].astype(int) - before[person]).max(1)
    assert (changed > 8).mean() > 0.8


def test_kept_people_keep_every_pixel(pool: mild.EraseResult) -> None:
    kept = pool.scene.person(2).full_mask(pool.scene.size)
    assert np.array_equal(pool.photo.pixels[kept], mild.Photo.open(EXAMPLES / "pool.jpg").pixels[kept])


def test_nobody_is_found_where_the_person_was(pool: mild.EraseResult) -> None:
    gone = pool.scene.person(1)
    again = mild.find_people(pool.photo, pool.request.finder)
    for person in again.sure:
        common = person.box.intersect(gone.box)
        overlap = person.full_mask(again.size)[gone.box.slices] & gone.mask
        assert common.area <= 0 or overlap.sum() < 0.3 * gone.area


def test_the_denoiser_takes_part(pool: mild.EraseResult) -> None:
    fill_only = mild.erase(EXAMPLES / "pool.jpg", people=[1], denoise=False)
    assert not np.array_equal(fill_only.photo.pixels, pool.photo.pixels)


def test_the_same_request_gives_the_same_pixels(pool: mild.EraseResult) -> None:
    assert np.array_equal(mild.run(pool.request).photo.pixels, pool.photo.pixels)


def test_the_request_replays_from_json(pool: mild.EraseResult) -> None:
    assert mild.EraseRequest.model_validate_json(pool.request.model_dump_json()) == pool.request


def test_the_command_line_gives_the_library_s_pixels(pool: mild.EraseResult, tmp_path: Path) -> None:
    out = tmp_path / "out.png"
    argv = [sys.executable, "-m", "mild", "erase", str(EXAMPLES / "pool.jpg"), "--person", "1", "-o", str(out)]
    # Offline on purpose: nothing may be fetched at run time.
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "MILD_OFFLINE": "1"}
    subprocess.run(argv, check=True, env=environment, timeout=300)
    assert np.array_equal(mild.Photo.open(out).pixels, pool.photo.pixels)


def test_a_person_who_does_not_exist() -> None:
    with pytest.raises(UsageError, match="no person 9"):
        mild.erase(EXAMPLES / "pool.jpg", people=[9])


def test_the_embedded_model_is_small_and_safe() -> None:
    folder = assets.model_folder("mild-small")
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) < 64e6
    assert {path.suffix for path in files} <= {".json", ".md", ".onnx", ".safetensors"}
