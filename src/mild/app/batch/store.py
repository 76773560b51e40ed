"""Where photos lie: files of this machine, or an object store by its URI, through fsspec."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

from mild.errors import MildError, UsageError
from mild.extras import needs
from mild.files import flat, write_bytes

#: Folders of the pages' pictures: no photos, wherever they lie.
PICTURES = ("batch.pictures", "dry-run.pictures")


def is_uri(place: str) -> bool:
    """``s3://bucket/photos`` and the like; anything else is a path."""
    return "://" in place


def is_folder(place: str) -> bool:
    """Is there a folder of this name (or are there objects below it)?"""
    if not is_uri(place):
        return Path(place).is_dir()
    with _told(place):
        fs, path = filesystem(place)
        return bool(fs.isdir(path))


def listed(place: str) -> dict[str, tuple[str, str]]:
    """Everything below a folder: name with ``/`` between -> (path or URI, stamp). Hidden things, and the pictures of
    pages, are left out.

    The stamp changes when the file does: its size and its time, or what the store calls a version.

    Raises:
        MildError: it cannot be read.
    """
    if is_uri(place):
        with _told(place):
            fs, root = filesystem(place)
            fs.invalidate_cache()
            found = fs.find(root, detail=True)
            below = root.rstrip("/") + "/"
            names = {path.removeprefix(below): (path, info) for path, info in found.items()}
            return {
                name: (str(fs.unstrip_protocol(path)), _stamp(info))
                for name, (path, info) in sorted(names.items())
                if not _hidden(name)
            }
    root_path = Path(place)
    out: dict[str, tuple[str, str]] = {}
    try:
        for path in sorted(root_path.rglob("*")):
            name = path.relative_to(root_path).as_posix()
            # A link that leads nowhere is listed: who put it there misses the photo.
            lost = path.is_symlink() and not path.exists()
            if not _hidden(name) and (path.is_file() or lost):
                out[name] = (str(path), stamp(str(path)))
    except OSError as error:
        raise MildError(f"The folder {place} cannot be read ({error.strerror or flat(error)}).") from None
    return out


def stamp(place: str) -> str:
    """What changes when the file does; empty where there is no such file.

    Raises:
        MildError: an object store does not answer.
    """
    if is_uri(place):
        with _told(place):
            fs, path = filesystem(place)
            fs.invalidate_cache()
            try:
                return _stamp(fs.info(path))
            except FileNotFoundError:
                return ""
    try:
        status = Path(place).stat()
    except OSError:
        return ""
    return f"{status.st_size}:{status.st_mtime_ns}"


def size_of(place: str) -> int | None:
    """Bytes of a file; None where there is none."""
    told = stamp(place)
    return bytes_in(told) if told else None


def bytes_in(stamp: str) -> int:
    """Bytes of a file, of its stamp; 0 where there is none."""
    return int(stamp.partition(":")[0] or 0)


@contextmanager
def at_hand(place: str, scratch: Path) -> Iterator[Path]:
    """A photo as a file of this machine: itself, or a copy of an object that is gone afterwards.

    Raises:
        UsageError: there is no such file.
        MildError: it cannot be read.
    """
    if not is_uri(place):
        if not Path(place).exists():
            raise UsageError(f"There is no file {place}.")
        yield Path(place)
        return
    copy = scratch / Path(place).name
    with _told(place):
        fs, path = filesystem(place)
        try:
            fs.get_file(path, str(copy))
        except FileNotFoundError:
            raise UsageError(f"There is no object {place}.") from None
    try:
        yield copy
    finally:
        copy.unlink(missing_ok=True)


def published(made: Path, place: str) -> None:
    """Put a finished file where it belongs, in one step; its folders are made.

    Raises:
        MildError: it cannot be written.
        OSError: neither can the disk.
    """
    if not is_uri(place):
        target = Path(place)
        target.parent.mkdir(parents=True, exist_ok=True)
        made.replace(target)
        return
    with _told(place):
        fs, path = filesystem(place)
        if "file" in fs.protocol:  # this machine's own, which has folders to make, and is copied to byte by byte
            Path(path).parent.mkdir(parents=True, exist_ok=True)
            write_bytes(Path(path), made.read_bytes())
        else:
            fs.put_file(str(made), path)  # stores put objects whole or not at all
    made.unlink()


def text_of(place: str) -> str:
    """A text file, for instance a manifest.

    Raises:
        UsageError: there is no such file, or it is no text.
        MildError: it cannot be read.
    """
    try:
        if is_uri(place):
            with _told(place):
                fs, path = filesystem(place)
                data: bytes = fs.cat_file(path)
        else:
            data = Path(place).read_bytes()
        return data.decode("utf-8-sig")
    except FileNotFoundError:
        raise UsageError(f"There is no file {place}.") from None
    except UnicodeDecodeError:
        raise UsageError(f"{place} is not text: name a folder, a list or a manifest.") from None
    except OSError as error:
        raise MildError(f"{place} cannot be read ({error.strerror or flat(error)}).") from None


def filesystem(place: str) -> tuple[Any, str]:
    """The fsspec filesystem of a URI, and the path in it."""
    with needs("A store at an address", "stores"):
        import fsspec.core

    return fsspec.core.url_to_fs(place)


def copied(source: Path, target: Path) -> None:
    """The same bytes."""
    shutil.copyfile(source, target)


def _hidden(name: str) -> bool:
    return any(part.startswith(".") or part in PICTURES for part in name.split("/"))


def _stamp(info: dict[str, Any]) -> str:
    version = next(
        (
            info[key]
            for key in ("ETag", "etag", "md5Hash", "mtime", "LastModified", "updated", "created")
            if key in info
        ),
        "",
    )
    if isinstance(version, datetime):  # of the same object some stores tell both
        version = version.timestamp()
    return f"{info.get('size') or 0}:{version}"


@contextmanager
def _told(place: str) -> Iterator[None]:
    """A store's many kinds of failing, as one sentence."""
    try:
        yield
    except (MildError, FileNotFoundError):
        raise
    except ImportError as error:
        raise MildError(f"{place.partition('://')[0]}:// needs one more package ({flat(error)}).") from None
    except Exception as error:
        kind = place.partition("://")[0]
        if isinstance(error, ValueError) and "Protocol not known" in str(error):
            raise UsageError(
                f"There is no kind of store {kind}://, only s3://, gs:// and what else fsspec knows."
            ) from None
        raise MildError(
            f"The store of {place} does not answer ({type(error).__name__}: {flat(error)[:160]})."
        ) from None
