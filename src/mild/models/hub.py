"""Models that lie in the cache of the Hugging Face hub's own client, in the layout of transformers or diffusers."""

from __future__ import annotations

import os
import re
import shutil
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from mild.errors import MildError
from mild.extras import needs
from mild.files import flat
from mild.models.cache import sha256_of

#: What is taken of a repository. Pickles (.bin, .pth, .ckpt) are programs, not data: never.
PATTERNS = ("*.json", "*.safetensors", "*.txt", "*.model", "LICENSE*", "README.md")
#: Parts of a diffusers pipeline that are not used here.
IGNORED = ("safety_checker/*", "*.fp16.safetensors", "*.non_ema.safetensors")


def locate_hub(model: str, revision: str = "") -> Path | None:
    """The folder of a hub model (a local folder, or a hub id in the hub's cache), or None. Never the network."""
    if Path(model).is_dir():
        return Path(model)
    if find_spec("huggingface_hub") is None:  # an extra; without it nothing could use the model either
        return None
    if not os.path.isdir(_repository(model)):  # noqa: PTH112  (a cache that may not be read holds nothing for us)
        return None
    from huggingface_hub import try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    # A model has a config; a diffusers pipeline has an index, and its weights in folders below.
    for name in ("config.json", "model_index.json"):
        try:
            found = try_to_load_from_cache(model, name, revision=revision or None)
        except HFValidationError:
            return None
        if isinstance(found, str):
            folder = Path(found).parent
            # The config alone is cached by a mere look at a model; only weights make it usable.
            if any(folder.glob("**/*.safetensors")):
                return folder
    return None


def fetch_hub(model: str, revision: str = "") -> Path:
    """Fetch the files of a hub model into the hub's own cache, and return their folder.

    Raises:
        MildError: it could not be fetched.
    """
    with needs("Fetching a model of the hub", "torch"):
        from huggingface_hub import snapshot_download

    try:
        return Path(
            snapshot_download(
                model, revision=revision or None, allow_patterns=list(PATTERNS), ignore_patterns=list(IGNORED)
            )
        )
    except Exception as error:  # the hub client has a dozen unrelated exception types for "could not"
        raise MildError(f"The model '{model}' could not be fetched from the hub ({_first_line(error)}).") from error


def remove_hub(model: str) -> None:
    """Delete a model from the hub's cache, all revisions."""
    if find_spec("huggingface_hub") is None:
        return
    shutil.rmtree(_repository(model), ignore_errors=True)


def hashed(folder: Path) -> dict[str, dict[str, Any]]:
    """File -> its sha256 and size, of all of a snapshot; the folder's name is its commit."""
    notes = {}
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        name = path.relative_to(folder).as_posix()
        notes[name] = {"sha256": sha256_of(path), "size": path.stat().st_size, "revision": folder.name}
    return notes


def faults(folder: Path, notes: dict[str, dict[str, Any]]) -> list[str]:
    """Files of a snapshot that are not what was written down or, of large ones, not what the cache names them."""
    wrong = [name for name in notes if not (folder / name).is_file()]
    for name, found in hashed(folder).items():
        blob = (folder / name).resolve().name
        stated = notes.get(name, {}).get("sha256") or (blob if re.fullmatch(r"[0-9a-f]{64}", blob) else found["sha256"])
        if stated != found["sha256"]:
            wrong.append(name)
    return wrong


def _repository(model: str) -> Path:
    # The constants alone come quickly; all of the library takes as long as a small photo.
    from huggingface_hub import constants

    return Path(constants.HF_HUB_CACHE) / f"models--{model.replace('/', '--')}"


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return lines[0].rstrip(".") if lines else flat(error)
