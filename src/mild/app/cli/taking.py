"""How a command takes the options of groups (:mod:`mild.app.cli.groups`) beside its own."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any

from mild.app.cli.asked import merged

Group = Callable[..., dict[str, Any]]


def takes(*groups: Group) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """A command whose argument ``parts`` stands for the options of some groups: what they returned, merged."""

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        options = {group: list(inspect.signature(group, eval_str=True).parameters.values()) for group in groups}
        parameters: list[inspect.Parameter] = []
        for parameter in inspect.signature(command, eval_str=True).parameters.values():
            here = [parameter] if parameter.name != "parts" else [one for group in groups for one in options[group]]
            parameters += [one.replace(kind=inspect.Parameter.KEYWORD_ONLY) for one in here]

        @functools.wraps(command)
        def run(**values: Any) -> None:
            parts: dict[str, Any] = {}
            for group, own in options.items():
                parts = merged(parts, group(**{one.name: values.pop(one.name) for one in own}))
            command(parts=parts, **values)

        # What typer reads; without the wrapped one it would look there.
        del run.__dict__["__wrapped__"]
        run.__annotations__ = {one.name: one.annotation for one in parameters}
        run.__dict__["__signature__"] = inspect.Signature(parameters)
        return run

    return decorate
