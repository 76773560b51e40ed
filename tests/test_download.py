"""Downloads: resumed, checked, in place only when whole and right."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from loopback import Served, serve
from mild.errors import MildError
from mild.models import download as downloads
from mild.models.download import download


@pytest.fixture
def served() -> Iterator[Served]:
    data = np.random.default_rng(0).integers(0, 256, 1_500_000, np.uint8).tobytes()
    with serve(Served(data)) as server:
        yield server


def part(target: Path) -> Path:
    return target.with_name(f".{target.name}.part")


def test_a_download_killed_at_ten_random_moments_goes_on(served: Served, tmp_path: Path) -> None:
    served.pause = 0.02
    target = tmp_path / "net.onnx"
    code = "import sys; from pathlib import Path; from mild.models.download import download; " + (
        f"download({served.address + '/f'!r}, Path({str(target)!r}), sha256={served.sha256!r}, size={len(served.data)})"
    )
    moments = sorted(np.random.default_rng(1).integers(1, len(served.data) - (1 << 17), 10).tolist())
    for moment in moments:
        # The block size makes the part grow in small steps, so that the kill falls where it should.
        process = subprocess.Popen([sys.executable, "-c", "import mild.models.download as d; d.CHUNK = 8192; " + code])
        deadline = time.monotonic() + 30
        while not (part(target).exists() and part(target).stat().st_size >= moment):
            assert process.poll() is None and time.monotonic() < deadline
            time.sleep(0.001)
        process.kill()
        process.wait()
        assert not target.exists()
    served.pause = 0
    download(served.address + "/f", target, sha256=served.sha256, size=len(served.data))
    assert target.read_bytes() == served.data and not part(target).exists()
    assert len(served.asked) > 6 and all(asked.startswith("bytes=") for asked in served.asked[1:])


def test_connections_that_close_early_are_taken_up_again(served: Served, tmp_path: Path) -> None:
    served.cut, served.cuts = 400_000, 3
    download(served.address + "/f", tmp_path / "f", sha256=served.sha256)
    assert (tmp_path / "f").read_bytes() == served.data
    assert served.asked == ["", "bytes=400000-", "bytes=800000-", "bytes=1200000-"]


def test_a_server_without_ranges_sends_it_all_again(served: Served, tmp_path: Path) -> None:
    served.cut, served.cuts, served.ranges = 400_000, 1, False
    download(served.address + "/f", tmp_path / "f", sha256=served.sha256)
    assert (tmp_path / "f").read_bytes() == served.data


def test_a_wrong_hash_is_never_used(served: Served, tmp_path: Path) -> None:
    with pytest.raises(MildError, match="not the file that is expected"):
        download(served.address + "/f", tmp_path / "f", sha256="0" * 64, size=len(served.data))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("left", [b"not a part of it", b"x" * 2_000_000])
def test_a_foreign_part_is_replaced(served: Served, tmp_path: Path, left: bytes) -> None:
    part(tmp_path / "f").write_bytes(left)
    download(served.address + "/f", tmp_path / "f", sha256=served.sha256)
    assert (tmp_path / "f").read_bytes() == served.data


def test_more_than_the_known_size_is_not_read(served: Served, tmp_path: Path) -> None:
    with pytest.raises(MildError, match="not the file that is expected"):
        download(served.address + "/f", tmp_path / "f", sha256=served.sha256, size=1000)
    assert list(tmp_path.iterdir()) == []


def test_what_is_not_there_is_said_at_once(served: Served, tmp_path: Path) -> None:
    served.status = 404
    with pytest.raises(MildError, match="answered 404"):
        download(served.address + "/f", tmp_path / "f", sha256=served.sha256)
    assert len(served.asked) == 1


def test_a_server_in_trouble_is_asked_again_and_then_named(
    served: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(downloads.time, "sleep", lambda seconds: None)
    served.status = 503
    with pytest.raises(MildError, match=r"could not be fetched from 127.0.0.1:\d+ \(it answered 503\); run it again"):
        download(served.address + "/f", tmp_path / "f", sha256=served.sha256)
    assert len(served.asked) == downloads.TRIES


def test_only_https_or_this_machine(tmp_path: Path) -> None:
    for url in ("http://example.com/f", "file:///etc/passwd", "ftp://example.com/f"):
        with pytest.raises(MildError, match="over https only"):
            download(url, tmp_path / "f", sha256="0" * 64)


def test_a_full_disk_is_said_before(served: Served, tmp_path: Path) -> None:
    with pytest.raises(MildError, match="MB are free"):
        download(served.address + "/f", tmp_path / "f", sha256=served.sha256, size=1 << 50)
    assert served.asked == []
