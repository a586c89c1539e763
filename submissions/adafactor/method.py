"""Adafactor (Shazeer and Stern, 2018, Algorithm 4), without momentum."""

from __future__ import annotations

from typing import Annotated, ClassVar

from assay import Choice, LogUniform, Method
from torch import nn, optim


class Adafactor(Method):
    """Adam without m, its v of a matrix kept as row and column means alone; steps relative to |w|.

    b2 = 1 - t^-0.8; R <- b2 R + (1 - b2) mean of g^2 over columns, C likewise over rows;
    u = g / sqrt(R C / mean(R)); u <- u / max(1, RMS(u) / d);
    w <- w - max(eps2, RMS(w)) min(lr, 1 / sqrt(t)) u.
    """

    # eps1 is the square root of the paper's 1e-30: torch squares it. Its own default of 1.2e-7 is a
    # floor under mean(R) too, and so changes what gradients smaller than 3e-4 do.
    class Hyperparameters(Method.Hyperparameters):
        """Tunable values; weight decay is decoupled, as in AdamW."""

        lr: Annotated[float, LogUniform(1e-3, 1.0)] = 1e-2
        decay: Annotated[float, Choice((0.5, 0.8, 1.0))] = 0.8
        eps1: float = 1e-15
        eps2: Annotated[float, LogUniform(1e-4, 1e-1)] = 1e-3
        clip: float = 1.0
        weight_decay: Annotated[float, Choice((0.0, 1e-3, 1e-2, 1e-1))] = 0.0

    # A step is lr times the distance from the origin, and at least lr times eps2.
    class OnFunctions(Hyperparameters):
        """Values on synthetic functions, where there is nothing to regularise."""

        lr: Annotated[float, LogUniform(1e-3, 1.0)] = 0.1
        weight_decay: float = 0.0

    hyperparameters_by_family: ClassVar = {"functions": OnFunctions}

    def configure_optimizer(self, model: nn.Module) -> optim.Optimizer:
        """One group holding every parameter."""
        h = self.hyperparameters
        return optim.Adafactor(
            model.parameters(),
            lr=h.lr,
            beta2_decay=-h.decay,
            eps=(h.eps1, h.eps2),
            d=h.clip,
            weight_decay=h.weight_decay,
            foreach=True,
        )
