"""RM3: the median of the last three gradients (Zielinski, Krishnan and Chatterjee, 2020)."""

from __future__ import annotations

from typing import Any

import torch
from assay import Method
from torch import Tensor, nn


class RM3(Method):
    """g <- median(g_t, g_{t-1}, g_{t-2}), element by element, for the task's optimizer.

    Directions that few examples ask for lie far from the median. The first gradient stands in for
    those before it.
    """

    def __init__(self, hyperparameters: Any) -> None:
        super().__init__(hyperparameters)
        self.earlier: list[list[Tensor]] = []

    def transform_gradients(self, model: nn.Module) -> None:
        """Replace the gradients by the median."""
        with torch.no_grad():
            g = [
                torch.zeros_like(p) if p.grad is None else p.grad.clone()
                for p in model.parameters()
            ]
            before, last = self.earlier or (g, g)
            low, high = torch._foreach_minimum(last, g), torch._foreach_maximum(last, g)
            median = torch._foreach_maximum(low, torch._foreach_minimum(high, before))
            for p, part in zip(model.parameters(), median, strict=True):
                if p.grad is not None:
                    p.grad.copy_(part)
            self.earlier = [last, g]
