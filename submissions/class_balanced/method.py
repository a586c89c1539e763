"""Class-balanced cross-entropy (Cui et al., 2019)."""

from __future__ import annotations

from typing import Annotated, Any

from assay import Batch, Choice, Method
from torch import Tensor


class ClassBalanced(Method):
    """Class c weighs w_c = (1 - beta) / (1 - beta^n_c), scaled so that sum_c w_c = classes."""

    class Hyperparameters(Method.Hyperparameters):
        """Tunable values: the four of the paper."""

        beta: Annotated[float, Choice((0.9, 0.99, 0.999, 0.9999))] = 0.9999

    def __init__(self, hyperparameters: Any) -> None:
        super().__init__(hyperparameters)
        self.weights: Tensor | None = None

    def transform_batch(self, batch: Batch) -> Batch:
        """The same batch; before the first one the weights are computed."""
        if self.weights is None:
            beta = self.hyperparameters.beta
            # float64: 1 - beta^n loses its digits otherwise; a class without samples counts one
            n = self.plan.class_counts.double().clamp(min=1)
            weights = (1 - beta) / (1 - beta**n)
            self.weights = (weights * len(n) / weights.sum()).float().to(self.plan.device)
        return batch

    def compute_loss(self, outputs: Tensor, batch: Batch) -> Tensor:
        """Mean over the batch of w_y times the loss."""
        losses = self.plan.loss(outputs, batch.targets, reduction="none")
        return (self.weights[batch.targets] * losses).mean()
