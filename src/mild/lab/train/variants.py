"""The rows of the ablation: which parts of the method are on, in training and when erasing.

Each row adds one thing to the row before it, as the paper's table does. A row either trains a model of its own (from
the same data, for the same steps) or takes that of another row and changes only how it is used.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

#: Settings of a single path: what a reviewer of the paper asked to be trained on the same data.
SINGLE: Mapping[str, Any] = {"layers": False, "sma": "off", "hmg": "none"}


@dataclass(frozen=True)
class Variant:
    """One row.

    Attributes:
        name: as in the table; also the folder of its run.
        model: changes to the config's ``model`` section.
        weights: name of the variant whose model is used; None: its own.
        distilled: the last part of its steps is few-step distillation.
        switches: of the pipeline's call, and ``steps``.
        against: the variant that it differs from in one thing, and is compared with sample by sample.
    """

    name: str
    model: Mapping[str, Any] = field(default_factory=dict)
    weights: str | None = None
    distilled: bool = False
    switches: Mapping[str, Any] = field(default_factory=dict)
    against: str | None = None

    @property
    def single(self) -> bool:
        return self.model.get("layers", True) is False


def _layers(**model: Any) -> dict[str, Any]:
    return {"layers": True, "sma": "off", "hmg": "none", **model}


VARIANTS: Mapping[str, Variant] = {
    v.name: v
    for v in (
        Variant("prior alone", SINGLE, "backbone", switches={"denoise": False}, against="backbone"),
        Variant("backbone without prior", {**SINGLE, "prior": False}, switches={"prior": False}, against="backbone"),
        Variant("backbone", SINGLE),
        Variant("backbone + detail", SINGLE, "backbone", switches={"detail": True}, against="backbone"),
        Variant("layers", _layers(), against="backbone"),
        Variant("layers + HMG pose", _layers(hmg=["pose"]), switches={"hmg": ("pose",)}, against="layers"),
        Variant("layers + HMG parsing", _layers(hmg=["parsing"]), switches={"hmg": ("parsing",)}, against="layers"),
        Variant(
            "layers + HMG relations", _layers(hmg=["relations"]), switches={"hmg": ("relations",)}, against="layers"
        ),
        Variant("layers + HMG", _layers(hmg="all"), against="layers"),
        Variant(
            "layers + HMG without adapters",
            _layers(hmg="all", adapters=False),
            switches={"use_adapters": False},
            against="layers + HMG",
        ),
        Variant(
            "layers + HMG without prior",
            _layers(hmg="all", prior=False),
            switches={"prior": False},
            against="layers + HMG",
        ),
        Variant(
            "layers + HMG + SMA beta", _layers(hmg="all", sma="beta"), switches={"sma": "beta"}, against="layers + HMG"
        ),
        Variant(
            "layers + HMG + SMA gamma",
            _layers(hmg="all", sma="gamma"),
            switches={"sma": "gamma"},
            against="layers + HMG",
        ),
        Variant("full", _layers(hmg="all", sma="on"), against="layers + HMG"),
        Variant("full without HMG", _layers(sma="on"), against="full"),
        Variant(
            "full, pose lost",
            _layers(hmg="all", sma="on"),
            "full",
            switches={"hmg": ("parsing", "relations")},
            against="full",
        ),
        Variant(
            "full, parsing lost",
            _layers(hmg="all", sma="on"),
            "full",
            switches={"hmg": ("pose", "relations")},
            against="full",
        ),
        Variant(
            "full, both lost", _layers(hmg="all", sma="on"), "full", switches={"hmg": ("relations",)}, against="full"
        ),
        Variant(
            "full without prior", _layers(hmg="all", sma="on", prior=False), switches={"prior": False}, against="full"
        ),
        Variant("full, 20 steps", _layers(hmg="all", sma="on"), "full", switches={"steps": 20}, against="full"),
        Variant(
            "full + few-step",
            _layers(hmg="all", sma="on"),
            distilled=True,
            switches={"steps": 4},
            against="full, 20 steps",
        ),
        Variant("full + detail", _layers(hmg="all", sma="on"), "full", switches={"detail": True}, against="full"),
    )
}


def runs_of(names: list[str]) -> list[Variant]:
    """The variants whose models must be trained for these rows."""
    wanted = [VARIANTS[name].weights or name for name in names]
    return [VARIANTS[name] for name in dict.fromkeys(wanted)]
