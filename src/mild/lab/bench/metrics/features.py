"""Figures that need a large network: only with weights that the user names, under a name that says which.

Nothing is fetched. A figure without weights has no value, and the report says why.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mild.errors import MildError, UsageError

Rgb = NDArray[np.uint8]
Mask = NDArray[np.bool_]
Vectors = NDArray[np.float64]

#: What can be asked for, and what it needs.
WANTED: Mapping[str, str] = {
    "lpips": "a TorchScript file of LPIPS: (image, image) in -1..1 -> distance",
    "dino": "a folder or cached hub id of DINO or DINOv2 (transformers)",
    "clip": "a folder or cached hub id of CLIP's vision model (transformers)",
    "inception": "a TorchScript file of FID's Inception: image in 0..255 -> features",
}


@dataclass
class Network:
    """One feature network.

    Attributes:
        kind: a key of :data:`WANTED`.
        label: name for column headings: kind, backbone and size.
        module: the network.
        processor: of a transformers network, or None.
    """

    kind: str
    label: str
    module: Any
    processor: Any = None

    @classmethod
    def load(cls, kind: str, where: str) -> Network:
        """From a file or folder, or from the hub's cache.

        Raises:
            UsageError: no such kind.
            MildError: the weights are not on this machine.
        """
        if kind not in WANTED:
            raise UsageError(f"There is no feature {kind!r} (known: {', '.join(WANTED)}).")
        import torch

        if kind in ("lpips", "inception"):
            if not Path(where).is_file():
                raise MildError(f"{kind} needs {WANTED[kind]}; there is no file {where}.")
            return cls(kind, f"{kind} ({Path(where).stem})", torch.jit.load(where, map_location="cpu").eval())
        from transformers import AutoImageProcessor, AutoModel, CLIPVisionModelWithProjection

        made = CLIPVisionModelWithProjection if kind == "clip" else AutoModel
        try:
            module = made.from_pretrained(where, local_files_only=True).eval()
            processor = AutoImageProcessor.from_pretrained(where, local_files_only=True, use_fast=False)
        except OSError:
            raise MildError(f"{kind} needs {WANTED[kind]}; {where} is not on this machine.") from None
        return cls(kind, f"{kind} ({Path(where).name})", module, processor)

    def distance(self, a: Rgb, b: Rgb) -> float:
        """LPIPS of two pictures."""
        import torch

        with torch.inference_mode():
            pair = [torch.from_numpy(x.astype(np.float32)).permute(2, 0, 1)[None] / 127.5 - 1 for x in (a, b)]
            return float(self.module(*pair).flatten()[0])

    def vector(self, picture: Rgb) -> Vectors:
        """One feature vector ``[D]`` of a picture."""
        import torch

        with torch.inference_mode():
            if self.kind == "inception":
                out = self.module(torch.from_numpy(picture.copy()).permute(2, 0, 1)[None])
                return np.asarray(out.flatten().double())
            inputs = self.processor(images=Image.fromarray(picture), return_tensors="pt")
            out = self.module(**inputs)
            vector = out.image_embeds if self.kind == "clip" else out.last_hidden_state[:, 0]
            return np.asarray(vector[0].double())

    def patches(self, picture: Rgb) -> tuple[Vectors, tuple[int, int]]:
        """Patch features ``[h * w, D]`` of a vision transformer, and their grid."""
        import torch

        with torch.inference_mode():
            inputs = self.processor(images=Image.fromarray(picture), return_tensors="pt")
            tokens = self.module(**inputs).last_hidden_state[0]
        height, width = (s // self.module.config.patch_size for s in inputs["pixel_values"].shape[2:])
        return np.asarray(tokens[-height * width :].double()), (height, width)


def similarity(network: Network, a: Rgb, b: Rgb) -> float:
    """Cosine of the two pictures' features."""
    return cosine(network.vector(a), network.vector(b))


def remove_score(network: Network, picture: Rgb, hole: Mask) -> float | None:
    """ReMOVE (Chandrasekar et al. 2024): cosine of the mean patch features inside and outside the hole.

    The paper uses SAM's encoder on a crop around the hole; with another network the column is named after that one.
    """
    import cv2

    features, grid = network.patches(picture)
    share = cv2.resize(hole.astype(np.float32), grid[::-1], interpolation=cv2.INTER_AREA).reshape(-1)
    inside, outside = share > 0.5, share == 0
    if not inside.any() or not outside.any():
        return None
    return cosine(features[inside].mean(0), features[outside].mean(0))


def cosine(a: Vectors, b: Vectors) -> float:
    return float(a @ b / max(1e-12, float(np.linalg.norm(a) * np.linalg.norm(b))))


def frechet(a: Sequence[Vectors], b: Sequence[Vectors]) -> float | None:
    """Frechet distance of two Gaussians (FID, Heusel et al. 2017); None with fewer than two pictures on a side."""
    if min(len(a), len(b)) < 2:
        return None
    from scipy.linalg import sqrtm

    x, y = np.stack(a), np.stack(b)
    first, second = np.atleast_2d(np.cov(x, rowvar=False)), np.atleast_2d(np.cov(y, rowvar=False))
    # The trace of the root needs the eigenvalues only; a tiny negative one is arithmetic.
    root = np.real(np.trace(np.asarray(sqrtm(first @ second))))
    return float(np.square(x.mean(0) - y.mean(0)).sum() + np.trace(first) + np.trace(second) - 2 * root)


def cmmd(a: Sequence[Vectors], b: Sequence[Vectors], sigma: float = 10.0) -> float | None:
    """1000 times the squared maximum mean discrepancy of unit CLIP vectors (Jayasumana et al. 2024), biased."""
    if not a or not b:
        return None
    x, y = (np.stack([v / max(1e-12, float(np.linalg.norm(v))) for v in side]) for side in (a, b))

    def kernel(p: Vectors, q: Vectors) -> float:
        squared = np.square(p).sum(1)[:, None] + np.square(q).sum(1) - 2 * p @ q.T
        return float(np.exp(-np.maximum(0, squared) / (2 * sigma**2)).mean())

    return 1000 * (kernel(x, x) + kernel(y, y) - 2 * kernel(x, y))
