"""Larger denoisers, for `--model` (with torch) and for the benchmark."""

from mild.models.spec import ModelSpec, Snapshot

SPECS = (
    ModelSpec(
        name="sdxl-inpainting",
        task="backbone",
        purpose="a large denoiser, training-free: Stable Diffusion XL; wants a GPU",
        runtime="diffusers",
        licence="CreativeML Open RAIL++-M",
        code_licence="MIT",
        data="Trained on LAION-5B, pictures linked from the web.",
        must_accept=True,
        snapshot=Snapshot("diffusers/stable-diffusion-xl-1.0-inpainting-0.1"),
    ),
    ModelSpec(
        name="flux2-klein",
        task="backbone",
        purpose="an editing model of 4 billion parameters, for the benchmark; wants a GPU",
        runtime="diffusers",
        licence="Apache-2.0",
        code_licence="Apache-2.0",
        data="Its makers, Black Forest Labs, say little of the data.",
        snapshot=Snapshot("black-forest-labs/FLUX.2-klein-4B", "e7b7dc27f91deacad38e78976d1f2b499d76a294"),
    ),
)
