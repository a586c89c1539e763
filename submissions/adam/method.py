"""Adam (Kingma and Ba, 2015, Algorithm 1)."""

from __future__ import annotations

from typing import Annotated, ClassVar

from assay import Choice, LogUniform, Method, Uniform
from torch import nn, optim


class Adam(Method):
    """m <- b1 m + (1-b1) g; v <- b2 v + (1-b2) g^2; w <- w - lr mhat / (sqrt(vhat) + eps)."""

    # One range for Adam and its like. Small networks were trained best at rates of up to 0.09,
    # which is why it does not end at the usual 0.03.
    class Hyperparameters(Method.Hyperparameters):
        """Tunable values; weight decay is L2, added to the gradient."""

        lr: Annotated[float, LogUniform(1e-4, 1e-1)] = 1e-3
        beta1: Annotated[float, Uniform(0.8, 0.98)] = 0.9
        beta2: float = 0.999
        eps: float = 1e-8
        weight_decay: Annotated[float, Choice((0.0, 1e-5, 1e-4, 1e-3))] = 0.0

    # A step is about lr long whatever the gradient's scale, and the functions live on domains
    # of size one to ten. Defaults: the synthetic setting of the diffGrad paper (Fig. 4).
    class OnFunctions(Hyperparameters):
        """Values on synthetic functions, where there is nothing to regularise."""

        lr: Annotated[float, LogUniform(1e-3, 1.0)] = 0.1
        beta1: Annotated[float, Uniform(0.8, 0.98)] = 0.95
        weight_decay: float = 0.0

    hyperparameters_by_family: ClassVar = {"functions": OnFunctions}

    def configure_optimizer(self, model: nn.Module) -> optim.Optimizer:
        """One group holding every parameter."""
        h = self.hyperparameters
        return optim.Adam(
            model.parameters(),
            lr=h.lr,
            betas=(h.beta1, h.beta2),
            eps=h.eps,
            weight_decay=h.weight_decay,
            fused=True,  # one kernel for all tensors: three times faster on small networks
        )
