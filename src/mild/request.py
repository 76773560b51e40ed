"""Every input of one job in one frozen, JSON-serialisable object.

The command line, the library, the API, the studio and the batch all build an :class:`EraseRequest`, and the same
request gives the same pixels whoever built it.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, get_args

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from mild.errors import UsageError

#: What human morphology guidance may know of a person.
HmgSource = Literal["pose", "parsing", "relations"]


def _known_sources(value: object) -> object:
    # A union of two kinds would be refused in two sentences.
    listed = isinstance(value, list | tuple) and value and all(v in get_args(HmgSource) for v in value)
    if value not in ("all", "none") and not listed:
        raise ValueError("say all, none, or some of pose, parsing, relations")
    return value


#: A choice of them.
HmgSources = Annotated[
    Literal["all", "none"] | Annotated[tuple[HmgSource, ...], Field(min_length=1)], BeforeValidator(_known_sources)
]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Click(_Part):
    """One thing, said by points on it and points on what is not part of it, or by a box around it, or by both."""

    on: tuple[tuple[int, int], ...] = Field((), description="Pixels (x, y) of it.")
    off: tuple[tuple[int, int], ...] = Field((), description="Pixels (x, y) that are not part of it.")
    box: tuple[int, int, int, int] | None = Field(None, description="Box (x0, y0, x1, y1) around it.")

    @model_validator(mode="after")
    def _somewhere(self) -> Click:
        if not self.on and self.box is None:
            raise ValueError("a click needs a point on the thing, or a box around it")
        return self


class Selection(_Part):
    """Who or what goes. The entries add up: two people and a mask are all erased."""

    people: tuple[int, ...] = Field((), description="Numbers of the people to erase, as `mild people` lists them.")
    keep: tuple[int, ...] | None = Field(None, description="Erase everybody (sure finds) except these numbers.")
    everyone: bool = Field(False, description="Erase every person that was surely found.")
    bystanders: bool = Field(False, description="Erase everybody surely found who is taken for a bystander.")
    keep_subjects: int | None = Field(
        None, ge=1, description="Erase everybody surely found except so many of the likeliest subjects."
    )
    points: tuple[tuple[int, int], ...] = Field((), description="Pixels (x, y): the person there, or what is there.")
    boxes: tuple[tuple[int, int, int, int], ...] = Field((), description="Boxes (x0, y0, x1, y1) around a person.")
    clicks: tuple[Click, ...] = Field(
        (), description="Things said by several points each; by a click model where there is one, else by a small net."
    )
    also: tuple[tuple[int, int], ...] = Field(
        (), description="Pixels (x, y) of things or shadows that go with the nearest person who is erased."
    )
    things: bool = Field(True, description="What somebody found surely holds or rides goes along with them.")
    leave: tuple[tuple[int, int], ...] = Field((), description="Pixels (x, y) of such things that stay where they are.")
    mask: str | None = Field(None, description="Path of a mask image of the photo's size; white = erase.")
    mask_rle: dict[str, object] | None = Field(None, description="A mask as COCO run-length code {size, counts}.")
    spare_rle: dict[str, object] | None = Field(
        None, description="Pixels that stay whatever else is said: a mask as COCO run-length code."
    )

    @model_validator(mode="after")
    def _consistent(self) -> Selection:
        if self.keep is not None and (self.people or self.everyone):
            raise ValueError("say either whom to erase or whom to keep, not both")
        if self.everyone and self.people:
            raise ValueError("everyone already includes the people named")
        if (self.keep is not None) + self.everyone + self.bystanders + (self.keep_subjects is not None) > 1:
            raise ValueError("say one of everyone, bystanders, keep and keep_subjects")
        return self

    @property
    def empty(self) -> bool:
        named = self.people or self.points or self.boxes or self.clicks or self.mask or self.mask_rle
        return not (named or self.everyone or self.bystanders) and self.keep is None and self.keep_subjects is None

    @property
    def drawn(self) -> bool:
        """Is all that goes a mask, so that nobody need be found?"""
        return self.marked and not self.boxes

    @property
    def marked(self) -> bool:
        """Is all that goes masks, boxes and the like, which mean something where nobody was searched for?"""
        searched = self.people or self.points or self.everyone or self.bystanders
        return not (searched or self.empty) and self.keep is None and self.keep_subjects is None


class Finder(_Part):
    """How people are found."""

    backend: str = Field("auto", description="auto, nanodet, ssd, blazepose, hub, none, or coco (needs `annotations`).")
    annotations: str | None = Field(None, description="Path of a COCO instances JSON that says where people are.")
    model: str | None = Field(None, description="Hub id or folder of the instance model, for backend `hub`.")
    allow_download: bool = Field(False, description="May the hub backend fetch weights?")


class Region(_Part):
    """How far around a person the photo may change, relative to the person's height."""

    dilate: float | None = Field(
        None, ge=0, le=0.25,
        description="Mask dilation, as a fraction of the person's height; None: as far as the outline is unsure.",
    )  # fmt: skip
    feather: float | None = Field(
        None, ge=0, le=0.1, description="Soft edge outside that, same unit; None: as the outline needs."
    )
    context: float = Field(1.2, ge=0, le=4, description="Visible margin around the hole, fraction of its size.")


class Model(_Part):
    """What denoises, and where it runs."""

    name: str = Field("mild-small", description="The embedded model, or a folder or hub id of a MildPipeline.")
    runtime: Literal["auto", "torch", "onnx"] = Field(
        "auto", description="What runs the denoiser: onnx where it serves (the embedded model's default job), or torch."
    )
    device: str = Field(
        "auto",
        pattern=r"^(auto|cpu|mps|cuda(:\d+)?)$",
        description="auto, cpu, cuda, cuda:1 or mps. auto: the processor for the embedded model, for others the best "
        "there is.",
    )
    dtype: Literal["auto", "float32", "float16", "bfloat16"] = Field(
        "auto", description="Of the weights. auto: float32, but float16 for others' models on a GPU."
    )


class Sampling(_Part):
    """How the denoiser gets from noise to a layer."""

    steps: int = Field(1, ge=1, le=1000, description="Denoising steps; 1 suits the embedded model, 30 larger ones.")
    resolution: int = Field(256, ge=64, le=2048, multiple_of=64, description="Long side the denoiser works at, px.")
    strength: float = Field(
        0.85,
        gt=0,
        le=1,
        description="Noise that a background's fill starts with; 1 = nothing of it. Latent models only.",
    )


class Text(_Part):
    """Words for the background; models with text encoders only."""

    prompt: str | None = Field(None, max_length=1000, description="The background in words; models with text only.")
    negative_prompt: str | None = Field(None, max_length=1000, description="What the background must not show.")
    guidance: float = Field(7.5, ge=1, le=50, description="Weight of the words; 1 = off. Models with text only.")


class Switches(_Part):
    """Parts of the method that can be switched off; an ablation is a loop over these."""

    layers: bool = Field(True, description="One pathway per layer; off: the background alone.")
    denoise: bool = Field(True, description="Off: the exemplar fill alone.")
    prior: bool = Field(True, description="The exemplar fill as a condition; off: the denoiser alone.")
    fill: str = Field(
        "patchmatch",
        min_length=1,
        max_length=4096,
        description="What fills the background's hole first: patchmatch (built in), an inpainter that `mild models` "
        "lists, or an ONNX file.",
    )
    correct: bool | None = Field(
        None,
        description="Does the denoiser go over that fill of the background? None: as the filler asks; "
        "with mild-small not.",
    )
    detail: bool = Field(True, description="The photo's own texture at its resolution; off: the denoiser's pixels.")
    adapters: bool = Field(True, description="The LoRA of each layer's domain.")
    sma: Literal["on", "off", "beta", "gamma"] = Field(
        "on", description="Spatially-modulated attention, where a model has it (mild-small has not)."
    )
    hmg: HmgSources = Field(
        "all", description="Human morphology guidance: all, none, or a list of pose, parsing, relations."
    )


class Method(_Part):
    """How layers are made.

    A field of a group may also be given by its own name beside the groups (``{"steps": 4, "model": "folder"}``), as
    requests were saved before version 0.2.
    """

    model: Model = Model()
    sampling: Sampling = Sampling()
    text: Text = Text()
    parts: Switches = Switches()

    @model_validator(mode="before")
    @classmethod
    def _grouped(cls, value: object) -> object:
        if not isinstance(value, dict):
            return value
        groups: dict[str, Any] = {}
        for name, given in value.items():
            if name == "model" and isinstance(given, str):
                groups["model"] = {**_fields(groups.get("model")), "name": given}
                continue
            group = _GROUP_OF.get(name)
            if group is None:
                # What was said by a field's own name stays said, whatever the order.
                own = groups.get(name)
                groups[name] = {**_fields(given), **own} if isinstance(own, dict) and _fields(given) else given
            else:
                groups[group] = {**_fields(groups.get(group)), name: given}
        return groups


def _fields(part: object) -> dict[str, Any]:
    """The fields of a part that were said, whether it comes as a dict or as the part itself."""
    if isinstance(part, BaseModel):
        return part.model_dump(exclude_unset=True)
    return dict(part) if isinstance(part, dict) else {}


#: Field of a group of :class:`Method` -> that group. (``model`` by itself is the model's name.)
_GROUP_OF = {
    field: group
    for group, part in (("model", Model), ("sampling", Sampling), ("text", Text), ("parts", Switches))
    for field in part.model_fields
    if field != "name"
}


class Output(_Part):
    """What the written photo says of itself."""

    metadata: Literal["keep", "clean", "none"] = Field(
        "clean",
        description="clean: text and numbers known to be harmless and still true; keep: unknown ones, too; none.",
    )
    mark: bool = Field(True, description="Say in the file that it was edited, and by which model.")
    sign_cert: str | None = Field(
        None, max_length=4096, description="Path of a certificate chain (PEM) that signs the file (C2PA)."
    )
    private_key: str | None = Field(None, max_length=4096, description="Path of that certificate's private key (PEM).")

    @model_validator(mode="after")
    def _signed(self) -> Output:
        if (self.sign_cert is None) != (self.private_key is None):
            raise ValueError("signing needs both sign_cert and private_key")
        if any("-----BEGIN" in (path or "") for path in (self.sign_cert, self.private_key)):
            raise ValueError("sign_cert and private_key are paths of files, not what is in them")
        if self.sign_cert is not None and not self.mark:
            raise ValueError("what is signed says that it was edited; leave out either the signature or mark=false")
        return self


class EraseRequest(_Part):
    """One job: this photo, these people, this way."""

    photo: str | None = Field(None, description="Path of the photo; None when the pixels are handed over.")
    selection: Selection = Selection()
    finder: Finder = Finder()
    region: Region = Region()
    method: Method = Method()
    also: tuple[str, ...] = Field(
        (),
        max_length=32,
        description="Paths of other shots of the same scene, or of a plate: evidence of what is hidden.",
    )
    output: Output = Output()
    seed: int = Field(0, ge=0, lt=2**63, description="Same seed, same pixels.")

    def shown(self, *, exclude_defaults: bool = False) -> dict[str, Any]:
        """As JSON for a report: all but where the certificate and its key lie."""
        secret = {"output": {"sign_cert", "private_key"}}
        return self.model_dump(mode="json", exclude=secret, exclude_defaults=exclude_defaults)

    @classmethod
    def build(cls, **fields: object) -> EraseRequest:
        """As the constructor, but a wrong value is a :class:`UsageError` of one sentence."""
        try:
            return cls.model_validate(fields)
        except ValidationError as error:
            raise UsageError(explain(error)) from None


def explain(error: ValidationError) -> str:
    """The first fault of a pydantic error as one sentence."""
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"]) or "the request"
    message = first["msg"].removeprefix("Value error, ")
    if first["type"] == "extra_forbidden":
        message = "there is no such field"
    return f"{where}: {message}."
