"""AdamW: one optimizer of torch, nothing else."""

from __future__ import annotations

from typing import Annotated

from assay import LogUniform, Method
from torch import nn, optim


class AdamW(Method):
    class Hyperparameters(Method.Hyperparameters):
        lr: Annotated[float, LogUniform(1e-4, 1e-1)] = 1e-3

    def configure_optimizer(self, model: nn.Module) -> optim.Optimizer:
        return optim.AdamW(model.parameters(), lr=self.hyperparameters.lr)
