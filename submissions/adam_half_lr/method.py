"""Control arm: Adam at half the nominal learning rate.

diffGrad multiplies Adam's step by xi = sigmoid(|g_{t-1} - g_t|), which lies near 0.5 wherever
gradients are small. Given the same nominal learning rate as diffGrad, this method makes the step
that diffGrad would make with xi == 0.5 throughout.
"""

from __future__ import annotations

from typing import Annotated, ClassVar

from assay import Choice, LogUniform, Method, Uniform
from torch import nn, optim


class AdamHalfLR(Method):
    """w <- w - (lr / 2) mhat / (sqrt(vhat) + eps)."""

    # Ranges and defaults are Adam's and diffGrad's, in terms of the nominal lr, so that the
    # same point of the search space means the same setting in all three.
    class Hyperparameters(Method.Hyperparameters):
        """Tunable values; `lr` is the nominal learning rate, halved in the optimizer."""

        lr: Annotated[float, LogUniform(1e-4, 1e-1)] = 1e-3
        beta1: Annotated[float, Uniform(0.8, 0.98)] = 0.9
        beta2: float = 0.999
        eps: float = 1e-8
        weight_decay: Annotated[float, Choice((0.0, 1e-5, 1e-4, 1e-3))] = 0.0

    class OnFunctions(Hyperparameters):
        """Values on synthetic functions: the setting of the diffGrad paper (Fig. 4)."""

        lr: Annotated[float, LogUniform(1e-3, 1.0)] = 0.1
        beta1: Annotated[float, Uniform(0.8, 0.98)] = 0.95
        weight_decay: float = 0.0

    hyperparameters_by_family: ClassVar = {"functions": OnFunctions}

    def configure_optimizer(self, model: nn.Module) -> optim.Optimizer:
        """One group holding every parameter."""
        h = self.hyperparameters
        return optim.Adam(
            model.parameters(),
            lr=h.lr / 2,
            betas=(h.beta1, h.beta2),
            eps=h.eps,
            weight_decay=h.weight_decay,
            fused=True,  # one kernel for all tensors: three times faster on small networks
        )
