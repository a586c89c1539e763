"""PSGD with Kronecker factors that whiten the gradient (Li, 2018 and 2024)."""

from __future__ import annotations

from typing import Annotated, ClassVar

import pytorch_optimizer
from assay import Choice, LogUniform, Method, Uniform
from torch import nn, optim


class PSGDKron(Method):
    """Momentum times a matrix P = Q^T Q, Q = Q_1 x Q_2, that is learnt to whiten it.

    With v ~ N(0, I), A = Q_1 M Q_2^T and B = Q_1^-T V Q_2^-1, each triangular factor follows
    Q_1 <- Q_1 - 0.1 triu(A A^T - B B^T) Q_1 / |A A^T + B B^T|;
    W <- W - lr (clip(P M) + wd W), where the clipping keeps the RMS of a step under 1.1.
    Vectors have a diagonal Q. Updates of Q become rarer: every step at first, of 33 in the end.
    """

    # Defaults are the library's and those of the code that it comes from.
    class Hyperparameters(Method.Hyperparameters):
        """Tunable values; weight decay is decoupled and of matrices alone."""

        lr: Annotated[float, LogUniform(1e-4, 3e-2)] = 1e-3
        momentum: Annotated[float, Uniform(0.8, 0.98)] = 0.9
        weight_decay: Annotated[float, Choice((0.0, 1e-3, 1e-2, 1e-1))] = 0.0
        smallest_triangular: int = 2

    # A step is about lr long whatever the gradient's scale, so lr is in units of the domain. The
    # unknowns are one vector, and what the method is for are factors that are not diagonal.
    class OnFunctions(Hyperparameters):
        """Values on synthetic functions, where there is nothing to regularise."""

        lr: Annotated[float, LogUniform(1e-3, 1.0)] = 0.1
        weight_decay: float = 0.0
        smallest_triangular: int = 1

    hyperparameters_by_family: ClassVar = {"functions": OnFunctions}

    def configure_optimizer(self, model: nn.Module) -> optim.Optimizer:
        """One group holding every parameter."""
        h = self.hyperparameters
        return pytorch_optimizer.Kron(
            model.parameters(),
            lr=h.lr,
            momentum=h.momentum,
            weight_decay=h.weight_decay,
            weight_decouple=True,
            min_ndim_triangular=h.smallest_triangular,
        )
