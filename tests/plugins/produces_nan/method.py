"""The loss becomes NaN, as that of a method that diverges."""

from __future__ import annotations

from assay import Batch, Method
from torch import Tensor


class ProducesNaN(Method):
    def compute_loss(self, outputs: Tensor, batch: Batch) -> Tensor:
        return self.plan.loss(outputs, batch.targets) * float("nan")
