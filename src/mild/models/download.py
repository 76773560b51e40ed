"""Large files over HTTP: resumed where they broke off, checked, and in place only when they are whole and right."""

from __future__ import annotations

import http.client
import os
import shutil
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

from mild.errors import MildError
from mild.files import flat
from mild.models.cache import sha256_of

Tell = Callable[[float], None]

#: Bytes read at once; seconds without a byte before a try counts as failed; tries that get nothing before giving up.
CHUNK, PATIENCE, TRIES = 1 << 20, 30.0, 3
#: What is left free on the disk besides the file.
SPARE = 64 << 20


def download(url: str, target: Path, *, sha256: str, size: int = 0, tell: Tell = lambda fraction: None) -> Path:
    """Fetch one file.

    What has come so far waits beside the target as ``.NAME.part``, through failures and kills, and the next call goes
    on from there. The target appears in one step, when its sha256 is right.

    Args:
        sha256: of the whole file, 64 hexadecimal digits.
        size: bytes, if known; never more are read.
        tell: hears the fraction that is there.

    Raises:
        MildError: no way to the server, a full disk, or other bytes than expected (then nothing is kept).
    """
    secure(url)
    part = target.with_name(f".{target.name}.part")
    target.parent.mkdir(parents=True, exist_ok=True)
    _expect_room(target, size)
    resumed = part.exists()
    _complete(url, part, size, tell)
    found = sha256_of(part)
    if found != sha256 and resumed:
        # Half of one version and half of another, or a part that somebody else wrote: once more, from the beginning.
        part.unlink()
        _complete(url, part, size, tell)
        found = sha256_of(part)
    if found != sha256:
        part.unlink()
        raise MildError(
            f"{target.name} from {urlsplit(url).netloc} is not the file that is expected (its sha256 begins with "
            f"{found[:12]}, not {sha256[:12]}); nothing was kept."
        )
    with part.open("rb") as stream:
        os.fsync(stream.fileno())
    part.replace(target)
    return target


def secure(url: str) -> None:
    """:class:`MildError` unless the address is https, or this machine's own."""
    parts = urlsplit(url)
    if parts.scheme != "https" and not (parts.scheme == "http" and parts.hostname in ("127.0.0.1", "localhost")):
        raise MildError(f"Weights are fetched over https only, not from {url}.")


def _complete(url: str, part: Path, size: int, tell: Tell) -> None:
    """Go on until the part is whole; a try that brought something is followed by another."""
    failures, why = 0, ""
    while failures < TRIES:
        before = part.stat().st_size if part.exists() else 0
        try:
            if _append(url, part, size, tell):
                return
            why = "the connection was closed early"
        except urllib.error.HTTPError as error:
            if error.code == 416 and before:
                part.unlink()  # longer than the file is: not a part of it
                failures += 1
                continue
            if error.code < 500 and error.code != 429:
                raise MildError(f"{url} answered {error.code} ({error.reason or 'no reason'}).") from None
            why = f"it answered {error.code}"
        except (OSError, http.client.HTTPException) as error:
            if isinstance(error, OSError) and error.errno == 28:
                raise MildError(f"The disk of {part.parent} is full; free some space and run it again.") from None
            why = flat(getattr(error, "reason", None) or error)
        gained = (part.stat().st_size if part.exists() else 0) > before
        failures = 0 if gained else failures + 1
        if failures < TRIES:
            time.sleep(0.5 * failures)
    host = urlsplit(url).netloc
    raise MildError(f"{part.name[1:-5]} could not be fetched from {host} ({why}); run it again to go on.")


def _append(url: str, part: Path, size: int, tell: Tell) -> bool:
    """One request for what is missing; true when the file is whole."""
    have = part.stat().st_size if part.exists() else 0
    if size and have == size:
        return True
    if size and have > size:
        part.unlink()
        have = 0
    request = urllib.request.Request(url, headers={"User-Agent": "mild", "Accept-Encoding": "identity"})
    if have:
        request.add_header("Range", f"bytes={have}-")
    with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
        # A server that knows no ranges sends everything again.
        goes_on = answer.status == 206 and _starts_at(answer.headers.get("Content-Range", ""), have)
        have = have if goes_on else 0
        length = answer.headers.get("Content-Length")
        whole = size or (have + int(length) if length else 0)
        with part.open("ab" if goes_on else "wb") as out:
            while block := answer.read(CHUNK):
                out.write(block)
                have += len(block)
                if size and have > size:
                    return True  # another file; its hash will say so
                tell(min(1.0, have / whole) if whole else 0.0)
    return have == whole if whole else True


def _starts_at(content_range: str, byte: int) -> bool:
    return content_range.lower().startswith(f"bytes {byte}-")


def _expect_room(target: Path, size: int) -> None:
    free = shutil.disk_usage(target.parent).free
    if size and free < size + SPARE:
        raise MildError(
            f"{target.name} needs {size / 1e6:.0f} MB, but only {free / 1e6:.0f} MB are free in {target.parent}."
        )
