"""AdaBelief (Zhuang et al., 2020, Algorithm 2), without rectification."""

from __future__ import annotations

from typing import Annotated, ClassVar

import pytorch_optimizer
from assay import Choice, LogUniform, Method, Uniform
from torch import nn, optim


class AdaBelief(Method):
    """Adam with the variance of the gradient around its mean in place of the second moment.

    s <- b2 s + (1 - b2) (g - m)^2 + eps; w <- w - lr mhat / (sqrt(shat) + eps).
    """

    # Ranges are those of Adam; eps, which bounds the step where gradients are steady, decides
    # much. The authors used 1e-8 for images without rectification, down to 1e-16 elsewhere.
    class Hyperparameters(Method.Hyperparameters):
        """Tunable values; weight decay is decoupled, as in AdamW."""

        lr: Annotated[float, LogUniform(1e-4, 1e-1)] = 1e-3
        beta1: Annotated[float, Uniform(0.8, 0.98)] = 0.9
        beta2: float = 0.999
        eps: Annotated[float, LogUniform(1e-16, 1e-6)] = 1e-8
        weight_decay: Annotated[float, Choice((0.0, 1e-3, 1e-2, 1e-1))] = 0.0

    # A step is about lr long where gradients change, and longer where they do not.
    class OnFunctions(Hyperparameters):
        """Values on synthetic functions, where there is nothing to regularise."""

        lr: Annotated[float, LogUniform(1e-3, 1.0)] = 0.1
        eps: Annotated[float, LogUniform(1e-16, 1e-6)] = 1e-16
        weight_decay: float = 0.0

    hyperparameters_by_family: ClassVar = {"functions": OnFunctions}

    def configure_optimizer(self, model: nn.Module) -> optim.Optimizer:
        """One group holding every parameter."""
        h = self.hyperparameters
        return pytorch_optimizer.AdaBelief(
            model.parameters(),
            lr=h.lr,
            betas=(h.beta1, h.beta2),
            eps=h.eps,
            weight_decay=h.weight_decay,
            weight_decouple=True,
            rectify=False,
        )
