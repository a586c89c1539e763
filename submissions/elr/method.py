"""Early-learning regularization (Liu et al., 2020)."""

from __future__ import annotations

from typing import Annotated, Any

import torch
from assay import Batch, Choice, LogUniform, Method, Plan, TaskLoss
from torch import Tensor


class ELR(Method):
    """loss = CE + lam mean_i log(1 - <t_i, p_i>); t_i <- beta t_i + (1 - beta) p_i.

    t (n_examples, n_classes) holds one target per training sample, zero at the start; it is
    brought up to date before the loss uses it, and no gradient flows through it.
    """

    # Defaults: the authors' configuration for CIFAR-10 with symmetric noise.
    class Hyperparameters(Method.Hyperparameters):
        """Tunable values."""

        lam: Annotated[float, LogUniform(0.5, 10.0)] = 3.0
        beta: Annotated[float, Choice((0.5, 0.7, 0.9, 0.99))] = 0.7

    def __init__(self, hyperparameters: Any) -> None:
        super().__init__(hyperparameters)
        self.targets: Tensor | None = None

    def transform_batch(self, batch: Batch, plan: Plan) -> Batch:
        """The same batch; before the first one, targets of zero are made."""
        if self.targets is None:
            self.targets = torch.zeros(plan.n_examples, plan.n_classes, device=plan.device)
        return batch

    def compute_loss(self, outputs: Tensor, batch: Batch, task_loss: TaskLoss) -> Tensor:
        """Cross-entropy with the given labels, plus the regularizer."""
        h = self.hyperparameters
        p = outputs.softmax(dim=1).clamp(1e-4, 1 - 1e-4)
        with torch.no_grad():
            t = h.beta * self.targets[batch.indices] + (1 - h.beta) * p / p.sum(1, keepdim=True)
            self.targets[batch.indices] = t
        regularizer = torch.log(1 - (t * p).sum(dim=1)).mean()
        return task_loss(outputs, batch.targets) + h.lam * regularizer

    def state_dict(self) -> dict[str, Any]:
        """The targets of all samples."""
        return {"targets": self.targets}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore the targets."""
        self.targets = state["targets"]
