"""From what was typed to a request: the fields that were given, over those of a saved one."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mild.errors import MildError, UsageError
from mild.files import flat
from mild.reading import parse_json, read_bytes

if TYPE_CHECKING:
    from mild.request import EraseRequest


def build(base: Path | None, **parts: Any) -> EraseRequest:
    """The request of :func:`fields_of`; it must name a photo."""
    from mild.request import EraseRequest

    request = EraseRequest.build(**fields_of(base, **parts))
    if request.photo is None:
        raise UsageError("Name a photo, or a --request that names one.")
    return request


def fields_of(base: Path | None, **parts: Any) -> dict[str, Any]:
    """A request's fields: a saved one's (``base``) or none, overlaid with what was given (:func:`merged`)."""
    return merged({} if base is None else read_request(base), parts)


def merged(fields: Mapping[str, Any], parts: Mapping[str, Any]) -> dict[str, Any]:
    """A request's fields, overlaid with parts of others; a part that is None or empty was not given.

    A part given as a dict is merged field by field, except the selection: naming somebody replaces the saved choice,
    since "erase 2" added to a saved "erase 1" would surprise.
    """
    out = dict(fields)
    for name, value in parts.items():
        if value is None or value == {}:
            continue
        if isinstance(value, dict) and isinstance(out.get(name), dict) and name != "selection":
            out[name] = out[name] | value
        else:
            out[name] = value
    return out


def read_request(path: Path) -> dict[str, Any]:
    """The fields of a request saved as JSON (by ``--save-request``, or under ``request`` of a ``--json`` report)."""
    try:
        fields = parse_json(read_bytes(path))
    except FileNotFoundError:
        raise UsageError(f"There is no file {path}.") from None
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or "it is not text"
        raise MildError(f"The request {path} cannot be read ({why}).") from None
    except json.JSONDecodeError as error:
        raise UsageError(f"The request {path} is not JSON (line {error.lineno}).") from None
    except (ValueError, RecursionError) as error:
        why = "it is nested too deep" if isinstance(error, RecursionError) else flat(error)
        raise UsageError(f"The request {path} cannot be used: {why[:200]}.") from None
    if isinstance(fields, dict) and isinstance(fields.get("request"), dict):
        fields = fields["request"]
    if not isinstance(fields, dict):
        raise UsageError(f"The request {path} does not hold a JSON object.")
    return fields


def numbers(option: str, values: Sequence[str], length: int | None = None) -> list[tuple[int, ...]]:
    """Whole numbers of a repeatable option, one tuple for each time it was given.

    Args:
        option: the option's name, for the message.
        values: what the user typed, each ``"2"`` or ``"1,3"``.
        length: how many numbers each must hold; None for any.
    """
    out = []
    for value in values:
        try:
            found = tuple(int(part) for part in value.split(","))
        except ValueError:
            found = ()
        if not found or (length is not None and len(found) != length):
            wanted = {None: "whole numbers like 1,3", 2: "two whole numbers x,y", 4: "four whole numbers x0,y0,x1,y1"}
            raise UsageError(f"{option} takes {wanted[length]}, not {value!r}.")
        out.append(found)
    return out
