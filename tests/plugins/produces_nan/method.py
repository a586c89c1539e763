"""The loss becomes NaN, as that of a method that diverges."""

from __future__ import annotations

from torch import Tensor

from suite.method import Batch, Method, TaskLoss


class ProducesNaN(Method):
    def compute_loss(self, outputs: Tensor, batch: Batch, task_loss: TaskLoss) -> Tensor:
        return task_loss(outputs, batch.targets) * float("nan")
