"""The files that a cache of rows is made of, and what it was made from.

Shards are written whole (temporary name, then renamed), so that a run that was killed goes on where it stopped and
gives the same bytes. Beside each shard lie what else is known of its rows; a folder of folders is one cache, too. ::

    rows-00000.npy     uint8 [N, S, S, C]: the complete layer's RGBA, the region, the kind (see rowfiles.py), the
                       fill's RGB and, from samples, the visible body regions
    bodies-00000.npz   keypoints [N, 17, 3] and people [N, MOST_OTHERS, OTHER_NUMBERS], float32, zeros where nothing is
                       known
    rows-p00000.npy    the same, of people of whom a part was covered
    fills-00000.npy    optional: uint8 [N, S, S, 3], a second fill of another patch size and seed
    joints-00000.npy   optional: float32 [N, 17, 3], joints as the landmark net sees them in the row
    made.json          what the shards were made from: those of `rows-`, and those of `rows-p`
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from mild.errors import MildError, UsageError
from mild.files import write_json

Side = Literal["bodies", "fills", "joints"]


def shards_in(folder: str | Path) -> list[Path]:
    """The shards of rows in a folder and the folders below it, in the order of their names."""
    return sorted(Path(folder).rglob("rows-*.npy"))


def beside(shard: Path, side: Side) -> Path:
    """Where something else about a shard's rows lies, or would lie."""
    name = shard.name.replace("rows-", f"{side}-")
    return shard.with_name(name).with_suffix(".npz" if side == "bodies" else ".npy")


def lacking(shards: Sequence[Path], side: Side) -> list[Path]:
    """Those of the shards that have no such file beside them."""
    return [shard for shard in shards if not beside(shard, side).is_file()]


def loaded(path: Path) -> NDArray[Any]:
    """An array of a cache, memory-mapped.

    Raises:
        MildError: the file is damaged.
    """
    try:
        return np.asanyarray(np.load(path, mmap_mode="r"))
    except (OSError, ValueError, EOFError) as error:
        raise damaged(path, error) from None


def damaged(path: Path, error: object) -> MildError:
    """What is said of a file of a cache that cannot be read."""
    return MildError(
        f"{path} cannot be read ({error}); delete it, and the `mild train cache` that made it makes it again."
    )


def claim(folder: Path, kind: Literal["rows", "rows-p"], made: Mapping[str, object]) -> None:
    """Note what the shards of this kind in ``folder`` are made from.

    Raises:
        UsageError: there are such shards already, made otherwise: they would be taken for what is asked for now.
    """
    note = folder / "made.json"
    try:
        notes = json.loads(note.read_text("utf-8"))
        before = dict(notes.get(kind, {}))
    except FileNotFoundError:
        notes, before = {}, {}
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise damaged(note, error) from None
    others = [f"{name} was {old} and is {made.get(name)}" for name, old in before.items() if made.get(name) != old]
    if others and any(folder.glob("rows-p*.npy" if kind == "rows-p" else "rows-[0-9]*.npy")):
        raise UsageError(
            f"{folder} holds rows made otherwise ({', '.join(others)}); take another --out, for example a folder below "
            "it: data.rows takes all that lie below a folder."
        )
    write_json(note, {**notes, kind: dict(made)})
