"""Everything that shapes a training run: one YAML file, typed, refused early, and dumped beside the run.

A mistake is one sentence that names the setting; all mistakes of a file are told at once, before anything is loaded.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from mild.errors import UsageError
from mild.lab.train.settings import build, change, read_yaml
from mild.lab.train.shards import lacking, shards_in
from mild.request import HmgSources

Stage = Literal["base", "adapters", "distill", "alpha"]
PartName = Literal["unet", "adapters", "modulation", "morphology", "alpha_decoder"]


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ModelConfig(_Section):
    """What is trained, and what it starts from."""

    start: str | None = Field(
        None,
        description="A run of ours; a MildPipeline, SD 1.5 or SDXL inpainting (folder, cached hub id); none: fresh.",
    )
    kept: tuple[PartName, ...] | None = Field(
        None, description="Parts of the start that are used, the others are made anew; none: all of them."
    )
    channels: tuple[int, ...] = Field((96, 128, 160), description="Widths of a fresh UNet, multiples of 32.")
    rank: int = Field(8, ge=1, le=256, description="Of every domain's LoRA, where it is made anew or was narrower.")
    train: tuple[PartName, ...] | None = Field(None, description="Parts that learn; none: the stage's usual ones.")
    layers: bool = Field(True, description="Off: the single-path twin, all masks as one, no adapters.")
    adapters: bool = Field(True, description="Off: the same weights for layers of all domains.")
    prior: bool = Field(True, description="The exemplar fill as a condition.")
    sma: Literal["on", "off", "beta", "gamma"] = "on"
    hmg: HmgSources = Field("none", description="Morphology guidance: all, none, or some of pose, parsing, relations.")
    frozen: Literal["fp32", "bf16"] = Field("fp32", description="Precision that frozen parts are held in.")
    checkpointing: bool = Field(False, description="Compute activations twice instead of keeping them.")
    words_dropped: float = Field(0.1, ge=0, le=1, description="Share of batches without a prompt; text models only.")

    @field_validator("sma", mode="before")
    @classmethod
    def _switch(cls, value: object) -> object:
        # YAML reads a bare on or off as true or false.
        return {True: "on", False: "off"}.get(value, value) if isinstance(value, bool) else value

    @field_validator("channels")
    @classmethod
    def _fit(cls, value: tuple[int, ...]) -> tuple[int, ...]:
        if len(value) < 2 or any(c < 32 or c % 32 for c in value):
            raise ValueError("give two or more widths that are multiples of 32")
        return value


class Degrade(_Section):
    """How often a row's fill is spoilt, so that the net learns when to trust it; shares of all rows."""

    blank: float = Field(0.08, ge=0, le=1, description="Nothing at all.")
    moved: float = Field(0.06, ge=0, le=1, description="Taken from a wrong place.")
    noisy: float = Field(0.06, ge=0, le=1)
    blurred: float = Field(0.06, ge=0, le=1)
    other: float = Field(0.25, ge=0, le=1, description="Another patch size and seed, where the cache holds such fills.")

    @model_validator(mode="after")
    def _a_share(self) -> Self:
        if self.blank + self.moved + self.noisy + self.blurred > 1:
            raise ValueError("blank, moved, noisy and blurred together are more than 1")
        return self


class DataConfig(_Section):
    """Where rows come from and what is done to them."""

    rows: str | None = Field(None, description="Folder of cached rows (`mild train cache`).")
    samples: str | None = Field(None, description="Folder of WebDataset shards of MILD samples, for large sets.")
    test: str | None = Field(None, description="Folder of cached rows to be judged by; never learned from.")
    size: int = Field(128, ge=32, le=1024, multiple_of=32, description="Side of a training row, pixels.")
    large_every: int = Field(6, ge=0, description="Every so many steps a quarter of the rows at twice the size; 0: no.")
    people: float = Field(0.5, ge=0, le=1, description="Share of the rows that are people.")
    posed: float = Field(0.0, ge=0, le=1, description="Share of the people drawn from those with known joints.")
    found: float = Field(
        0.0, ge=0, le=1, description="Share of the people who are told joints as found, where the cache holds such."
    )
    workers: int = Field(2, ge=0, description="Processes that make rows of samples; 0: the training process itself.")
    shrink: float = Field(0.6, ge=0, le=1, description="Share of rows seen whole, shrunk; the others are crops.")
    resident: Literal["auto", "yes", "no"] = Field("auto", description="All rows in the device's memory.")
    degrade: Degrade = Degrade()

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if (self.rows is None) == (self.samples is None):
            raise ValueError("name either rows (a cache) or samples (shards)")
        if self.found and self.samples is not None:
            raise ValueError(
                "found needs rows: rows that are made of samples while training have no found joints; cache them with "
                "`mild train cache --joints`, or leave found out"
            )
        return self


class NoiseConfig(_Section):
    """Which timesteps are trained."""

    first: float = Field(0.8, ge=0, le=1, description="Share of rows that start from pure noise, as sampling does.")
    steps: int = Field(4, ge=1, le=50, description="Distillation: the student's steps.")
    teacher_steps: int = Field(
        4, ge=1, le=50, description="Distillation: the teacher's steps for one of the student's."
    )


class LossConfig(_Section):
    """Weights of the losses; 0 leaves one out. Formulas: ``losses.py``."""

    rows: Literal["log", "mean"] = Field(
        "log", description="How a row's squared error counts: its logarithm, or as is."
    )
    colour: float = Field(0.05, ge=0)
    coarse: float = Field(1.0, ge=0, description="Error of 8x8 means, relative to the error of pixels.")
    floor: float = Field(2e-3, gt=0, description="Added to a row's error before the logarithm.")
    outside: float = Field(0.1, ge=0, le=1, description="Weight of what is not hole; models with an autoencoder only.")
    alpha: float = Field(0.1, ge=0)
    overlap: float = Field(0.0, ge=0, description="People's opacity by what it shares with the truth (a soft IoU).")
    structure: float = Field(0.0, ge=0, description="One minus SSIM of the colour, where the truth is opaque.")
    recomposition: float = Field(0.05, ge=0, description="People over backgrounds must look as they truly do.")
    cag: float = Field(0.0, ge=0, description="Attention of holes to what is foreign.")
    gradient: float = Field(0.0, ge=0, description="Differences between neighbours.")
    texture: float = Field(0.0, ge=0, description="Local strength of the texture.")
    adversarial: float = Field(0.0, ge=0, description="Distillation only.")
    teacher: float = Field(0.0, ge=0, description="Distance to the teacher's answer; distillation only.")


class OptimiserConfig(_Section):
    """AdamW, a warm-up, a constant rate, and a linear fade to nothing."""

    steps: int = Field(6000, ge=1)
    batch: int = Field(32, ge=1, description="Rows per device and forward.")
    accumulate: int = Field(1, ge=1, description="Forwards per step.")
    learning_rate: float = Field(2.5e-4, gt=0, le=0.1)
    parts_rate: float = Field(
        1.0, gt=0, le=1000, description="Rate of adapters, modulation and morphology, as a multiple of the UNet's."
    )
    critic_rate: float = Field(2e-4, gt=0, le=0.1, description="Of the discriminator.")
    warmup: int = Field(200, ge=0, description="Steps.")
    fade: float = Field(0.3, ge=0, le=1, description="Share of the steps, at the end, over which the rate runs down.")
    weight_decay: float = Field(0.01, ge=0, le=1)
    clip: float = Field(1.0, gt=0, description="Largest norm of the gradient.")
    average: float = Field(0.995, ge=0, lt=1, description="Decay of the running average of the weights.")

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.warmup > self.steps:
            raise ValueError(f"a warm-up of {self.warmup} steps does not fit into {self.steps} steps")
        return self


class LogConfig(_Section):
    every: int = Field(20, ge=1, description="Steps between lines of the log.")
    checkpoint: int = Field(200, ge=1, description="Steps between checkpoints.")
    keep: int = Field(2, ge=1, description="Checkpoints that are kept.")
    judge: int = Field(200, ge=1, description="Steps between looks at the test rows.")
    judged: int = Field(128, ge=1, description="Test rows looked at.")
    sampling: int = Field(1, ge=1, le=100, description="Denoising steps when judging.")
    pictures: int = Field(6, ge=0, description="Rows shown in a picture.")
    tensorboard: bool = False


class LoopConfig(_Section):
    """What the loop asks of a run, whatever is trained."""

    out: str = Field(min_length=1, description="Folder of the run.")
    seed: int = Field(0, ge=0, lt=2**31)
    precision: Literal["auto", "fp32", "bf16"] = Field(
        "auto", description="auto: bf16 on a GPU that has it, else fp32."
    )
    optimiser: OptimiserConfig = OptimiserConfig()
    log: LogConfig = LogConfig()


class RunConfig(LoopConfig):
    """One stage of training."""

    stage: Stage
    model: ModelConfig = ModelConfig()
    data: DataConfig
    noise: NoiseConfig = NoiseConfig()
    loss: LossConfig = LossConfig()

    @property
    def trained(self) -> tuple[PartName, ...]:
        """The parts that learn."""
        model = self.model
        if model.train is not None:
            return model.train
        if self.stage == "alpha":
            return ("alpha_decoder",)
        wanted: tuple[PartName, ...] = ("adapters", "modulation", "morphology")
        if self.stage != "adapters":
            wanted = ("unet", *wanted)
        one_for_all = not (model.layers and model.adapters)
        left_out = {"adapters": one_for_all, "modulation": model.sma == "off", "morphology": model.hmg == "none"}
        return tuple(part for part in wanted if not left_out.get(part, False))

    @model_validator(mode="after")
    def _sensible(self) -> Self:
        model, loss = self.model, self.loss
        if self.stage != "base" and model.start is None:
            raise ValueError(f"the stage {self.stage} needs model.start: what is to be trained further")
        if not model.layers and (model.sma != "off" or model.hmg != "none"):
            raise ValueError(
                "the single-path twin (model.layers: false) has neither SMA nor HMG; set sma: off, hmg: none"
            )
        if not self.trained:
            raise ValueError("nothing is to be trained; name parts in model.train")
        if model.kept is not None and (model.start is None or "unet" not in model.kept):
            raise ValueError("model.kept names parts of model.start, and the unet is always one of them")
        if "morphology" in self.trained and model.hmg == "none":
            raise ValueError("morphology cannot learn while model.hmg is none")
        if "adapters" in self.trained and not (model.layers and model.adapters):
            raise ValueError("adapters cannot learn while model.layers or model.adapters is false")
        if ("alpha_decoder" in self.trained) != (self.stage == "alpha"):
            raise ValueError("the alpha decoder is trained by the stage alpha, and by no other")
        if self.stage == "adapters" and "unet" in self.trained:
            raise ValueError("the stage adapters leaves the backbone frozen; the stage base trains the unet")
        if self.stage != "distill" and (loss.adversarial or loss.teacher):
            raise ValueError("the losses adversarial and teacher belong to the stage distill")
        if loss.cag and model.sma == "off" and not model.layers:
            raise ValueError("loss.cag needs layers: a single path has nothing foreign")
        return self

    @classmethod
    def load(cls, path: str | Path, changes: Sequence[str] = ()) -> RunConfig:
        """Read a YAML file; ``changes`` like ``optimiser.steps=100`` come after it.

        Raises:
            UsageError: one sentence per mistake.
        """
        values = read_yaml(path)
        for said in changes:
            change(values, said)
        return build(cls, values, str(path))

    def check_files(self) -> None:
        """Are the folders there, and do they hold what the settings ask for?

        Raises:
            UsageError: one sentence for each that does not.
        """
        data, faults = self.data, []
        for name, folder in (("data.rows", data.rows), ("data.test", data.test)):
            if folder is None:
                continue
            shards = shards_in(folder)
            without = lacking(shards, "joints") if data.found else []
            if not shards:
                faults.append(f"{name}: {folder} holds no cached rows (make them with `mild train cache`).")
            elif without:
                faults.append(
                    f"data.found: {len(without)} of the {len(shards)} shards of {folder} lack joints (first: "
                    f"{without[0].name}); run their `mild train cache` again with --joints, or set data.found to 0."
                )
        if data.rows and data.test and Path(data.rows).resolve() in Path(data.test).resolve().parents:
            faults.append(f"data.test: {data.test} lies in data.rows and would be learned from; name another.")
        if data.samples is not None and not any(Path(data.samples).glob("*.tar")):
            faults.append(f"data.samples: {data.samples} holds no shards (*.tar).")
        if faults:
            raise UsageError(" ".join(faults))
