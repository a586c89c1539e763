"""Class-balanced sampling (Kang et al., 2020, eq. 1)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

import torch
from assay import Method, TrainingSet, Uniform
from torch import Tensor


class BalancedSampling(Method):
    """A sample is of class j with probability p_j = n_j^q / sum_i n_i^q; drawn with replacement."""

    # q = 0 is class-balanced, q = 1/2 square-root, q = 1 ordinary sampling.
    class Hyperparameters(Method.Hyperparameters):
        """Tunable values."""

        q: Annotated[float, Uniform(0.0, 1.0)] = 0.0

    def sampler(self, dataset: TrainingSet) -> Iterator[Tensor]:
        """Batches of `plan.batch_size` indices, an epoch's worth drawn at a time."""
        targets = dataset.targets.cpu()
        counts = torch.bincount(targets).clamp(min=1).double()
        weights = (counts ** (self.hyperparameters.q - 1))[targets]
        n_drawn = self.plan.batches_per_epoch * self.plan.batch_size
        while True:
            drawn = torch.multinomial(
                weights, n_drawn, replacement=True, generator=self.plan.order_generator
            )
            yield from drawn.split(self.plan.batch_size)
