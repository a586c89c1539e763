"""Returns a Python number where the contract asks for a tensor."""

from __future__ import annotations

from assay import Batch, Method
from torch import Tensor


class ReturnsWrongType(Method):
    def compute_loss(self, outputs: Tensor, batch: Batch) -> Tensor:
        return self.plan.loss(outputs, batch.targets).item()
