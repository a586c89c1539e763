"""Outputs of networks whose numbers may be too large: those of one CPU must be those of another."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn

LARGEST = 1e15
"""Largest magnitude of a weight, or of a value that a layer gives, that counts as a number.

Products of two are at most 1e30, and 1e8 of them cannot pass float32's 3.4e38 in any order of
summation. Of larger numbers that order, hence the CPU, decides whether a sum is finite, infinite
or NaN, and a ReLU makes an ordinary 0 of minus infinity.
"""


def outputs(model: nn.Module, batches: Iterable[Tensor]) -> Tensor:
    """The outputs of `model`, NaN for examples on which a number gets too large or is none.

    Args:
        model: gives (n, classes) for a batch (n, ...).
        batches: its inputs, in batches.

    Returns:
        Outputs for all batches together. The row of an example is NaN if a layer with weights of
        its own gives more than `LARGEST` for it, infinity or NaN; all are if a weight is so.
    """
    layers = [module for module in model.modules() if _own_weights(module)]
    weights = [weight for layer in layers for weight in _own_weights(layer)]
    sound = all(bool(_largest(weight) <= LARGEST) for weight in weights)
    seen: list[Tensor] = []

    def note(layer: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        seen.append(_largest(output, from_axis=1) <= LARGEST)

    handles = [layer.register_forward_hook(note) for layer in layers]
    try:
        found = []
        for batch in batches:
            seen.clear()
            given = model(batch)
            fine = torch.full((len(given),), sound, device=given.device)
            for rows in seen:
                # A layer that folds examples into other axes counts for all of them.
                fine &= rows if rows.shape == fine.shape else rows.all()
            found.append(given.masked_fill(~fine[:, None], torch.nan))
        return torch.cat(found)
    finally:
        for handle in handles:
            handle.remove()


def _own_weights(module: nn.Module) -> list[Tensor]:
    """Parameters and buffers of a module without those of modules inside it."""
    own = [*module.parameters(recurse=False), *module.buffers(recurse=False)]
    return [value for value in own if value.is_floating_point()]


def _largest(values: Tensor, from_axis: int = 0) -> Tensor:
    """The largest magnitude over all axes from `from_axis` on; NaN if any is."""
    axes = tuple(range(from_axis, values.dim()))
    if not axes:
        return values.abs()
    largest: Tensor = torch.linalg.vector_norm(values, torch.inf, dim=axes)
    return largest
