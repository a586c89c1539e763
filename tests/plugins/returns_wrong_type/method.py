"""Returns a Python number where the contract asks for a tensor."""

from __future__ import annotations

from assay import Batch, Method, TaskLoss
from torch import Tensor


class ReturnsWrongType(Method):
    def compute_loss(self, outputs: Tensor, batch: Batch, task_loss: TaskLoss) -> Tensor:
        return task_loss(outputs, batch.targets).item()
