"""Keypoints and body regions of people who were found."""

from mild.models.contracts import PoseContract
from mild.models.spec import ModelFile, ModelSpec, Snapshot

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
        name="rtmpose",
        task="pose",
        purpose="the same without torch: RTMPose-m, 256 x 192 (arXiv:2303.07399); you bring the file",
        runtime="onnx",
        licence="Apache-2.0",
        code_licence="Apache-2.0",
        data="Trained on seven public sets of body keypoints; some of them are for research only.",
        default=True,
        contract=PoseContract(
            "simcc", mean=(123.675 / 255, 116.28 / 255, 103.53 / 255), std=(58.395 / 255, 57.12 / 255, 57.375 / 255)
        ),
        # Its archive's sha256 was to be had nowhere: the user brings the end2end.onnx of it.
        files=(ModelFile("rtmpose.onnx", 0, ""),),
    ),
    ModelSpec(
        name="vitpose-onnx",
        task="pose",
        purpose="the same without torch: ViTPose as ONNX, 256 x 192 heatmaps; you bring the file",
        runtime="onnx",
        licence="Apache-2.0",
        code_licence="Apache-2.0",
        data="Trained on COCO keypoints.",
        default=True,
        contract=PoseContract("heatmaps"),
        files=(ModelFile("vitpose.onnx", 0, ""),),
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
