"""Weights: found, fetched, checked, never downloaded behind the user's back."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import pytest

from loopback import Served, serve
from mild.app.cli import app
from mild.errors import MildError, UsageError
from mild.models import assets, receipts, registry
from mild.models import hub as hub_cache
from mild.models.known import finders
from mild.models.known.finders import BLAZEPOSE
from mild.models.spec import HubFile, ModelFile, ModelSpec, NpmMember, Snapshot, WheelMember

REVISION = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MILD_CACHE", str(tmp_path / "cache"))
    for name in ("MILD_OFFLINE", "HF_HUB_OFFLINE"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path / "cache"


def register(monkeypatch: pytest.MonkeyPatch, spec: ModelSpec) -> ModelSpec:
    monkeypatch.setitem(registry.REGISTRY, spec.name, spec)
    return spec


@pytest.fixture
def toy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A small wheel, registered in place of the real one."""
    files = {"a.tflite": b"net a" * 100, "LICENSE": b"free"}
    wheel = tmp_path / "toy-1.0-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        for name, data in files.items():
            archive.writestr(f"toy/{name}", data)
    sha256 = hashlib.sha256(wheel.read_bytes()).hexdigest()
    known = replace(
        BLAZEPOSE,
        files=tuple(
            ModelFile(
                name, len(data), hashlib.sha256(data).hexdigest(), (WheelMember("toy==1.0", f"toy/{name}", sha256),)
            )
            for name, data in files.items()
        ),
    )
    register(monkeypatch, known)
    return wheel


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Served]:
    """A hub on the loopback address that has one file."""
    data = bytes(range(256)) * 4000
    with serve(Served(data)) as served:
        served.headers = {
            "X-Linked-Etag": f'"{served.sha256}"', "X-Linked-Size": str(len(data)), "X-Repo-Commit": REVISION
        }  # fmt: skip
        monkeypatch.setenv("HF_ENDPOINT", served.address)
        yield served


def toy_net(hub: Served, **changes: object) -> ModelSpec:
    file = ModelFile("net.onnx", len(hub.data), hub.sha256, (HubFile("someone/net", "onnx/net.onnx", REVISION),))
    fields = {"sha256": changes.pop("sha256", file.sha256), "size": changes.pop("size", file.size)}
    spec = ModelSpec(
        "toy-net", "filler", "a toy", "onnx", "MIT", "Trained on nothing.", files=(replace(file, **fields),)
    )
    return replace(spec, **changes)


def pip_that_gives(wheel: Path | None, calls: list[list[str]]) -> object:
    def run(command: list[str], **_: object) -> subprocess.CompletedProcess[str]:
        calls.append(command)
        if wheel is None:
            return subprocess.CompletedProcess(command, 1, "", "ERROR: No matching distribution found for toy==1.0\n")
        target = Path(command[command.index("-d") + 1])
        (target / wheel.name).write_bytes(wheel.read_bytes())
        return subprocess.CompletedProcess(command, 0, "", "")

    return run


def test_every_registered_model_says_what_it_must() -> None:
    for name, spec in registry.REGISTRY.items():
        assert name == spec.name and name != registry.GOOD
        assert spec.licence and spec.purpose and spec.data.endswith(".") and spec.source
        assert bool(spec.files) + (spec.snapshot is not None) == (spec.runtime != "embedded")
        assert spec.commercial is True or not (spec.default or spec.good), "never a default"
        assert spec.commercial is True or spec.must_accept, "said before the download"
        for file in spec.files:
            assert set(file.sha256) <= set("0123456789abcdef") and len(file.sha256) <= 64
            for source in file.sources:
                if isinstance(source, HubFile):
                    assert len(source.revision) == 40 or len(file.sha256) >= 8, "pinned by commit or by content"
                else:
                    assert len(file.sha256) == 64


def test_cache_dir_follows_the_environment(cache: Path) -> None:
    assert assets.cache_dir() == cache


def test_missing_weights_name_the_command(cache: Path) -> None:
    with pytest.raises(MildError, match="mild models --fetch` once"):
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
    assert len(calls) == 1, "one archive, fetched once"
    assert calls[0][-3] == "toy==1.0" and {"download", "--no-deps", "--only-binary=:all:"} <= set(calls[0])
    assert assets.ensure("blazepose", download=True) == folder
    assert len(calls) == 1, "what is there is not fetched again"


def test_wrong_wheel_is_refused(cache: Path, toy: Path) -> None:
    toy.write_bytes(toy.read_bytes() + b"x")
    with pytest.raises(MildError, match="sha256"):
        assets.fetch("blazepose", given=toy)
    assert assets.locate("blazepose") is None


def test_altered_file_counts_as_missing_and_is_repaired(cache: Path, toy: Path) -> None:
    net = assets.fetch("blazepose", given=toy) / "a.tflite"
    good = net.read_bytes()
    net.write_bytes(b"evil!" * 100)
    os.utime(net, ns=(1, 1))
    assert assets.locate("blazepose") is None
    assert assets.check("blazepose") == ["a.tflite"]
    assets.fetch("blazepose", given=toy)
    assert net.read_bytes() == good and assets.check("blazepose") == []


def test_pip_failure_is_one_sentence(cache: Path, toy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subprocess, "run", pip_that_gives(None, []))
    with pytest.raises(MildError, match=r"could not get toy==1.0 \(No matching distribution found for toy==1.0\)\."):
        assets.fetch("blazepose")


@pytest.mark.skipif(os.name != "posix", reason="a client that is a shell script")
def test_what_a_killed_fetch_left_goes_with_the_next(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed in the middle of npm or pip, the archives and the clients' temporary files stayed in /tmp for ever."""
    tarball, data = tmp_path / "toy-1.0.0.tgz", b"weights" * 9
    with tarfile.open(tarball, "w:gz") as tar:
        info = tarfile.TarInfo("package/net.bin")
        info.size = len(data)
        tar.addfile(info, BytesIO(data))
    programs, temporary = tmp_path / "programs", tmp_path / "temporary"
    programs.mkdir()
    temporary.mkdir()
    npm = programs / "npm"
    code = (
        "import hashlib, pathlib, sys\n"
        "from mild.models import assets, registry\n"
        "from mild.models.spec import ModelFile, ModelSpec, NpmMember\n"
        "tar = pathlib.Path(sys.argv[1]).read_bytes()\n"
        f"data = {data!r}\n"
        "source = NpmMember('toy@1.0.0', 'package/net.bin', hashlib.sha256(tar).hexdigest())\n"
        "file = ModelFile('net.bin', len(data), hashlib.sha256(data).hexdigest(), (source,))\n"
        "registry.REGISTRY['toy'] = ModelSpec('toy', 'finder', 'a toy', 'onnx', 'MIT', 'None.', files=(file,))\n"
        "print(assets.fetch('toy'))\n"
    )
    places = {"PATH": f"{programs}{os.pathsep}{os.environ['PATH']}", "TMPDIR": str(temporary)}
    call = [sys.executable, "-c", code, str(tarball)]

    def client(end: str) -> None:
        # $TMPDIR is where a client keeps what it has not finished; the archive goes where it is told.
        where = 'while [ "$1" != --pack-destination ]; do shift; done'
        npm.write_text(f'#!/bin/sh\necho half > "$TMPDIR/half"\n{where}\n{end}')
        npm.chmod(0o755)

    client("echo half > $2/toy-1.0.0.tgz.part; kill -9 $PPID\n")
    killed = subprocess.run(call, env=os.environ | places, capture_output=True, text=True, check=False)
    assert killed.returncode == -9
    assert not list(temporary.iterdir()) and [path.name for path in cache.rglob("half")]
    client(f'cp "{tarball}" "$2"\n')
    done = subprocess.run(call, env=os.environ | places, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert (cache / "toy" / "net.bin").read_bytes() == data
    assert not list(temporary.iterdir()) and not list(cache.rglob("*half*")) and not list(cache.rglob("*.fetching"))


def test_a_file_of_an_npm_package(cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tarball, data = tmp_path / "toy-1.0.0.tgz", b"weights" * 9
    with tarfile.open(tarball, "w:gz") as tar:
        info = tarfile.TarInfo("package/net.bin")
        info.size = len(data)
        tar.addfile(info, BytesIO(data))
    source = NpmMember("@a/toy@1.0.0", "package/net.bin", hashlib.sha256(tarball.read_bytes()).hexdigest())
    file = ModelFile("net.bin", len(data), hashlib.sha256(data).hexdigest(), (source,))
    register(monkeypatch, ModelSpec("toy-npm", "finder", "a toy", "onnx", "MIT", "Nothing.", files=(file,)))
    assert (assets.fetch("toy-npm", given=tarball) / "net.bin").read_bytes() == data
    tarball.write_bytes(b"another")
    assets.remove("toy-npm")
    with pytest.raises(MildError, match="sha256 differs"):
        assets.fetch("toy-npm", given=tarball)


def test_a_hub_file_is_fetched_from_its_pinned_revision(
    cache: Path, hub: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = register(monkeypatch, toy_net(hub))
    folder = assets.fetch("toy-net")
    assert (folder / "net.onnx").read_bytes() == hub.data and assets.locate("toy-net") == folder
    assert receipts.read("toy-net")["net.onnx"]["revision"] == REVISION
    (folder / "net.onnx").write_bytes(hub.data[:-1])
    assert assets.locate("toy-net") is None, "cut short"
    with pytest.raises(MildError, match="cut short or another file"):
        assets.fetch("toy-net", given=folder / "net.onnx")
    assets.remove(spec.name)
    assert not folder.exists() and receipts.read("toy-net") == {}


def test_a_hub_file_with_the_wrong_hash_is_never_used(
    cache: Path, hub: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    register(monkeypatch, toy_net(hub, sha256="ab" * 32))
    with pytest.raises(MildError, match="not the file that is expected"):
        assets.fetch("toy-net")
    assert assets.locate("toy-net") is None and not list((cache / "toy-net").iterdir())


def test_where_the_sha256_is_not_known_the_hubs_own_is_demanded(
    cache: Path, hub: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    register(monkeypatch, toy_net(hub, sha256=hub.sha256[:8], size=0))
    assert (assets.fetch("toy-net") / "net.onnx").read_bytes() == hub.data
    assert receipts.read("toy-net")["net.onnx"]["sha256"] == hub.sha256
    # From now on this is the file: an exchange is noticed.
    (cache / "toy-net" / "net.onnx").write_bytes(bytes(len(hub.data)))
    assert assets.locate("toy-net") is None and assets.check("toy-net") == ["net.onnx"]
    register(monkeypatch, toy_net(hub, sha256="00000000"))
    with pytest.raises(MildError, match="another file than the one that is known"):
        assets.fetch("toy-net")


def test_another_revision_than_the_pinned_one_is_refused(
    cache: Path, hub: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.headers["X-Repo-Commit"] = "f" * 40
    register(monkeypatch, toy_net(hub, sha256=""))
    with pytest.raises(MildError, match="another revision"):
        assets.fetch("toy-net")
    del hub.headers["X-Linked-Etag"]
    with pytest.raises(MildError, match="does not state the sha256"):
        assets.fetch("toy-net")


def test_a_large_file_is_not_hashed_at_every_start(cache: Path, hub: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(receipts, "SMALL", 1000)
    register(monkeypatch, toy_net(hub))
    folder = assets.fetch("toy-net")
    with monkeypatch.context() as patched:
        patched.setattr(receipts, "_hash_of", lambda *a: pytest.fail("hashed again"))
        assert assets.locate("toy-net") == folder
    # The same size and the same time of change are not enough: the time of the inode's change tells.
    before = (folder / "net.onnx").stat()
    (folder / "net.onnx").write_bytes(bytes(len(hub.data)))
    os.utime(folder / "net.onnx", ns=(before.st_atime_ns, before.st_mtime_ns))
    assert assets.locate("toy-net") is None


def snapshot(cache: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A hub model in a hub cache of its own, as the hub's client lays it out."""
    from huggingface_hub import constants

    root = cache / "hf"
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(root))
    repository = root / "models--someone--finder"
    folder = repository / "snapshots" / REVISION
    (repository / "blobs").mkdir(parents=True)
    (repository / "refs").mkdir()
    folder.mkdir(parents=True)
    (repository / "refs" / "main").write_text(REVISION)
    (folder / "config.json").write_text("{}")
    weights = b"w" * 100
    blob = repository / "blobs" / hashlib.sha256(weights).hexdigest()
    blob.write_bytes(weights)
    (folder / "model.safetensors").symlink_to(blob)
    spec = ModelSpec("toy-hub", "finder", "a toy", "transformers", "MIT", "Nothing.")
    register(monkeypatch, replace(spec, snapshot=Snapshot("someone/finder")))
    return folder


def test_a_snapshot_is_written_down_and_checked(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = snapshot(cache, monkeypatch)
    monkeypatch.setattr(hub_cache, "try_to_load_from_cache", None, raising=False)
    monkeypatch.setattr(assets, "locate_hub", lambda model, revision="": folder)
    assert assets.check("toy-hub") == [], "its large file bears its hash in its name"
    monkeypatch.setattr(assets, "fetch_hub", lambda model, revision="": folder)
    assets.fetch("toy-hub")
    assert receipts.read("toy-hub")["model.safetensors"]["revision"] == REVISION
    (folder / "model.safetensors").resolve().write_bytes(b"v" * 100)
    (folder / "config.json").write_text("[]")
    assert assets.check("toy-hub") == ["config.json", "model.safetensors"]
    assets.remove("toy-hub")
    assert not folder.exists()


def test_a_snapshot_of_pickles_alone_is_refused(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = snapshot(cache, monkeypatch)
    (folder / "model.safetensors").unlink()
    (folder / "pytorch_model.bin").write_bytes(b"pickle")
    monkeypatch.setattr(assets, "fetch_hub", lambda model, revision="": folder)
    with pytest.raises(MildError, match="pickles are programs"):
        assets.fetch("toy-hub")


def test_unknown_name_is_a_usage_error() -> None:
    with pytest.raises(UsageError, match="known: mild-small, nanodet"):
        assets.ensure("nonsense")


def test_hub_needs_weights_not_just_a_config(tmp_path: Path) -> None:
    assert assets.locate_hub("no such/id at all!") is None
    assert assets.locate_hub(str(tmp_path)) == tmp_path


def test_status_lists_every_model_with_licence(cache: Path, toy: Path) -> None:
    assets.fetch("blazepose", given=toy)
    rows = {row.name: row for row in assets.status()}
    assert set(rows) == set(registry.REGISTRY)
    assert rows["blazepose"].installed and rows["blazepose"].size == 504


def test_main_fetches_and_reports(cache: Path, toy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert assets.main(["blazepose", "--from", str(toy)]) == 0
    assert "Apache-2.0" in capsys.readouterr().out
    assert assets.main(["nonsense"]) == 2
    assert capsys.readouterr().err.startswith("error: ")


def only(monkeypatch: pytest.MonkeyPatch, *specs: ModelSpec) -> None:
    monkeypatch.setattr(registry, "REGISTRY", {spec.name: spec for spec in specs})
    monkeypatch.setattr(assets, "REGISTRY", registry.REGISTRY)


def test_fetching_the_good_ones_says_sizes_and_licences_and_asks(
    cache: Path, hub: Served, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    one = replace(toy_net(hub), good=True)
    only(monkeypatch, one, replace(one, name="toy-two"), replace(one, name="not-good", good=False))
    assert app.run(["models", "--fetch", "good"]) == 2
    told = capsys.readouterr().err
    assert "toy-net: 1 MB, MIT. Trained on nothing." in told and "Say --yes to fetch toy-net, toy-two" in told
    assert hub.asked == []
    assert app.run(["models", "--fetch", "good", "--yes", "--json"]) == 0
    assert len(hub.asked) == 2 and not (cache / "not-good").exists()
    assert app.run(["models", "--check"]) == 0
    (cache / "toy-two" / "net.onnx").write_bytes(b"")
    assert app.run(["models", "--check"]) == 1
    assert "toy-two: wrong: net.onnx" in capsys.readouterr().out


def test_a_licence_against_commercial_use_is_said_before_the_download(
    cache: Path, hub: Served, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    only(monkeypatch, replace(toy_net(hub), commercial=False, must_accept=True, licence="CC-BY-NC-4.0"))
    assert app.run(["models", "--fetch", "toy-net"]) == 2
    assert "CC-BY-NC-4.0 (no commercial use)" in capsys.readouterr().err and hub.asked == []
    assert app.run(["models", "--fetch", "toy-net", "--yes"]) == 0
    assert assets.locate("toy-net") is not None
    assert app.run(["models", "--remove", "toy-net"]) == 0
    assert assets.locate("toy-net") is None


@pytest.fixture
def tarball(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A small npm package, registered in place of both detectors."""
    members = {"package/pack.data": b"junk" + b"net" * 50, "package/LICENSE": b"free"}
    path = tmp_path / "toy-1.0.0.tgz"
    with tarfile.open(path, "w:gz") as archive:
        for name, data in members.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            archive.addfile(entry, BytesIO(data))
    tar_sum, net = hashlib.sha256(path.read_bytes()).hexdigest(), b"net" * 50
    files = (
        ModelFile("a.net", 150, hashlib.sha256(net).hexdigest(),
                  (NpmMember("toy@1.0.0", "package/pack.data", tar_sum, span=(4, 154)),)),
        ModelFile("LICENSE", 4, hashlib.sha256(b"free").hexdigest(),
                  (NpmMember("toy@1.0.0", "package/LICENSE", tar_sum),)),
    )  # fmt: skip
    for name in finders.BOXES:
        register(monkeypatch, replace(registry.REGISTRY[name], files=files))
    return path


def test_a_part_of_a_packages_member(cache: Path, tarball: Path) -> None:
    folder = assets.fetch("nanodet", tarball)
    assert (folder / "a.net").read_bytes() == b"net" * 50 and (folder / "LICENSE").read_bytes() == b"free"
    assert assets.locate("nanodet") == folder
    (folder / "a.net").write_bytes(b"net" * 20)  # half a file
    assert assets.locate("nanodet") is None


def test_the_finder_takes_the_first_detector_that_can_be_had(
    cache: Path, toy: Path, tarball: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked: list[str] = []

    def npm(command: list[str], **_: object) -> subprocess.CompletedProcess[str]:
        asked.append(command[2])
        if len(asked) == 1:
            return subprocess.CompletedProcess(command, 1, "", "npm error no network")
        target = Path(command[command.index("--pack-destination") + 1])
        (target / tarball.name).write_bytes(tarball.read_bytes())
        return subprocess.CompletedProcess(command, 0, "", "")

    assets.fetch("blazepose", given=toy)
    monkeypatch.setattr(shutil, "which", lambda name: name)
    monkeypatch.setattr(subprocess, "run", npm)
    assert assets.finder_boxes() is None
    assert assets.main([]) == 0
    said = capsys.readouterr()
    assert "'nanodet' could not be fetched: npm could not get toy@1.0.0 (npm error no network)." in said.err
    assert assets.finder_boxes() == "ssd" and "ssd:" in said.out
    assert assets.main([]) == 0, "the better one is tried again"
    assert assets.finder_boxes() == "nanodet"
    assert assets.main([]) == 0 and len(asked) == 3, "what is there is not fetched again"


def test_without_detectors_the_set_up_still_succeeds(
    cache: Path, toy: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assets.fetch("blazepose", given=toy)
    monkeypatch.setenv("MILD_OFFLINE", "1")
    assert assets.main([]) == 0
    assert "finds fewer" in capsys.readouterr().err
