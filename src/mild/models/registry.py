"""The weights that there are: names, kinds, licences, checksums.

Three kinds of assets:

* ``wheel``: nets taken out of a Python wheel (the BlazePose nets of mediapipe, arXiv:2006.10204 and arXiv:1907.05047).
  The package itself is downloaded, never installed, and every byte is checked against a known sha256.
* ``embedded``: shipped inside this package.
* ``hub``: models of the Hugging Face hub, kept in the hub's own cache.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Kind = Literal["wheel", "embedded", "hub"]


@dataclass(frozen=True)
class AssetFile:
    """One file of a ``wheel`` asset: its name in the cache, its place in the wheel, its length in bytes and sha256."""

    name: str
    member: str
    size: int
    sha256: str


@dataclass(frozen=True)
class Asset:
    """One set of weights.

    Attributes:
        name: how the program calls it.
        kind: see the module's text.
        purpose: one line for ``mild models``.
        source: where it comes from: a pinned package, this package, or a hub id.
        licence: SPDX id, or what is known of it.
        files: what the cache must hold (``wheel`` only).
        sha256: of the wheel (``wheel`` only).
    """

    name: str
    kind: Kind
    purpose: str
    source: str
    licence: str
    files: tuple[AssetFile, ...] = ()
    sha256: str = ""


_MODULES = "mediapipe/modules"

BLAZEPOSE = Asset(
    name="blazepose",
    kind="wheel",
    purpose="finds people offline: pose detector, pose landmarks with mask, face detector",
    source="mediapipe==0.10.21",
    licence="Apache-2.0",
    sha256="05dc4a9e593655a79558d05d6227d31018c2537a4bd3362b51e230cf22aecfe3",
    files=(
        AssetFile(
            "pose_detection.tflite",
            f"{_MODULES}/pose_detection/pose_detection.tflite",
            2959046,
            "9ba9dd3d42efaaba86b4ff0122b06f29c4122e756b329d89dca1e297fd8f866c",
        ),
        AssetFile(
            "pose_landmark_full.tflite",
            f"{_MODULES}/pose_landmark/pose_landmark_full.tflite",
            6440512,
            "e9a5c5cb17f736fafd4c2ec1da3b3d331d6edbe8a0d32395855aeb2cdfd64b9f",
        ),
        AssetFile(
            "face_detection_full_range_sparse.tflite",
            f"{_MODULES}/face_detection/face_detection_full_range_sparse.tflite",
            676746,
            "2c3728e6da56f21e21a320433396fb06d40d9088f2247c05e5635a688d45dfe1",
        ),
        AssetFile(
            "LICENSE",
            "mediapipe-0.10.21.dist-info/LICENSE",
            12331,
            "8707eef0533987efc5b155d64761eeb6e20793f50b9bd1a68dad1cf4719d0ed8",
        ),
    ),
)

REGISTRY: dict[str, Asset] = {
    asset.name: asset
    for asset in (
        Asset(
            "mild-small",
            "embedded",
            "erases: the embedded layered-diffusion model",
            "trained for this project; see its model card",
            "Apache-2.0",
        ),
        BLAZEPOSE,
        Asset(
            "rf-detr-seg",
            "hub",
            "finds people better: instance masks (optional)",
            "Roboflow/rf-detr-seg-medium",
            "Apache-2.0",
        ),
        Asset(
            "mask2former",
            "hub",
            "finds people better: instance masks (optional)",
            "facebook/mask2former-swin-small-coco-instance",
            "see its model card",
        ),
        Asset(
            "vitpose",
            "hub",
            "keypoints for the people whom a hub model finds (optional)",
            "usyd-community/vitpose-base-simple",
            "Apache-2.0",
        ),
    )
}
