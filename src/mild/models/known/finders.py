"""Models that find people."""

from mild.models.spec import ModelFile, ModelSpec, Snapshot, WheelMember

_MEDIAPIPE = "mediapipe==0.10.21"
_WHEEL = "05dc4a9e593655a79558d05d6227d31018c2537a4bd3362b51e230cf22aecfe3"
_COCO = "Trained on COCO's photos and outlines (annotations CC-BY-4.0, photos from Flickr)."


def _mediapipe(name: str, member: str, size: int, sha256: str) -> ModelFile:
    return ModelFile(name, size, sha256, (WheelMember(_MEDIAPIPE, member, _WHEEL),))


BLAZEPOSE = ModelSpec(
    name="blazepose",
    task="finder",
    purpose="finds people offline: pose detector, pose landmarks with mask, face detector",
    runtime="litert",
    licence="Apache-2.0",
    code_licence="Apache-2.0",
    data="Trained by Google on photos of its own (arXiv:2006.10204, arXiv:1907.05047).",
    good=True,
    default=True,
    files=(
        _mediapipe(
            "pose_detection.tflite", "mediapipe/modules/pose_detection/pose_detection.tflite", 2959046,
            "9ba9dd3d42efaaba86b4ff0122b06f29c4122e756b329d89dca1e297fd8f866c",
        ),
        _mediapipe(
            "pose_landmark_full.tflite", "mediapipe/modules/pose_landmark/pose_landmark_full.tflite", 6440512,
            "e9a5c5cb17f736fafd4c2ec1da3b3d331d6edbe8a0d32395855aeb2cdfd64b9f",
        ),
        _mediapipe(
            "face_detection_full_range_sparse.tflite",
            "mediapipe/modules/face_detection/face_detection_full_range_sparse.tflite", 676746,
            "2c3728e6da56f21e21a320433396fb06d40d9088f2247c05e5635a688d45dfe1",
        ),
        _mediapipe(
            "LICENSE", "mediapipe-0.10.21.dist-info/LICENSE", 12331,
            "8707eef0533987efc5b155d64761eeb6e20793f50b9bd1a68dad1cf4719d0ed8",
        ),
    ),
)  # fmt: skip

SPECS = (
    BLAZEPOSE,
    ModelSpec(
        name="rf-detr-seg",
        task="finder",
        purpose="finds people better: instance masks, through transformers",
        runtime="transformers",
        licence="Apache-2.0",
        code_licence="Apache-2.0",
        data=_COCO,
        default=True,
        snapshot=Snapshot("Roboflow/rf-detr-seg-medium"),
    ),
    ModelSpec(
        name="eomt",
        task="finder",
        purpose="finds people better, slowly: instance masks, a large model",
        runtime="transformers",
        licence="MIT",
        code_licence="MIT",
        data="Trained on COCO from DINOv2 (Apache-2.0).",
        default=True,
        snapshot=Snapshot("tue-mps/coco_instance_eomt_large_640"),
    ),
    ModelSpec(
        name="mask2former",
        task="finder",
        purpose="finds people better: instance masks; its licence is unclear",
        runtime="transformers",
        licence="unclear: code MIT, weights perhaps CC-BY-NC-4.0",
        code_licence="MIT",
        data=_COCO,
        commercial=None,
        must_accept=True,
        snapshot=Snapshot("facebook/mask2former-swin-small-coco-instance"),
    ),
)
