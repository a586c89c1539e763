"""SGDP (Heo et al., 2021, Algorithm 1) with Nesterov momentum, as the authors advise."""

from __future__ import annotations

from typing import Annotated, ClassVar

import pytorch_optimizer
from assay import Choice, LogUniform, Method, Uniform
from torch import nn, optim


class SGDP(Method):
    """SGD whose step does not lengthen weights that only count by their direction.

    m <- mu m + g; p = g + mu m. Of a tensor with rows (or else as a whole) whose gradient is nearly
    at right angles to it, max |cos(w, g)| < delta / sqrt(dim w), the part of p along w is left out
    and the decay is multiplied by wd_ratio. w <- (1 - lr wd [wd_ratio] / (1 - mu)) w - lr p.
    """

    # Ranges of lr and momentum are those of SGD here; the rest are the defaults of the authors.
    class Hyperparameters(Method.Hyperparameters):
        """Tunable values; weight decay is decoupled."""

        lr: Annotated[float, LogUniform(3e-3, 1.0)] = 0.1
        momentum: Annotated[float, Uniform(0.8, 0.98)] = 0.9
        delta: Annotated[float, Choice((0.05, 0.1, 0.2))] = 0.1
        wd_ratio: float = 0.1
        eps: float = 1e-8
        weight_decay: Annotated[float, Choice((0.0, 1e-5, 1e-4, 1e-3))] = 1e-5

    # As for SGD, which it is on vectors.
    class OnFunctions(Hyperparameters):
        """Values on synthetic functions, where there is nothing to regularise."""

        lr: Annotated[float, LogUniform(1e-4, 0.3)] = 0.01
        delta: float = 0.1
        weight_decay: float = 0.0

    hyperparameters_by_family: ClassVar = {"functions": OnFunctions}

    def configure_optimizer(self, model: nn.Module) -> optim.Optimizer:
        """One group holding every parameter."""
        h = self.hyperparameters
        return pytorch_optimizer.SGDP(
            model.parameters(),
            lr=h.lr,
            momentum=h.momentum,
            nesterov=True,
            eps=h.eps,
            weight_decay=h.weight_decay,
            weight_decouple=True,
            delta=h.delta,
            wd_ratio=h.wd_ratio,
        )
