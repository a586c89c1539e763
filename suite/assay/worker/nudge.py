"""Initial weights one unit in the last place away: whether training carries rounding far."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor


def nudged(weights: Mapping[str, Tensor], seed: int) -> dict[str, Tensor]:
    """`weights`, each number of them as near above or below as its type has one.

    Args:
        weights: by name, on the CPU. What is no floating-point number stays as it is.
        seed: of the draw between above and below.
    """
    generator = torch.Generator().manual_seed(seed)
    return {name: _nudged(weights[name], generator) for name in sorted(weights)}


def _nudged(weight: Tensor, generator: torch.Generator) -> Tensor:
    if not weight.is_floating_point():
        return weight
    up = torch.rand(weight.shape, generator=generator) < 0.5
    return torch.nextafter(weight, torch.where(up, torch.inf, -torch.inf).to(weight.dtype))
