"""Another choice from the same stack: hide, show, move to the front. No model is run."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace

from mild.errors import UsageError
from mild.layers import LayerStack


def recompose(
    stack: LayerStack, hide: Collection[int] = (), show: Collection[int] = (), front: Sequence[int] = ()
) -> LayerStack:
    """The stack with these people hidden too, those shown again, and those in front of all others (the last foremost).

    Raises:
        UsageError: for a person without a layer, or one who is to be hidden and shown at once.
    """
    for owner in (*hide, *show, *front):
        stack.layer_of(owner)
    both = sorted(set(hide) & set(show))
    if both:
        raise UsageError(f"Person {both[0]} cannot be hidden and shown at once.")
    for owner in front:
        stack = stack.to_front(owner)
    return replace(stack, hidden=(stack.hidden | set(hide)) - set(show))
