"""Grokfast-MA: gradients with their slow part amplified (Lee et al., 2024, Algorithm 1)."""

from __future__ import annotations

from collections import deque
from typing import Annotated, Any

import torch
from assay import Choice, LogUniform, Method
from torch import Tensor, nn


class GrokfastMA(Method):
    """g <- g + lam (mean of the last w gradients), from the first full window on.

    The official code keeps gradients by reference; here they are copies.
    """

    # Defaults: the authors' setting for modular multiplication.
    class Hyperparameters(Method.Hyperparameters):
        """Tunable values."""

        w: Annotated[int, Choice((100, 30, 10, 5))] = 100
        lam: Annotated[float, LogUniform(0.05, 10.0)] = 5.0

    def __init__(self, hyperparameters: Any) -> None:
        super().__init__(hyperparameters)
        self.windows: dict[Tensor, deque[Tensor]] = {}
        self.sums: dict[Tensor, Tensor] = {}
        """Sums over the windows, so that a step costs the same for every w."""

    @torch.no_grad()
    def transform_gradients(self, model: nn.Module) -> None:
        """Filter every parameter's gradient."""
        h = self.hyperparameters
        for p in model.parameters():
            if p.grad is None:
                continue
            if p not in self.windows:
                self.windows[p], self.sums[p] = deque(), torch.zeros_like(p)
            window, total = self.windows[p], self.sums[p]
            window.append(p.grad.clone())
            total.add_(p.grad)
            if len(window) > h.w:
                total.sub_(window.popleft())
            if len(window) == h.w:
                p.grad.add_(total, alpha=h.lam / h.w)
