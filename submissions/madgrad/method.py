"""MADGRAD (Defazio and Jelassi, 2022, Algorithm 1)."""

from __future__ import annotations

from typing import Annotated, ClassVar

import pytorch_optimizer
from assay import Choice, LogUniform, Method
from torch import nn, optim


class MADGRAD(Method):
    """Dual averaging with the cube root of the sum of squared gradients, and momentum.

    lam_k = lr sqrt(k + 1); s <- s + lam_k g; nu <- nu + lam_k g^2;
    z = w_0 - s / (nu^(1/3) + eps); w <- mu w + (1 - mu) z.
    """

    # The default lr is that of the authors' code; their best ones lie from 2.5e-4 to 2.5e-2.
    class Hyperparameters(Method.Hyperparameters):
        """Tunable values; weight decay is L2, added to the gradient."""

        lr: Annotated[float, LogUniform(1e-4, 1e-1)] = 1e-2
        momentum: Annotated[float, Choice((0.0, 0.5, 0.9))] = 0.9
        eps: float = 1e-6
        weight_decay: Annotated[float, Choice((0.0, 1e-5, 1e-4, 1e-3))] = 0.0

    # The first z is lr^(2/3) g^(1/3) away from the start.
    class OnFunctions(Hyperparameters):
        """Values on synthetic functions, where there is nothing to regularise."""

        lr: Annotated[float, LogUniform(1e-3, 10.0)] = 0.1
        weight_decay: float = 0.0

    hyperparameters_by_family: ClassVar = {"functions": OnFunctions}

    def configure_optimizer(self, model: nn.Module) -> optim.Optimizer:
        """One group holding every parameter."""
        h = self.hyperparameters
        return pytorch_optimizer.MADGRAD(
            model.parameters(),
            lr=h.lr,
            momentum=h.momentum,
            eps=h.eps,
            weight_decay=h.weight_decay,
            weight_decouple=False,
        )
