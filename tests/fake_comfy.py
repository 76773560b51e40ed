"""A stand-in for ComfyUI's node API: its published names, and how they are called; nothing heavy."""

from __future__ import annotations

import types
from typing import Any

#: What the fields of a kind take beside a name and a hint.
WIDGETS = {"INT": {"default", "min", "max"}, "STRING": {"default"}, "COMBO": {"default", "options"}}


def api() -> dict[str, types.ModuleType]:
    """What https://docs.comfy.org/custom-nodes/v3_migration says of the API: names, and how they are called."""

    class Field:
        io_type = ""

        def __init__(self, id: str = "", **options: Any) -> None:
            known = WIDGETS.get(self.io_type, set()) if type(self).__name__ == "Input" else set()
            assert set(options) <= known | {"display_name", "tooltip"}, options
            self.id, self.options = id, options

    def kind(name: str) -> Any:
        made = {side: type(side, (Field,), {"io_type": name}) for side in ("Input", "Output")}
        return types.SimpleNamespace(io_type=name, **made)

    class Schema:
        def __init__(self, node_id: str, display_name: str, category: str, inputs: list[Any], outputs: list[Any],
                     description: str = "") -> None:  # fmt: skip
            self.__dict__.update(locals())

    class NodeOutput:
        def __init__(self, *args: Any) -> None:
            self.result = args

    io = types.SimpleNamespace(
        ComfyNode=type("ComfyNode", (), {}), Schema=Schema, NodeOutput=NodeOutput, Custom=kind,
        **{name: kind(name.upper()) for name in ("Image", "Mask", "String", "Int", "Combo")},
    )  # fmt: skip
    package, version = types.ModuleType("comfy_api"), types.ModuleType("comfy_api.v0_0_2")
    version.__dict__.update(io=io, ComfyExtension=type("ComfyExtension", (), {}))
    return {"comfy_api": package, "comfy_api.v0_0_2": version}
