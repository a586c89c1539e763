"""AdaDelta (Zeiler, 2012, Algorithm 1)."""

from __future__ import annotations

from typing import Annotated, ClassVar

from assay import Choice, LogUniform, Method, Uniform
from torch import nn, optim


class AdaDelta(Method):
    """dx = sqrt(u + eps) / sqrt(v + eps) g; w <- w - lr dx.

    v and u are running means, at rate rho, of g^2 and of dx^2; the paper has lr = 1.
    """

    # Steps start near sqrt(eps) and grow by themselves; lr scales them, so its range of two and
    # a half decades lies around the paper's 1.
    class Hyperparameters(Method.Hyperparameters):
        """Tunable values; weight decay is L2, added to the gradient."""

        lr: Annotated[float, LogUniform(0.03, 10.0)] = 1.0
        rho: Annotated[float, Uniform(0.85, 0.98)] = 0.95
        eps: float = 1e-6
        weight_decay: Annotated[float, Choice((0.0, 1e-5, 1e-4, 1e-3))] = 0.0

    # A first step of sqrt(eps) = 0.001 is short against the functions' domains.
    class OnFunctions(Hyperparameters):
        """Values on synthetic functions, where there is nothing to regularise."""

        lr: Annotated[float, LogUniform(0.1, 100.0)] = 1.0
        weight_decay: float = 0.0

    hyperparameters_by_family: ClassVar = {"functions": OnFunctions}

    def configure_optimizer(self, model: nn.Module) -> optim.Optimizer:
        """One group holding every parameter."""
        h = self.hyperparameters
        return optim.Adadelta(
            model.parameters(),
            lr=h.lr,
            rho=h.rho,
            eps=h.eps,
            weight_decay=h.weight_decay,
        )
