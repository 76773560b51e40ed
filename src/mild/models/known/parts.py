"""Keypoints and body regions of people who were found."""

from mild.models.spec import ModelSpec, Snapshot

SPECS = (
    ModelSpec(
        name="vitpose",
        task="pose",
        purpose="keypoints of the people whom a better finder finds (arXiv:2204.12484)",
        runtime="transformers",
        licence="Apache-2.0",
        code_licence="Apache-2.0",
        data="Trained on COCO keypoints.",
        default=True,
        snapshot=Snapshot("usyd-community/vitpose-base-simple"),
    ),
    ModelSpec(
        name="segformer-clothes",
        task="parsing",
        purpose="body regions, for guidance by bodies",
        runtime="transformers",
        licence="NVIDIA Source Code License for SegFormer: non-commercial",
        code_licence="MIT",
        data="Trained on ATR, photos of clothes that were collected for research.",
        commercial=False,
        must_accept=True,
        snapshot=Snapshot("mattmdjaga/segformer_b2_clothes"),
    ),
)
