"""Grokfast-EMA: gradients with their slow part amplified (Lee et al., 2024, Algorithm 2)."""

from __future__ import annotations

from typing import Annotated, Any

import torch
from assay import Choice, LogUniform, Method
from torch import Tensor, nn


class GrokfastEMA(Method):
    """mu <- alpha mu + (1 - alpha) g, mu_0 = g_1; g <- g + lam mu."""

    # Defaults: the authors' setting for modular multiplication.
    class Hyperparameters(Method.Hyperparameters):
        """Tunable values."""

        alpha: Annotated[float, Choice((0.8, 0.9, 0.95, 0.98, 0.99))] = 0.98
        lam: Annotated[float, LogUniform(0.05, 10.0)] = 2.0

    def __init__(self, hyperparameters: Any) -> None:
        super().__init__(hyperparameters)
        self.mu: dict[Tensor, Tensor] = {}

    @torch.no_grad()
    def transform_gradients(self, model: nn.Module) -> None:
        """Filter every parameter's gradient."""
        h = self.hyperparameters
        for p in model.parameters():
            if p.grad is None:
                continue
            if p not in self.mu:
                self.mu[p] = p.grad.clone()
            mu = self.mu[p].lerp_(p.grad, 1 - h.alpha)
            p.grad.add_(mu, alpha=h.lam)
