"""diffGrad (Dubey et al., 2019), as corrected by its authors in diffGrad_v2.py."""

from __future__ import annotations

from typing import Annotated, ClassVar

import pytorch_optimizer
from assay import Choice, LogUniform, Method, Uniform
from torch import nn, optim


class DiffGrad(Method):
    """w <- w - lr xi mhat / (sqrt(vhat) + eps) with xi = sigmoid(|g_{t-1} - g_t|), g_0 = 0.

    m and v are Adam's. xi lies in [0.5, 1): the less a gradient changes, the shorter the step.
    As in the official code, eps is added to sqrt(v) before its bias is corrected.
    """

    # The paper compares at equal learning rates: ranges and defaults are Adam's.
    class Hyperparameters(Method.Hyperparameters):
        """Tunable values; weight decay is L2, added to the gradient, as in the official code."""

        lr: Annotated[float, LogUniform(1e-4, 1e-1)] = 1e-3
        beta1: Annotated[float, Uniform(0.8, 0.98)] = 0.9
        beta2: float = 0.999
        eps: float = 1e-8
        weight_decay: Annotated[float, Choice((0.0, 1e-5, 1e-4, 1e-3))] = 0.0

    class OnFunctions(Hyperparameters):
        """Values on synthetic functions: the setting of the paper (Fig. 4)."""

        lr: Annotated[float, LogUniform(1e-3, 1.0)] = 0.1
        beta1: Annotated[float, Uniform(0.8, 0.98)] = 0.95
        weight_decay: float = 0.0

    hyperparameters_by_family: ClassVar = {"functions": OnFunctions}

    def configure_optimizer(self, model: nn.Module) -> optim.Optimizer:
        """One group holding every parameter."""
        h = self.hyperparameters
        return pytorch_optimizer.DiffGrad(
            model.parameters(),
            lr=h.lr,
            betas=(h.beta1, h.beta2),
            eps=h.eps,
            weight_decay=h.weight_decay,
            weight_decouple=False,
        )
