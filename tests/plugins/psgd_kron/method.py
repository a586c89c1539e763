"""PSGD with Kronecker factors, whose library draws from torch's global generator."""

from __future__ import annotations

from typing import Annotated

import pytorch_optimizer
from assay import LogUniform, Method
from torch import nn, optim


class PSGDKron(Method):
    class Hyperparameters(Method.Hyperparameters):
        lr: Annotated[float, LogUniform(1e-4, 3e-2)] = 3e-3

    def configure_optimizer(self, model: nn.Module) -> optim.Optimizer:
        return pytorch_optimizer.Kron(model.parameters(), lr=self.hyperparameters.lr)
