"""The cheapest border on a grid, without a library of graphs: a minimum cut by its continuous form.

Sharing cells out between two sides, where each cell pulls to one of them and separating two neighbours costs something,
is a minimum cut. Allowing shares between 0 and 1 changes nothing: cutting the best shares at any height gives a best
border (Chan, Esedoglu & Nikolova 2006). The shares are found by alternating steps of shares and flows (Chambolle & Pock
2011, the step sizes as in Pock & Chambolle 2011), which stop when the flow proves that nothing better exists, up to a
small part of the cost, or after a fixed number, with the best border until then. All cells take their step at once,
which is what numpy is good at.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mild.people.scene import BoolMask

Floats = NDArray[np.float32]

#: A cell's neighbours whose links it keeps: right, below, below right, below left (rows, columns).
DIRECTIONS = ((0, 1), (1, 0), (1, 1), (1, -1))
#: Flows step so much farther than shares; about what flows are large compared with shares.
_RATIO = 8.0
#: Steps between two looks at how good the border is, and at most.
_LOOK, _MOST = 50, 1000
#: The heights at which the shares are cut.
_HEIGHTS = (0.5, 0.25, 0.75)
#: A border that costs this part more than what is proven to be needed is good enough.
_GAP = 2e-4


def pairs(shape: tuple[int, int], direction: tuple[int, int]) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
    """Slices of ``[h, w]`` arrays: the cells that have a neighbour in a direction, and these neighbours."""
    (height, width), (dy, dx) = shape, direction
    here = (slice(0, height - dy), slice(max(0, -dx), width - max(0, dx)))
    there = (slice(dy, height), slice(max(0, dx), width - max(0, -dx)))
    return here, there


def cheapest_border(pull: Floats, links: Floats, zone: BoolMask) -> BoolMask:
    """Which cells of a zone go to the first side.

    Args:
        pull: ``[h, w]``, what a cell gains on the first side (negative: on the second).
        links: ``[4, h, w]``, at least 0: what separating a cell from its neighbour in each of :data:`DIRECTIONS` costs;
            0 where there is none, or it is not in the zone.
        zone: the cells to be shared out.

    Returns:
        Bool ``[h, w]``, false outside the zone.
    """
    count = int(zone.sum())
    out = np.zeros(zone.shape, bool)
    if not count:
        return out
    number = np.full((zone.shape[0] + 2, zone.shape[1] + 2), count)
    number[1:-1, 1:-1][zone] = np.arange(count)
    y, x = (part + 1 for part in np.nonzero(zone))
    ahead = np.stack([number[y + dy, x + dx] for dy, dx in DIRECTIONS])
    behind = np.stack([number[y - dy, x - dx] for dy, dx in DIRECTIONS]) + (np.arange(4) * (count + 1))[:, None]
    cost, gain = links[:, zone], pull[zone]
    # The last cell stands for all outside the zone; nothing flows there.
    share = np.append((gain > 0).astype(np.float32), np.float32(0))
    leaning, flow = share.copy(), np.zeros((4, count + 1), np.float32)
    cheapest, proven, best = np.inf, -np.inf, share[:count] > 0
    up, down = np.float32(_RATIO / 2), np.float32(1 / (8 * _RATIO))
    for step in range(1, _MOST + 1):
        flow[:, :count] = np.clip(flow[:, :count] + up * (leaning[:count] - leaning[ahead]), -cost, cost)
        left = flow[:, :count].sum(0) - flow.ravel()[behind].sum(0) - gain
        new = np.clip(share[:count] - down * left, 0, 1)
        leaning[:count], share[:count] = 2 * new - share[:count], new
        if step % _LOOK == 0:
            for height in _HEIGHTS:
                side = share > height
                price = float((cost * (side[:count] != side[ahead])).sum() - gain[side[:count]].sum())
                if price < cheapest:
                    cheapest, best = price, side[:count]
            proven = max(proven, float(np.minimum(left, 0).sum()))
            if cheapest - proven <= _GAP * float(np.abs(gain).sum()):
                break
    out[zone] = best
    return out
