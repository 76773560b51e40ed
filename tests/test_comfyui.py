"""The ComfyUI pack against the published signatures of its node API (ComfyUI itself is not on the index)."""

from __future__ import annotations

import asyncio
import importlib.util
import inspect
import json
import subprocess
import sys
import types
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fake_comfy import api

PACK = Path(__file__).resolve().parent.parent / "integrations" / "comfyui"


@pytest.fixture
def pack(monkeypatch: pytest.MonkeyPatch) -> types.ModuleType:
    for name, module in api().items():
        monkeypatch.setitem(sys.modules, name, module)
    spec = importlib.util.spec_from_file_location(
        "mild_comfy", PACK / "__init__.py", submodule_search_locations=[str(PACK)]
    )
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "mild_comfy", module)
    monkeypatch.delitem(sys.modules, "mild_comfy.nodes", raising=False)
    spec.loader.exec_module(module)
    return module


def nodes(pack: types.ModuleType) -> dict[str, Any]:
    async def listed() -> list[Any]:
        extension = await pack.comfy_entrypoint()
        return list(await extension.get_node_list())

    return {node.define_schema().node_id: node for node in asyncio.run(listed())}


def test_the_nodes_and_their_arguments(pack: types.ModuleType) -> None:
    found = nodes(pack)
    assert list(found) == ["MildFindPeople", "MildChoosePeople", "MildErase", "MildTakeApart", "MildLayer"]
    for node in found.values():
        schema = node.define_schema()
        assert [field.id for field in schema.inputs] == list(inspect.signature(node.execute).parameters)


def test_nothing_heavy_is_imported_at_load() -> None:
    code = f"""
import importlib.util, sys
sys.path.insert(0, {str(Path(__file__).parent)!r})
from fake_comfy import api
sys.modules.update(api())
spec = importlib.util.spec_from_file_location(
    "pack", {str(PACK / "__init__.py")!r}, submodule_search_locations=[{str(PACK)!r}]
)
pack = sys.modules["pack"] = importlib.util.module_from_spec(spec)
spec.loader.exec_module(pack)
print([name for name in ("torch", "numpy", "mild", "cv2") if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_choosing_and_layers(pack: types.ModuleType) -> None:
    import torch

    from mild.layers import Layer, LayerStack
    from mild.people.scene import Box, Person, Scene
    from mild.photo import Photo

    photo = Photo.from_array(np.full((20, 30, 3), 100, np.uint8))
    masks = np.zeros((2, 20, 30), bool)
    masks[0, 5:15, 2:8] = masks[1, 5:15, 20:28] = True
    scene = Scene(photo, tuple(Person.from_mask(n + 1, mask) for n, mask in enumerate(masks)))
    found = nodes(pack)
    (mask,) = found["MildChoosePeople"].execute(scene, "the numbers", "2").result
    assert mask.shape == (1, 20, 30) and (mask[0].numpy() > 0.5).tolist() == masks[1].tolist()
    (mask,) = found["MildChoosePeople"].execute(scene, "all but the numbers", "2").result
    assert (mask[0].numpy() > 0.5).tolist() == masks[0].tolist()
    with pytest.raises(ValueError, match="whole numbers"):
        found["MildChoosePeople"].execute(scene, "the numbers", "two")
    box = Box(0, 0, 30, 20)
    fill = np.full((20, 30, 4), (10, 20, 30, 255), np.uint8)
    person = np.dstack([np.full((20, 30, 3), 200, np.uint8), masks[0].astype(np.uint8) * 255])
    made = np.zeros((20, 30), bool)
    stack = LayerStack(
        photo.pixels,
        (Layer("background", None, "background", box, fill, ~made),
         Layer("person", 1, "person 1", box, person, made, person[..., 3].copy())),
    )  # fmt: skip
    image, mask = found["MildLayer"].execute(stack, 0).result
    assert torch.equal((image[0][masks[0]] * 255).round().int(), torch.tensor([[10, 20, 30]] * 60, dtype=torch.int32))
    image, mask = found["MildLayer"].execute(stack, 1).result
    assert image.shape == (1, 20, 30, 3) and (mask[0].numpy() > 0.5).tolist() == masks[0].tolist()
    with pytest.raises(ValueError, match="layers 0 to 1"):
        found["MildLayer"].execute(stack, 2)


def test_the_registry_s_metadata() -> None:
    import tomllib

    described = tomllib.loads((PACK / "pyproject.toml").read_text())
    ours = tomllib.loads((PACK.parent.parent / "pyproject.toml").read_text())
    assert described["project"]["dependencies"] == [ours["project"]["name"]]
    assert {"PublisherId", "DisplayName"} <= set(described["tool"]["comfy"])
    assert json.dumps(described["project"]["version"])
