"""Shampoo (Gupta, Koren and Singer, 2018, Algorithms 1 and 2), without grafting."""

from __future__ import annotations

from typing import Annotated, ClassVar

import pytorch_optimizer
from assay import Choice, LogUniform, Method
from torch import nn, optim


class Shampoo(Method):
    """L <- L + G G^T; R <- R + G^T G; W <- W - lr L^(-1/4) G R^(-1/4), L and R beginning at eps I.

    A vector has one such matrix and the power -1/2; a kernel of four dimensions has four and -1/8.
    """

    # The first step has the length of a rotation, the t-th about 1 / sqrt(t) of it, as in Adagrad.
    class Hyperparameters(Method.Hyperparameters):
        """Tunable values; weight decay is L2, added to the gradient."""

        lr: Annotated[float, LogUniform(1e-3, 1.0)] = 0.1
        matrix_eps: Annotated[float, LogUniform(1e-8, 1e-2)] = 1e-4
        weight_decay: Annotated[float, Choice((0.0, 1e-5, 1e-4, 1e-3))] = 0.0

    # A step is at most lr long whatever the gradient's scale, so lr is in units of the domain.
    class OnFunctions(Hyperparameters):
        """Values on synthetic functions, where there is nothing to regularise."""

        lr: Annotated[float, LogUniform(1e-2, 10.0)] = 1.0
        weight_decay: float = 0.0

    hyperparameters_by_family: ClassVar = {"functions": OnFunctions}

    def configure_optimizer(self, model: nn.Module) -> optim.Optimizer:
        """One group holding every parameter."""
        h = self.hyperparameters
        return pytorch_optimizer.Shampoo(
            model.parameters(),
            lr=h.lr,
            momentum=0.0,
            matrix_eps=h.matrix_eps,
            preconditioning_compute_steps=1,
            weight_decay=h.weight_decay,
            weight_decouple=False,
        )
