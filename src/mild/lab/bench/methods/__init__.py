"""The registry of methods: a short text names one, ``mild:steps=4,sma=off`` or ``onnx:lama.onnx,size=512``."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from mild.errors import UsageError
from mild.lab.bench.methods.base import Answer, Eraser, Rejected, checked

__all__ = ["KINDS", "Answer", "Eraser", "Kind", "MethodSpec", "Rejected", "checked", "load", "parse"]


@dataclass(frozen=True)
class Kind:
    """One family of methods.

    Attributes:
        summary: for help texts.
        load: the rest of the text after the colon -> a method; heavy imports happen inside.
    """

    summary: str
    load: Callable[[str], Eraser]


def _mild(rest: str) -> Eraser:
    from mild.lab.bench.methods.road import MildMethod

    return MildMethod.parse(rest)


def _telea(rest: str) -> Eraser:
    from mild.lab.bench.methods.classic import opencv

    return opencv("telea", rest)


def _ns(rest: str) -> Eraser:
    from mild.lab.bench.methods.classic import opencv

    return opencv("ns", rest)


def _layered(rest: str) -> Eraser:
    from mild.lab.bench.methods.layered import LayeredDiffusion

    return LayeredDiffusion.parse(rest)


def _patchmatch(rest: str) -> Eraser:
    from mild.lab.bench.methods.classic import patchmatch

    return patchmatch(rest)


def _input(rest: str) -> Eraser:
    from mild.lab.bench.methods.classic import unchanged

    return unchanged(rest)


def _onnx(rest: str) -> Eraser:
    from mild.lab.bench.methods.exported import OnnxMethod

    return OnnxMethod.parse(rest)


def _torchscript(rest: str) -> Eraser:
    from mild.lab.bench.methods.exported import TorchScriptMethod

    return TorchScriptMethod.parse(rest)


def _diffusers(rest: str) -> Eraser:
    from mild.lab.bench.methods.diffuser import DiffusersMethod

    return DiffusersMethod.parse(rest)


def _http(rest: str) -> Eraser:
    from mild.lab.bench.methods.remote import HttpMethod

    return HttpMethod.parse(rest)


def _folder(rest: str) -> Eraser:
    from mild.lab.bench.methods.ready import FolderMethod

    return FolderMethod.parse(rest)


def _python(rest: str) -> Eraser:
    from mild.lab.bench.methods.python import load_python

    return load_python(rest)


KINDS: dict[str, Kind] = {
    "mild": Kind("MILD; fields of the request's method, plus pose, parsing, model: mild:steps=4,sma=off", _mild),
    "telea": Kind("OpenCV's fast marching (Telea 2004); radius", _telea),
    "ns": Kind("OpenCV's Navier-Stokes (Bertalmio 2001); radius", _ns),
    "layered": Kind("MILD's layers, a plain diffusion in the network's place: layered:telea, layered:ns", _layered),
    "patchmatch": Kind("PatchMatch fill of the whole hole from everything outside it; radius", _patchmatch),
    "input": Kind("the input unchanged: the floor of every metric", _input),
    "onnx": Kind("an inpainter of the registry or an ONNX file, alone: onnx:lama; size, context", _onnx),
    "torchscript": Kind("a TorchScript inpainter, which is a program: torchscript:big-lama.pt,trust=1", _torchscript),
    "diffusers": Kind("an inpainting pipeline, folder or hub id: diffusers:PATH,steps=30,size=512", _diffusers),
    "http": Kind("MILD's own HTTP API (`mild serve`), POST /v1/erase: http:http://127.0.0.1:8000", _http),
    "folder": Kind("ready results, FOLDER/ITEM.png: folder:results/other", _folder),
    "python": Kind("a function (photo, mask, seed) -> photo: python:package.module:name", _python),
}


@dataclass(frozen=True)
class MethodSpec:
    """A method's name in the tables, and the text that makes it.

    Attributes:
        name: column heading.
        text: for :func:`load`.
        slug: folder name.
    """

    name: str
    text: str

    @property
    def slug(self) -> str:
        return re.sub(r"[^A-Za-z0-9.=_-]+", "_", self.name).strip("._") or "method"


def parse(text: str) -> MethodSpec:
    """``[NAME@]KIND[:OPTIONS]``; without a name, the text is the name.

    Raises:
        UsageError: no such kind of method.
    """
    name, at, rest = text.partition("@")
    if not at or ":" in name or "=" in name:
        name, rest = text, text
    kind = rest.partition(":")[0]
    if kind not in KINDS:
        raise UsageError(f"There is no method {kind!r} (known: {', '.join(KINDS)}).")
    return MethodSpec(name, rest)


def load(spec: MethodSpec) -> Eraser:
    """The method itself, ready to be asked.

    Raises:
        MildError: wrong options, or weights that are not there.
    """
    kind, _, rest = spec.text.partition(":")
    return KINDS[kind].load(rest)
