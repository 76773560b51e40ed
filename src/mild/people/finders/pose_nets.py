"""Keypoints by RTMPose (arXiv:2303.07399) or ViTPose (arXiv:2204.12484) as ONNX, without torch.

Contract (both): a crop of 256 x 192 around the box, its sides widened, RGB, normalised; 17 COCO points as two arrays of
bins (RTMPose's SimCC) or as heatmaps of a quarter of the size.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from mild.errors import MildError
from mild.models.contracts import PoseContract
from mild.models.nets import Net
from mild.people.scene import Box

HEIGHT, WIDTH = 256, 192


def keypoints(
    pixels: NDArray[np.uint8], boxes: Sequence[Box], path: str, contract: PoseContract
) -> list[NDArray[np.float32] | None]:
    """COCO keypoints ``[17, 3]`` (x, y in photo pixels, confidence 0..1) for each box.

    Raises:
        MildError: the file is damaged, or another net.
    """
    net = _opened(path, Path(path).stat().st_mtime_ns)
    out: list[NDArray[np.float32] | None] = []
    for box in boxes:
        place = crop_of(box, contract.padding)
        crop = cv2.warpAffine(pixels, place, (WIDTH, HEIGHT), flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP)
        normal = (crop.astype(np.float32) / 255 - np.asarray(contract.mean, np.float32)) / np.asarray(
            contract.std, np.float32
        )
        answers = net.run({next(iter(net.inputs)): normal.transpose(2, 0, 1)[None]})
        points = _from_bins(net, answers, contract) if contract.answer == "simcc" else _from_heat(net, answers)
        points[:, :2] = points[:, :2] @ place[:, :2].T + place[:, 2]
        out.append(points.astype(np.float32))
    return out


def crop_of(box: Box, padding: float) -> NDArray[np.float64]:
    """``[2, 3]``: from pixels of the crop to pixels of the photo; the box in the middle, aspect kept."""
    side = max(box.width / WIDTH, box.height / HEIGHT) * padding
    x, y = (box.x0 + box.x1) / 2, (box.y0 + box.y1) / 2
    # Pixel centres: the crop's middle is the box's middle.
    return np.array(
        [[side, 0, x - side * WIDTH / 2 + (side - 1) / 2], [0, side, y - side * HEIGHT / 2 + (side - 1) / 2]]
    )


def _from_bins(net: Net, answers: dict[str, NDArray[Any]], contract: PoseContract) -> NDArray[np.float64]:
    try:
        x, y = answers["simcc_x"][0], answers["simcc_y"][0]
    except KeyError:
        raise MildError(f"{net.path.name} gives {', '.join(answers)} instead of simcc_x and simcc_y.") from None
    if len(x) != 17 or len(y) != 17:
        raise MildError(f"{net.path.name} gives {len(x)} keypoints; COCO's 17 are expected.")
    sure = np.minimum(x.max(1), y.max(1))
    return np.stack([x.argmax(1) / contract.split, y.argmax(1) / contract.split, np.clip(sure, 0, 1)], 1)


def _from_heat(net: Net, answers: dict[str, NDArray[Any]]) -> NDArray[np.float64]:
    heat = next(iter(answers.values()))
    # Some exports know more points; the first 17 are COCO's.
    if heat.ndim != 4 or heat.shape[1] < 17:
        raise MildError(
            f"{net.path.name} gives an array of shape {list(heat.shape)}; heatmaps of 17 points are expected."
        )
    maps = heat[0, :17].astype(np.float64)
    points = np.zeros((17, 3))
    for number, one in enumerate(maps):
        y, x = np.unravel_index(int(one.argmax()), one.shape)
        points[number] = (
            (x + _vertex(one[y], int(x))) * WIDTH / one.shape[1],
            (y + _vertex(one[:, x], int(y))) * HEIGHT / one.shape[0],
            np.clip(one[y, x], 0, 1),
        )
    return points


def _vertex(line: NDArray[np.float64], at: int) -> float:
    """Where between pixels a peak is: of a parabola through the logarithms of it and its neighbours (as for a bell)."""
    if not 0 < at < len(line) - 1:
        return 0.0
    before, here, after = np.log(np.maximum(line[at - 1 : at + 2], 1e-6))
    bend = before - 2 * here + after
    return float(np.clip((before - after) / (2 * bend), -0.5, 0.5)) if bend < 0 else 0.0


@lru_cache(maxsize=1)
def _opened(path: str, _seen: int) -> Net:
    net = Net(Path(path))
    if len(net.inputs) != 1 or next(iter(net.inputs.values())).shape[1:] != (3, HEIGHT, WIDTH):
        raise MildError(f"{net.path.name} takes no crop of {HEIGHT} x {WIDTH} pixels; another net?")
    return net
