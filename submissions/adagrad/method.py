"""AdaGrad with diagonal matrices (Duchi, Hazan and Singer, 2011, Fig. 1)."""

from __future__ import annotations

from typing import Annotated, ClassVar

from assay import Choice, LogUniform, Method
from torch import nn, optim


class AdaGrad(Method):
    """s <- s + g^2; w <- w - lr g / (sqrt(s) + eps)."""

    # The step shrinks as 1/sqrt(t), so lr lies ten times higher than that of Adam; 0.01 is the
    # default of torch.
    class Hyperparameters(Method.Hyperparameters):
        """Tunable values; weight decay is L2, added to the gradient."""

        lr: Annotated[float, LogUniform(1e-3, 0.3)] = 1e-2
        eps: float = 1e-10
        weight_decay: Annotated[float, Choice((0.0, 1e-5, 1e-4, 1e-3))] = 0.0

    # The first step is lr long whatever the gradient's scale.
    class OnFunctions(Hyperparameters):
        """Values on synthetic functions, where there is nothing to regularise."""

        lr: Annotated[float, LogUniform(1e-2, 10.0)] = 0.5
        weight_decay: float = 0.0

    hyperparameters_by_family: ClassVar = {"functions": OnFunctions}

    def configure_optimizer(self, model: nn.Module) -> optim.Optimizer:
        """One group holding every parameter."""
        h = self.hyperparameters
        return optim.Adagrad(
            model.parameters(),
            lr=h.lr,
            eps=h.eps,
            weight_decay=h.weight_decay,
            fused=True,  # one kernel for all tensors: two times faster on small networks
        )
