"""Inpainters that may fill the background's hole in place of the built-in search."""

from mild.models.contracts import FillContract
from mild.models.spec import HubFile, ModelFile, ModelSpec

_PLACES = "Trained on Places2, photos of places that were collected for research."

SPECS = (
    ModelSpec(
        name="lama",
        task="filler",
        purpose="fills what was behind people: LaMa, 512 px (arXiv:2109.07161)",
        runtime="onnx",
        licence="Apache-2.0",
        code_licence="Apache-2.0",
        data=_PLACES,
        good=True,
        contract=FillContract(output_range=(0.0, 255.0), blanks=True, composites=True),
        files=(
            ModelFile(
                "lama_fp32.onnx",
                208044816,
                "1faef5301d78db7dda502fe59966957ec4b79dd64e16f03ed96913c7a4eb68d6",
                (HubFile("Carve/LaMa-ONNX", "lama_fp32.onnx"), HubFile("sapienkit/LaMa-ONNX", "lama_fp32.onnx")),
            ),
        ),
    ),
    ModelSpec(
        name="lama-small",
        task="filler",
        purpose="LaMa with 8-bit weights: less than half the download",
        runtime="onnx",
        licence="Apache-2.0",
        code_licence="Apache-2.0",
        data=_PLACES,
        contract=FillContract(output_range=(0.0, 255.0), composites=True),
        files=(
            ModelFile(
                "inpainting_lama_2025jan.onnx",
                92591623,
                "7df918ac3921d3daf0aae1d219776cf0dc4e4935f035af81841b40adcf74fdf2",
                (HubFile("opencv/inpainting_lama", "inpainting_lama_2025jan.onnx"),),
            ),
        ),
    ),
    ModelSpec(
        name="migan",
        task="filler",
        purpose="fills what was behind people, fast: MI-GAN (ICCV 2023)",
        runtime="onnx",
        licence="MIT",
        code_licence="MIT",
        data=_PLACES,
        # Its own edge keeps 65, 35 and 11 % of the former pixel 1, 2 and 3 px inside the hole, and goes 1 px outside.
        contract=FillContract(
            image_range=(0.0, 255.0), mask_range=(255.0, 0.0), output_range=(0.0, 255.0), multiple=1, least=64, grow=3,
            blanks=True, composites=True,
        ),
        files=(
            ModelFile(
                "migan_pipeline_v2.onnx",
                28079181,
                "6f1f3530a1a2324b19752018ce756088b07973cda8d7d890034ace5c8a48c40b",
                (
                    HubFile(
                        "andraniksargsyan/migan", "migan_pipeline_v2.onnx", "406830d0fa60666da0071c342ad2fbc8f30c5c64"
                    ),
                ),
            ),
        ),
    ),
)  # fmt: skip
