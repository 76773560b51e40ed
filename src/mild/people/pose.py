"""From BlazePose's 33 points to COCO's 17."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

#: For each COCO keypoint, in COCO's order, the BlazePose point (arXiv:2006.10204, figure 3) that is the same joint.
BLAZE_OF_COCO = (0, 2, 5, 7, 8, 11, 12, 13, 14, 15, 16, 23, 24, 25, 26, 27, 28)


def coco_keypoints(landmarks: NDArray[np.float32], size: tuple[int, int]) -> NDArray[np.float32]:
    """COCO keypoints ``[17, 3]`` (x, y in photo pixels, confidence 0..1) of BlazePose landmarks ``[33, 3]``.

    The confidence is the net's visibility, and 0 for a point outside the photo of ``size = (height, width)``: the net
    guesses joints beyond the frame, which is useful for the pose, but nothing is to be seen there.
    """
    out = landmarks[list(BLAZE_OF_COCO)].astype(np.float32)
    outside = (out[:, 0] < 0) | (out[:, 1] < 0) | (out[:, 0] > size[1] - 1) | (out[:, 1] > size[0] - 1)
    out[outside, 2] = 0
    return out
