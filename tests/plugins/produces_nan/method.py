"""The loss becomes NaN, as that of a method that diverges."""

from __future__ import annotations

from assay import Batch, Method, TaskLoss
from torch import Tensor


class ProducesNaN(Method):
    def compute_loss(self, outputs: Tensor, batch: Batch, task_loss: TaskLoss) -> Tensor:
        return task_loss(outputs, batch.targets) * float("nan")
