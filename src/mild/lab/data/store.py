"""Many samples on disk: WebDataset tar shards, or a plain folder with one sub-folder per sample.

    shards   set/train-00000.tar       holds 000000.photo.webp, 000000.index.png, …, 000001.photo.webp, …
    folder   set/000000/photo.webp     the same members, one folder per sample

Shards are written and read with the `webdataset` library; the bytes depend on the samples alone, not on the clock, the
user or the machine. A shard appears under its name when it is complete, or not at all.
"""

from __future__ import annotations

import os
import re
import tarfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

from mild.errors import MildError
from mild.lab.data.members import from_members, to_members
from mild.lab.data.sample import Sample

Form = Literal["shards", "folder"]
#: Ends of members; the JSON member of the plain folder is called ``sample.json``.
_JSON = "sample.json"


def open_samples(path: str | Path) -> Iterator[Sample]:
    """The samples of a shard, a folder of shards, one sample's folder, or a folder of such folders, in order.

    Raises:
        MildError: there is nothing to read, or a sample is damaged (says which; use :func:`open_members` to go on).
    """
    for key, _, members in open_members(path):
        yield from_members(members, key)


def open_members(path: str | Path) -> Iterator[tuple[str, Path, dict[str, bytes]]]:
    """Key, file and raw members of every sample, undecoded; the same places as :func:`open_samples`."""
    path = Path(path)
    if path.is_file():
        yield from _of_shard(path)
        return
    if (path / _JSON).is_file():
        yield path.name, path, _of_folder(path)
        return
    shards = shards_of(path)
    folders = sorted(p.parent for p in path.glob(f"*/{_JSON}")) if not shards else []
    if not shards and not folders:
        raise MildError(f"There are no samples in {path}: neither tar shards nor folders with a {_JSON}.")
    for shard in shards:
        yield from _of_shard(shard)
    for folder in folders:
        yield folder.name, folder, _of_folder(folder)


def shards_of(path: str | Path) -> list[Path]:
    """The tar shards of a folder, sorted."""
    return sorted(Path(path).glob("*.tar"))


def write_shard(path: str | Path, samples: Iterable[Sample], *, overwrite: bool = False) -> int:
    """Write samples as one tar shard and return how many there were.

    Raises:
        MildError: the shard exists, two samples have one key, or the disk is full; nothing is left behind.
    """
    return write_members(path, ((s.key, to_members(s)) for s in samples), overwrite=overwrite)


def write_members(
    path: str | Path, samples: Iterable[tuple[str, Mapping[str, bytes]]], *, overwrite: bool = False
) -> int:
    """:func:`write_shard` for samples that are bytes already."""
    from webdataset import TarWriter

    path = Path(path)
    if path.exists() and not overwrite:
        raise MildError(f"The shard {path} already exists; remove it or say that it may be overwritten.")
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    seen: set[str] = set()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("wb") as handle:
            # Fixed times and owners, a format without platform headers: the same samples give the same bytes.
            with TarWriter(
                handle, user="", group="", mode=0o644, mtime=0.0, encoder=False, format=tarfile.USTAR_FORMAT
            ) as tar:
                for key, members in samples:
                    if key in seen:
                        raise MildError(f"Two samples of {path.name} are called {key}.")
                    seen.add(key)
                    tar.write({"__key__": key, **members})
            handle.flush()
            os.fsync(handle.fileno())
        temporary.replace(path)
    except OSError as error:
        raise MildError(f"The shard {path} could not be written ({error.strerror or error}).") from None
    finally:
        temporary.unlink(missing_ok=True)
    return len(seen)


def write_folder(folder: str | Path, sample: Sample, *, overwrite: bool = False) -> Path:
    """Write one sample as ``folder/KEY/``; returns that folder."""
    target = Path(folder) / sample.key
    if target.exists() and not overwrite:
        raise MildError(f"The sample {target} already exists; remove it or say that it may be overwritten.")
    members = to_members(sample)
    # The JSON last: a folder without it is no sample, so a half-written one is never read.
    names = sorted(members, key=lambda name: name == "json")
    try:
        target.mkdir(parents=True, exist_ok=True)
        (target / _JSON).unlink(missing_ok=True)
        for name in names:
            (target / (_JSON if name == "json" else name)).write_bytes(members[name])
    except OSError as error:
        raise MildError(f"The sample {target} could not be written ({error.strerror or error}).") from None
    return target


def load_huggingface(path: str | Path, *, streaming: bool = False) -> Any:
    """The shards of a folder as a Hugging Face dataset (`datasets` must be installed): one column per member.

    Pictures come decoded as Pillow images, the JSON as a dictionary; nothing is fetched.
    """
    from datasets import load_dataset

    shards = [str(shard) for shard in shards_of(path)]
    if not shards:
        raise MildError(f"There are no tar shards in {path}.")
    return load_dataset("webdataset", data_files={"all": shards}, split="all", streaming=streaming)


def _of_shard(shard: Path) -> Iterator[tuple[str, Path, dict[str, bytes]]]:
    from webdataset.tariterators import group_by_keys, tar_file_iterator

    try:
        with shard.open("rb") as handle:
            files: Any = ({"__url__": str(shard), **item} for item in tar_file_iterator(handle))
            for row in group_by_keys(files):
                members = {name: bytes(data) for name, data in row.items() if not name.startswith("__")}
                yield row["__key__"], shard, members
    except (tarfile.TarError, EOFError, ValueError) as error:
        why = re.sub(r"\s+", " ", str(error.args[0] if error.args else error))[:120]
        raise MildError(f"The shard {shard} is damaged ({why}).") from None
    except OSError as error:
        raise MildError(f"The shard {shard} cannot be read ({error.strerror or error}).") from None


def _of_folder(folder: Path) -> dict[str, bytes]:
    try:
        return {
            ("json" if p.name == _JSON else p.name): p.read_bytes() for p in sorted(folder.iterdir()) if p.is_file()
        }
    except OSError as error:
        raise MildError(f"The sample {folder} cannot be read ({error.strerror or error}).") from None
