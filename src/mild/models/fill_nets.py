"""Inpainters by name or file, each with its contract, tested before it is used."""

from __future__ import annotations

import json
from functools import lru_cache
from pathlib import Path

from mild.errors import UsageError
from mild.files import write_json
from mild.models import assets
from mild.models.cache import sha256_of
from mild.models.contracts import FillContract
from mild.models.inpainter import Inpainter, OnnxInpainter, TorchScriptInpainter
from mild.models.nets import CODE, expect_trusted
from mild.models.probe import probe, self_test
from mild.models.registry import REGISTRY, by_sha256, of_task


def open_inpainter(name: str) -> Inpainter:
    """A registered inpainter, or one in a file, ready and tested; it is kept in memory.

    Raises:
        UsageError: no such model or file; a file whose contract is not known and cannot be found out whole.
        MildError: not on this machine, damaged, or it fails its test.
    """
    if name in REGISTRY:
        spec = REGISTRY[name]
        if not isinstance(spec.contract, FillContract):
            raise UsageError(f"The model '{name}' is a {spec.task}; it fills no holes.")
        path = assets.ensure(name) / spec.files[0].name
    else:
        path = Path(name)
        if not path.is_file():
            known = ", ".join(spec.name for spec in of_task("filler"))
            raise UsageError(f"There is no filler '{name}': say patchmatch, one of {known}, or an ONNX file.")
    beside = card_of(path)
    seen = [p.stat().st_mtime_ns if p.is_file() else 0 for p in (path, beside)]
    return _opened(path, name if name in REGISTRY else "", *seen)


def contract_of(path: Path) -> FillContract | None:
    """Of a file: from the JSON beside it, or from the registry if it is a file that is known; else None.

    Raises:
        UsageError: the JSON is no contract.
    """
    beside = card_of(path)
    if beside.is_file():
        try:
            return FillContract.from_json(json.loads(beside.read_text("utf-8")))
        except (OSError, ValueError) as error:
            raise UsageError(f"{beside} cannot be read ({error}).") from None
        except UsageError as error:
            raise UsageError(f"{beside}: {error}") from None
    spec = by_sha256(sha256_of(path))
    return spec.contract if spec is not None and isinstance(spec.contract, FillContract) else None


def card_of(path: Path) -> Path:
    """Where the contract of a file is kept: ``FILE.json`` beside it."""
    return path.with_name(path.name + ".json")


def keep_contract(path: Path, contract: FillContract) -> Path:
    """Write a contract beside its file."""
    write_json(card_of(path), contract.to_json())
    return card_of(path)


def with_contract(path: Path, contract: FillContract, *, trusted: bool = False) -> Inpainter:
    """The inpainter in a file under a contract, tested.

    Raises:
        MildError: it fails the test, or cannot be run.
    """
    net: Inpainter
    if path.suffix.lower() in CODE:
        net = TorchScriptInpainter(path, contract, trusted=trusted)
    else:
        net = OnnxInpainter(path, contract)
    self_test(net)
    return net


def bare(path: Path, *, trusted: bool = False) -> Inpainter:
    """The net in a file, for a test card: its contract is not known yet.

    Raises:
        UsageError: it is no inpainter, or not trusted.
    """
    if path.suffix.lower() in CODE:
        return TorchScriptInpainter(path, FillContract(), trusted=trusted)
    return OnnxInpainter(path)


@lru_cache(maxsize=2)
def _opened(path: Path, name: str, *seen: int) -> Inpainter:
    expect_trusted(path)
    contract = REGISTRY[name].contract if name else contract_of(path)
    if not isinstance(contract, FillContract):
        contract = found_contract(path)
    net = with_contract(path, contract)
    net.stamp = " ".join(map(str, seen))
    return net


def found_contract(path: Path, *, trusted: bool = False) -> FillContract:
    """The contract that a test card finds.

    Raises:
        UsageError: the card leaves something open, or the file is not trusted.
    """
    found = probe(bare(path, trusted=trusted))
    if found.doubts:
        name, values = next(iter(found.doubts.items()))
        raise UsageError(
            f"A test cannot tell the {name} of {path.name} ({' or '.join(map(_said, values))}): "
            f"say it with `mild models --probe {path} --set {name}=…`."
        )
    return found.contract


def unload() -> None:
    _opened.cache_clear()


def _said(value: object) -> str:
    return ",".join(f"{v:g}" for v in value) if isinstance(value, tuple) else str(value)
