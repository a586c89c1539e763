"""AnyLoss (Han, Moniz and Chawla, 2024) for F1 score and balanced accuracy."""

from __future__ import annotations

from typing import Annotated

from assay import Batch, Choice, Method, Uniform
from torch import Tensor


class AnyLoss(Method):
    """loss = 1 - metric of the soft decisions A(p) = 1 / (1 + exp(-L (p - 1/2))).

    Class 1 is the positive class. The confusion matrix is that of the batch, N being the batch's
    size: the authors' code puts the training set's size there, which is wrong on mini-batches.
    """

    # L = 73 is the paper's choice, from the distance at which A(p) comes close to 0 or 1.
    class Hyperparameters(Method.Hyperparameters):
        """Tunable values."""

        steepness: Annotated[float, Uniform(10.0, 110.0)] = 73.0
        metric: Annotated[str, Choice(("balanced_accuracy", "f1"))] = "balanced_accuracy"

    def compute_loss(self, outputs: Tensor, batch: Batch) -> Tensor:
        """One minus the soft metric of the batch; `outputs` are (n, 2) logits."""
        p = outputs.softmax(dim=1)[:, 1]
        y = batch.targets.to(p.dtype)
        decisions = (self.hyperparameters.steepness * (p - 0.5)).sigmoid()
        true_positive = (decisions * y).sum()
        true_negative = ((1 - decisions) * (1 - y)).sum()
        positive = y.sum()
        # Clamped: a class that the batch lacks has recall 0 and sends no gradient.
        if self.hyperparameters.metric == "f1":
            metric = 2 * true_positive / (positive + decisions.sum()).clamp(min=1e-6)
        else:
            negative = len(y) - positive
            recalls = true_positive / positive.clamp(min=1), true_negative / negative.clamp(min=1)
            metric = (recalls[0] + recalls[1]) / 2
        return 1 - metric
