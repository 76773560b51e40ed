"""Do these components make a pipeline? And if a folder cannot be loaded: one sentence that says why."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mild.diffusion.attention import self_attentions
from mild.diffusion.codec import Codec
from mild.errors import MildError


def check_components(
    unet: Any, codec: Codec, adapters: Any, modulation: Any, alpha_decoder: Any, encoders: list[Any]
) -> None:
    """Do these parts belong together?

    Raises:
        MildError: they do not; the sentence names the part.
    """
    takes, makes = unet.config.in_channels, unet.config.out_channels
    if takes != codec.input_channels or makes != codec.latent_channels:
        raise MildError(
            f"This UNet takes {takes} channels and makes {makes}, but an inpainting UNet for these latents takes "
            f"{codec.input_channels} and makes {codec.latent_channels}; choose the inpainting version of the model."
        )
    if adapters is not None:
        adapters.check(unet)
    if modulation is not None and dict(modulation.heads) != self_attentions(unet):
        raise MildError("The attention modulation was trained for another architecture than this UNet.")
    if alpha_decoder is not None and alpha_decoder.config.latent_channels != codec.latent_channels:
        raise MildError(
            f"The alpha decoder reads {alpha_decoder.config.latent_channels} latent channels, but these latents have "
            f"{codec.latent_channels}."
        )
    wanted = unet.config.cross_attention_dim
    width = sum(encoder.config.hidden_size for encoder in encoders)
    if encoders and width != wanted:
        raise MildError(f"The text encoders give {width} features per token, but this UNet takes {wanted}.")
    if unet.config.addition_embed_type == "text_time" and len(encoders) != 2:
        raise MildError(f"An SDXL UNet needs two text encoders, but there are {len(encoders)}.")


@contextmanager
def told_in_a_sentence(model: str) -> Iterator[None]:
    """Whatever goes wrong while ``model`` (a folder or hub id) loads becomes a :class:`MildError` of one sentence."""
    _check_folder(model)
    try:
        yield
    except MildError:
        raise
    # diffusers, transformers, safetensors and the hub each have their own exceptions for a bad file.
    except Exception as error:
        lines = str(error).strip().splitlines()
        why = lines[0].rstrip(".:") if lines else type(error).__name__
        raise MildError(f"The model '{model}' could not be loaded ({_shortened(why)}).") from error


def _check_folder(model: str) -> None:
    folder = Path(model)
    if not folder.is_dir():
        return  # a hub id
    index = folder / "model_index.json"
    try:
        parts = json.loads(index.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise MildError(f"The folder {model} holds no diffusers pipeline (there is no model_index.json).") from None
    except (OSError, ValueError):
        raise MildError(f"The file {index} cannot be read as JSON.") from None
    if not isinstance(parts, dict) or "unet" not in parts:
        name = parts.get("_class_name", "something else") if isinstance(parts, dict) else "something else"
        raise MildError(
            f"The folder {model} holds {name}, which has no UNet; MILD drives its own models and the inpainting "
            "pipelines of Stable Diffusion 1.5 and XL."
        )


def _shortened(text: str, most: int = 200) -> str:
    return text if len(text) <= most else text[: most - 1].rstrip() + "…"
