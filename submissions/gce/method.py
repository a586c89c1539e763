"""Generalized cross-entropy (Zhang and Sabuncu, 2018)."""

from __future__ import annotations

from typing import Annotated

from assay import Batch, Method, Uniform
from torch import Tensor


class GCE(Method):
    """L_q = (1 - p_y^q) / q, p_y being the probability of the given label."""

    class Hyperparameters(Method.Hyperparameters):
        """Tunable values."""

        q: Annotated[float, Uniform(0.3, 0.9)] = 0.7

    def compute_loss(self, outputs: Tensor, batch: Batch) -> Tensor:
        """Mean of L_q over the batch."""
        q = self.hyperparameters.q
        log_p = outputs.log_softmax(dim=1).gather(1, batch.targets[:, None]).squeeze(1)
        # exp(q log p) and not p^q, whose gradient is NaN where p underflows to zero
        return (1 - (q * log_p).exp()).mean() / q
