"""Settings as YAML files: read into a typed config, or refused with a sentence for each mistake; written back whole."""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from mild import reading
from mild.errors import UsageError
from mild.files import write_bytes

T = TypeVar("T", bound=BaseModel)


def build(kind: type[T], values: object, where: str) -> T:
    """Validate; all mistakes become one :class:`UsageError`, a sentence each."""
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        raise UsageError(f"{where} is refused. " + " ".join(_sentences(error))) from None


def read_yaml(path: str | Path) -> dict[str, Any]:
    """A YAML file of settings."""
    values = reading.read_yaml(Path(path))
    if not isinstance(values, dict):
        raise UsageError(f"{path} holds no settings (name: value).")
    return values


def dump_yaml(config: BaseModel, path: Path) -> None:
    """The whole of the settings, defaults too."""
    import yaml

    text = yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False, allow_unicode=True)
    write_bytes(path, text.encode("utf-8"))


def change(values: dict[str, Any], said: str) -> None:
    """Change one of ``values`` in place, as ``said``: ``optimiser.steps=100``.

    Raises:
        UsageError: it does not say which, or the value is no YAML.
    """
    import yaml

    name, equals, value = said.partition("=")
    if not equals:
        raise UsageError(f"'{said}' changes nothing; write name=value, for example optimiser.steps=100.")
    *path, last = name.strip().split(".")
    inner = values
    for part in path:
        inner = inner.setdefault(part, {})
        if not isinstance(inner, dict):
            raise UsageError(f"'{said}' does not fit: {part} is a single value.")
    try:
        inner[last] = yaml.safe_load(value)
    except (yaml.YAMLError, ValueError, RecursionError):
        raise UsageError(f"'{said}' does not fit: {value[:60]} cannot be read as YAML.") from None


def _sentences(error: ValidationError) -> list[str]:
    out = []
    for fault in error.errors():
        where = ".".join(str(part) for part in fault["loc"] if part not in ("tuple[HmgSource, ...]",))
        message = fault["msg"].removeprefix("Value error, ").rstrip(".")
        if fault["type"] == "extra_forbidden":
            message = "there is no such setting"
        elif fault["type"] == "missing":
            message = "it must be given"
        out.append(f"{where}: {message}." if where else f"{message[:1].upper()}{message[1:]}.")
    return out
