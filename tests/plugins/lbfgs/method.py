"""L-BFGS, whose step evaluates the loss several times through a closure."""

from __future__ import annotations

from typing import Annotated

from assay import LogUniform, Method
from torch import nn, optim


class LBFGS(Method):
    class Hyperparameters(Method.Hyperparameters):
        lr: Annotated[float, LogUniform(1e-2, 1.0)] = 0.1
        max_iter: int = 4

    @property
    def passes_per_batch(self) -> float:
        return float(self.hyperparameters.max_iter)

    def configure_optimizer(self, model: nn.Module) -> optim.Optimizer:
        h = self.hyperparameters
        return optim.LBFGS(model.parameters(), lr=h.lr, max_iter=h.max_iter, history_size=8)
