"""MILD in ComfyUI: find people, choose, erase or take apart, and a layer as image and mask.

Nothing heavy is imported before a node runs. Written for version 0.0.2 of ComfyUI's node API.
"""

from __future__ import annotations

import importlib

try:
    # Pinned, as ComfyUI's makers advise: a later version may differ.
    _api = importlib.import_module("comfy_api.v0_0_2")
except ImportError:  # older ComfyUI names only the latest
    _api = importlib.import_module("comfy_api.latest")

from .nodes import NODES

ComfyExtension = _api.ComfyExtension


class MildExtension(ComfyExtension):
    """The pack's nodes."""

    async def get_node_list(self) -> list[type]:
        return list(NODES)


async def comfy_entrypoint() -> ComfyExtension:
    """What ComfyUI calls to load the pack."""
    return MildExtension()
