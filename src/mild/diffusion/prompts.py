"""What each domain is asked for in words, and the text encoders of SD 1.5 and SDXL.

Backbones with a text encoder are steered by one prompt per domain, encoded once for all rows of that domain. The
embedded model has no text: it gets a single zero token.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from mild.errors import UsageError

PROMPTS = {
    "background": "an empty scene without people, only the background, photograph, sharp, natural light",
    "person": "one complete person, whole body, on a plain neutral grey background, photograph",
}
NEGATIVE_PROMPTS = {
    "background": "person, people, man, woman, child, human, face, body, limb, text, watermark, blurry, artefacts",
    "person": "second person, crowd, scenery, cut off, deformed, extra limbs, text, watermark, blurry",
}
Words = str | Mapping[str, str] | None


@dataclass(frozen=True)
class DomainText:
    """The words of one domain, encoded.

    Attributes:
        tokens, no_tokens: ``[1, n, D]`` of the prompt and of the negative prompt.
        pooled, no_pooled: ``[1, P]``, SDXL only.
    """

    tokens: torch.Tensor
    no_tokens: torch.Tensor
    pooled: torch.Tensor | None = None
    no_pooled: torch.Tensor | None = None

    def to(self, device: torch.device | str, dtype: torch.dtype) -> DomainText:
        parts = (self.tokens, self.no_tokens, self.pooled, self.no_pooled)
        return DomainText(*(None if p is None else p.to(device, dtype) for p in parts))  # type: ignore[arg-type]


def words_for(domain: str, words: Words, defaults: Mapping[str, str]) -> str:
    """The prompt of a domain: one string is the background's; a mapping names the domains it changes."""
    if isinstance(words, str):
        words = {"background": words}
    unknown = sorted(set(words or ()) - set(defaults))
    if unknown:
        raise UsageError(f"There is no domain '{unknown[0]}' to prompt; there are {', '.join(defaults)}.")
    return (words or {}).get(domain, defaults.get(domain, ""))


def encode_text(
    text: str, tokenizers: Sequence[Any], encoders: Sequence[Any], device: torch.device | str
) -> tuple[torch.Tensor, torch.Tensor | None]:
    """``(tokens [1, n, D], pooled [1, P] or None)``.

    One encoder (SD 1.5): its last hidden state. Two (SDXL, arXiv 2307.01952): the penultimate states side by side, and
    the pooled state of the last. Longer texts are cut at the tokenizer's length.
    """
    states, pooled = [], None
    for tokenizer, encoder in zip(tokenizers, encoders, strict=True):
        ids = tokenizer(
            text, padding="max_length", max_length=tokenizer.model_max_length, truncation=True, return_tensors="pt"
        ).input_ids.to(device)
        if len(encoders) == 1:
            return encoder(ids)[0], None
        output = encoder(ids, output_hidden_states=True)
        states.append(output.hidden_states[-2])
        pooled = output[0]
    return torch.cat(states, -1), pooled
