"""SOAP (Vyas et al., 2025, Algorithm 3)."""

from __future__ import annotations

from typing import Annotated, ClassVar

import pytorch_optimizer
from assay import Choice, LogUniform, Method, Uniform
from torch import nn, optim


class SOAP(Method):
    """Adam in the eigenbasis of Shampoo's matrices.

    L <- bs L + (1 - bs) G G^T, R likewise; every `refresh` steps their eigenvectors Q_L, Q_R are
    brought up to date by one step of power iteration and a QR decomposition.
    g' = Q_L^T G Q_R and m' = Q_L^T M Q_R; v <- b2 v + (1 - b2) g'^2;
    W <- W - lr Q_L (mhat' / (sqrt(vhat) + eps)) Q_R^T - lr wd W. The first step only sets L and R.
    """

    # The defaults are the authors'; vectors are left to Adam, as they advise.
    class Hyperparameters(Method.Hyperparameters):
        """Tunable values; weight decay is decoupled, as in AdamW."""

        lr: Annotated[float, LogUniform(3e-4, 1e-1)] = 3e-3
        beta1: Annotated[float, Uniform(0.8, 0.98)] = 0.95
        beta2: Annotated[float, Choice((0.9, 0.95, 0.99, 0.999))] = 0.95
        eps: float = 1e-8
        refresh: int = 10
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
        return pytorch_optimizer.SOAP(
            model.parameters(),
            lr=h.lr,
            betas=(h.beta1, h.beta2),
            eps=h.eps,
            weight_decay=h.weight_decay,
            precondition_frequency=h.refresh,
            precondition_1d=False,
        )
