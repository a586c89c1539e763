"""LDAM-DRW: margins by class size, and class weights in the last fifth of training."""

from __future__ import annotations

from typing import Annotated

import torch
from assay import Batch, Choice, Method, Uniform
from torch import Tensor
from torch.nn import functional


class LDAMDRW(Method):
    """Cross-entropy of s (z_y - Delta_y), Delta_j ~ n_j^(-1/4) with the largest at max_margin."""

    class Hyperparameters(Method.Hyperparameters):
        max_margin: Annotated[float, Uniform(0.1, 1.0)] = 0.5
        scale: Annotated[float, Choice((1, 10, 30))] = 10
        beta: float = 0.9999
        deferred: float = 0.8

    def compute_loss(self, outputs: Tensor, batch: Batch) -> Tensor:
        h, counts = self.hyperparameters, self.plan.class_counts.clamp(min=1).to(outputs)
        margins = counts**-0.25
        margins = margins * (h.max_margin / margins.max())
        shifted = outputs - functional.one_hot(batch.targets, outputs.shape[1]) * margins
        weights = torch.ones_like(counts)
        if self.plan.elapsed >= h.deferred:
            weights = (1 - h.beta) / (1 - h.beta**counts)
            weights = weights / weights.mean()
        return functional.cross_entropy(h.scale * shifted, batch.targets, weight=weights)
