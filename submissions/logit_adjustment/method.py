"""Logit-adjusted softmax cross-entropy (Menon et al., 2021)."""

from __future__ import annotations

from typing import Annotated, Any

from assay import Batch, Method, Uniform
from torch import Tensor


class LogitAdjustment(Method):
    """loss = CE(z + tau log pi, y), pi being the class shares of the training set."""

    # tau = 1 is Bayes-consistent for the balanced error.
    class Hyperparameters(Method.Hyperparameters):
        """Tunable values."""

        tau: Annotated[float, Uniform(0.5, 2.0)] = 1.0

    def __init__(self, hyperparameters: Any) -> None:
        super().__init__(hyperparameters)
        self.adjustment: Tensor | None = None

    def transform_batch(self, batch: Batch) -> Batch:
        """The same batch; before the first one the adjustment is computed."""
        if self.adjustment is None:
            # a class without samples counts one, for a finite logarithm
            counts = self.plan.class_counts.clamp(min=1).float()
            prior = (counts / counts.sum()).to(self.plan.device)
            self.adjustment = self.hyperparameters.tau * prior.log()
        return batch

    def compute_loss(self, outputs: Tensor, batch: Batch) -> Tensor:
        """The task's loss of the adjusted logits."""
        return self.plan.loss(outputs + self.adjustment, batch.targets)
