"""Schedule-free AdamW: weights for training and weights for scoring differ."""

from __future__ import annotations

from typing import Annotated

import pytorch_optimizer
from assay import LogUniform, Method
from torch import nn, optim


class ScheduleFree(Method):
    class Hyperparameters(Method.Hyperparameters):
        lr: Annotated[float, LogUniform(1e-4, 1e-1)] = 1e-2

    def configure_optimizer(self, model: nn.Module) -> optim.Optimizer:
        return pytorch_optimizer.ScheduleFreeAdamW(model.parameters(), lr=self.hyperparameters.lr)

    def lr_factor(self, elapsed: float) -> float:
        return 1.0
