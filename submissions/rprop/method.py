"""Rprop (Riedmiller and Braun, 1993), as iRprop- (Igel and Huesken, 2000), which torch has."""

from __future__ import annotations

from typing import Annotated, ClassVar

from assay import LogUniform, Method, Uniform
from torch import nn, optim


class Rprop(Method):
    """Step lengths of their own for every weight, from the signs of its last two gradients alone.

    same sign: delta <- min(eta_plus delta, 50); other sign: delta <- max(eta_minus delta, 1e-6) and
    g <- 0 for this step and the next; w <- w - delta sign(g). delta begins at lr.
    """

    # The signs of gradients of small batches tell little: the method is meant for full batches.
    # The schedule does not change delta.
    class Hyperparameters(Method.Hyperparameters):
        """Tunable values."""

        lr: Annotated[float, LogUniform(1e-5, 1e-1)] = 1e-2
        eta_minus: Annotated[float, Uniform(0.3, 0.9)] = 0.5
        eta_plus: Annotated[float, Uniform(1.01, 1.3)] = 1.2
        largest: Annotated[float, LogUniform(1e-3, 50.0)] = 50.0

    # delta is in units of the domain.
    class OnFunctions(Hyperparameters):
        """Values on synthetic functions, where there is nothing to regularise."""

        lr: Annotated[float, LogUniform(1e-3, 1.0)] = 0.1
        largest: float = 50.0

    hyperparameters_by_family: ClassVar = {"functions": OnFunctions}

    def configure_optimizer(self, model: nn.Module) -> optim.Optimizer:
        """One group holding every parameter."""
        h = self.hyperparameters
        return optim.Rprop(
            model.parameters(),
            lr=h.lr,
            etas=(h.eta_minus, h.eta_plus),
            step_sizes=(1e-6, h.largest),
            foreach=True,
        )
