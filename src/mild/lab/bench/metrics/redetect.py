"""Is a person found where one was erased? The offline finder looks at the answer."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mild.lab.bench.items import Item
from mild.lab.bench.metrics.leakage import truth_owner
from mild.people.find import find_people
from mild.photo import Photo
from mild.request import Finder

Rgb = NDArray[np.uint8]
Mask = NDArray[np.bool_]

#: A find counts when so much of its mask lies in the hole's background part, and it is so large beside the hole.
INSIDE, LEAST = 0.5, 0.1


def person_in(picture: Rgb, item: Item, hole: Mask, finder: Finder) -> bool:
    """Does the finder surely see somebody in the hole, where the truth has nobody?

    People who stay and continue into the hole are not counted where the truth (or, without one, their visible mask)
    has them.
    """
    empty = hole & (truth_owner(item) == 0)
    if not empty.any():
        return False
    scene = find_people(Photo.from_array(picture), finder)
    for person in scene.sure:
        inside = int((person.mask & empty[person.box.slices]).sum())
        if inside >= INSIDE * person.area and inside >= LEAST * int(hole.sum()):
            return True
    return False
