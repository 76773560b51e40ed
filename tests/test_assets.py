"""Weights: found, fetched, checked, never downloaded behind the user's back."""

from __future__ import annotations

import hashlib
import os
import subprocess
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest

from mild.errors import MildError, UsageError
from mild.models import assets
from mild.models import registry as asset_registry


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MILD_CACHE", str(tmp_path / "cache"))
    for name in ("MILD_OFFLINE", "HF_HUB_OFFLINE"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path / "cache"


@pytest.fixture
def toy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A small wheel, registered in place of the real one."""
    files = {"a.tflite": b"net a" * 100, "LICENSE": b"free"}
    wheel = tmp_path / "toy-1.0-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        for name, data in files.items():
            archive.writestr(f"toy/{name}", data)
    known = replace(
        asset_registry.BLAZEPOSE,
        source="toy==1.0",
        sha256=hashlib.sha256(wheel.read_bytes()).hexdigest(),
        files=tuple(
            asset_registry.AssetFile(name, f"toy/{name}", len(data), hashlib.sha256(data).hexdigest())
            for name, data in files.items()
        ),
    )
    monkeypatch.setitem(asset_registry.REGISTRY, "blazepose", known)
    return wheel


def pip_that_gives(wheel: Path | None, calls: list[list[str]]) -> object:
    def run(command: list[str], **_: object) -> subprocess.CompletedProcess[str]:
        calls.append(command)
        if wheel is None:
            return subprocess.CompletedProcess(command, 1, "", "ERROR: No matching distribution found for toy==1.0\n")
        target = Path(command[command.index("-d") + 1])
        (target / wheel.name).write_bytes(wheel.read_bytes())
        return subprocess.CompletedProcess(command, 0, "", "")

    return run


def test_cache_dir_follows_the_environment(cache: Path) -> None:
    assert assets.cache_dir() == cache


def test_missing_weights_name_the_command(cache: Path) -> None:
    with pytest.raises(MildError, match="mild models --fetch blazepose"):
        assets.ensure("blazepose")
    assert not cache.exists()


@pytest.mark.parametrize("switch", ["MILD_OFFLINE", "HF_HUB_OFFLINE"])
def test_offline_is_honoured(cache: Path, switch: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(switch, "1")
    monkeypatch.setattr(subprocess, "run", lambda *a, **k: pytest.fail("pip was started"))
    for name in ("blazepose", "rf-detr-seg"):
        with pytest.raises(MildError, match="downloads are switched off"):
            assets.fetch(name)


def test_fetch_takes_only_the_checked_files(cache: Path, toy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[list[str]] = []
    monkeypatch.setattr(subprocess, "run", pip_that_gives(toy, calls))
    folder = assets.ensure("blazepose", download=True)
    assert folder == cache / "blazepose"
    assert sorted(p.name for p in folder.iterdir()) == ["LICENSE", "a.tflite"]
    assert calls[0][-3] == "toy==1.0" and {"download", "--no-deps", "--only-binary=:all:"} <= set(calls[0])
    assert assets.ensure("blazepose", download=True) == folder
    assert len(calls) == 1, "what is there is not fetched again"


def test_wrong_wheel_is_refused(cache: Path, toy: Path) -> None:
    toy.write_bytes(toy.read_bytes() + b"x")
    with pytest.raises(MildError, match="sha256"):
        assets.fetch("blazepose", wheel=toy)
    assert not (cache / "blazepose").exists()


def test_altered_file_counts_as_missing_and_is_repaired(cache: Path, toy: Path) -> None:
    net = assets.fetch("blazepose", wheel=toy) / "a.tflite"
    good = net.read_bytes()
    net.write_bytes(b"evil!" * 100)
    os.utime(net, ns=(1, 1))
    assert assets.locate("blazepose") is None
    assets.fetch("blazepose", wheel=toy)
    assert net.read_bytes() == good


def test_pip_failure_is_one_sentence(cache: Path, toy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subprocess, "run", pip_that_gives(None, []))
    with pytest.raises(MildError, match=r"could not get toy==1.0 \(No matching distribution found for toy==1.0\)\."):
        assets.fetch("blazepose")


def test_unknown_name_is_a_usage_error() -> None:
    with pytest.raises(UsageError, match="known: mild-small, blazepose"):
        assets.ensure("nonsense")


def test_hub_needs_weights_not_just_a_config(tmp_path: Path) -> None:
    assert assets.locate_hub("no such/id at all!") is None
    assert assets.locate_hub(str(tmp_path)) == tmp_path


def test_status_lists_every_asset_with_licence(cache: Path, toy: Path) -> None:
    assets.fetch("blazepose", wheel=toy)
    rows = {row.name: row for row in assets.status()}
    assert set(rows) == set(asset_registry.REGISTRY)
    assert rows["blazepose"].installed and rows["blazepose"].size == 504
    assert all(row.licence and row.source for row in rows.values())


def test_main_fetches_and_reports(cache: Path, toy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert assets.main(["--wheel", str(toy)]) == 0
    assert "Apache-2.0" in capsys.readouterr().out
    assert assets.main(["nonsense"]) == 2
    assert capsys.readouterr().err.startswith("error: ")
