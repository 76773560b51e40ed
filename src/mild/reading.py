"""The one way to read files that may be damaged or hostile: bounded before the work, with a closed list of failures.

Whoever reads a file inside :func:`guarded` fails with a :class:`MildError` of one sentence or not at all. The parsers
below it (zip, PNG, PSD, JSON, numpy) raise some thirty kinds of exceptions on a flipped bit; no list is complete.
"""

from __future__ import annotations

import io
import json
import os
import stat
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from mild.errors import MildError, UsageError
from mild.files import flat

#: Members of an archive, and bytes of a text file: more than any file of ours has.
MOST_MEMBERS, MOST_TEXT = 4096, 64 * 2**20
#: Of a member of an archive that is JSON: once parsed it takes many times as much.
MOST_JSON = 16 * 2**20


@contextmanager
def guarded(where: object, what: str) -> Iterator[None]:
    """Every failure of the block is a MildError.

    Args:
        where: the file's name, for the sentence.
        what: what it should be, with its article: ``"a layered file of MILD"``.

    Raises:
        MildError: the file cannot be read, is damaged, or is none.
    """
    try:
        yield
    except MildError:
        raise
    except MemoryError:
        raise MildError(f"There is not enough memory to open {where}.") from None
    except RecursionError:
        raise MildError(f"{where} is not {what}, or it is damaged (it is nested too deep).") from None
    except zipfile.BadZipFile:
        raise MildError(f"{where} is not {what}: it is no zip, or it is cut short or damaged.") from None
    except Exception as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise MildError(f"{where} cannot be read: {error.strerror or flat(error)}.") from None
        raise MildError(f"{where} is not {what}, or it is damaged ({_why(error)}).") from None


def _why(error: Exception) -> str:
    """What a parser said, in a reader's words: Python's own names for things do not help whoever holds the file."""
    if isinstance(error, KeyError) and error.args:
        said = str(error.args[0])
        return said if " " in said else f"{said[:60]!r} is missing"
    if isinstance(error, TypeError | AttributeError | IndexError):
        return "a value is missing, or is of another kind than it should be"
    said = flat(error)
    return said if len(said) <= 120 else f"{said[:119]}…"


def open_regular(path: Path) -> IO[bytes]:
    """A file to read; a pipe or a device, which might never end, is refused.

    Raises:
        UsageError: it is no regular file.
        OSError: as ``open``.
    """
    # Without waiting: opening a pipe would, until somebody writes to it.
    handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0))
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise UsageError(f"{path} is not a file (it is a folder, a pipe or a device); give a file.")
    return os.fdopen(handle, "rb")


def read_bytes(path: Path, most: int = MOST_TEXT) -> bytes:
    """A file's content.

    Raises:
        ValueError: it holds more than ``most`` bytes.
        UsageError, OSError: as :func:`open_regular`.
    """
    with open_regular(path) as file:
        if os.fstat(file.fileno()).st_size > most:
            raise ValueError(f"it has more than {most} bytes")
        return file.read(most + 1)


def parse_json(text: bytes | str) -> Any:
    """A value of JSON that can be written again: no lone surrogates, no NUL in a text.

    Raises:
        ValueError: it is none, or holds such a text.
        RecursionError: it is nested too deep.
    """
    value = json.loads(text, parse_int=_whole)
    again = json.dumps(value, ensure_ascii=False)
    try:
        again.encode()
    except UnicodeEncodeError:
        raise ValueError("a text in it is no Unicode") from None
    if "\\u0000" in again:
        raise ValueError("a text in it holds a NUL character")
    return value


def _whole(digits: str) -> int:
    """Python refuses numbers of thousands of digits with advice for programmers."""
    if len(digits) > 4000:
        raise ValueError(f"a number in it has {len(digits)} digits")
    return int(digits)


def read_json(path: Path) -> Any:
    """The value of a JSON file that the user names.

    Raises:
        UsageError: there is none, or it is no JSON.
        MildError: it cannot be read.
    """
    with _named(path, "JSON"):
        return parse_json(read_bytes(path))


def read_yaml(path: Path) -> Any:
    """The value of a YAML file that the user names; errors as :func:`read_json`."""
    import yaml

    with _named(path, "YAML"):
        try:
            return yaml.safe_load(read_bytes(path, MOST_JSON).decode("utf-8"))
        except yaml.YAMLError as error:
            raise ValueError(str(error)) from None


@contextmanager
def _named(path: Path, kind: str) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError:
        raise UsageError(f"There is no file {path}.") from None
    except OSError as error:
        raise MildError(f"{path} cannot be read: {error.strerror or flat(error)}.") from None
    except UnicodeDecodeError:
        raise UsageError(f"{path} cannot be read as {kind} (it is not text).") from None
    except RecursionError:
        raise UsageError(f"{path} cannot be read as {kind} (it is nested too deep).") from None
    except ValueError as error:
        raise UsageError(f"{path} cannot be read as {kind} ({_why(error)}).") from None


class Archive:
    """A zip that is read within bounds.

    Args:
        source: its path, or an open file.
        most: bytes that all that is read of it may have, unpacked.

    Raises:
        ValueError, zipfile.BadZipFile: it is no zip, or has too many members.
    """

    def __init__(self, source: Path | IO[bytes], most: int) -> None:
        self._file = open_regular(source) if isinstance(source, Path) else source
        self._left = most
        try:
            self._zip = zipfile.ZipFile(self._file)
            if len(self._zip.namelist()) > MOST_MEMBERS:
                raise ValueError("it has too many members")
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Archive:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __contains__(self, name: str) -> bool:
        return name in self._zip.NameToInfo

    @property
    def names(self) -> list[str]:
        return self._zip.namelist()

    def close(self) -> None:
        self._file.close()

    def read(self, name: str) -> bytes:
        """A member, unpacked.

        Raises:
            KeyError: there is none of this name.
            ValueError: it is packed in a way that we do not write, or all that is read would be too much.
        """
        info = self._zip.getinfo(name)
        if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED) or info.flag_bits & 1:
            raise ValueError(f"{name} is packed in a way that is not used here")
        if info.file_size > self._left or (name.endswith(".json") and info.file_size > MOST_JSON):
            raise ValueError("unpacked it is too large")
        self._left -= info.file_size
        with self._zip.open(info) as member:
            data = member.read(info.file_size + 1)
        if len(data) != info.file_size:
            raise ValueError(f"{name} is cut short")
        return data


def read_arrays(path: Path, most: int) -> dict[str, NDArray[Any]]:
    """The arrays of an ``.npz``, none of them pickled; none may claim more than the file holds.

    Raises:
        ValueError, KeyError, zipfile.BadZipFile, OSError: it is damaged.
    """
    out: dict[str, NDArray[Any]] = {}
    with Archive(path, most) as archive:
        for name in archive.names:
            data = archive.read(name)
            file = io.BytesIO(data)
            version = np.lib.format.read_magic(file)
            read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
            shape, _, dtype = read(file)
            count = 1
            for side in shape:
                count *= int(side)
            if dtype.hasobject or dtype.itemsize * count != len(data) - file.tell():
                raise ValueError(f"{name} does not hold what it says")
            file.seek(0)
            out[name.removesuffix(".npy")] = np.lib.format.read_array(file, allow_pickle=False)
    return out
