"""AdamW: Adam with decoupled weight decay (Loshchilov and Hutter, 2019, Algorithm 2)."""

from __future__ import annotations

from typing import Annotated, ClassVar

from assay import Choice, LogUniform, Method, Uniform
from torch import nn, optim


class AdamW(Method):
    """w <- (1 - lr wd) w - lr mhat / (sqrt(vhat) + eps), m and v being those of Adam."""

    # lr and beta1 as for Adam. The decay of one step is lr wd, so its values lie higher than
    # those of an L2 penalty; 0.01 is the default of torch.
    class Hyperparameters(Method.Hyperparameters):
        """Tunable values."""

        lr: Annotated[float, LogUniform(1e-4, 1e-1)] = 1e-3
        beta1: Annotated[float, Uniform(0.8, 0.98)] = 0.9
        beta2: float = 0.999
        eps: float = 1e-8
        weight_decay: Annotated[float, Choice((0.0, 1e-3, 1e-2, 1e-1))] = 1e-2

    # A step is about lr long whatever the gradient's scale, so lr is in units of the domain.
    class OnFunctions(Hyperparameters):
        """Values on synthetic functions, where there is nothing to regularise."""

        lr: Annotated[float, LogUniform(1e-3, 1.0)] = 0.1
        weight_decay: float = 0.0

    hyperparameters_by_family: ClassVar = {"functions": OnFunctions}

    def configure_optimizer(self, model: nn.Module) -> optim.Optimizer:
        """One group holding every parameter."""
        h = self.hyperparameters
        return optim.AdamW(
            model.parameters(),
            lr=h.lr,
            betas=(h.beta1, h.beta2),
            eps=h.eps,
            weight_decay=h.weight_decay,
            fused=True,  # one kernel for all tensors: three times faster on small networks
        )
