"""RMSprop (Tieleman and Hinton, 2012, lecture 6e)."""

from __future__ import annotations

from typing import Annotated, ClassVar

from assay import Choice, LogUniform, Method
from torch import nn, optim


class RMSprop(Method):
    """v <- a v + (1-a) g^2; w <- w - lr g / (sqrt(v) + eps)."""

    # The lecture suggests lr 0.001 and a 0.9; the step is as long as that of Adam, and so is
    # the range of lr.
    class Hyperparameters(Method.Hyperparameters):
        """Tunable values; weight decay is L2, added to the gradient."""

        lr: Annotated[float, LogUniform(1e-4, 1e-1)] = 1e-3
        alpha: Annotated[float, Choice((0.9, 0.99))] = 0.9
        eps: float = 1e-8
        weight_decay: Annotated[float, Choice((0.0, 1e-5, 1e-4, 1e-3))] = 0.0

    # A step is about lr long whatever the gradient's scale, so lr is in units of the domain.
    class OnFunctions(Hyperparameters):
        """Values on synthetic functions, where there is nothing to regularise."""

        lr: Annotated[float, LogUniform(1e-3, 1.0)] = 0.1
        weight_decay: float = 0.0

    hyperparameters_by_family: ClassVar = {"functions": OnFunctions}

    def configure_optimizer(self, model: nn.Module) -> optim.Optimizer:
        """One group holding every parameter."""
        h = self.hyperparameters
        return optim.RMSprop(
            model.parameters(),
            lr=h.lr,
            alpha=h.alpha,
            eps=h.eps,
            weight_decay=h.weight_decay,
        )
