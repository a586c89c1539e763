"""Gravity (Bahrami and Pouriyan Zadeh, 2021, Algorithm 1)."""

from __future__ import annotations

from typing import Annotated, ClassVar

import pytorch_optimizer
from assay import LogUniform, Method, Uniform
from torch import nn, optim


class Gravity(Method):
    """Momentum of gradients of which the large ones are damped.

    V_0 ~ N(0, (alpha / lr)^2); b_t = (beta t + 1) / (t + 2); m = 1 / max|g| (of each tensor);
    zeta = g / (1 + (g / m)^2); V <- b_t V + (1 - b_t) zeta; w <- w - lr V.
    """

    # The defaults are the authors'; zeta is at most 1/2, so lr bounds the step.
    class Hyperparameters(Method.Hyperparameters):
        """Tunable values."""

        lr: Annotated[float, LogUniform(1e-2, 3.0)] = 0.1
        beta: Annotated[float, Uniform(0.8, 0.98)] = 0.9
        alpha: Annotated[float, LogUniform(1e-4, 1e-1)] = 0.01

    # zeta is small where gradients are large, so that steep functions want a larger lr.
    class OnFunctions(Hyperparameters):
        """Values on synthetic functions, where there is nothing to regularise."""

        lr: Annotated[float, LogUniform(1e-3, 10.0)] = 0.1

    hyperparameters_by_family: ClassVar = {"functions": OnFunctions}

    def configure_optimizer(self, model: nn.Module) -> optim.Optimizer:
        """One group holding every parameter."""
        h = self.hyperparameters
        return pytorch_optimizer.Gravity(
            model.parameters(),
            lr=h.lr,
            alpha=h.alpha,
            beta=h.beta,
        )
