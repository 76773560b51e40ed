"""MILD itself, on any backbone, with any switch, and with estimators taken away."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from mild import __version__
from mild.errors import UsageError
from mild.lab.bench.items import Trial, without
from mild.lab.bench.methods.base import Answer
from mild.reading import read_yaml
from mild.request import EraseRequest, Method
from mild.runtimes import Models, chosen_runtime

_WORDS: dict[str, Any] = {"on": True, "off": False, "true": True, "false": False, "none": None}


@dataclass
class MildMethod:
    """The road of :mod:`mild.road`, with the set's own people.

    Attributes:
        overrides: fields of the request's method part.
        pose, parsing: false takes keypoints, or body regions, away, as a failing estimator would.
    """

    overrides: Mapping[str, Any] = field(default_factory=dict)
    pose: bool = True
    parsing: bool = True
    seeded: bool = True
    models: Models = field(default_factory=Models)

    @classmethod
    def parse(cls, rest: str) -> MildMethod:
        """From ``steps=4,sma=off`` (several HMG sources with ``+``), or from a YAML or JSON file of such fields."""
        fields: dict[str, Any] = {}
        if rest.endswith((".yaml", ".yml", ".json")) and "=" not in rest:
            fields = read_yaml(Path(rest)) or {}
            if not isinstance(fields, dict):
                raise UsageError(f"The method file {rest} holds no fields (name: value).")
        else:
            for part in filter(None, rest.split(",")):
                name, sign, value = part.partition("=")
                if not sign:
                    raise UsageError(f"The method mild takes name=value, not {part!r}.")
                fields[name] = _value(name, value)
        pose, parsing = bool(fields.pop("pose", True)), bool(fields.pop("parsing", True))
        if not parsing and "hmg" not in fields:
            fields["hmg"] = ["pose", "relations"] if pose else ["relations"]
        # A wrong switch is told now, not at the first photo.
        EraseRequest.build(method=fields)
        return cls(fields, pose, parsing)

    def _request(self, trial: Trial) -> EraseRequest:
        return EraseRequest.build(
            selection={"people": trial.item.erase}, region=trial.region.model_dump(), method=dict(self.overrides),
            seed=trial.seed,
        )  # fmt: skip

    def __call__(self, trial: Trial) -> Answer:
        from mild.road import run

        scene = without(trial.item.scene, pose=not self.pose, parsing=not self.parsing)
        result = run(self._request(trial), scene.photo, scene=scene, models=self.models)
        rows = result.plan.layers
        extra = {"stages": result.seconds, "layers": len(rows), "steps": result.request.method.sampling.steps}
        return Answer(result.photo.pixels, result.stack, extra)

    def measure(self, trial: Trial) -> Mapping[str, Any]:
        """CAG of the trial's layers, over those that have a foreign region, weighted by their holes' pixels."""
        if not self._request(trial).method.parts.denoise:
            return {}
        from mild.diffusion.cag import CagProbe
        from mild.road import run

        probe = CagProbe()
        scene = without(trial.item.scene, pose=not self.pose, parsing=not self.parsing)
        run(self._request(trial), scene.photo, scene=scene, probe=probe, models=self.models)
        return mean_cag(probe)

    def about(self) -> Mapping[str, Any]:
        from mild.models import assets

        method = Method.model_validate(dict(self.overrides))
        # Now, so that the first photo's seconds are not the model's loading.
        if chosen_runtime(method) == "onnx":
            self.models.one_step(method.model)
        else:
            self.models.pipeline(method.model)
        folder = assets.model_folder(method.model.name)
        return {
            "mild": __version__,
            "method": json.loads(method.model_dump_json()),
            "pose": self.pose,
            "parsing": self.parsing,
            "weights": weights_digest(folder) if Path(folder).is_dir() else str(folder),
        }


def mean_cag(probe: Any) -> dict[str, float]:
    """``cag`` and ``cag_area`` of one trial from a probe: the mean over layers with foreign pixels, by hole size."""
    sums: dict[str, list[tuple[float, float]]] = {"cag": [], "cag_area": []}
    for layer in probe.report():
        weight = float(layer.layer.regions[1].sum())
        if layer.foreign_share <= 0 or weight <= 0:
            continue
        for name, values in (("cag", layer.cag), ("cag_area", layer.area)):
            mean = layer.mean(values)
            if mean is not None:
                sums[name].append((mean, weight))
    return {
        name: float(np.average([m for m, _ in rows], weights=[w for _, w in rows]))
        for name, rows in sums.items()
        if rows
    }


def weights_digest(folder: str | Path) -> str:
    """One sha256 over all weight files of a model folder, by name."""
    import hashlib

    made = hashlib.sha256()
    for path in sorted(Path(folder).rglob("*.safetensors")):
        made.update(path.relative_to(folder).as_posix().encode())
        made.update(hashlib.sha256(path.read_bytes()).digest())
    return made.hexdigest()


def _value(name: str, text: str) -> Any:
    if name == "hmg":
        return text if text in ("all", "none") else text.split("+")
    if name == "sma":
        return text
    if text.lower() in _WORDS:
        return _WORDS[text.lower()]
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text
