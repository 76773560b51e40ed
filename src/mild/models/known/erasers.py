"""The denoisers of MILD's own."""

from mild.models.spec import ModelSpec

SPECS = (
    ModelSpec(
        name="mild-small",
        task="eraser",
        purpose="erases: the embedded layered-diffusion model",
        runtime="embedded",
        licence="Apache-2.0",
        data="Trained for this project; its model card says on what.",
        code_licence="Apache-2.0",
        default=True,
    ),
)
