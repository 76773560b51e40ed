"""What a run does, in one object that is also YAML: sets, methods, masks, seeds, limits."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from mild.errors import UsageError
from mild.lab.bench.items import MASK_KINDS, MaskKind
from mild.lab.bench.methods import MethodSpec, parse
from mild.lab.bench.sets import BenchSet, load_set
from mild.reading import read_yaml
from mild.request import explain


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class SetChoice(_Part):
    """A set and how much of it."""

    source: str = Field(description="KIND:PATH[,name=value…], as `mild bench run --set` takes it.")
    options: dict[str, Any] = Field(default_factory=dict, description="More options of the set's kind.")
    limit: int | None = Field(None, ge=1, description="At most so many items, each stratum in proportion.")
    masks: tuple[MaskKind, ...] = Field(("dilated",), min_length=1, description="tight, dilated, box.")
    methods: tuple[str, ...] | None = Field(None, description="Names of the methods asked here; None: all.")
    seeds: tuple[int, ...] | None = Field(None, description="Other seeds than the run's.")
    redetect: bool | Annotated[int, Field(ge=1)] = Field(
        True, description="Off: nobody looks for people in this set's answers. A number: in those of so many items."
    )
    cag: int | None = Field(None, ge=0, description="Another number of items than the run's.")

    def load(self) -> BenchSet:
        return load_set(self.source, self.options)


class BenchRecipe(_Part):
    """One run of the benchmark."""

    sets: tuple[SetChoice, ...] = Field(min_length=1)
    methods: tuple[str, ...] = Field(min_length=1, description="[NAME@]KIND[:OPTIONS] each.")
    reference: str | None = Field(None, description="The method that others are compared with; None: the first.")
    seeds: tuple[int, ...] = Field((0, 1, 2), min_length=1)
    seconds: float = Field(120.0, gt=0, description="Per-item time limit of a method.")
    load_seconds: float = Field(600.0, gt=0, description="Time limit of loading a method.")
    threads: int = Field(1, ge=1, description="Of a method; other numbers may change its last bits.")
    choice_seed: int = Field(0, ge=0, description="Of the choice under a limit.")
    flip: bool = True
    redetect: bool = Field(True, description="Look for people in the hole with the finder.")
    finder: str = Field("blazepose", description="Which finder looks.")
    cag: int = Field(0, ge=0, description="On how many items of a set attention is measured too (first seed and mask).")
    jobs: int = Field(1, ge=1, description="Processes that share the items; the figures do not depend on it.")
    features: dict[str, str] = Field(default_factory=dict, description="lpips, dino, clip, inception: where they are.")
    resamples: int = Field(2000, ge=100, description="Of the bootstrap.")

    @field_validator("methods")
    @classmethod
    def _distinct(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        slugs = [parse(text).slug for text in value]
        for slug in slugs:
            if slugs.count(slug) > 1:
                raise ValueError(f"two methods are called {slug}; name one: other@{value[slugs.index(slug)]}")
        return value

    @property
    def specs(self) -> tuple[MethodSpec, ...]:
        return tuple(parse(text) for text in self.methods)

    @property
    def reference_name(self) -> str:
        """The method that others are compared with.

        Raises:
            UsageError: no method of that name.
        """
        names = [spec.name for spec in self.specs]
        if self.reference is None:
            return names[0]
        if self.reference not in names:
            raise UsageError(f"The reference {self.reference!r} is none of the methods ({', '.join(names)}).")
        return self.reference

    def cag_of(self, choice: SetChoice) -> int:
        """On how many of a set's items attention is measured."""
        return self.cag if choice.cag is None else choice.cag

    def scoring_digest(self, choice: SetChoice) -> str:
        """Changes whenever figures of an answer on this set would be other ones."""
        looked = choice.redetect if self.redetect else False
        fields = {
            "flip": self.flip, "finder": [self.finder, looked] if looked else None, "features": self.features,
            "cag": self.cag_of(choice), "first": [choice.masks[0], (choice.seeds or self.seeds)[0]],
        }  # fmt: skip
        return hashlib.sha256(json.dumps([SCORING_VERSION, fields], sort_keys=True).encode()).hexdigest()[:16]

    @classmethod
    def build(cls, **fields: object) -> BenchRecipe:
        """As the constructor, but a wrong value is a :class:`UsageError` of one sentence."""
        try:
            return cls.model_validate(fields)
        except ValidationError as error:
            raise UsageError(f"The recipe: {explain(error)}") from None

    @classmethod
    def open(cls, path: str | Path, photos: str | Path | None = None, **changes: object) -> BenchRecipe:
        """Read a YAML file; ``changes`` that are not None replace its fields.

        ``photos`` stands wherever the file's sets say ``$photos``: which folder that is, only the user knows.

        Raises:
            UsageError: the file is no recipe, or its sets say ``$photos`` and none were named.
        """
        fields = read_yaml(Path(path))
        if not isinstance(fields, dict):
            raise UsageError(f"The recipe {path} holds no fields.")
        fields = fields | {name: value for name, value in changes.items() if value is not None}
        if photos is None and _PHOTOS in json.dumps(fields.get("sets")):
            raise UsageError(f"The recipe {path} needs a folder of photos: name it with --photos FOLDER.")
        if photos is not None:
            fields["sets"] = _put(fields.get("sets"), str(photos))
        return cls.build(**fields)


#: What a recipe says in the place of the user's own folder of photos.
_PHOTOS = "$photos"


def _put(value: Any, photos: str) -> Any:
    """``value`` with the folder in every text that names :data:`_PHOTOS`."""
    if isinstance(value, str):
        return value.replace(_PHOTOS, photos)
    if isinstance(value, dict):
        return {name: _put(one, photos) for name, one in value.items()}
    return [_put(one, photos) for one in value] if isinstance(value, list) else value


#: Raised by one whenever a figure's definition changes, so that no old figure stands beside a new one.
SCORING_VERSION = 3

__all__ = ["MASK_KINDS", "SCORING_VERSION", "BenchRecipe", "SetChoice"]
