"""Mixup (Zhang et al., 2018): convex combinations of inputs and of labels."""

from __future__ import annotations

from typing import Annotated

import torch
from assay import Batch, LogUniform, Method
from torch import Generator
from torch.nn import functional


class Mixup(Method):
    class Hyperparameters(Method.Hyperparameters):
        alpha: Annotated[float, LogUniform(0.1, 2.0)] = 1.0

    def transform_batch(self, batch: Batch) -> Batch:
        share = symmetric_beta(self.hyperparameters.alpha, self.plan.generator)
        order = torch.randperm(len(batch.targets), generator=self.plan.generator).to(
            self.plan.device
        )
        targets = functional.one_hot(batch.targets, self.plan.n_classes).to(batch.inputs.dtype)
        return Batch(
            inputs=share * batch.inputs + (1 - share) * batch.inputs[order],
            targets=share * targets + (1 - share) * targets[order],
            indices=batch.indices,
        )


def symmetric_beta(alpha: float, generator: Generator) -> float:
    """A draw from Beta(alpha, alpha), by Johnk's rejection; torch's own takes no generator."""
    while True:
        u, v = torch.rand(2, generator=generator, dtype=torch.float64).pow(1 / alpha).tolist()
        if 0 < u + v <= 1:
            return float(u / (u + v))
