"""AdamP (Heo et al., 2021, Algorithm 2)."""

from __future__ import annotations

from typing import Annotated, ClassVar

import pytorch_optimizer
from assay import Choice, LogUniform, Method, Uniform
from torch import nn, optim


class AdamP(Method):
    """Adam whose step does not lengthen weights that only count by their direction.

    p = mhat / (sqrt(vhat) + eps), but for eps, which the library adds before it corrects the bias
    of v. Of a tensor with rows (or else as a whole) whose gradient is
    nearly at right angles to it, max |cos(w, g)| < delta / sqrt(dim w), the part of p along w is
    left out and the decay is multiplied by wd_ratio. w <- (1 - lr wd [wd_ratio]) w - lr p.
    """

    # Ranges are those of AdamW.
    class Hyperparameters(Method.Hyperparameters):
        """Tunable values; weight decay is decoupled, as in AdamW."""

        lr: Annotated[float, LogUniform(1e-4, 1e-1)] = 1e-3
        beta1: Annotated[float, Uniform(0.8, 0.98)] = 0.9
        beta2: float = 0.999
        eps: float = 1e-8
        delta: Annotated[float, Choice((0.05, 0.1, 0.2))] = 0.1
        wd_ratio: float = 0.1
        weight_decay: Annotated[float, Choice((0.0, 1e-3, 1e-2, 1e-1))] = 1e-2

    # A step is about lr long whatever the gradient's scale, so lr is in units of the domain.
    class OnFunctions(Hyperparameters):
        """Values on synthetic functions, where there is nothing to regularise."""

        lr: Annotated[float, LogUniform(1e-3, 1.0)] = 0.1
        delta: float = 0.1
        weight_decay: float = 0.0

    hyperparameters_by_family: ClassVar = {"functions": OnFunctions}

    def configure_optimizer(self, model: nn.Module) -> optim.Optimizer:
        """One group holding every parameter."""
        h = self.hyperparameters
        return pytorch_optimizer.AdamP(
            model.parameters(),
            lr=h.lr,
            betas=(h.beta1, h.beta2),
            eps=h.eps,
            weight_decay=h.weight_decay,
            weight_decouple=True,
            delta=h.delta,
            wd_ratio=h.wd_ratio,
        )
