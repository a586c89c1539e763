"""Prodigy (Mishchenko and Defazio, 2024, Algorithm 4)."""

from __future__ import annotations

from typing import Annotated, ClassVar

import pytorch_optimizer
from assay import Choice, LogUniform, Method
from torch import nn, optim


class Prodigy(Method):
    """Adam whose learning rate is an estimate d of the distance to the solution, which only grows.

    r <- sqrt(b2) r + (1 - sqrt(b2)) lr d^2 <g, w_0 - w>; s <- sqrt(b2) s + (1 - sqrt(b2)) lr d^2 g;
    m <- b1 m + (1 - b1) d g; v <- b2 v + (1 - b2) d^2 g^2; d' = max(d, d_coef r / |s|_1);
    w <- (1 - lr d wd) w - lr d m / (sqrt(v) + d' eps).
    """

    # Nothing needs tuning, say the authors, who name d_coef for those who want to; lr stays 1 and
    # follows the schedule.
    class Hyperparameters(Method.Hyperparameters):
        """Tunable values; weight decay is decoupled, as in AdamW."""

        lr: float = 1.0
        d_coef: Annotated[float, LogUniform(0.1, 10.0)] = 1.0
        d0: Annotated[float, LogUniform(1e-6, 1e-3)] = 1e-6
        beta1: float = 0.9
        beta2: float = 0.999
        eps: float = 1e-8
        weight_decay: Annotated[float, Choice((0.0, 1e-3, 1e-2, 1e-1))] = 0.0

    class OnFunctions(Hyperparameters):
        """Values on synthetic functions, where there is nothing to regularise."""

        weight_decay: float = 0.0

    hyperparameters_by_family: ClassVar = {"functions": OnFunctions}

    def configure_optimizer(self, model: nn.Module) -> optim.Optimizer:
        """One group holding every parameter."""
        h = self.hyperparameters
        return pytorch_optimizer.Prodigy(
            model.parameters(),
            lr=h.lr,
            betas=(h.beta1, h.beta2),
            d0=h.d0,
            d_coef=h.d_coef,
            eps=h.eps,
            weight_decay=h.weight_decay,
            weight_decouple=True,
            foreach=True,
        )
