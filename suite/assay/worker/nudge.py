"""Weights one unit in the last place away: whether training carries rounding far."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Nudge:
    """Moves every weight of a model to the number beside it, above or below, as a draw says.

    Two kinds of machine round the work of every batch differently, so this is done after every
    batch: a run that ends elsewhere under it shows that rounding decides where it ends.
    """

    def __init__(self, seed: int) -> None:
        self._generator = torch.Generator().manual_seed(seed)

    @torch.no_grad()
    def __call__(self, model: nn.Module) -> None:
        """Move the parameters of `model` in place; on any device, by draws made on the CPU."""
        for weight in model.parameters():
            if weight.is_floating_point():
                weight.copy_(self._beside(weight))

    def _beside(self, weight: Tensor) -> Tensor:
        up = torch.rand(weight.shape, generator=self._generator).to(weight.device) < 0.5
        return torch.nextafter(weight, torch.where(up, torch.inf, -torch.inf).to(weight.dtype))
