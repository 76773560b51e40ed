"""Rows with exact truth, batches, and a trainer that survives being killed."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from mild.data.ingredients import Ingredients
from mild.data.rows import FOREIGN, HOLE, OWN, background_row, clean_cutout, person_row
from mild.errors import MildError
from mild.train import small
from mild.train.cache import SHARD, write_shard
from mild.train.cached import CachedRows, view


def _webp(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "WEBP", lossless=True)
    return buffer.getvalue()


@pytest.fixture(scope="session")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small folder of ingredients: two backgrounds and three drawn people."""
    folder = tmp_path_factory.mktemp("ingredients")
    rng = np.random.default_rng(0)
    entries, files = [], {}
    for i in range(2):
        pixels = np.kron(rng.integers(0, 255, (12, 12, 3)), np.ones((14, 14, 1))).astype(np.uint8)
        files[f"b/{i}.webp"] = _webp(Image.fromarray(pixels))
        entries.append({"kind": "background", "file": f"b/{i}.webp", "size": [168, 168], "scene_kind": "scene"})
    for i in range(3):
        body = np.zeros((160, 60, 4), np.uint8)
        body[..., :3] = rng.integers(0, 255, 3)
        body[4:40, 15:45, 3] = 255
        body[36:158, 8:52, 3] = 255
        files[f"p/{i}.webp"] = _webp(Image.fromarray(body))
        flags = {"full_body": True, "truncated": False, "occluded": False}
        entries.append({"kind": "person", "file": f"p/{i}.webp", "size": [60, 160], **flags})
    with tarfile.open(folder / "photos.tar", "w") as tar:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    lines = [json.dumps({**entry, "shard": "photos.tar", "split": "train", "licence": "CC0"}) for entry in entries]
    (folder / "manifest.jsonl").write_text("\n".join(lines))
    return folder


def test_rows_have_the_three_regions(photos: Path) -> None:
    ingredients = Ingredients.open(photos, "train")
    for make, seed in ((background_row, 1), (person_row, 2)):
        row = make(np.random.default_rng(seed), ingredients, 64)
        assert row.rgba.shape == (64, 64, 4)
        assert set(np.unique(row.regions)) <= {FOREIGN, OWN, HOLE}
        assert (row.regions == HOLE).any() and (row.regions == OWN).any()


def test_a_person_row_owns_only_the_person(photos: Path) -> None:
    row = person_row(np.random.default_rng(5), Ingredients.open(photos, "train"), 96)
    assert (row.rgba[..., 3][row.regions == OWN] > 127).all()


def test_a_cut_out_loses_its_halo() -> None:
    rgba = np.zeros((40, 40, 4), np.uint8)
    rgba[10:30, 10:30] = (0, 200, 0, 255)
    rgba[9, 10:30] = (255, 255, 255, 255)  # a bright rim of the old background
    cleaned = clean_cutout(rgba)
    assert cleaned[9, 20, 3] < 128
    assert cleaned[9, 20, 1] == 200 and cleaned[9, 20, 0] == 0


def test_ingredients_without_a_manifest(tmp_path: Path) -> None:
    with pytest.raises(MildError, match="manifest"):
        Ingredients.open(tmp_path, "train")


@pytest.fixture(scope="session")
def cache(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cache")
    write_shard(str(photos), "train", str(folder), 0, 64, 0)
    return folder


def test_shards_are_the_same_bytes_again(photos: Path, cache: Path, tmp_path: Path) -> None:
    path = write_shard(str(photos), "train", str(tmp_path), 0, 64, 0)
    assert path.read_bytes() == (cache / path.name).read_bytes()


def test_a_batch_blanks_what_is_foreign(cache: Path) -> None:
    data = CachedRows(cache)
    assert len(data) == SHARD
    batch = data.batch(np.random.default_rng(0), 6, 32)
    rows = batch.rows
    outside = (rows.foreign > 0).expand(-1, 3, -1, -1)
    assert (rows.visible[outside] == 0).all() and (rows.fill[outside] == 0).all()
    assert (rows.own * rows.hole).max() == 0
    assert batch.target.shape == (6, 4, 32, 32)


def test_a_shrunk_view_owns_only_pure_pixels(cache: Path) -> None:
    row = CachedRows(cache)[0]
    image = view(row, 2)
    hole = (row[..., 4] == HOLE).reshape(32, 2, 32, 2).any((1, 3))
    assert np.array_equal(image[..., 5] > 0, hole)


def tiny(steps: int) -> small.Config:
    return small.Config(channels=(32, 32), rank=2, batch=4, size=32, large_every=2, warmup=2, steps=steps, bf16=False)


def test_training_resumed_is_bit_equal(cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small.train(tiny(4), str(cache), str(tmp_path / "whole"), None, save_every=2)
    # A kill after step 3: what was done since the checkpoint of step 2 is lost.
    real, calls = small.loss_of, [0]

    def dying(*args: object) -> torch.Tensor:
        calls[0] += 1
        if calls[0] == 4:
            raise KeyboardInterrupt
        return real(*args)  # type: ignore[arg-type]

    monkeypatch.setattr(small, "loss_of", dying)
    with pytest.raises(KeyboardInterrupt):
        small.train(tiny(4), str(cache), str(tmp_path / "broken"), None, save_every=2)
    monkeypatch.setattr(small, "loss_of", real)
    small.train(tiny(4), str(cache), str(tmp_path / "broken"), None, save_every=2)
    one, two = (torch.load(tmp_path / run / "latest.pt", weights_only=True) for run in ("whole", "broken"))
    assert one["step"] == two["step"] == 4
    for name in one["model"]:
        assert torch.equal(one["model"][name], two["model"][name]), name
        assert torch.equal(one["average"][name], two["average"][name]), name


def test_an_untrained_model_answers_with_the_fill(cache: Path) -> None:
    model = small.Model(tiny(1))
    rows = CachedRows(cache).batch(np.random.default_rng(0), 4, 32).rows
    with torch.no_grad(), model.denoiser.installed(rows) as denoise:
        answer = model.codec.decode(denoise(torch.randn(4, 256, 4, 4), torch.full((4,), 999), torch.zeros(4)))
    assert torch.allclose(answer, rows.base, atol=1e-6)


def test_steps_on_one_batch_lower_its_loss(cache: Path) -> None:
    torch.manual_seed(0)
    model = small.Model(tiny(1))
    batch = CachedRows(cache).batch(np.random.default_rng(9), 8, 32)
    noise, t = torch.zeros(8, 256, 4, 4), torch.full((8,), 999)
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3)
    losses = []
    for _ in range(25):
        loss = small.loss_of(model, batch, t, noise)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0] - 0.01
