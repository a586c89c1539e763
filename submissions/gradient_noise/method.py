"""Annealed Gaussian noise on gradients (Neelakantan et al., 2015)."""

from __future__ import annotations

import math
from typing import Annotated

import torch
from assay import LogUniform, Method
from torch import nn


class GradientNoise(Method):
    """g_t <- g_t + N(0, sigma_t^2), sigma_t^2 = eta / (1 + t)^gamma, for every coordinate."""

    # The paper tries eta = 0.01, 0.3 and 1, for sums over a batch or deep chains; gradients of
    # small networks are smaller, so the range goes far below.
    class Hyperparameters(Method.Hyperparameters):
        """Tunable values."""

        eta: Annotated[float, LogUniform(1e-7, 1.0)] = 0.01
        gamma: float = 0.55

    def transform_gradients(self, model: nn.Module) -> None:
        """Add noise; t counts steps from 0."""
        h = self.hyperparameters
        sigma = math.sqrt(h.eta / (1 + self.plan.batch) ** h.gamma)
        for p in model.parameters():
            if p.grad is not None:
                noise = torch.randn(p.shape, generator=self.plan.generator, dtype=p.dtype)
                p.grad.add_(noise.to(p.device), alpha=sigma)
