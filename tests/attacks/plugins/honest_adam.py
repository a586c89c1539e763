"""No attack: a second baseline, for detectors that need two."""

from __future__ import annotations

from assay import Method
from torch import nn, optim


class HonestAdam(Method):
    """The task's budget, spent on Adam."""

    def configure_optimizer(self, model: nn.Module) -> optim.Optimizer:
        return optim.Adam(model.parameters(), lr=0.1 if self.plan.family == "functions" else 3e-3)
