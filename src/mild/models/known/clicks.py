"""Models that cut out what a click or a box means."""

from mild.models.contracts import ClickContract
from mild.models.spec import HubFile, ModelFile, ModelSpec

_EDGETAM = "onnx-community/EdgeTAM-ONNX"
_SAM2 = "onnx-community/sam2.1-hiera-tiny-ONNX"
_SAM2_REVISION = "814a066640debee5a91e70aa401fb8e17e030503"
_SA = "Trained on SA-1B and SA-V, photos and videos that Meta licensed for research and products."


def _sam2(name: str) -> ModelFile:
    return ModelFile(name, 0, "", (HubFile(_SAM2, f"onnx/{name}", _SAM2_REVISION),))


def _edgetam(name: str, size: int, sha256: str) -> ModelFile:
    return ModelFile(name, size, sha256, (HubFile(_EDGETAM, f"onnx/{name}"),))


SPECS = (
    ModelSpec(
        name="edgetam",
        task="click",
        purpose="cuts out what a click or a box means: EdgeTAM (arXiv:2501.07256)",
        runtime="onnx",
        licence="Apache-2.0",
        code_licence="Apache-2.0",
        data=_SA,
        good=True,
        default=True,
        contract=ClickContract("transformers.js"),
        files=(
            _edgetam("vision_encoder.onnx", 192225, "ed068218"),
            _edgetam("vision_encoder.onnx_data", 19532576, "21e75dba"),
            _edgetam("prompt_encoder_mask_decoder.onnx", 213114, "d3668299"),
            _edgetam("prompt_encoder_mask_decoder.onnx_data", 20958208, "dfa2125e"),
        ),
    ),
    ModelSpec(
        name="sam2.1-tiny",
        task="click",
        purpose="cuts out what a click or a box means: SAM 2.1, tiny (arXiv:2408.00714)",
        runtime="onnx",
        licence="Apache-2.0",
        code_licence="Apache-2.0",
        data=_SA,
        default=True,
        contract=ClickContract("transformers.js"),
        files=(
            _sam2("vision_encoder.onnx"),
            _sam2("vision_encoder.onnx_data"),
            _sam2("prompt_encoder_mask_decoder.onnx"),
            _sam2("prompt_encoder_mask_decoder.onnx_data"),
        ),
    ),
    ModelSpec(
        name="sam-onnx",
        task="click",
        purpose="SAM 1, MobileSAM or SAM 2 as samexporter exports them; you bring encoder and decoder",
        runtime="onnx",
        licence="Apache-2.0",
        code_licence="MIT (the exporter), Apache-2.0 (SAM)",
        data=_SA,
        default=True,
        contract=ClickContract("samexporter"),
        files=(ModelFile("encoder.onnx", 0, ""), ModelFile("decoder.onnx", 0, "")),
    ),
    ModelSpec(
        name="efficientsam",
        task="click",
        purpose="cuts out what a click or a box means, six points at most: EfficientSAM-Ti (arXiv:2312.00863)",
        runtime="onnx",
        licence="Apache-2.0",
        code_licence="Apache-2.0",
        data="Trained on SA-1B, photos that Meta licensed for research and products.",
        default=True,
        contract=ClickContract("efficientsam"),
        files=(
            ModelFile(
                "image_segmentation_efficientsam_ti_2025april.onnx",
                48312857,
                "4eb496e0a7259d435b49b66faf1754aa45a5c382a34558ddda9a8c6fe5915d77",
                (
                    HubFile(
                        "opencv/image_segmentation_efficientsam", "image_segmentation_efficientsam_ti_2025april.onnx"
                    ),
                ),
            ),
        ),
    ),
)
